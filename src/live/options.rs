//! How a server wants its models served: what it accepts, and how patient it is.

use std::time::Duration;

use crate::error::Error;
use crate::weight_file::map::LoadMode;
use crate::weight_file::signature::{SignaturePolicy, TrustedKeys};

/// How a [`LiveModel`](super::LiveModel) serves. The defaults are fit for a server that trusts its disk.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// Name of this serving process among those that share the store: its journal, quarantine and report lie in `state/<name>`.
    /// Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// How weight files get into memory.
    pub load_mode: LoadMode,
    /// How often `control` and `current` are looked at; each wait is up to a fifth longer or shorter, so that many servers do not
    /// look at one moment.
    pub poll_interval: Duration,
    /// How long a new generation is on trial. The last good one stays in memory meanwhile, and takes over at once if scoring panics.
    pub trial: Duration,
    /// Deaths of the process during trials of one generation that are put down to chance; one more, and it goes into quarantine.
    pub max_deaths: u32,
    /// How long after the start of a process a generation whose trial the last process did not survive is tried once more.
    pub retry_after_death: Duration,
    /// Most bytes of a weight file. Looked at before it is mapped.
    pub max_file_len_bytes: u64,
    /// Most bytes of all models together: the served one, the last good one during a trial, those whose last reader is not gone, and
    /// the one to load.
    pub memory_budget_bytes: u64,
    /// The least generation that is served, a pin included.
    pub min_generation: u64,
    /// Fingerprints of the contracts that are served; any that binds if there are none.
    pub contract_fingerprints: Vec<u64>,
    /// What signatures have to do with what is served.
    pub signature: SignaturePolicy,
    /// The keys whose signatures count.
    pub trusted_keys: TrustedKeys,
    /// Serve files that their group or everybody may write, too.
    pub allow_writable_files: bool,
    /// The age of the training data from which on a reason says that it is stale; serving goes on. No limit if nothing.
    pub max_training_age: Option<Duration>,
    /// Keep the served file's pages in memory (`mlock`). Where the system refuses, serving goes on and a reason says so.
    pub lock_memory: bool,
    /// Whether the server answers by itself where there is no model; then it is ready without one.
    pub has_fallback: bool,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            name: "server".to_owned(),
            load_mode: LoadMode::Map,
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
        }
    }
}

impl LiveOptions {
    /// Refuses what would never work.
    pub(super) fn check(&self) -> Result<(), Error> {
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
