//! Experiments: arms on live models, shadows and exploration, for C.

use std::ffi::{c_char, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use super::boundary::{
    Growing, Output, check_block, close, copy_text, growing, into_handle, output, read, reference, slice, status, text,
};
use super::candidate_set::OmomiCandidateSet;
use super::layout::OmomiLayout;
use super::live::{OmomiLiveOptions, live_options};
use super::owner::Owner;
use super::schema::OmomiSchema;
use super::text::OmomiText;
use super::{OmomiError, OmomiStatus};
use crate::error::Error;
use crate::experiment::{Answered, ExperimentScorer, Exploration, LiveExperiment, Method, Purpose, bucket_of, draw};
use crate::request::layout::NO_BUCKET;
use crate::score::forget_answers;

/// Serves the arms of an experiment file: follows the file, and the store of each arm. Any number of threads may use
/// one experiment. It belongs to the process that opened it: see "Fork" above.
#[derive(Debug)]
pub struct OmomiExperiment(LiveExperiment);

/// Scores requests with the arm of their unit. One generation of one arm, under one version of the file, answers a
/// whole request. Open one for each thread. It belongs to the first thread that uses it, until
/// `omomi_experiment_scorer_hand_over`; another thread immediately gets `OMOMI_STATUS_SCORER_BUSY`.
#[derive(Debug)]
pub struct OmomiExperimentScorer {
    scorer: ExperimentScorer,
    owner: Owner,
}

/// How requests explore: one of `OMOMI_EXPLORATION_...`.
pub type OmomiExploration = u32;
/// They always take the best candidate, and have no propensities.
pub const OMOMI_EXPLORATION_NONE: OmomiExploration = 0;
/// They take a candidate at random with the probability epsilon.
pub const OMOMI_EXPLORATION_EPSILON: OmomiExploration = 1;
/// They take each candidate with a probability that grows with its utility.
pub const OMOMI_EXPLORATION_SOFTMAX: OmomiExploration = 2;

/// How a request of an experiment was answered.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiAnswered {
    /// `sizeof(OmomiAnswered)`, set by the caller.
    pub size_bytes: usize,
    /// The generation that answered.
    pub generation: u64,
    /// The version of the experiment file.
    pub version: u64,
    /// Salt of the experiment.
    pub salt: u64,
    /// Epsilon, or the temperature, of exploration.
    pub exploration_parameter: f64,
    /// The number of the arm that answered, in this process: see `omomi_experiment_scorer_arm`.
    pub arm: u32,
    /// The bucket of the request's unit, or `OMOMI_NOT_GIVEN` if the unit has no value.
    pub bucket: u32,
    /// 1 if the control arm answered.
    pub is_control: u32,
    /// 1 if the control arm answered because the arm of the unit could not.
    pub fell_back: u32,
    /// Number of shadows that scored the request.
    pub shadow_count: u32,
    /// One of `OMOMI_EXPLORATION_...`.
    pub exploration: OmomiExploration,
    /// How many of 10,000 requests explore.
    pub exploration_share: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

growing!(OmomiAnswered from reserved);

/// The candidate that a policy has chosen.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiChoice {
    /// `sizeof(OmomiChoice)`, set by the caller.
    pub size_bytes: usize,
    /// 1 if a candidate was eligible. Otherwise the other members are 0.
    pub has_candidate: u32,
    /// 1 if the request is one of those that explore.
    pub is_exploring: u32,
    /// Index of the candidate.
    pub candidate: usize,
    /// The probability with which the whole policy chooses this candidate, for `OmomiServed.propensity`; 0 if the
    /// policy never explores.
    pub propensity: f64,
}

growing!(OmomiChoice from propensity);

/// Opens the experiment file at `path` for a server that declares `schema`. Each arm's store is opened with `options`,
/// whose name and poll interval are also those of the experiment; null is for the values of `OMOMI_LIVE_OPTIONS_INIT`.
/// Returns after the first look at the file and at the stores. Never fails because of their contents:
/// `omomi_experiment_status_json` gives the reasons. Starts one thread, and those of a live model for each store. Close
/// it with `omomi_experiment_close`.
///
/// Returns `OMOMI_STATUS_INVALID_ARGUMENT` for options that can never work.
///
/// # Safety
///
/// `path` is as long as it says, `schema` is null or open, `options` is null or points to its struct, whose texts and
/// arrays are as long as it says; `out_experiment` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_open(
    path: OmomiText,
    schema: *const OmomiSchema,
    options: *const OmomiLiveOptions,
    out_experiment: *mut *mut OmomiExperiment,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        if path.text.is_null() {
            return Err(Error::NullArgument { argument: "path" });
        }
        // SAFETY: the caller's promise.
        let path = unsafe { text(path, "path") }?;
        // SAFETY: the caller's promise.
        let schema = &unsafe { reference(schema, "schema") }?.0;
        // SAFETY: the caller's promise.
        let options = unsafe { live_options(options) }?;
        let out_experiment = output(out_experiment, "out_experiment")?;
        let experiment = OmomiExperiment(LiveExperiment::open(Path::new(path), schema, options)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_experiment.write(into_handle(experiment)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes an experiment and ends its threads. Scorers continue with the arms and generations that they have. Ignores
/// null.
///
/// # Safety
///
/// `experiment` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_close(experiment: *mut OmomiExperiment) {
    // SAFETY: the caller's promise.
    unsafe { close(experiment) };
}

/// Looks at the file and at the stores now instead of at the next poll, and returns after that. Takes seconds if there
/// are large files to load.
///
/// # Safety
///
/// `experiment` is null or open; `error` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_look_now(
    experiment: *const OmomiExperiment,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        unsafe { own(experiment) }?.look_now();
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Copies the status of an experiment, as a JSON object with a null byte, into the caller's buffer; see "Texts" above:
/// the version in force, and for each arm its share, whether it can answer, its generation and counts. The text can
/// grow after you ask for its length; the status is then `OMOMI_STATUS_WRONG_SIZE`. Ask again.
///
/// # Safety
///
/// `experiment` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error`
/// are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_status_json(
    experiment: *const OmomiExperiment,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let json = unsafe { own(experiment) }?.status_json().to_string();
        // SAFETY: the caller's promise.
        unsafe { copy_text(&json, out_text, capacity_bytes, out_len_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Copies the status of an experiment as Prometheus text (`text/plain; version=0.0.4`) with a null byte into the
/// caller's buffer; see "Texts" above. Every series has the label `experiment`, and those of an arm the label `arm`. No
/// family has the name of one of `omomi_live_prometheus` or `omomi_serving_log_prometheus`, so one page can have them
/// all. The text can grow after you ask for its length; the status is then `OMOMI_STATUS_WRONG_SIZE`. Ask again.
///
/// # Safety
///
/// `experiment` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error`
/// are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_prometheus(
    experiment: *const OmomiExperiment,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let page = unsafe { own(experiment) }?.status().to_prometheus();
        // SAFETY: the caller's promise.
        unsafe { copy_text(&page, out_text, capacity_bytes, out_len_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Creates a scorer for requests of `layout`. A layout for several models has room for the answers of shadows: one for
/// `1 + n` models lets the first `n` shadows of the file score. `set` is null unless the layout is for prepared
/// candidates. The scorer keeps what it needs. Close it with `omomi_experiment_scorer_close`.
///
/// Returns `OMOMI_STATUS_INVALID_ARGUMENT` if the layout belongs to another schema than the experiment, or does not fit
/// `set`.
///
/// # Safety
///
/// `experiment`, `layout` and `set` are null or open; `out_scorer` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_scorer_open(
    experiment: *const OmomiExperiment,
    layout: *const OmomiLayout,
    set: *const OmomiCandidateSet,
    out_scorer: *mut *mut OmomiExperimentScorer,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let experiment = unsafe { own(experiment) }?;
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        let out_scorer = output(out_scorer, "out_scorer")?;
        // SAFETY: the caller's promise.
        let scorer = match unsafe { set.as_ref() } {
            Some(set) => experiment.scorer_with_candidates(layout, &set.0),
            None => experiment.scorer(layout),
        };
        let scorer = OmomiExperimentScorer { scorer: scorer?, owner: Owner::new() };
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_scorer.write(into_handle(scorer)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes a scorer. Ignores null.
///
/// # Safety
///
/// `scorer` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_scorer_close(scorer: *mut OmomiExperimentScorer) {
    // SAFETY: the caller's promise.
    unsafe { close(scorer) };
}

/// Leaves a scorer to the next thread that uses it, like `omomi_scorer_hand_over`. Ignores null.
///
/// # Safety
///
/// `scorer` is null or open, and no thread is in a call with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_scorer_hand_over(scorer: *const OmomiExperimentScorer) {
    // SAFETY: the caller's promise.
    if let Some(handle) = unsafe { scorer.as_ref() } {
        handle.owner.hand_over();
    }
}

/// Scores the first `candidate_count` candidates of the request in `block` with the arm of its unit, like
/// `omomi_live_scorer_predict`. Then the shadows that `request_id` selects score it, too, unless that would probably
/// take longer than `budget_us` microseconds in all; 0 is no limit. Answer 0 of the block is that of the arm; a ring of
/// `omomi_log_ring_of_experiment_scorer` logs what shadows said. Allocates nothing and waits for nothing.
/// `out_answered` may be null. The caller sets `out_answered->size_bytes` first (`OMOMI_ANSWERED_INIT` does).
///
/// Returns `OMOMI_STATUS_RECORD_INVALID` for a request id that does not have 1 to 128 bytes, and
/// `OMOMI_STATUS_NO_MODEL` or `OMOMI_STATUS_SWITCHED_OFF` if not even the control arm can answer.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `request_id`
/// is as long as it says; `out_answered` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_scorer_predict(
    scorer: *const OmomiExperimentScorer,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate_count: usize,
    request_id: OmomiText,
    budget_us: u64,
    out_answered: *mut OmomiAnswered,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        unsafe { forget_answers(block.cast(), block_len_bytes) };
        // SAFETY: the caller's promise.
        let handle = unsafe { own_scorer(scorer, block, block_len_bytes) }?;
        // SAFETY: the caller's promise.
        let request_id = unsafe { text(request_id, "request_id") }?;
        let out_answered = NonNull::new(out_answered)
            // SAFETY: the caller's promise.
            .map(|out_answered| unsafe { Output::new(out_answered.as_ptr(), "out_answered") })
            .transpose()?;
        let budget = (budget_us != 0).then(|| Duration::from_micros(budget_us));
        // SAFETY: the block has, by the caller's promise, the length that was just checked.
        let answered = unsafe { handle.scorer.predict_block(block.cast(), candidate_count, request_id, budget) }?;
        if let Some(out_answered) = out_answered {
            out_answered.write(OmomiAnswered::of_rust(&answered));
        }
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Scores a request with the fallback file of the options, like `omomi_live_scorer_predict_fallback`. Such an answer
/// belongs to no arm.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is
/// null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_scorer_predict_fallback(
    scorer: *const OmomiExperimentScorer,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate_count: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        unsafe { forget_answers(block.cast(), block_len_bytes) };
        // SAFETY: the caller's promise.
        let handle = unsafe { own_scorer(scorer, block, block_len_bytes) }?;
        // SAFETY: the block has, by the caller's promise, the length that was just checked.
        unsafe { handle.scorer.predict_fallback_block(block.cast(), candidate_count) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Copies the name of the arm with the number `arm`, with a null byte, into the caller's buffer; see "Texts" above.
/// Numbers are never used again in a process, so names can be kept.
///
/// # Safety
///
/// `scorer` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are
/// null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_scorer_arm(
    scorer: *const OmomiExperimentScorer,
    arm: u32,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let scorer = &unsafe { reference(scorer, "scorer") }?.scorer;
        let (_, name) = scorer.names_of(arm).ok_or_else(|| no_arm(arm))?;
        // SAFETY: the caller's promise.
        unsafe { copy_text(name, out_text, capacity_bytes, out_len_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Copies the logic id of a generation of the arm with the number `arm`, with a null byte, into the caller's buffer;
/// see "Texts" above. Keep the id by arm and generation: the call may wait for a thread that swaps generations.
///
/// # Safety
///
/// `scorer` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are
/// null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_experiment_scorer_logic_id(
    scorer: *const OmomiExperimentScorer,
    arm: u32,
    generation: u64,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let scorer = &unsafe { reference(scorer, "scorer") }?.scorer;
        let logic_id = scorer.logic_id_of(arm, generation).ok_or_else(|| no_arm(arm))?;
        // SAFETY: the caller's promise.
        unsafe { copy_text(&logic_id, out_text, capacity_bytes, out_len_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Chooses one of `utility_count` candidates by the policy under which a request was answered. A candidate whose
/// utility is NaN is not eligible; the best is the one with the highest utility, and of several the first. `request_id`
/// decides, so the choice can be computed again. Allocates nothing. The caller sets `out_choice->size_bytes` first
/// (`OMOMI_CHOICE_INIT` does).
///
/// Returns `OMOMI_STATUS_RECORD_INVALID` for a utility that is infinite.
///
/// # Safety
///
/// `answered` is null or points to its struct; `request_id` is as long as it says; `utilities` is null or points to
/// `utility_count` numbers; `out_choice` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_answered_choose(
    answered: *const OmomiAnswered,
    request_id: OmomiText,
    utilities: *const f64,
    utility_count: usize,
    out_choice: *mut OmomiChoice,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        let answered = NonNull::new(answered.cast_mut()).ok_or(Error::NullArgument { argument: "answered" })?;
        // SAFETY: the caller's promise.
        let answered = unsafe { read(answered, OmomiAnswered::NOTHING, "answered") }?;
        // SAFETY: the caller's promise.
        let request_id = unsafe { text(request_id, "request_id") }?;
        // SAFETY: the caller's promise.
        let utilities = unsafe { slice(utilities, utility_count, "utilities") }?;
        // SAFETY: the caller's promise.
        let out_choice = unsafe { Output::new(out_choice, "out_choice") }?;
        let policy = answered.policy()?;
        let choice = crate::experiment::choose(policy.as_ref(), answered.salt, request_id, utilities)?;
        out_choice.write(OmomiChoice {
            size_bytes: 0,
            has_candidate: u32::from(choice.is_some()),
            is_exploring: u32::from(choice.is_some_and(|choice| choice.is_exploring)),
            candidate: choice.map_or(0, |choice| choice.candidate),
            propensity: choice.and_then(|choice| choice.propensity).unwrap_or(0.0),
        });
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Returns the bucket, from 0 to 9,999, of the unit with this value in an experiment with this salt. The value of an id
/// is the id, and that of a text is the result of `omomi_text_value`.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_experiment_bucket(salt: u64, value: u64) -> u32 {
    bucket_of(draw(salt, Purpose::Bucket, value))
}

impl OmomiExperimentScorer {
    /// Returns what a log records for.
    pub(super) const fn for_log(&self) -> &ExperimentScorer {
        &self.scorer
    }
}

impl OmomiAnswered {
    const NOTHING: Self = Self {
        size_bytes: 0,
        generation: 0,
        version: 0,
        salt: 0,
        exploration_parameter: 0.0,
        arm: 0,
        bucket: NO_BUCKET,
        is_control: 0,
        fell_back: 0,
        shadow_count: 0,
        exploration: OMOMI_EXPLORATION_NONE,
        exploration_share: 0,
        reserved: 0,
    };

    fn of_rust(answered: &Answered) -> Self {
        let (exploration, exploration_parameter) = match answered.exploration.map(|it| it.method) {
            None => (OMOMI_EXPLORATION_NONE, 0.0),
            Some(Method::EpsilonUniform { epsilon }) => (OMOMI_EXPLORATION_EPSILON, epsilon),
            Some(Method::Softmax { temperature }) => (OMOMI_EXPLORATION_SOFTMAX, temperature),
        };
        Self {
            size_bytes: 0,
            generation: answered.generation,
            version: answered.version,
            salt: answered.salt,
            exploration_parameter,
            arm: u32::from(answered.arm),
            bucket: answered.bucket.unwrap_or(NO_BUCKET),
            is_control: u32::from(answered.is_control),
            fell_back: u32::from(answered.fell_back),
            shadow_count: answered.shadow_count,
            exploration,
            exploration_share: answered.exploration.map_or(0, |it| it.share),
            reserved: 0,
        }
    }

    fn policy(&self) -> Result<Option<Exploration>, Error> {
        let parameter = self.exploration_parameter;
        let method = match self.exploration {
            OMOMI_EXPLORATION_NONE => return Ok(None),
            OMOMI_EXPLORATION_EPSILON => Method::EpsilonUniform { epsilon: parameter },
            OMOMI_EXPLORATION_SOFTMAX => Method::Softmax { temperature: parameter },
            found => {
                let problem = format!("expected one of OMOMI_EXPLORATION_..., found {found}");
                return Err(Error::InvalidArgument { argument: "answered->exploration", problem });
            }
        };
        Ok(Some(Exploration { share: self.exploration_share, method }))
    }
}

fn no_arm(arm: u32) -> Error {
    let problem = format!("expected the arm of an answer of this process, found {arm}");
    Error::InvalidArgument { argument: "arm", problem }
}

/// # Safety
///
/// `experiment` must be null or open.
unsafe fn own<'a>(experiment: *const OmomiExperiment) -> Result<&'a LiveExperiment, Error> {
    // SAFETY: the caller's promise.
    let experiment = &unsafe { reference(experiment, "experiment") }?.0;
    experiment.check_process()?;
    Ok(experiment)
}

/// # Safety
///
/// `scorer` must be null or open.
unsafe fn own_scorer<'a>(
    scorer: *const OmomiExperimentScorer,
    block: *const c_void,
    block_len_bytes: usize,
) -> Result<&'a OmomiExperimentScorer, Error> {
    // SAFETY: the caller's promise.
    let handle = unsafe { reference(scorer, "scorer") }?;
    check_block(handle.scorer.layout(), block, block_len_bytes)?;
    handle.owner.check()?;
    Ok(handle)
}
