//! The output of `omomi bench`: tables for people, JSON for programs.

use std::path::Path;
use std::time::SystemTime;

use omomi::{Instructions, Model};
use omomi_train::operate::load_test::{
    Coverage, Durations, Measurement, Rotation, RowSource, Run, clock_cost_ns, processor_name,
};
use serde_json::{Value, json};

use super::Arguments;
use crate::output::say;
use crate::text::{bytes, grouped, table};

/// A measured run, and how many categories of its requests the weight file has.
pub(super) struct Outcome {
    pub(super) coverage: Coverage,
    pub(super) measurement: Measurement,
}

pub(super) fn run_words(run: &Run) -> String {
    let pace = run.rate_per_second.map_or_else(|| "back to back".to_owned(), |asked| rate(asked) + " requests/s");
    let seconds = (run.duration + run.warm_up).as_secs_f64();
    let threads = if run.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", run.threads) };
    let prepared = if run.prepared { "prepared " } else { "" };
    format!("{threads}, {} {prepared}candidates, {pace}, {seconds:.1} s", run.candidates)
}

/// All measurements of one command.
pub(super) struct Report<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) file: &'a Path,
    pub(super) model: &'a Model,
    pub(super) rotation: &'a Rotation,
    pub(super) outcomes: &'a [Outcome],
}

impl Report<'_> {
    pub(super) fn print(&self) {
        self.print_setting();
        let at_rate = !self.arguments.rate.is_empty();
        let from = if at_rate { "from its due time" } else { "from its start, sent back to back" };
        say!("\nlatency of a request, {from}, until its last answer is read (µs)\n{}", self.latency_table(at_rate));
        say!("\nparts of a request (µs)\n{}", self.parts_table(at_rate));
        let preparation = self.outcomes.iter().filter_map(|outcome| outcome.measurement.preparation).min();
        if let Some(preparation) = preparation {
            let (count, ms) = (grouped(self.rotation.candidate_count() as u64), preparation.as_secs_f64() * 1e3);
            say!("preparing {count} candidates for the model took {ms:.1} ms, before the first request");
        }
        for outcome in self.outcomes.iter().filter(|outcome| outcome.measurement.is_overloaded()) {
            let Measurement { run, unserved_count, .. } = &outcome.measurement;
            say!(
                "overloaded: {}; {} requests were never started, and the latencies depend on the length of the run",
                run_words(run),
                grouped(*unserved_count)
            );
        }
    }

    fn print_setting(&self) {
        let (model, rotation) = (self.model, self.rotation);
        say!(
            "{}: {}, generation {}, {} weights, {}, mode {}, {}",
            self.file.display(),
            model.logic_id(),
            model.generation(),
            grouped(model.weight_count()),
            bytes(model.header().total_len_bytes),
            self.arguments.mode.name(),
            Instructions::detect().name()
        );
        let source = match rotation.source() {
            RowSource::Log => "from logs",
            RowSource::Invented => "invented, modeled on the golden requests",
        };
        say!(
            "{} different requests, {source}: {} different candidates, {} features besides crosses (64 bytes each: {})",
            grouped(rotation.spec().requests as u64),
            grouped(rotation.candidate_count() as u64),
            grouped(rotation.feature_count()),
            bytes(rotation.feature_count() * 64)
        );
        let compared = self.outcomes.iter().map(|outcome| outcome.coverage.compared_count).max().unwrap_or(0);
        say!(
            "first {compared} requests of each size: kernel and plain implementation equal in all bits; reading the clock takes {:.0} ns",
            clock_cost_ns()
        );
    }

    fn run_header(&self) -> Vec<&'static str> {
        let mut header = vec!["threads", "candidates"];
        header.extend(self.arguments.prepared.then_some("as"));
        header
    }

    fn run_cells(&self, run: &Run) -> Vec<String> {
        let mut cells = vec![run.threads.to_string(), run.candidates.to_string()];
        let form = if run.prepared { "prepared" } else { "rows" };
        cells.extend(self.arguments.prepared.then(|| form.to_owned()));
        cells
    }

    fn latency_table(&self, at_rate: bool) -> String {
        let mut header = self.run_header();
        header.extend(at_rate.then_some("asked/s"));
        header.extend(["requests/s", "predictions/s", "p50", "p90", "p99", "p99.9", "max", "preempted"]);
        let rows = self.outcomes.iter().map(|Outcome { measurement, .. }| {
            let mut row = self.run_cells(&measurement.run);
            row.extend(measurement.run.rate_per_second.map(rate));
            row.push(whole(measurement.requests_per_second()));
            row.push(whole(measurement.predictions_per_second()));
            row.extend(QUANTILES.map(|(_, quantile)| us(measurement.latency.quantile_ns(quantile))));
            row.push(us(measurement.latency.max_ns()));
            row.push(measurement.preemption_count.map_or_else(|| "-".to_owned(), grouped));
            row
        });
        table(&header, rows.collect())
    }

    fn parts_table(&self, at_rate: bool) -> String {
        let mut header = self.run_header();
        header.extend(at_rate.then_some("asked/s"));
        header.extend(at_rate.then_some("wait p99"));
        header.extend(["fill p50", "predict p50", "predict p99", "predict max", "read p50"]);
        header.extend(["predict ns/candidate", "unseen", "unseen crosses"]);
        let rows = self.outcomes.iter().map(|Outcome { measurement, coverage }| {
            let mut row = self.run_cells(&measurement.run);
            row.extend(measurement.run.rate_per_second.map(rate));
            row.extend(at_rate.then(|| us(measurement.wait.quantile_ns(0.99))));
            row.push(us(measurement.fill.quantile_ns(0.5)));
            row.push(us(measurement.predict.quantile_ns(0.5)));
            row.push(us(measurement.predict.quantile_ns(0.99)));
            row.push(us(measurement.predict.max_ns()));
            row.push(us(measurement.read.quantile_ns(0.5)));
            row.push(format!("{:.1}", measurement.predict_ns_per_candidate()));
            row.push(percent(coverage.unseen_share()));
            row.push(percent(coverage.unseen_cross_share()));
            row
        });
        table(&header, rows.collect())
    }

    pub(super) fn to_json(&self) -> Value {
        let (model, rotation) = (self.model, self.rotation);
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        json!({
            "tool_version": env!("CARGO_PKG_VERSION"),
            "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
            "time_unix_seconds": since_1970.as_secs(),
            "machine": {
                "processor": processor_name(),
                "processors": std::thread::available_parallelism().map_or(1, usize::from),
                "instructions": Instructions::detect().name(),
                "clock_cost_ns": clock_cost_ns(),
                "optimized": !cfg!(debug_assertions),
            },
            "weight_file": {
                "path": self.file.display().to_string(),
                "logic_id": model.logic_id(),
                "generation": model.generation(),
                "weights": model.weight_count(),
                "len_bytes": model.header().total_len_bytes,
                "mode": self.arguments.mode.name(),
            },
            "requests": {
                "source": rotation.source().name(),
                "logs": self.arguments.logs,
                "seed": rotation.spec().seed,
                "hashed_texts": rotation.spec().hashed_texts,
                "requests": rotation.spec().requests,
                "contexts": rotation.context_count(),
                "candidates": rotation.candidate_count(),
                "features": rotation.feature_count(),
            },
            "runs": self.outcomes.iter().map(Outcome::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Outcome {
    fn to_json(&self) -> Value {
        let Self { coverage, measurement } = self;
        let run = measurement.run;
        json!({
            "threads": run.threads,
            "candidates": run.candidates,
            "prepared": run.prepared,
            "preparation_seconds": measurement.preparation.map(|preparation| preparation.as_secs_f64()),
            "rate_per_second": run.rate_per_second,
            "seconds": measurement.elapsed.as_secs_f64(),
            "warm_up_seconds": run.warm_up.as_secs_f64(),
            "requests": measurement.request_count,
            "unserved_requests": measurement.unserved_count,
            "overloaded": measurement.is_overloaded(),
            "requests_per_second": measurement.requests_per_second(),
            "predictions_per_second": measurement.predictions_per_second(),
            "predict_ns_per_candidate_p50": measurement.predict_ns_per_candidate(),
            "preemptions": measurement.preemption_count,
            "unseen_share": coverage.unseen_share(),
            "unseen_cross_share": coverage.unseen_cross_share(),
            "missing_fields_per_request": per_request(coverage.missing_count, coverage),
            "compared_with_plain_twin": coverage.compared_count,
            "latency_us": durations(&measurement.latency),
            "wait_us": run.rate_per_second.map(|_| durations(&measurement.wait)),
            "request_us": durations(&measurement.request),
            "fill_us": durations(&measurement.fill),
            "predict_us": durations(&measurement.predict),
            "read_us": durations(&measurement.read),
        })
    }
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)];

#[expect(clippy::cast_precision_loss, reason = "figures to read")]
fn durations(durations: &Durations) -> Value {
    let mut values: serde_json::Map<String, Value> = QUANTILES
        .iter()
        .map(|(name, quantile)| ((*name).to_owned(), json!(durations.quantile_ns(*quantile) as f64 / 1e3)))
        .collect();
    values.insert("max".to_owned(), json!(durations.max_ns() as f64 / 1e3));
    values.insert("mean".to_owned(), json!(durations.mean_ns() / 1e3));
    values.insert("count".to_owned(), json!(durations.count()));
    Value::Object(values)
}

#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
fn per_request(count: u64, coverage: &Coverage) -> f64 {
    count as f64 / coverage.request_count.max(1) as f64
}

/// Formats nanoseconds as microseconds: one decimal below 100 µs, none above.
#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
fn us(ns: u64) -> String {
    match ns {
        0..100_000 => format!("{:.1}", ns as f64 / 1e3),
        _ => grouped((ns + 500) / 1_000),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure to read, not negative")]
fn whole(number: f64) -> String {
    grouped(number.round() as u64)
}

/// Formats a requested rate.
fn rate(per_second: f64) -> String {
    if per_second.fract() == 0.0 { whole(per_second) } else { per_second.to_string() }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}
