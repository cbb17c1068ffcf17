//! `omomi gate`: decides whether a weight file may be published.

use std::fmt;
use std::path::{Path, PathBuf};

use omomi_train::judge::gate::{Check, Figures, GateOptions, GateSettings, Verdict, gate};
use serde_json::json;

use crate::Failure;
use crate::evaluate::{EvaluateProgress, LogArguments};
use crate::output::{one_line, say};
use crate::refusal::print_json;
use crate::text::table;

/// Default path of the settings, in the current directory.
const USUAL_SETTINGS: &str = "gate.toml";

/// Decide whether a weight file may be published, and print every reason against it
///
/// Checks the file's figures on logs against gate.toml: calibration, in total and by slice; normalized entropy and
/// shift against the baseline; unseen categories; weights; size; rows of the training. A file that passes gets a
/// blessing next to it, NAME.blessing.json, which omomi publish requires. A file that is held back loses an earlier
/// blessing. Slices are by every id or text field, unless --by names columns.
///
/// Exit code 0: the file passed. 2: the file is held back; each reason says who must act. 1: the file could not be
/// judged. 64: misuse of the command line (other commands use 2 for that).
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("figures").required(true).args(["evaluation", "logs"])))]
pub(crate) struct Arguments {
    /// Weight file to judge
    file: PathBuf,
    /// Evaluation of the file, as written by omomi evaluate --json; it must include the baseline, if there is one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "by", "by_fields", "user", "time_column"])]
    evaluation: Option<PathBuf>,
    /// Weight file that it would replace; both are scored on the same logs
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Settings of the gate [default: gate.toml in the current directory, or the built-in settings if there is none]
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// Accept that there is no baseline, because this is the first file of its serving logic
    #[arg(long)]
    first: bool,
    /// Directory of the store to publish to: the size of the file is checked against the limits of that store
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(flatten)]
    logs: LogArguments,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The file is held back: the only failure with exit code 2.
#[derive(Debug)]
pub(crate) struct HeldBack {
    file: PathBuf,
    reasons: usize,
}

impl fmt::Display for HeldBack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.reasons == 1 { "reason" } else { "reasons" };
        write!(formatter, "{} is held back for {} {plural}", self.file.display(), self.reasons)
    }
}

impl std::error::Error for HeldBack {}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let options = GateOptions {
        file: arguments.file.clone(),
        figures: match &arguments.evaluation {
            Some(path) => Figures::Evaluation(path.clone()),
            None => {
                let files = std::slice::from_ref(&arguments.file);
                Figures::Logs(Box::new(arguments.logs.or_by_fields().options(files, arguments.baseline.as_ref())))
            }
        },
        settings: settings(arguments.gate.as_deref())?,
        first: arguments.first,
        store: arguments.store.clone(),
    };
    let mut progress = EvaluateProgress::new(arguments.logs.quiet);
    let verdict = gate(&options, &mut |reader| progress.watch(reader))?;
    drop(progress);
    if arguments.json {
        print_json(&json!({
            "passed": verdict.passed(),
            "checks": verdict.checks,
            "blessing": verdict.blessing.as_ref().map(|path| path.display().to_string()),
        }));
    } else {
        print_verdict(&verdict);
    }
    if verdict.passed() {
        return Ok(());
    }
    Err(HeldBack { file: arguments.file.clone(), reasons: verdict.reasons().count() }.into())
}

/// Reads the settings at `path`, or else in [`USUAL_SETTINGS`] if that file exists, or else returns the defaults.
pub(crate) fn settings(path: Option<&Path>) -> Result<GateSettings, Failure> {
    match path {
        Some(path) => Ok(GateSettings::read(path)?),
        None if Path::new(USUAL_SETTINGS).exists() => Ok(GateSettings::read(Path::new(USUAL_SETTINGS))?),
        None => Ok(GateSettings::default()),
    }
}

fn print_verdict(verdict: &Verdict) {
    let row = |check: &Check| {
        let outcome = if check.passed { "passed" } else { "held back" };
        vec![outcome.to_owned(), name_of(check), check.expected.clone(), check.found.clone()]
    };
    let rows = verdict.checks.iter().map(row).collect();
    say!("{}", table(&["", "check", "expected", "found"], rows));
    for check in verdict.reasons() {
        let [expected, found, action] = [&check.expected, &check.found, &check.action].map(|text| one_line(text));
        say!("\n{}\n  expected {expected}, found {found}", one_line(&name_of(check)));
        say!("  who must act: {}\n  what to do: {action}", check.owner.word());
    }
    if let Some(path) = &verdict.blessing {
        say!("\nPassed. The blessing: {}", path.display());
    }
}

fn name_of(check: &Check) -> String {
    match &check.subject {
        Some(subject) => format!("{}: {subject}", check.name),
        None => check.name.clone(),
    }
}
