//! Computes logged predictions again, with the weight file of their generation, and compares them bit for bit.
//!
//! A prediction that differs is attributed to the first part that does, in the order in which an answer is made: the
//! features of the row, their weights, the bias, the calibration. If none of them shows it, it is the file.

mod attribute;
mod files;
mod scorer;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use omomi::contract::LogPolicy;
use omomi::error::Owner;
use omomi::serving_log::{LoggedModel, LoggedPrediction, RecordBody, RowState, Source};

use super::error::ServingLogError;
use super::losses::Losses;
use super::segments::Segments;
use attribute::{Recomputed, Trace, attribute, attribute_without_details};
pub use files::ReplayFiles;
use scorer::Replayer;
pub(crate) use scorer::set_logged_value;

/// Most mismatches that are explained. All are counted.
pub const MAX_EXPLAINED: usize = 100;

/// The part of an answer that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferingPart {
    /// The features that the row gives.
    Feature,
    /// The weight of a feature.
    Weight,
    /// The bias.
    Bias,
    /// The probability of a logit.
    Calibration,
    /// The weight file: it is not the one that answered.
    File,
}

impl DifferingPart {
    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Feature => "feature",
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::Calibration => "calibration",
            Self::File => "file",
        }
    }
}

/// A prediction that differs when it is computed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Prediction id.
    pub prediction_id: String,
    /// Generation that answered.
    pub generation: u64,
    /// The first part that differs.
    pub part: DifferingPart,
    /// Who must act.
    pub owner: Owner,
    /// What was logged, what was computed, what to do.
    pub message: String,
}

/// What a replay found.
#[derive(Debug, Clone, Default)]
pub struct ReplayReport {
    /// Predictions that were read.
    pub prediction_count: u64,
    /// Predictions that were computed again and are equal, bit for bit.
    pub equal_count: u64,
    /// Predictions that differ.
    pub mismatch_count: u64,
    /// Predictions that cannot be computed again, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// The first mismatches, explained.
    pub mismatches: Vec<Mismatch>,
    /// What is wrong with weight files, each once.
    pub file_faults: Vec<(Owner, String)>,
    /// What of the log cannot be read.
    pub losses: Losses,
}

/// A mismatch that is not explained yet.
struct Suspect {
    prediction_id: String,
    request_id: String,
    candidate: usize,
    generation: u64,
    logged: Recomputed,
    trace: Trace,
    is_other_file: bool,
    has_explanation: bool,
}

/// Computes every prediction of `segments` again whose weight file `files` has.
///
/// # Errors
///
/// Returns [`ServingLogError`] if a segment or the store cannot be read. A weight file that is missing or is another
/// one is a fault in the report.
pub fn replay(segments: &Segments, files: &ReplayFiles) -> Result<ReplayReport, ServingLogError> {
    let mut report = ReplayReport::default();
    let mut suspects: Vec<Suspect> = Vec::new();
    let mut replayers = Replayers { files, open: BTreeMap::new(), faults: Vec::new() };
    report.losses = segments.read(&mut |_, block, record| {
        let RecordBody::Prediction(prediction) = &record.body else { return ControlFlow::Continue(()) };
        report.prediction_count += 1;
        let model = record.head.model.map(|model| &block.models[model]);
        if let Some(reason) = not_replayable(prediction, model) {
            *report.skipped.entry(reason).or_default() += 1;
            return ControlFlow::Continue(());
        }
        let (Some(model), RowState::Here(values)) = (model, &prediction.row) else { return ControlFlow::Continue(()) };
        let Some(replayer) = replayers.of(model) else {
            *report.skipped.entry("without a weight file").or_default() += 1;
            return ControlFlow::Continue(());
        };
        let logged = Recomputed { logit: prediction.logit, probability: prediction.probability };
        let trace = replayer.trace(model, values, |trace| trace.answer != Some(logged));
        if trace.answer == Some(logged) {
            report.equal_count += 1;
            return ControlFlow::Continue(());
        }
        report.mismatch_count += 1;
        if suspects.len() < MAX_EXPLAINED {
            suspects.push(Suspect {
                prediction_id: prediction.id.to_string(),
                request_id: prediction.request_id.to_owned(),
                candidate: prediction.candidate as usize,
                generation: model.generation,
                logged,
                is_other_file: replayer.is_other_file,
                trace,
                has_explanation: false,
            });
        }
        ControlFlow::Continue(())
    })?;
    report.file_faults = replayers.faults;
    explain(segments, suspects, &mut report)?;
    Ok(report)
}

/// Returns why a prediction cannot be computed again, if it cannot.
fn not_replayable(prediction: &LoggedPrediction<'_>, model: Option<&LoggedModel<'_>>) -> Option<&'static str> {
    // A fallback model answers in place of the model, too.
    if prediction.source != Source::Model && prediction.logit.is_nan() {
        return Some("of the server, not of a model");
    }
    let (Some(model), RowState::Here(_)) = (model, &prediction.row) else { return Some("without a row") };
    let is_never = model.fields.iter().any(|field| field.policy == LogPolicy::Never);
    is_never.then_some("of a contract with a field that is never logged")
}

/// The weight files that were asked for.
struct Replayers<'f> {
    files: &'f ReplayFiles,
    open: BTreeMap<(u64, [u8; 8]), Option<Replayer>>,
    faults: Vec<(Owner, String)>,
}

impl Replayers<'_> {
    /// Most files that are open at a time. Logs name few at a time, in the order of time.
    const MAX_OPEN: usize = 8;

    fn of(&mut self, model: &LoggedModel<'_>) -> Option<&mut Replayer> {
        let key = (model.generation, model.digest);
        if !self.open.contains_key(&key) {
            if self.open.values().flatten().count() >= Self::MAX_OPEN {
                self.open.retain(|_, replayer| replayer.is_none());
            }
            let replayer = match self.files.open(model) {
                Ok((replayer, fault)) => {
                    self.note(fault);
                    Some(replayer)
                }
                Err(fault) => {
                    self.note(Some(fault));
                    None
                }
            };
            self.open.insert(key, replayer);
        }
        self.open.get_mut(&key)?.as_mut()
    }

    fn note(&mut self, fault: Option<(Owner, String)>) {
        if let Some(fault) = fault
            && !self.faults.contains(&fault)
        {
            self.faults.push(fault);
        }
    }
}

/// Looks for the details of what differs, and says what the first difference is.
fn explain(segments: &Segments, mut suspects: Vec<Suspect>, report: &mut ReplayReport) -> Result<(), ServingLogError> {
    if suspects.is_empty() {
        return Ok(());
    }
    let wanted: BTreeSet<String> = suspects.iter().map(|suspect| suspect.request_id.clone()).collect();
    segments.read(&mut |_, block, record| {
        let RecordBody::Detail(detail) = &record.body else { return ControlFlow::Continue(()) };
        let Some(model) = record.head.model.map(|model| &block.models[model]) else { return ControlFlow::Continue(()) };
        if !wanted.contains(detail.request_id) {
            return ControlFlow::Continue(());
        }
        for suspect in &mut suspects {
            let is_of_it = suspect.request_id == detail.request_id && suspect.generation == model.generation;
            if is_of_it && !suspect.has_explanation && suspect.candidate < detail.candidates.len() {
                let (part, owner, message) =
                    attribute(suspect.logged, &suspect.trace, model, detail, suspect.candidate, suspect.is_other_file);
                suspect.has_explanation = true;
                report.mismatches.push(suspect.mismatch(part, owner, message));
            }
        }
        ControlFlow::Continue(())
    })?;
    for suspect in suspects.iter().filter(|suspect| !suspect.has_explanation) {
        let (part, owner, message) = attribute_without_details(suspect.logged, &suspect.trace, suspect.is_other_file);
        report.mismatches.push(suspect.mismatch(part, owner, message));
    }
    Ok(())
}

impl Suspect {
    fn mismatch(&self, part: DifferingPart, owner: Owner, message: String) -> Mismatch {
        Mismatch { prediction_id: self.prediction_id.clone(), generation: self.generation, part, owner, message }
    }
}
