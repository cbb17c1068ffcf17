//! Live models: open, query and close them, for C.

use std::ffi::c_char;
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use super::boundary::{
    Growing, Output, close, copy_text, growing, into_handle, output, read, reference, slice, status, text,
};
use super::model::{OMOMI_LOAD_MODE_MAP, OmomiLoadMode, checked_load_mode, load_mode_number};
use super::schema::OmomiSchema;
use super::text::OmomiText;
use super::{OmomiError, OmomiStatus};
use crate::error::Error;
use crate::live::{LiveModel, LiveOptions, LiveStatus, Served, ServingState};
use crate::store::{Control, Target};
use crate::weight_file::signature::{SignaturePolicy, TrustedKeys};

/// Serves the model that a store names as current, and every later one. A thread of the library follows the store, and
/// verifies each generation before it answers. Any number of threads may use one live model. It belongs to the process
/// that opened it: see "Fork" above.
#[derive(Debug)]
pub struct OmomiLive(pub(super) LiveModel);

/// Whether requests get answers: one of `OMOMI_SERVING_STATE_...`.
pub type OmomiServingState = u32;
/// A generation answers.
pub const OMOMI_SERVING_STATE_SERVING: OmomiServingState = 0;
/// No generation has been served yet: predict returns `OMOMI_STATUS_NO_MODEL`.
pub const OMOMI_SERVING_STATE_NO_MODEL: OmomiServingState = 1;
/// Scoring is switched off: predict returns `OMOMI_STATUS_SWITCHED_OFF`.
pub const OMOMI_SERVING_STATE_OFF: OmomiServingState = 2;

/// The orders in force: one of `OMOMI_CONTROL_...`. `OMOMI_CONTROL_OFF` hides what would be served if scoring were on;
/// `omomi_live_status_json` has both orders.
pub type OmomiControl = u32;
/// The published generation is served.
pub const OMOMI_CONTROL_FOLLOW: OmomiControl = 0;
/// The served generation stays.
pub const OMOMI_CONTROL_FREEZE: OmomiControl = 1;
/// Nothing is served.
pub const OMOMI_CONTROL_OFF: OmomiControl = 2;
/// One generation is served, no matter what is published.
pub const OMOMI_CONTROL_PIN: OmomiControl = 3;

/// How signatures are checked before a weight file is served: one of `OMOMI_SIGNATURE_...`.
pub type OmomiSignature = u32;
/// They are ignored.
pub const OMOMI_SIGNATURE_OFF: OmomiSignature = 0;
/// A signature, if there is one, must be valid and made by a trusted key. Unsigned files are served. For the time in
/// which signing is introduced.
pub const OMOMI_SIGNATURE_ACCEPT: OmomiSignature = 1;
/// A valid signature by a trusted key is required.
pub const OMOMI_SIGNATURE_REQUIRE: OmomiSignature = 2;

/// Options of a live model. Begin with `OMOMI_LIVE_OPTIONS_INIT`, which suits a server that trusts its disk, and change
/// what you need. The library copies the options.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiLiveOptions {
    /// `sizeof(OmomiLiveOptions)`, set by the caller.
    pub size_bytes: usize,
    /// Name of this serving process, unique among the processes that share the store. Its journal, quarantine and
    /// report are in `state/<name>`. Letters, digits, `-`, `_` and `.`; the first character is not `.`.
    pub name: OmomiText,
    /// One of `OMOMI_LOAD_MODE_...`.
    pub load_mode: OmomiLoadMode,
    /// Maximum number of process deaths during trials of one generation. One more puts the generation into quarantine.
    pub max_deaths: u32,
    /// Interval between looks at the store, above 0. Each wait is up to a fifth longer or shorter.
    pub poll_interval_ms: u64,
    /// How long a new generation is on trial. Meanwhile the last good one stays in memory, and takes over immediately
    /// if scoring panics.
    pub trial_ms: u64,
    /// How long after its start a process waits before it retries a generation whose trial the previous process did not
    /// survive.
    pub retry_after_death_ms: u64,
    /// Maximum length of a weight file in bytes.
    pub max_file_len_bytes: u64,
    /// Maximum total size in bytes of all models in memory, including the one to load.
    pub memory_budget_bytes: u64,
    /// Minimum generation that is served, even by a pin.
    pub min_generation: u64,
    /// Fingerprints of the contracts that are accepted. If there are none, every contract that binds is accepted.
    pub contract_fingerprints: *const u64,
    /// Number of fingerprints.
    pub contract_fingerprint_count: usize,
    /// Files with trusted public keys, as `omomi keygen` creates them; two while one key replaces another. They are
    /// read once.
    pub trusted_key_paths: *const OmomiText,
    /// Number of files.
    pub trusted_key_path_count: usize,
    /// Maximum age of the training data. Older data adds a reason; serving continues. 0 for no limit.
    pub max_training_age_seconds: u64,
    /// One of `OMOMI_SIGNATURE_...`.
    pub signature: OmomiSignature,
    /// 1 to serve files that their group or everybody may write, otherwise 0.
    pub allow_writable_files: u32,
    /// 1 to lock the pages of the served file in memory (`mlock`). If the operating system refuses, serving continues
    /// and a reason is added.
    pub lock_memory: u32,
    /// 1 if the server has its own answer when there is no model. It then counts as ready without one.
    pub has_fallback: u32,
    /// Path of the weight file with which `omomi_live_scorer_predict_fallback` answers, such as one of `omomi
    /// baseline`; empty for none. It is verified when the live model is opened, and never changes. A server with it
    /// counts as ready without a model.
    pub fallback_file: OmomiText,
}

growing!(OmomiLiveOptions from load_mode);

impl OmomiLiveOptions {
    /// Returns the numbers of `options`: what a shorter struct lacks. It has no name, no fingerprints and no keys.
    fn of_rust(options: &LiveOptions) -> Self {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            size_bytes: 0,
            name: OmomiText::EMPTY,
            load_mode: load_mode_number(options.load_mode),
            max_deaths: options.max_deaths,
            poll_interval_ms: milliseconds(options.poll_interval),
            trial_ms: milliseconds(options.trial),
            retry_after_death_ms: milliseconds(options.retry_after_death),
            max_file_len_bytes: options.max_file_len_bytes,
            memory_budget_bytes: options.memory_budget_bytes,
            min_generation: options.min_generation,
            contract_fingerprints: std::ptr::null(),
            contract_fingerprint_count: 0,
            trusted_key_paths: std::ptr::null(),
            trusted_key_path_count: 0,
            max_training_age_seconds: options.max_training_age.map_or(0, |age| age.as_secs()),
            signature: signature_number(options.signature),
            allow_writable_files: u32::from(options.allow_writable_files),
            lock_memory: u32::from(options.lock_memory),
            has_fallback: u32::from(options.has_fallback),
            fallback_file: OmomiText::EMPTY,
        }
    }
}

/// Status of a live model. `omomi_live_status_json` also has every reason, attempt and quarantined file.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiLiveStatus {
    /// `sizeof(OmomiLiveStatus)`, set by the caller.
    pub size_bytes: usize,
    /// Whether requests get answers.
    pub state: OmomiServingState,
    /// The orders in force: the last ones that this process, or the one before it, heard.
    pub control: OmomiControl,
    /// The pinned generation, or 0 if none is pinned.
    pub pinned_generation: u64,
    /// 1 if a generation answers, or would answer if scoring were not switched off. The members up to
    /// `training_end_unix_seconds` describe it, and are 0 otherwise.
    pub has_generation: u32,
    /// 1 while the generation is on trial.
    pub is_on_trial: u32,
    /// The generation number.
    pub generation: u64,
    /// Number of weights, the bias excluded.
    pub weight_count: u64,
    /// Length of its weight file in bytes.
    pub file_len_bytes: u64,
    /// Fingerprint of its contract.
    pub contract_fingerprint: u64,
    /// When it began to answer, in seconds since 1970.
    pub since_unix_seconds: u64,
    /// How its bytes are in memory. A mapped file that was changed in place becomes a copy.
    pub load_mode: OmomiLoadMode,
    /// 1 if its provenance has the end of its training data.
    pub has_training_end: u32,
    /// End of its training data, in seconds since 1970.
    pub training_end_unix_seconds: i64,
    /// Number of generations that are no longer served but still in memory.
    pub retired_count: usize,
    /// Total size in bytes of all models in memory.
    pub mapped_bytes: u64,
    /// Resident bytes of all models, or 0 if the operating system does not report them.
    pub resident_bytes: u64,
    /// Number of current problems; 0 if all is well.
    pub reason_count: usize,
    /// Number of contents that are not tried again.
    pub quarantined_count: usize,
    /// When this status was valid, in seconds since 1970.
    pub heartbeat_unix_seconds: u64,
}

growing!(OmomiLiveStatus from pinned_generation);

/// Opens the store in the directory `dir` for a server that declares `schema`. Returns after the first look at the
/// store, so a good generation, if there is one, already answers. Never fails because of the contents of the store, not
/// even if the directory does not exist: `omomi_live_status_json` gives the reasons, and nothing is created there. A
/// later change of the working directory does not matter. Starts three threads. Close the live model with
/// `omomi_live_close`.
///
/// `options` may be null, for the values of `OMOMI_LIVE_OPTIONS_INIT`. Returns `OMOMI_STATUS_INVALID_ARGUMENT` for
/// options that can never work.
///
/// # Safety
///
/// `dir` is as long as it says, `schema` is null or open, `options` is null or points to
/// its struct, whose texts and arrays are as long as it says; `out_live` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_open(
    dir: OmomiText,
    schema: *const OmomiSchema,
    options: *const OmomiLiveOptions,
    out_live: *mut *mut OmomiLive,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        if dir.text.is_null() {
            return Err(Error::NullArgument { argument: "dir" });
        }
        // SAFETY: the caller's promise.
        let dir = unsafe { text(dir, "dir") }?;
        // SAFETY: the caller's promise.
        let schema = &unsafe { reference(schema, "schema") }?.0;
        // SAFETY: the caller's promise.
        let options = unsafe { live_options(options) }?;
        let out_live = output(out_live, "out_live")?;
        let live = OmomiLive(LiveModel::open(Path::new(dir), schema, options)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_live.write(into_handle(live)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes a live model and ends its threads, within 2 seconds even if a disk hangs. Live scorers continue with the
/// generation that they have. Ignores null.
///
/// # Safety
///
/// `live` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_close(live: *mut OmomiLive) {
    // SAFETY: the caller's promise.
    unsafe { close(live) };
}

/// Looks at the store now instead of at the next poll, and returns after that look. Takes seconds if there is a large
/// file to load. Finding no good generation is not an error.
///
/// # Safety
///
/// `live` is null or open; `error` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_look_now(live: *const OmomiLive, error: *mut OmomiError) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        unsafe { own_live(live, "live") }?.look_now();
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Writes the status of a live model at its last look. The caller sets `out_status->size_bytes` first
/// (`OMOMI_LIVE_STATUS_INIT` does).
///
/// # Safety
///
/// `live` is null or open; `out_status` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_status(
    live: *const OmomiLive,
    out_status: *mut OmomiLiveStatus,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let live = unsafe { own_live(live, "live") }?;
        // SAFETY: the caller's promise.
        let out_status = unsafe { Output::new(out_status, "out_status") }?;
        out_status.write(of_rust(&live.status()));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Copies the full status of a live model, as a JSON object with a null byte, into the caller's buffer; see "Texts"
/// above. It has the contents of `state/<name>/report.json`: the generation with its logic id, reasons with code, owner
/// and action, the last attempts with the duration of each stage, and the quarantine. The text can grow after you ask
/// for its length; the status is then `OMOMI_STATUS_WRONG_SIZE`. Ask again.
///
/// # Safety
///
/// `live` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are
/// null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_status_json(
    live: *const OmomiLive,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let live = unsafe { own_live(live, "live") }?;
        let json = live.status().to_json().to_string();
        // SAFETY: the caller's promise.
        unsafe { copy_text(&json, out_text, capacity_bytes, out_len_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Copies the logic id of a generation that answers or answered recently, with a null byte, into the caller's buffer;
/// see "Texts" above. Log it with the scores. Returns `OMOMI_STATUS_INVALID_ARGUMENT` for any other generation. Keep
/// the id, and ask again only when `OmomiOutcome.generation` changes. Works in a fork too, for what was known at the
/// fork.
///
/// # Safety
///
/// `live` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are
/// null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_logic_id(
    live: *const OmomiLive,
    generation: u64,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let live = &unsafe { reference(live, "live") }?.0;
        let logic_id = match live.logic_id(generation) {
            Some(logic_id) => logic_id,
            None => return Err(live.check_process().err().unwrap_or_else(|| not_served(generation))),
        };
        // SAFETY: the caller's promise.
        unsafe { copy_text(&logic_id, out_text, capacity_bytes, out_len_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Copies the logic id of the fallback file, with a null byte, into the caller's buffer; see "Texts" above. Log it with
/// the answers of `omomi_live_scorer_predict_fallback`, so that they are never taken for those of the served model.
/// Returns `OMOMI_STATUS_NO_MODEL` if the options have no fallback file.
///
/// # Safety
///
/// `live` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are
/// null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_fallback_logic_id(
    live: *const OmomiLive,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let live = &unsafe { reference(live, "live") }?.0;
        let fallback = live.fallback().ok_or(Error::NoModel)?;
        // SAFETY: the caller's promise.
        unsafe { copy_text(fallback.logic_id(), out_text, capacity_bytes, out_len_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Returns the live model of a handle, if it was opened by this process.
///
/// # Safety
///
/// `live` must be null or open.
pub(super) unsafe fn own_live<'a>(live: *const OmomiLive, argument: &'static str) -> Result<&'a LiveModel, Error> {
    // SAFETY: the caller's promise.
    let live = &unsafe { reference(live, argument) }?.0;
    live.check_process()?;
    Ok(live)
}

fn not_served(generation: u64) -> Error {
    let problem = format!("expected a generation that answers or answered recently, found {generation}");
    Error::InvalidArgument { argument: "generation", problem }
}

/// # Safety
///
/// `options` must be null or point to its struct, whose texts and arrays are as long as it says.
pub(super) unsafe fn live_options(options: *const OmomiLiveOptions) -> Result<LiveOptions, Error> {
    let Some(options) = NonNull::new(options.cast_mut()) else { return Ok(LiveOptions::default()) };
    // SAFETY: the caller's promise.
    let options = unsafe { read(options, OmomiLiveOptions::of_rust(&LiveOptions::default()), "options") }?;
    // SAFETY: the caller's promise.
    let name = unsafe { text(options.name, "options->name") }?;
    let (fingerprints, count) = (options.contract_fingerprints, options.contract_fingerprint_count);
    // SAFETY: the caller's promise.
    let fingerprints = unsafe { slice(fingerprints, count, "options->contract_fingerprints") }?;
    let paths = (options.trusted_key_paths, options.trusted_key_path_count);
    // SAFETY: the caller's promise.
    let paths = unsafe { slice(paths.0, paths.1, "options->trusted_key_paths") }?;
    // SAFETY: the caller's promise.
    let path = |&path: &OmomiText| unsafe { text(path, "a path of options->trusted_key_paths") };
    let paths = paths.iter().map(path).collect::<Result<Vec<_>, Error>>()?;
    let max_training_age = options.max_training_age_seconds;
    // SAFETY: the caller's promise.
    let fallback_file = unsafe { text(options.fallback_file, "options->fallback_file") }?;
    Ok(LiveOptions {
        name: name.to_owned(),
        load_mode: checked_load_mode(options.load_mode)?,
        poll_interval: Duration::from_millis(options.poll_interval_ms),
        trial: Duration::from_millis(options.trial_ms),
        max_deaths: options.max_deaths,
        retry_after_death: Duration::from_millis(options.retry_after_death_ms),
        max_file_len_bytes: options.max_file_len_bytes,
        memory_budget_bytes: options.memory_budget_bytes,
        min_generation: options.min_generation,
        contract_fingerprints: fingerprints.to_vec(),
        signature: signature(options.signature)?,
        trusted_keys: TrustedKeys::read(paths)?,
        max_training_age: (max_training_age != 0).then(|| Duration::from_secs(max_training_age)),
        allow_writable_files: flag(options.allow_writable_files, "options->allow_writable_files")?,
        lock_memory: flag(options.lock_memory, "options->lock_memory")?,
        has_fallback: flag(options.has_fallback, "options->has_fallback")?,
        fallback_file: (!fallback_file.is_empty()).then(|| fallback_file.into()),
    })
}

fn signature(number: OmomiSignature) -> Result<SignaturePolicy, Error> {
    match number {
        OMOMI_SIGNATURE_OFF => Ok(SignaturePolicy::Off),
        OMOMI_SIGNATURE_ACCEPT => Ok(SignaturePolicy::Accept),
        OMOMI_SIGNATURE_REQUIRE => Ok(SignaturePolicy::Require),
        found => {
            let problem = format!("expected one of OMOMI_SIGNATURE_..., found {found}");
            Err(Error::InvalidArgument { argument: "options->signature", problem })
        }
    }
}

const fn signature_number(policy: SignaturePolicy) -> OmomiSignature {
    match policy {
        SignaturePolicy::Off => OMOMI_SIGNATURE_OFF,
        SignaturePolicy::Accept => OMOMI_SIGNATURE_ACCEPT,
        SignaturePolicy::Require => OMOMI_SIGNATURE_REQUIRE,
    }
}

fn flag(number: u32, argument: &'static str) -> Result<bool, Error> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(Error::InvalidArgument { argument, problem: format!("expected 0 or 1, found {found}") }),
    }
}

pub(super) const fn serving_state(state: ServingState) -> OmomiServingState {
    match state {
        ServingState::Serving => OMOMI_SERVING_STATE_SERVING,
        ServingState::NoModel => OMOMI_SERVING_STATE_NO_MODEL,
        ServingState::Off => OMOMI_SERVING_STATE_OFF,
    }
}

/// Translates a decision into its number and the pinned generation (0 if none).
pub(super) const fn control(control: Control) -> (OmomiControl, u64) {
    let (target, pinned_generation) = match control.target {
        Target::Follow => (OMOMI_CONTROL_FOLLOW, 0),
        Target::Freeze(_) => (OMOMI_CONTROL_FREEZE, 0),
        Target::Pin(named) => (OMOMI_CONTROL_PIN, named.generation),
    };
    (if control.is_off() { OMOMI_CONTROL_OFF } else { target }, pinned_generation)
}

fn of_rust(status: &LiveStatus) -> OmomiLiveStatus {
    let (control, pinned_generation) = control(status.control);
    let served = status.served.as_ref();
    let number = |number: fn(&Served) -> u64| served.map_or(0, number);
    let training_end = served.and_then(|served| served.training_end_unix_seconds);
    OmomiLiveStatus {
        size_bytes: size_of::<OmomiLiveStatus>(),
        state: serving_state(status.state),
        control,
        pinned_generation,
        has_generation: u32::from(served.is_some()),
        is_on_trial: u32::from(served.is_some_and(|served| served.is_on_trial)),
        generation: number(|served| served.generation),
        weight_count: number(|served| served.weight_count),
        file_len_bytes: number(|served| served.file_len_bytes),
        contract_fingerprint: number(|served| served.contract_fingerprint),
        since_unix_seconds: number(|served| served.since_unix_seconds),
        load_mode: served.map_or(OMOMI_LOAD_MODE_MAP, |served| load_mode_number(served.load_mode)),
        has_training_end: u32::from(training_end.is_some()),
        training_end_unix_seconds: training_end.unwrap_or(0),
        retired_count: status.retired_count,
        mapped_bytes: status.mapped_bytes,
        resident_bytes: status.resident_bytes.unwrap_or(0),
        reason_count: status.reasons.len(),
        quarantined_count: status.quarantined.len(),
        heartbeat_unix_seconds: status.heartbeat_unix_seconds,
    }
}
