//! `omomi profile`: compares the logs of a day with the days before, before anything is trained on them.

use std::fmt;
use std::path::PathBuf;

use omomi::store::Store;
use omomi_train::evaluate::{EvaluatedRows, evaluate_files};
use omomi_train::judge::gate::{Profile, profile_day};
use omomi_train::judge::history::Jump;
use omomi_train::operate::bucket_store::Needs;
use omomi_train::operate::served::served;
use serde_json::json;

use crate::Failure;
use crate::evaluate::{EvaluateProgress, LogArguments};
use crate::gate::settings;
use crate::output::{one_line, say};
use crate::refusal::print_json;
use crate::stores::NamedStore;
use crate::text::{grouped, table};

/// Compare the logs of a day with those of the days before, by what the served weight file sees in them
///
/// Run it before omomi train: it takes seconds, and a fault that is in the training log and in the evaluation log
/// deceives any comparison of two files. Shows rows, CTR, calibration and entropy of the served file, and by field the
/// missing, unseen and out-of-range shares, the number of different values, and the distance of the distribution from
/// the days before. Bands are learned from the history of the store; history_band and history_bands in gate.toml widen
/// them. The day is recorded in the history.
///
/// Exit code 0: as on the days before. 3: a figure jumped, and nothing should be trained on the logs. 1: failed. 2:
/// misuse of the command line.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("rows").required(true).arg("logs")))]
pub(crate) struct Arguments {
    /// Directory of the store
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    #[command(flatten)]
    logs: LogArguments,
    /// Take the day as it is, for this reason, which is recorded. The bands of the figures that jumped begin again with
    /// it, and all others keep their history
    #[arg(long, value_name = "REASON")]
    accept: Option<String>,
    /// Settings of the gate [default: gate.toml in --store, or the built-in settings if there is none]
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// A figure of the logs jumped.
#[derive(Debug)]
pub(crate) struct Jumped(usize);

impl fmt::Display for Jumped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the logs are unlike those of the days before, by {} figures: train on none of them", self.0)
    }
}

impl std::error::Error for Jumped {}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (profile, rows) = profiled(arguments)?;
    report(arguments, &profile, &rows)
}

fn profiled(arguments: &Arguments) -> Result<(Profile, EvaluatedRows), Failure> {
    let needs = Needs { served_file: true, history: true, ..Needs::default() };
    let named = NamedStore::open(&arguments.store)?;
    named.change(needs, |store| profile(arguments, store))
}

/// Compares the logs, records the day, and returns the figures that jumped, worst first.
pub(crate) fn jumps(arguments: &Arguments) -> Result<Vec<Jump>, Failure> {
    Ok(profiled(arguments)?.0.jumps)
}

fn profile(arguments: &Arguments, store: &Store) -> Result<(Profile, EvaluatedRows), Failure> {
    let (settings, _) = settings(arguments.gate.as_deref(), Some(store.dir()))?;
    let Some(served) = served(store)? else {
        let dir = arguments.store.display();
        return Err(
            format!("{dir} serves nothing yet: expected a weight file to read the logs with; publish one").into()
        );
    };
    let options = arguments.logs.options(&[served.path], None);
    let mut progress = EvaluateProgress::new(arguments.logs.quiet);
    let evaluation = evaluate_files(&options, &mut |reader| progress.watch(reader))?;
    progress.finish();
    let model = &evaluation.models[0];
    let profile = profile_day(store.dir(), &evaluation.rows, model, &settings, arguments.accept.as_deref())?;
    Ok((profile, evaluation.rows))
}

fn report(arguments: &Arguments, profile: &Profile, rows: &EvaluatedRows) -> Result<(), Failure> {
    if arguments.json {
        print_json(&json!({
            "passed": profile.passed(),
            "days_before": profile.days_before,
            "figures": profile.day.figures,
            "unweighted_ctr": unweighted_ctr(rows),
            "jumps": profile.jumps,
            "counted_otherwise": profile.counted_otherwise,
            "accepted": profile.day.accepted,
        }));
    } else {
        print_profile(profile, rows);
    }
    if profile.passed() { Ok(()) } else { Err(Jumped(profile.jumps.len()).into()) }
}

/// The click rate with each row counted once, if rows have an importance.
fn unweighted_ctr(rows: &EvaluatedRows) -> Option<f64> {
    rows.importance_column.as_ref().map(|_| rows.clicks as f64 / rows.impressions.max(1) as f64)
}

fn print_profile(profile: &Profile, evaluated: &EvaluatedRows) {
    let day = &profile.day;
    let figure = |name: &str| day.figures.get(name).map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
    let rows = day.figures.get("rows").map_or(0, |&rows| rows as u64);
    say!(
        "{} rows, CTR {}{}; the served file: calibration {}, normalized entropy {}; {} days before\n",
        grouped(rows),
        figure("ctr"),
        unweighted_ctr(evaluated).map_or_else(String::new, |rate| format!(" by importance ({rate:.4} of the rows)")),
        figure("calibration"),
        figure("normalized_entropy"),
        profile.days_before
    );
    let row = |field: &String| {
        let of = |kind: &str| figure(&format!("{kind} of {field}"));
        let distinct = day.figures.get(&format!("distinct of {field}"));
        let distinct = distinct.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}"));
        vec![field.clone(), of("missing"), of("unseen"), of("out of range"), distinct, of("distance")]
    };
    let rows = day.distributions.keys().map(row).collect();
    say!("{}", table(&["field", "missing", "unseen", "out of range", "distinct", "distance"], rows));
    if let Some(words) = &profile.counted_otherwise {
        say!("\n{}: figures are not comparable", one_line(words));
    }
    for jump in &profile.jumps {
        let [low, high] = jump.expected;
        say!("\n{}\n  expected {low:.4} to {high:.4}, found {:.4}", one_line(&jump.figure), jump.found);
        say!("  who must act: {}\n  what to do: {}", jump.owner.word(), jump.action);
    }
    if let Some(reason) = &day.accepted {
        say!("\nAccepted: {}", one_line(reason));
    }
}
