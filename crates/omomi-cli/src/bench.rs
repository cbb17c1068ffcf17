//! `omomi bench`: measures on this machine how long requests take with a weight file, or of a server.

mod http;
mod output;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use omomi::request::MAX_CANDIDATES;
use omomi::{LoadMode, Model};
use omomi_train::bucket::{NewFile, len_of};
use omomi_train::log::{LogDialect, LogReader, ReadOptions, contract_of};
use omomi_train::operate::load_test::{
    Coverage, MAX_RATE_PER_SECOND, MAX_THREADS, Rotation, RotationSpec, RowSource, Run, measure,
};

use crate::Failure;
use crate::csv_flags::CsvFlags;
use crate::output::{note, say};
use crate::places::FileFailure;
use crate::progress::say_noticed;
use crate::verify::load;

use output::{Outcome, Report, run_words};

/// Measure the latency of requests (p50, p90, p99, p99.9, maximum) and where the time goes
///
/// Fills, scores and reads requests as a server does, for each combination of --threads, --candidates and --rate in
/// turn. Filling includes fetching the rows from memory, as in a server that keeps one object per creative. Before the
/// first measurement, the file is verified and the answers are compared with those of the plain implementation.
///
/// Without --rate, each thread sends its next request when the previous one is done. This shows what the machine can
/// do. With --rate, requests are due at that rate, and latency counts from the due time, so a stall shows in every
/// request that had to wait. This shows what users see.
///
/// Without --logs, requests are invented, modeled on the golden requests of the file. If a field has many categories,
/// most invented ones are unseen, and most lookups find nothing: check the share of unseen categories. For figures to
/// base decisions on, give --logs that the model was not trained on.
///
/// With --http, bid requests of OpenRTB go to a server at each --rate instead, over connections that stay open. Their
/// contexts are those of a log that is made up as by omomi generate-log, or of such --logs. No request waits for an
/// answer to another one, and latency counts from the moment a request was due. A run that sent too late itself shows
/// no figures, and the command fails.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Weight file to measure
    #[arg(required_unless_present = "http")]
    file: Option<PathBuf>,
    #[command(flatten)]
    http: http::HttpArguments,
    /// Number of threads that send requests, each with its own scorer; one run for each number
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1", value_parser = threads)]
    threads: Vec<usize>,
    /// Number of candidates in a request; one run for each number
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "100,500", value_parser = candidates)]
    candidates: Vec<usize>,
    /// Run each combination again with prepared candidates: registered in advance, and named by index in the requests
    #[arg(long)]
    prepared: bool,
    /// Requests per second over all threads; one run for each rate [default: as fast as possible]
    #[arg(long, value_name = "R,...", value_delimiter = ',', value_parser = rate)]
    rate: Vec<f64>,
    /// Length of each run, in seconds
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Length of the warm-up before each run, in seconds; its requests are not recorded
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds_or_none)]
    warm_up_seconds: Duration,
    /// Logs whose rows become contexts and candidates: Parquet, CSV or JSON lines, as paths or quoted patterns
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    logs: Vec<String>,
    #[command(flatten)]
    csv: CsvFlags,
    /// Number of unusable log rows to skip before the command fails
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_rows: u64,
    /// Number of different requests; after the last, the first is sent again
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    requests: usize,
    /// Seed that selects the requests: the same seed selects the same requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Pass texts as hashes computed once, as a server can do for texts that recur; lists of texts are still passed as
    /// text
    #[arg(long)]
    hashed_texts: bool,
    /// How to load the file: map uses the page cache, copy makes a private copy in huge pages
    #[arg(long, value_name = "map|copy", default_value = "map", value_parser = mode)]
    mode: LoadMode,
    /// Write all figures as JSON to a new file; - writes them to standard output instead of the tables
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Replace the JSON file if it exists
    #[arg(long)]
    force: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  omomi bench 000042.omomi
  omomi bench 000042.omomi --logs 'logs/2026-01-11-*.parquet' --threads 1,2 --candidates 100,500
  omomi bench 000042.omomi --logs yesterday.parquet --threads 2 --rate 1000,2000,4000 --seconds 60
  omomi bench 000042.omomi --prepared --mode copy --json copy.json
  omomi bench --http http://127.0.0.1:8080/openrtb2/bid --rate 500,1000 --seconds 60 --poisson

Figures from a shared or busy machine say little: check the `preempted` column, and pin the process to a core (taskset) if you can.";

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_json_path(arguments)?;
    let Some(file) = &arguments.file else {
        return run_http(arguments);
    };
    let model = load(file, arguments.mode)?;
    let rotation = rotation(arguments, &model)?;
    warn(arguments, &rotation);
    let runs = runs(arguments);
    let mut outcomes: Vec<Outcome> = Vec::new();
    for run in &runs {
        let checked = outcomes.iter().find(|other| same_requests(&other.measurement.run, run));
        let coverage = match checked {
            Some(other) => other.coverage,
            None => check(&rotation, &model, run)?,
        };
        if !arguments.quiet {
            note!("bench: run {} of {}, {}", outcomes.len() + 1, runs.len(), run_words(run));
        }
        outcomes.push(Outcome { coverage, measurement: measure(&model, &rotation, run)? });
    }
    let report = Report { arguments, file, model: &model, rotation: &rotation, outcomes: &outcomes };
    match &arguments.json {
        Some(path) if path.as_os_str() == "-" => say!("{:#}", report.to_json()),
        Some(path) => {
            report.print();
            write_new(path, &format!("{:#}\n", report.to_json()), arguments.force)?;
        }
        None => report.print(),
    }
    Ok(())
}

fn run_http(arguments: &Arguments) -> Result<(), Failure> {
    let report = http::run(arguments)?;
    match &arguments.json {
        Some(path) if path.as_os_str() == "-" => say!("{report:#}"),
        Some(path) => write_new(path, &format!("{report:#}\n"), arguments.force)?,
        None => {}
    }
    http::refusal(&report).map_or(Ok(()), |reason| Err(reason.into()))
}

fn same_requests(one: &Run, other: &Run) -> bool {
    (one.candidates, one.prepared) == (other.candidates, other.prepared)
}

/// Checks the answers. Warns if most categories are unseen, because most lookups then find nothing.
fn check(rotation: &Rotation, model: &Arc<Model>, run: &Run) -> Result<Coverage, Failure> {
    let coverage = rotation.check(model, run.candidates, run.prepared)?;
    if let Some(share) = coverage.unseen_share().filter(|&share| share > 0.5) {
        let advice = match rotation.source() {
            RowSource::Invented => "give --logs to use categories that the model knows",
            RowSource::Log => "is this the log of a different model?",
        };
        note!("warning: {:.0} % of the categories are unseen; {advice}", share * 100.0);
    }
    Ok(coverage)
}

fn runs(arguments: &Arguments) -> Vec<Run> {
    let rates: Vec<Option<f64>> =
        if arguments.rate.is_empty() { vec![None] } else { arguments.rate.iter().copied().map(Some).collect() };
    let forms = if arguments.prepared { &[false, true][..] } else { &[false] };
    let (duration, warm_up) = (arguments.seconds, arguments.warm_up_seconds);
    let mut runs = Vec::new();
    for &candidates in &arguments.candidates {
        for &prepared in forms {
            for &threads in &arguments.threads {
                for &rate_per_second in &rates {
                    runs.push(Run { threads, candidates, prepared, rate_per_second, duration, warm_up });
                }
            }
        }
    }
    runs
}

fn rotation(arguments: &Arguments, model: &Arc<Model>) -> Result<Rotation, Failure> {
    let candidates = arguments.candidates.iter().copied().max().unwrap_or(1);
    let (requests, seed, hashed_texts) = (arguments.requests, arguments.seed, arguments.hashed_texts);
    let spec = RotationSpec { requests, candidates, seed, hashed_texts };
    if arguments.logs.is_empty() {
        return Ok(Rotation::synthetic(model, spec)?);
    }
    let options = ReadOptions::default().with(|it| {
        it.max_bad_rows = arguments.max_bad_rows;
        // Requests have no importance.
        it.unweighted = true;
    });
    let options = arguments.csv.applied_to(options).with_trained(LogDialect::of_model(model));
    let mut reader = LogReader::open(&contract_of(model), &arguments.logs, options)?;
    say_noticed(&reader);
    Ok(Rotation::from_log(model, &mut reader, spec)?)
}

/// Warns about conditions that make the figures misleading.
fn warn(arguments: &Arguments, rotation: &Rotation) {
    let (rows, max) = (rotation.candidate_count(), rotation.spec().candidates);
    if rows < max {
        note!(
            "warning: there are {rows} different candidates for requests of {max}, so some requests repeat a candidate"
        );
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if let Some(threads) = arguments.threads.iter().find(|&&threads| threads > processors) {
        note!("warning: {threads} threads share {processors} processors, so latencies include waiting for one");
    }
    if cfg!(debug_assertions) {
        note!("warning: this omomi was built without --release, so its figures are meaningless");
    }
}

/// Returns an error if the JSON file exists and may not be replaced, before any time is spent on measuring.
fn check_json_path(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.json {
        Some(path) if path.as_os_str() != "-" && !arguments.force && len_of(path)?.is_some() => Err(exists(path)),
        _ => Ok(()),
    }
}

fn exists(path: &Path) -> Failure {
    format!("{} exists already; name another file or pass --force", path.display()).into()
}

fn write_new(path: &Path, text: &str, replace: bool) -> Result<(), Failure> {
    let written = NewFile::create(path, replace).and_then(|new_file| {
        new_file.file().write_all(text.as_bytes())?;
        new_file.commit()
    });
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => FileFailure::writing(path)(error).into(),
    })
}

fn mode(text: &str) -> Result<LoadMode, String> {
    let mode = [LoadMode::Map, LoadMode::Copy].into_iter().find(|mode| mode.name() == text);
    mode.ok_or_else(|| "expected map or copy".to_owned())
}

fn threads(text: &str) -> Result<usize, String> {
    whole_from_1_to(MAX_THREADS, text)
}

fn candidates(text: &str) -> Result<usize, String> {
    whole_from_1_to(MAX_CANDIDATES, text)
}

fn whole_from_1_to(max: usize, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("expected a whole number from 1 to {max}"))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|&rate| rate > 0.0 && rate <= MAX_RATE_PER_SECOND);
    rate.ok_or_else(|| format!("expected requests per second, above 0 and up to {MAX_RATE_PER_SECOND}"))
}

/// Longest run, in seconds: one day.
const MAX_SECONDS: f64 = 86_400.0;

fn seconds(text: &str) -> Result<Duration, String> {
    seconds_or_none(text)
        .ok()
        .filter(|seconds| !seconds.is_zero())
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

fn seconds_or_none(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("expected a number of seconds from 0 to {MAX_SECONDS}"))
}
