//! `omomi gate`: decides whether a weight file may be published.

use std::fmt;
use std::path::{Path, PathBuf};

use omomi::store::Store;
use omomi_train::judge::gate::{
    Answer, Check, Declared, Figures, GateOptions, GateSettings, SliceFigure, Verdict, gate,
};
use omomi_train::operate::bucket_store::Needs;
use serde_json::json;

use crate::Failure;
use crate::evaluate::{EvaluateProgress, LogArguments};
use crate::output::{note, one_line, say};
use crate::refusal::print_json;
use crate::stores::NamedStore;
use crate::text::{grouped, table};

/// Name of the settings, in the directory of a store.
const SETTINGS_NAME: &str = "gate.toml";
/// Number of slices that the text shows. The JSON has all of them.
const SHOWN_SLICES: usize = 10;

/// Decide whether a weight file may be published, and print every reason against it
///
/// Checks the file's figures on logs against gate.toml: calibration, in total and by slice; normalized entropy and
/// shift against the baseline; unseen categories; weights; size; rows of the training. With --store, the baseline is
/// what the store serves. Limits apply to intervals. A file that passes gets a blessing next to it,
/// NAME.blessing.json, which omomi publish requires. A file that does not pass loses an earlier blessing. Slices are by
/// every id or text field, unless --by names columns.
///
/// Exit code 0: the file passed. 3: the file is held back; each reason says who must act. 4: the rows are too few to
/// tell; the output says how many more clicks are wanted. 1: the file could not be judged. 2: misuse of the command
/// line.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("figures").required(true).args(["evaluation", "logs"])))]
pub(crate) struct Arguments {
    /// Weight file to judge
    file: PathBuf,
    /// Evaluation of the file, as written by omomi evaluate --json; it must include the baseline, if there is one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "by", "by_fields", "user", "time_column", "importance_column", "unweighted", "held_out_rows"])]
    evaluation: Option<PathBuf>,
    /// Weight file that it would replace; both are scored on the same logs [default: what --store serves]
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Settings of the gate [default: gate.toml in --store, or the built-in settings if there is none]
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// Accept that there is no baseline, because the store never had a file. The file has to meet bars of its own
    #[arg(long)]
    first: bool,
    /// Accept that there is no baseline, although the store has or had a file: because it was lost, or the contract is
    /// new. The reason is recorded in the blessing
    #[arg(long, value_name = "REASON", conflicts_with_all = ["first", "baseline"])]
    without_baseline: Option<String>,
    /// Directory of the store to publish to. What it serves is the baseline, and its limits.toml limits the size
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(flatten)]
    logs: LogArguments,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The file did not pass: the failures with exit codes of their own.
#[derive(Debug)]
pub(crate) struct NotPassed {
    file: PathBuf,
    answer: Answer,
    reasons: usize,
}

impl NotPassed {
    /// Returns the exit code.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self.answer {
            Answer::CannotTell { .. } => 4,
            _ => 3,
        }
    }
}

impl fmt::Display for NotPassed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.answer {
            Answer::CannotTell { more_clicks } => {
                let more = grouped(more_clicks);
                write!(formatter, "cannot tell whether {file} may be published: about {more} more clicks are wanted")
            }
            _ => {
                let plural = if self.reasons == 1 { "reason" } else { "reasons" };
                write!(formatter, "{file} is held back for {} {plural}", self.reasons)
            }
        }
    }
}

impl std::error::Error for NotPassed {}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let needs = Needs { served_file: true, last_files: true, history: true, ..Needs::default() };
    let named = arguments.store.as_deref().map(NamedStore::open).transpose()?;
    let judge = |store: Option<&Store>| judge(arguments, store.map(Store::dir));
    let (verdict, settings_source) = match &named {
        None => judge(None)?,
        Some(named) => named.change(needs, |store| judge(Some(store)))?,
    };
    report(arguments, &verdict, &settings_source)
}

/// Judges the file. A store in a bucket has its copy in `store`.
fn judge(arguments: &Arguments, store: Option<&Path>) -> Result<(Verdict, String), Failure> {
    let (settings, settings_source) = settings(arguments.gate.as_deref(), store)?;
    let figures = match &arguments.evaluation {
        Some(path) => Figures::Evaluation(path.clone()),
        None => {
            let files = std::slice::from_ref(&arguments.file);
            Figures::Logs(Box::new(arguments.logs.or_by_fields().options(files, arguments.baseline.as_ref())))
        }
    };
    let mut options = GateOptions::new(&arguments.file, figures);
    options.settings = settings;
    options.settings_source = settings_source;
    options.declared = match &arguments.without_baseline {
        Some(reason) => Declared::WithoutBaseline(reason.clone()),
        None if arguments.first => Declared::First,
        None => Declared::Replacement,
    };
    options.store = store.map(Path::to_owned);
    let mut progress = EvaluateProgress::new(arguments.logs.quiet);
    let verdict = gate(&options, &mut |reader| progress.watch(reader))?;
    progress.finish();
    Ok((verdict, options.settings_source))
}

fn report(arguments: &Arguments, verdict: &Verdict, settings_source: &str) -> Result<(), Failure> {
    if arguments.json {
        let more_clicks = match verdict.answer() {
            Answer::CannotTell { more_clicks } => Some(more_clicks),
            _ => None,
        };
        print_json(&json!({
            "answer": verdict.answer().words().replace(' ', "_"),
            "passed": verdict.passed(),
            "more_clicks": more_clicks,
            "settings_source": settings_source,
            "checks": verdict.checks,
            "slices": verdict.slices,
            "blessing": verdict.blessing.as_ref().map(|path| path.display().to_string()),
        }));
    } else {
        print_verdict(verdict, settings_source);
    }
    if verdict.passed() {
        return Ok(());
    }
    let held_back = verdict.checks.iter().filter(|check| check.answer == Answer::HeldBack).count();
    Err(NotPassed { file: arguments.file.clone(), answer: verdict.answer(), reasons: held_back }.into())
}

/// Reads the settings at `path`, or else `gate.toml` in the store if that file exists, or else returns the defaults.
/// Also returns where they came from. A `gate.toml` in the current directory is not read, because that directory
/// depends on who runs the command.
pub(crate) fn settings(path: Option<&Path>, store: Option<&Path>) -> Result<(GateSettings, String), Failure> {
    let of_store = store.map(|store| store.join(SETTINGS_NAME)).filter(|path| path.exists());
    if let Some(path) = path.map(Path::to_owned).or(of_store) {
        let settings = GateSettings::read(&path)?;
        return Ok((settings, path.display().to_string()));
    }
    if Path::new(SETTINGS_NAME).exists() {
        note!(
            "warning: {SETTINGS_NAME} in the current directory is not read: move it into the store, or pass it with \
             --gate"
        );
    }
    Ok((GateSettings::default(), "the built-in settings".to_owned()))
}

fn print_verdict(verdict: &Verdict, settings_source: &str) {
    let row = |check: &Check| {
        vec![check.answer.words().to_owned(), name_of(check), check.expected.clone(), check.found.clone()]
    };
    let rows = verdict.checks.iter().map(row).collect();
    say!("{}", table(&["", "check", "expected", "found"], rows));
    let slices = &verdict.slices;
    if !slices.is_empty() {
        let row = |slice: &SliceFigure| vec![slice.name(), slice.words()];
        let rows = slices.iter().take(SHOWN_SLICES).map(row).collect();
        let more = match slices.len().saturating_sub(SHOWN_SLICES) {
            0 => String::new(),
            more => format!("\n... and {} more slices with enough clicks: see --json", grouped(more as u64)),
        };
        say!("\n{}{more}", table(&["worst slices", "calibration ratio (interval for all slices together)"], rows));
    }
    say!("\nSettings: {}", one_line(settings_source));
    for check in verdict.reasons() {
        let [expected, found, action] = [&check.expected, &check.found, &check.action].map(|text| one_line(text));
        say!("\n{}: {}\n  expected {expected}, found {found}", check.answer.words(), one_line(&name_of(check)));
        if let Answer::CannotTell { more_clicks } = check.answer {
            say!("  about {} more clicks are wanted", grouped(more_clicks));
        }
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
