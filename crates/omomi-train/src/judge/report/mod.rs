//! Writes a report on the quality of a model as one HTML page, for people who decide, and for those who receive it by
//! mail.
//!
//! The input is files that other commands wrote: the [evaluation](crate::evaluate::Evaluation) of a weight file,
//! and optionally a pruning's bill, two training states, the provenance of an average, a blessing, and a store. The
//! page is self-contained: no external scripts, fonts or images. It follows the reader's choice of light or dark theme,
//! can be read on a phone, and has a table with the values of each plot. Equal input gives equal pages.
//!
//! ```no_run
//! use omomi_train::judge::report::{ReportInputs, write};
//!
//! let mut inputs = ReportInputs::of("evaluation.json");
//! inputs.store = Some("feed-ctr".into());
//! write(&inputs, "report.html")?;
//! # Ok::<(), omomi_train::judge::report::ReportError>(())
//! ```
//!
//! # Limits
//!
//! The plots show the first weight file of an evaluation and its baseline; further files appear only in the table of
//! metrics. Plots show at most a few dozen rows, their tables at most 200.

mod metrics;
mod panels;
mod plot;
mod subject;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use askama::Template;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::bucket::{self, NewFile, refuse_to_replace};
use crate::evaluate::{Difference, Evaluation, EvaluationFileError, GroupsOf, ModelEvaluation, SeenLog};
use crate::judge::gate::GateSettings;
use crate::learn::read_provenance;
use crate::learn::state::StateError;
use crate::operate::publish::PublishError;
use crate::prune::Bill;
use crate::read_out::{Counterfactual, ReadOut};
use crate::readable::grouped;
use crate::serving_logs::{CALIBRATION_VERSION, ServedCalibration};
use omomi::printable::is_control;
use omomi::store::Digest;

use metrics::{Card, FieldRow, MetricRow};
use panels::{Absent, Figure, Panel, Provenance};
use plot::PlotError;
use subject::{Subject, Verdict, utc_hour};

/// The input of a report. Everything but the evaluation is optional.
#[derive(Debug, Clone, Default)]
pub struct ReportInputs {
    /// The output of `omomi evaluate --json`.
    pub evaluation: PathBuf,
    /// The bill that `omomi prune` wrote beside the pruned state: adds bytes against normalized entropy.
    pub bill: Option<PathBuf>,
    /// The training state of the weight file: adds the largest changes of weights.
    pub state: Option<PathBuf>,
    /// The training state of the baseline.
    pub baseline_state: Option<PathBuf>,
    /// A copy of the provenance of the state, if the state itself is not given. The provenance of an average adds the
    /// spread of the shards.
    pub provenance: Option<PathBuf>,
    /// The output of `omomi log calibration --json`: adds the calibration of what was served, by hour.
    pub served: Option<PathBuf>,
    /// The output of `omomi ab --json`: adds the arms of an experiment, with their differences over time.
    pub ab: Option<PathBuf>,
    /// The output of `omomi counterfactual --json`: adds what another weight file would have earned.
    pub counterfactual: Option<PathBuf>,
    /// The store of the serving logic: adds the history of file sizes.
    pub store: Option<PathBuf>,
    /// The blessing of the weight file: adds the verdict of the gate.
    pub blessing: Option<PathBuf>,
    /// Settings for the verdict that the gate would give, if there is no blessing.
    pub gate: GateSettings,
    /// Whether to replace an existing file.
    pub replace: bool,
}

impl ReportInputs {
    /// Creates an input with only an evaluation.
    #[must_use]
    pub fn of(evaluation: impl Into<PathBuf>) -> Self {
        Self { evaluation: evaluation.into(), ..Self::default() }
    }
}

/// Writes the report to `out`, completely or not at all.
///
/// # Errors
///
/// Returns [`ReportError`] if an input cannot be read or is from another model, or if `out` exists and may not be
/// replaced.
pub fn write(inputs: &ReportInputs, out: impl AsRef<Path>) -> Result<(), ReportError> {
    let out = out.as_ref();
    let failed = |error| ReportError::io("write", out, error);
    refuse_to_replace(out, inputs.replace).map_err(failed)?;
    let page = render(inputs)?;
    let new_file = NewFile::create(out, inputs.replace).map_err(failed)?;
    new_file.file().write_all(page.as_bytes()).map_err(failed)?;
    new_file.commit().map_err(failed)
}

/// Renders the report as HTML.
///
/// # Errors
///
/// Returns [`ReportError`] if an input cannot be read or is from another model.
pub fn render(inputs: &ReportInputs) -> Result<String, ReportError> {
    let evaluation = Evaluation::read(&inputs.evaluation)?;
    let no_model = || ReportError::NoModel { path: inputs.evaluation.clone() };
    let subject = Subject::of(&evaluation).ok_or_else(no_model)?;
    let provenance = read_provenance_of(inputs.provenance.as_deref(), inputs.state.as_deref())?;
    let bill: Option<Bill> = match &inputs.bill {
        None => None,
        Some(path) => {
            let bill: Bill = read_json(path, "the bill of a pruning", "omomi prune")?;
            subject.check_contract(path, &bill.fingerprint)?;
            if let Some((state, provenance)) = &provenance {
                check_bill(path, state, provenance)?;
            }
            Some(bill)
        }
    };
    let served = inputs.served.as_deref().map(read_served).transpose()?;
    let verdict = Verdict::of(&subject, inputs)?;
    let read_out = inputs.ab.as_deref().map(read_experiment).transpose()?;
    let judged = inputs.counterfactual.as_deref().map(read_counterfactual).transpose()?;
    let panels = [
        panels::reliability(&subject)?,
        panels::entropy_by_hour(&subject)?,
        panels::calibration(&subject, &verdict.settings)?,
        panels::served_calibration(&subject, served.as_ref())?,
        panels::size_curve(bill.as_ref())?,
        panels::field_sizes(&subject)?,
        panels::weight_changes(&subject, inputs.state.as_deref(), inputs.baseline_state.as_deref())?,
        panels::shard_spread(&subject, provenance)?,
        panels::file_sizes(&subject, inputs.store.as_deref())?,
    ];
    let (mut figures, mut absent) = (Vec::new(), Vec::new());
    let of_experiments = panels::experiment(read_out.as_ref())?.into_iter();
    let panels = panels.into_iter().chain(of_experiments).chain([panels::counterfactual(judged.as_ref())?]);
    for panel in panels {
        match panel {
            Panel::Figure(figure) => figures.push(figure),
            Panel::Absent(plot) => absent.push(plot),
        }
    }
    let page = Page {
        logic_id: &subject.model.file.logic_id,
        name: &subject.name,
        facts: facts(&evaluation, &subject),
        cards: metrics::cards(&subject, &verdict.failed),
        verdict,
        files: metrics::file_names(&evaluation),
        has_baseline: subject.baseline.is_some(),
        differences: differences(&subject),
        metrics: metrics::table(&evaluation, &subject),
        fields: metrics::field_rows(&subject),
        figures,
        absent,
        tool_version: env!("CARGO_PKG_VERSION"),
    };
    Ok(visible(page.render()?))
}

/// Returns the page with control characters as text, such as `\u{202e}`, wherever they came from. They could change
/// the order of the text around them, or act on the terminal of those who look at the source.
fn visible(page: String) -> String {
    let is_hidden = |character: char| is_control(character) && character != '\n';
    if !page.contains(is_hidden) {
        return page;
    }
    page.chars().fold(String::with_capacity(page.len()), |mut visible, character| {
        if is_hidden(character) {
            visible.extend(character.escape_default());
        } else {
            visible.push(character);
        }
        visible
    })
}

fn read_json<T: DeserializeOwned>(
    path: &Path,
    expected: &'static str,
    command: &'static str,
) -> Result<T, ReportError> {
    let text = bucket::read(path).map_err(|error| ReportError::io("read", path, error))?;
    let malformed = |source| ReportError::Json { path: path.to_owned(), expected, command, source };
    serde_json::from_slice(&text).map_err(malformed)
}

fn read_served(path: &Path) -> Result<ServedCalibration, ReportError> {
    let served: ServedCalibration = read_json(path, "the calibration of a serving log", "omomi log calibration")?;
    match served.version {
        CALIBRATION_VERSION => Ok(served),
        found => Err(ReportError::FormatVersion { path: path.to_owned(), expected: CALIBRATION_VERSION, found }),
    }
}

fn read_experiment(path: &Path) -> Result<ReadOut, ReportError> {
    let read_out: ReadOut = read_json(path, "the read-out of an experiment", "omomi ab --json")?;
    match read_out.version {
        ReadOut::VERSION => Ok(read_out),
        found => Err(ReportError::FormatVersion { path: path.to_owned(), expected: ReadOut::VERSION, found }),
    }
}

fn read_counterfactual(path: &Path) -> Result<Counterfactual, ReportError> {
    let command = "omomi counterfactual --json";
    let judged: Counterfactual = read_json(path, "an estimate of what another file would have earned", command)?;
    match judged.version {
        Counterfactual::VERSION => Ok(judged),
        found => Err(ReportError::FormatVersion { path: path.to_owned(), expected: Counterfactual::VERSION, found }),
    }
}

/// Reads a provenance from a JSON file or, without one, from the state.
fn read_provenance_of(file: Option<&Path>, state: Option<&Path>) -> Result<Option<(PathBuf, Provenance)>, ReportError> {
    let (expected, command) = ("the provenance of a training state", "omomi average");
    let (path, provenance) = match (file, state) {
        (Some(path), _) => (path, read_json(path, expected, command)?),
        (None, Some(path)) => {
            let malformed = |source| ReportError::Json { path: path.to_owned(), expected, command, source };
            (path, serde_json::from_value(Value::Object(read_provenance(path)?)).map_err(malformed)?)
        }
        (None, None) => return Ok(None),
    };
    Ok(Some((path.to_owned(), provenance)))
}

/// Rejects a bill that was written with another state than the one of this provenance: of two runs of `omomi prune` at
/// once, the bill of one can be beside the state of the other.
fn check_bill(bill: &Path, state: &Path, provenance: &Provenance) -> Result<(), ReportError> {
    let text = bucket::read(bill).map_err(|error| ReportError::io("read", bill, error))?;
    let found = Digest::of(&text).to_string();
    match provenance.bill_digest() {
        Some(expected) if expected != found => Err(ReportError::OtherBill {
            path: bill.to_owned(),
            state: state.to_owned(),
            expected: expected.to_owned(),
            found,
        }),
        _ => Ok(()),
    }
}

/// Returns the facts at the top of the report, as names and values.
fn facts(evaluation: &Evaluation, subject: &Subject<'_>) -> Vec<(&'static str, String)> {
    let (rows, file) = (&evaluation.rows, &subject.model.file);
    let window = |[first, last]: [i64; 2]| format!("{} to {} UTC", utc_hour(first), utc_hour(last));
    let bad = match rows.bad_rows {
        0 => String::new(),
        count => format!(", {} bad rows skipped", grouped(count)),
    };
    let compared = subject.baseline.map(|_| ("compared with", subject.baseline_name.clone()));
    [
        Some(("evaluated on", format!("{} rows with {} clicks{bad}", grouped(rows.impressions), grouped(rows.clicks)))),
        rows.window_us.map(|times| ("rows from", window(times))),
        compared,
        file.training_rows.map(|rows| ("trained on", format!("{} rows", grouped(rows)))),
        file.training_window_us.map(|times| ("trained from", window(times))),
        Some(("seen before", seen_words(subject.model))),
        Some(("contract", format!("{} ({})", file.contract, file.contract_fingerprint))),
        Some(("weight file", file.path.clone())),
        Some(("SHA-256", file.digest.clone())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Says how much of the evaluation a step of the model has used, and by which step.
fn seen_words(model: &ModelEvaluation) -> String {
    let words = |seen: &SeenLog| {
        let steps: Vec<&str> = seen.steps.iter().map(|step| step.name()).collect();
        let learned = if seen.is_learned() { "" } else { ", which learned nothing from them" };
        format!("{} rows of {}, by {}{learned}", grouped(seen.rows), seen.log, steps.join(" and "))
    };
    match &model.seen[..] {
        [] => "no row of the evaluation, by no step".to_owned(),
        seen => seen.iter().map(words).collect::<Vec<_>>().join("; "),
    }
}

/// Describes how the intervals of the differences were computed.
fn differences(subject: &Subject<'_>) -> String {
    let Some(comparison) = &subject.model.comparison else { return String::new() };
    let bootstrap = comparison.bootstrap;
    let groups = match bootstrap.groups_of {
        GroupsOf::Users => "groups of users",
        GroupsOf::ConsecutiveRows => "groups of consecutive rows",
    };
    let change = comparison.normalized_entropy_change.map_or_else(String::new, |Difference { value, low, high }| {
        let [value, low, high] = [value, low, high].map(|part| part * 100.0);
        format!("Normalized entropy changes by {value:+.3} % ({low:+.3} to {high:+.3} %). ")
    });
    let (resamples, count) = (grouped(bootstrap.resamples), grouped(bootstrap.groups));
    format!("{change}Intervals of differences: paired bootstrap, {resamples} resamples of {count} {groups}.")
}

/// Why the report was not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The output file already exists.
    #[error("{} exists already; choose another name, or allow replacing it", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The operating system returned an error.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file does not contain the expected JSON.
    #[error("{} is not {expected}; expected what `{command}` writes", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the file should be.
        expected: &'static str,
        /// The command that writes it.
        command: &'static str,
        /// The parse error.
        source: serde_json::Error,
    },
    /// The format version of a file is not supported.
    #[error("{} has the format version {found}, expected {expected}; write it again with this omomi", .path.display())]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// The supported version.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
    /// The evaluation cannot be read.
    #[error(transparent)]
    Evaluation(#[from] EvaluationFileError),
    /// The blessing is for another weight file.
    #[error(
        "{} blesses another weight file: expected the digest {expected}, found {found}; pass the blessing \
         beside the evaluated file",
        .path.display()
    )]
    OtherFile {
        /// The blessing.
        path: PathBuf,
        /// Digest of the evaluated file.
        expected: String,
        /// The digest in the blessing.
        found: String,
    },
    /// The evaluation has no weight file.
    #[error("{} evaluates no weight file; expected at least one", .path.display())]
    NoModel {
        /// The evaluation.
        path: PathBuf,
    },
    /// A file was made under another contract than the evaluated weight file.
    #[error(
        "{} was made under the contract {found}, the evaluated weight file under {expected}; pass the one that \
         belongs to the weight file",
        .path.display()
    )]
    OtherContract {
        /// The file.
        path: PathBuf,
        /// Fingerprint of the weight file's contract.
        expected: String,
        /// Fingerprint of the file's contract.
        found: String,
    },
    /// The bill was written with another state.
    #[error(
        "{} is not the bill of {}: expected the digest {expected}, found {found}; another run of omomi prune replaced \
         one of them, so prune again, one run at a time",
        .path.display(), .state.display()
    )]
    OtherBill {
        /// The bill.
        path: PathBuf,
        /// The state, or the copy of its provenance.
        state: PathBuf,
        /// Digest of the bill that was written with the state.
        expected: String,
        /// Digest of the bill.
        found: String,
    },
    /// A training state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store or its limits cannot be read.
    #[error(transparent)]
    Store(#[from] PublishError),
    /// A plot could not be drawn.
    #[error("cannot draw a plot: {0}")]
    Plot(String),
    /// The page could not be rendered.
    #[error("cannot render the page")]
    Page(#[from] askama::Error),
}

impl ReportError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return Self::Exists { path: path.to_owned() };
        }
        Self::Io { action, path: path.to_owned(), source }
    }
}

impl From<PlotError> for ReportError {
    fn from(error: PlotError) -> Self {
        Self::Plot(error.to_string())
    }
}

/// The values for `page.html`. Everything except the plots and the style sheet is escaped.
#[derive(Template)]
#[template(path = "page.html", config = "src/judge/report/askama.toml")]
struct Page<'a> {
    /// Name of the serving logic.
    pub logic_id: &'a str,
    /// Name of the evaluated file.
    pub name: &'a str,
    /// Names and values of the facts at the top.
    pub facts: Vec<(&'static str, String)>,
    /// The verdict of the gate.
    pub verdict: Verdict,
    /// The most important metrics.
    pub cards: Vec<Card>,
    /// Names of the evaluated files.
    pub files: Vec<String>,
    /// Whether there is a baseline.
    pub has_baseline: bool,
    /// How the intervals of the differences were computed.
    pub differences: String,
    /// The metrics of all files.
    pub metrics: Vec<MetricRow>,
    /// How fields were filled, one row per field.
    pub fields: Vec<FieldRow>,
    /// The plots.
    pub figures: Vec<Figure>,
    /// The plots that could not be drawn.
    pub absent: Vec<Absent>,
    /// Version of the library that wrote the report.
    pub tool_version: &'static str,
}

impl Page<'_> {
    /// Returns the style sheet.
    #[expect(clippy::unused_self, reason = "templates call methods of the page")]
    fn style(&self) -> &'static str {
        include_str!("page.css")
    }
}
