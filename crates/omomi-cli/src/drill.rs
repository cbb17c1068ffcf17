//! `omomi drill`: rehearses incidents with a copy of a store.

use std::path::PathBuf;
use std::time::Duration;

use omomi::LoadMode;
use omomi_train::operate::drill::{
    DrillOptions, DrillReport, INCIDENT_COUNT, IncidentReport, ServerOptions, drill, serve,
};

use crate::Failure;
use crate::output::{note, say};
use crate::refusal::print_json;
use crate::text::{grouped, table};

/// Rehearse incidents of a store and a server, with a copy of the published weight file
///
/// A server in its own process scores golden requests without pause. Meanwhile, bad files are published; files are
/// removed, zeroed and written in place; the server is killed; and so on. For each incident, the drill prints what it
/// expected, what it saw, how many seconds passed until the right generation answered and the server reported the
/// problem, and how many requests failed. No request may fail, except during `off`.
///
/// Exit code 1 means that an incident did not go as expected. DIR itself is never changed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Directory of the store
    dir: PathBuf,
    /// Interval at which the server checks its store, in milliseconds; the default of real servers is 1000
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    poll_ms: u64,
    /// Longest time to wait for an expected outcome, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait_seconds: u64,
    /// Folder for the copy, which takes several times the size of the weight file [default: the temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct ServerArguments {
    dir: PathBuf,
    #[arg(long)]
    schema_of: PathBuf,
    #[arg(long)]
    load_mode: String,
    #[arg(long)]
    poll_ms: u64,
    #[arg(long)]
    trial_ms: u64,
    #[arg(long)]
    retry_ms: u64,
    #[arg(long)]
    uses_up_descriptors: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut options = DrillOptions::new(std::env::current_exe()?);
    options.poll_interval = Duration::from_millis(arguments.poll_ms);
    options.time_limit = Duration::from_secs(arguments.wait_seconds);
    options.scratch = arguments.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let mut done_count = 0;
    let report = drill(&arguments.dir, &options, &mut |incident| {
        done_count += 1;
        note!("{done_count}/{INCIDENT_COUNT} {}: {}", incident.name, verdict(incident));
    })?;
    if arguments.json {
        print_json(&report.to_json());
    } else {
        say_report(&report);
    }
    if report.is_as_expected() {
        return Ok(());
    }
    let unexpected = report.incidents.iter().filter(|incident| !incident.is_as_expected()).count();
    Err(format!("{unexpected} of {INCIDENT_COUNT} incidents did not go as expected").into())
}

fn say_report(report: &DrillReport) {
    let rows = report.incidents.iter().map(|incident| {
        vec![
            incident.name.to_owned(),
            incident.expected.clone(),
            incident.seen.clone(),
            incident.took.map_or("-".to_owned(), |took| format!("{:.2}", took.as_secs_f64())),
            grouped(incident.failed_count),
            verdict(incident).to_owned(),
        ]
    });
    let header = ["incident", "expected", "seen", "seconds", "failed", "verdict"];
    say!("{}\n", table(&header, rows.collect()));
    say!(
        "{} requests were scored and their answers compared bit for bit; the server checked its store every {} ms",
        grouped(report.request_count),
        report.poll_interval.as_millis()
    );
}

fn verdict(incident: &IncidentReport) -> &'static str {
    if incident.is_as_expected() { "as expected" } else { "UNEXPECTED" }
}

pub(crate) fn run_server(arguments: &ServerArguments) -> Result<(), Failure> {
    let modes = [LoadMode::Map, LoadMode::Copy, LoadMode::Auto];
    let load_mode = modes.into_iter().find(|mode| mode.name() == arguments.load_mode).unwrap_or_default();
    serve(&ServerOptions::new(&arguments.dir, &arguments.schema_of).with(|it| {
        it.load_mode = load_mode;
        it.poll_interval = Duration::from_millis(arguments.poll_ms);
        it.trial = Duration::from_millis(arguments.trial_ms);
        it.retry_after_death = Duration::from_millis(arguments.retry_ms);
        it.uses_up_descriptors = arguments.uses_up_descriptors;
    }))?;
    Ok(())
}
