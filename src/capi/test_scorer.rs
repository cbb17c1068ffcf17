//! Scorers with given answers, for unit tests of a server in C.

use std::ffi::c_void;

use super::boundary::{self, into_handle, output, reference, status};
use super::layout::OmomiLayout;
use super::live_scorer::OmomiLiveScorer;
use super::scorer::OmomiScorer;
use super::{OmomiError, OmomiStatus};
use crate::error::{Code, Error};
use crate::request::RequestLayout;
use crate::score::GivenScorer;

/// Gives the answer for candidate `candidate` of a request: writes its click probability, in (0, 1), or NaN for a
/// candidate that is refused, and returns `OMOMI_STATUS_OK`. With `OMOMI_STATUS_NO_MODEL` or
/// `OMOMI_STATUS_SWITCHED_OFF`, the whole call of predict returns that status. Called by the thread that predicts.
pub type OmomiGivenAnswer =
    Option<unsafe extern "C" fn(data: *mut c_void, candidate: usize, out_probability: *mut f64) -> OmomiStatus>;

/// The callback of a test, and its data.
struct Giver {
    given: unsafe extern "C" fn(*mut c_void, usize, *mut f64) -> OmomiStatus,
    data: *mut c_void,
}

// SAFETY: the pointer is only passed on, by the thread that predicts, and the caller promises that it may use it.
unsafe impl Send for Giver {}
// SAFETY: as above.
unsafe impl Sync for Giver {}

impl Giver {
    fn give(&self, candidate: usize) -> Result<f64, Error> {
        let mut probability = f64::NAN;
        // SAFETY: the caller's promise; the number is ours.
        let found = unsafe { (self.given)(self.data, candidate, &raw mut probability) };
        match found {
            boundary::OK => Ok(probability),
            found if found == Code::NoModel as OmomiStatus => Err(Error::NoModel),
            found if found == Code::SwitchedOff as OmomiStatus => Err(Error::SwitchedOff),
            found => {
                let problem = format!(
                    "expected OMOMI_STATUS_OK, OMOMI_STATUS_NO_MODEL or OMOMI_STATUS_SWITCHED_OFF, found {found}"
                );
                Err(Error::InvalidArgument { argument: "given", problem })
            }
        }
    }
}

/// Opens a scorer whose answers the caller gives, for unit tests of a server's own code: it needs no weight file. It is
/// filled, scored and read like any other, and refuses what any other refuses. Its generation is 1, each model of the
/// layout gives the same answers, a time limit is never reached, and it explains nothing. For tests of what a real
/// model answers, `omomi fixture` makes a weight file from a list of weights. Close it with `omomi_scorer_close`.
///
/// # Safety
///
/// `layout` is null or open; `given` is null, or may be called with `data` until the scorer is closed; `out_scorer` and
/// `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_test_scorer_open(
    layout: *const OmomiLayout,
    given: OmomiGivenAnswer,
    data: *mut c_void,
    out_scorer: *mut *mut OmomiScorer,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        let out_scorer = output(out_scorer, "out_scorer")?;
        let scorer = OmomiScorer::of_given(given_scorer(layout, given, data)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_scorer.write(into_handle(scorer)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Opens a live scorer whose answers the caller gives, like `omomi_test_scorer_open`: it needs no store. Close it with
/// `omomi_live_scorer_close`.
///
/// # Safety
///
/// `layout` is null or open; `given` is null, or may be called with `data` until the scorer is closed; `out_scorer` and
/// `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_test_live_scorer_open(
    layout: *const OmomiLayout,
    given: OmomiGivenAnswer,
    data: *mut c_void,
    out_scorer: *mut *mut OmomiLiveScorer,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        let out_scorer = output(out_scorer, "out_scorer")?;
        let scorer = OmomiLiveScorer::of_given(given_scorer(layout, given, data)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_scorer.write(into_handle(scorer)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

fn given_scorer(layout: &RequestLayout, given: OmomiGivenAnswer, data: *mut c_void) -> Result<GivenScorer, Error> {
    let given = given.ok_or(Error::NullArgument { argument: "given" })?;
    let giver = Giver { given, data };
    Ok(GivenScorer::new(layout.clone(), Box::new(move |candidate| giver.give(candidate))))
}

/// The error of a scorer with given answers that is to be logged.
pub(super) fn logs_nothing() -> Error {
    let problem = "its answers are given by a test, so there is no model to log".to_owned();
    Error::InvalidArgument { argument: "scorer", problem }
}

/// The error of what a scorer with given answers cannot do.
pub(super) fn explains_nothing() -> Error {
    let problem = "its answers are given by a test, so there is nothing to explain".to_owned();
    Error::InvalidArgument { argument: "scorer", problem }
}
