//! What states compute from, and how they fail.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Why a state, a branch or an execution failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The name of the error, such as `States.TaskFailed`.
    pub error: String,
    /// What happened, for people; that of a task is JSON.
    pub cause: String,
}

impl Failure {
    pub(super) fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: error.into(), cause: cause.into() }
    }
}

/// What paths are looked up in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) input: &'a Value,
    pub(super) context: &'a Value,
    /// Tells this evaluation from all others. UUIDs are made from it, so that a resumed run gives the same ones.
    pub(super) seed: &'a str,
}

impl Scope<'_> {
    /// A UUID of version 4 for this evaluation.
    pub(super) fn uuid(&self) -> String {
        let digest = Sha256::digest(self.seed.as_bytes());
        let mut hex: Vec<char> =
            digest.iter().take(16).flat_map(|byte| format!("{byte:02x}").chars().collect::<Vec<_>>()).collect();
        hex[12] = '4';
        hex[16] = match hex[16].to_digit(16).unwrap_or(0) % 4 {
            0 => '8',
            1 => '9',
            2 => 'a',
            _ => 'b',
        };
        let part = |from: usize, to: usize| hex[from..to].iter().collect::<String>();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }
}
