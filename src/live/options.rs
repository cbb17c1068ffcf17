//! Options of a live model: what it accepts, its limits and its intervals.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::weight_file::map::LoadMode;
use crate::weight_file::signature::{SignaturePolicy, TrustedKeys};

/// Options of a [`LiveModel`](super::LiveModel). The defaults suit a server that trusts its disk. Later versions may
/// have more of them, so start from the defaults and [change](Self::with) what differs.
///
/// ```
/// use omomi::live::LiveOptions;
///
/// let options = LiveOptions::default().with(|it| {
///     it.name = "ad-server-1".to_owned();
///     it.has_fallback = true;
/// });
/// assert_eq!(options.name, "ad-server-1");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LiveOptions {
    /// Name of this serving process, unique among the processes that share the store. Its journal, quarantine and
    /// report are in `state/<name>`. Letters, digits, `-`, `_` and `.`; the first character is not `.`.
    pub name: String,
    /// How weight files are brought into memory.
    pub load_mode: LoadMode,
    /// Interval between looks at `control` and `current`. Each wait is up to a fifth shorter or longer, so that many
    /// servers do not look at the same moment.
    pub poll_interval: Duration,
    /// How long a new generation is on trial. Meanwhile the last good one stays in memory, and takes over immediately
    /// if scoring panics.
    pub trial: Duration,
    /// Maximum number of process deaths during trials of one generation. One more puts the generation into quarantine.
    pub max_deaths: u32,
    /// How long after its start a process waits before it retries a generation whose trial the previous process did not
    /// survive.
    pub retry_after_death: Duration,
    /// Maximum length of a weight file in bytes, checked before it is mapped.
    pub max_file_len_bytes: u64,
    /// Maximum total size in bytes of all models: the served one, the last good one during a trial, retired ones that a
    /// reader still uses, the fallback file, and the one to load. In the mode [`LoadMode::Auto`], a file that does not
    /// fit beside the others is mapped; one that would not fit alone is refused.
    pub memory_budget_bytes: u64,
    /// Minimum generation that is served, even by a pin.
    pub min_generation: u64,
    /// Fingerprints of the contracts that are accepted. If empty, every contract that binds is accepted.
    pub contract_fingerprints: Vec<u64>,
    /// Whether signatures are checked or required.
    pub signature: SignaturePolicy,
    /// Public keys whose signatures are trusted.
    pub trusted_keys: TrustedKeys,
    /// Also serve files that their group or everybody may write.
    pub allow_writable_files: bool,
    /// Maximum age of the training data. Older data adds the reason `stale_training_data`; serving continues. `None`
    /// means no limit.
    pub max_training_age: Option<Duration>,
    /// Lock the pages of the served file in memory (`mlock`). If the operating system refuses, serving continues and a
    /// reason is added.
    pub lock_memory: bool,
    /// Whether the server has its own answer when there is no model. If so, it counts as ready without one.
    pub has_fallback: bool,
    /// Weight file with which [`LiveScorer::predict_fallback`](super::LiveScorer::predict_fallback) answers, such as one
    /// of `omomi baseline`. It is loaded and verified when the live model is opened, and stays in memory unchanged:
    /// neither the store nor an order concerns it. A server with it counts as ready without a model. Its size
    /// is part of [`memory_budget_bytes`](Self::memory_budget_bytes).
    pub fallback_file: Option<PathBuf>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            name: "server".to_owned(),
            load_mode: LoadMode::Auto,
            poll_interval: Duration::from_secs(1),
            trial: Duration::from_secs(30),
            max_deaths: 1,
            retry_after_death: Duration::from_secs(600),
            max_file_len_bytes: u64::MAX,
            memory_budget_bytes: u64::MAX,
            min_generation: 0,
            contract_fingerprints: Vec::new(),
            signature: SignaturePolicy::Off,
            trusted_keys: TrustedKeys::default(),
            allow_writable_files: false,
            max_training_age: None,
            lock_memory: false,
            has_fallback: false,
            fallback_file: None,
        }
    }
}

impl LiveOptions {
    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Rejects options that can never work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |problem: String| Err(Error::InvalidArgument { argument: "options", problem });
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(is_allowed) {
            return invalid(format!(
                "expected a name of letters, digits, `-`, `_` and `.` that does not begin with `.`, found {:?}",
                self.name
            ));
        }
        if self.signature == SignaturePolicy::Require && self.trusted_keys.keys().is_empty() {
            return invalid("expected a trusted key where signatures are required, found none".to_owned());
        }
        if self.poll_interval.is_zero() {
            return invalid("expected a poll interval above 0, found 0".to_owned());
        }
        Ok(())
    }
}
