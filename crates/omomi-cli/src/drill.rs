//! `omomi drill`: rehearses incidents with a copy of a store.

use std::path::PathBuf;
use std::time::Duration;

use omomi::LoadMode;
use omomi_train::operate::drill::{
    DrillOptions, DrillReport, INCIDENT_COUNT, IncidentReport, ServerOptions, drill, serve,
};

use crate::Failure;
use crate::refusal::print_json;
use crate::text::{grouped, say, table};

/// Rehearse what may happen to a store and to a server, with a copy of the published weight file
///
/// A server in a process of its own scores golden requests without pause while bad files are published, files are removed, zeroed and
/// written in place, the server is killed, and so on. For each incident: what was expected and seen, how long it took until the right
/// generation answered and the server complained as it should, and how many requests failed meanwhile, which none may but for `off`.
/// Exit code 1 if anything went otherwise than expected. Nothing is done to DIR itself.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The store
    dir: PathBuf,
    /// How often the server looks at its store, in milliseconds; servers do it every 1000 unless told otherwise
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    poll_ms: u64,
    /// Longest time to wait for what is expected
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait_seconds: u64,
    /// Folder for the copy, which takes several times the room of the weight file [default: that for temporary files]
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
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let options = DrillOptions {
        program: std::env::current_exe()?,
        poll_interval: Duration::from_millis(arguments.poll_ms),
        time_limit: Duration::from_secs(arguments.wait_seconds),
        scratch: arguments.scratch.clone().unwrap_or_else(std::env::temp_dir),
    };
    let mut done_count = 0;
    let report = drill(&arguments.dir, &options, &mut |incident| {
        done_count += 1;
        eprintln!("{done_count}/{INCIDENT_COUNT} {}: {}", incident.name, verdict(incident));
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
    Err(format!("{unexpected} of {INCIDENT_COUNT} incidents went otherwise than expected").into())
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
        "{} requests were scored, their answers compared bit for bit; the server looked at its store every {} ms",
        grouped(report.request_count),
        report.poll_interval.as_millis()
    );
}

fn verdict(incident: &IncidentReport) -> &'static str {
    if incident.is_as_expected() { "as expected" } else { "OTHERWISE" }
}

pub(crate) fn run_server(arguments: &ServerArguments) -> Result<(), Failure> {
    let load_mode = if arguments.load_mode == LoadMode::Copy.name() { LoadMode::Copy } else { LoadMode::Map };
    serve(&ServerOptions {
        dir: arguments.dir.clone(),
        schema_of: arguments.schema_of.clone(),
        load_mode,
        poll_interval: Duration::from_millis(arguments.poll_ms),
        trial: Duration::from_millis(arguments.trial_ms),
        retry_after_death: Duration::from_millis(arguments.retry_ms),
    })?;
    Ok(())
}
