//! `omomi bench --http`: sends bid requests of OpenRTB to a server, and measures how long its answers take.
//!
//! The loop is open: requests are due at moments that a schedule fixes beforehand, however slowly the server answers,
//! as in an exchange. Latency counts from the moment a request was *due*. If the server, or a connection, stalls for
//! 200 ms, each request that fell due during the stall shows what was left of it. A generator that waits for an answer
//! before it sends the next request would see one slow request instead (coordinated omission).
//!
//! The generator itself may be late, too: its machine is busy, or the rate is too high for it. Then latencies are those
//! of the generator. Therefore it measures how late it sends, and shows no figures if that is too late.

mod drive;
mod requests;
mod schedule;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::Arguments;
use crate::Failure;
use crate::output::{note, say};
use crate::text::{grouped, table};

use drive::{Outcome, drive};
use requests::Requests;
use schedule::Arrivals;

/// Latest that 99.9 % of requests may be sent after they were due, without figures being refused.
const DEFAULT_MAX_SEND_DELAY: Duration = Duration::from_millis(1);

/// Flags of `--http` alone.
#[derive(clap::Args)]
pub(super) struct HttpArguments {
    /// Address to which bid requests are sent with POST instead of measuring a weight file, such as
    /// http://127.0.0.1:8080/openrtb2/bid; one run for each address and rate
    #[arg(
        long,
        value_name = "URL,...",
        value_delimiter = ',',
        requires = "rate",
        conflicts_with_all = ["file", "threads", "candidates", "prepared", "hashed_texts", "mode"]
    )]
    pub(super) http: Vec<String>,
    /// With --http: let requests fall due at random moments, as independent users do, instead of at even intervals
    #[arg(long, requires = "http")]
    poisson: bool,
    /// With --http: the deadline; the share of later answers is shown
    #[arg(long, value_name = "MS", default_value_t = 20.0, value_parser = milliseconds, requires = "http")]
    deadline_ms: f64,
    /// With --http: how late 99.9 % of requests may be sent; if they are later, the run says nothing and fails
    #[arg(long, value_name = "MS", default_value_t = DEFAULT_MAX_SEND_DELAY.as_secs_f64() * 1e3,
        value_parser = milliseconds, requires = "http")]
    max_send_delay_ms: f64,
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.001..=1e6).contains(number));
    number.ok_or_else(|| "expected milliseconds, from 0.001 to 1000000".to_owned())
}

/// One run.
struct Run<'a> {
    url: &'a str,
    rate_per_second: f64,
}

/// Measures every address at every rate. Fails if a run fell behind its schedule, after all of them.
pub(super) fn run(arguments: &Arguments) -> Result<Value, Failure> {
    let http = &arguments.http;
    let requests = match arguments.logs.as_slice() {
        [] => Requests::generated(arguments.requests, arguments.seed)?,
        logs => Requests::of_logs(logs, arguments.requests, arguments.seed)?,
    };
    if cfg!(debug_assertions) {
        note!("warning: this omomi was built without --release, so it sends later than it could");
    }
    let runs: Vec<Run> = (arguments.rate.iter())
        .flat_map(|&rate_per_second| http.http.iter().map(move |url| Run { url, rate_per_second }))
        .collect();
    let mut outcomes = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        if !arguments.quiet {
            note!("bench: run {} of {}, {} requests/s to {}", number + 1, runs.len(), run.rate_per_second, run.url);
        }
        let arrivals = Arrivals::new(run.rate_per_second, http.poisson.then_some(arguments.seed));
        outcomes.push(drive(run.url, &requests, arrivals, arguments.warm_up_seconds, arguments.seconds)?);
    }
    let limit_ns = nanoseconds(http.max_send_delay_ms);
    let report = Report { arguments, runs: &runs, outcomes: &outcomes, limit_ns };
    if arguments.json.as_deref() != Some(&PathBuf::from("-")) {
        report.print();
    }
    Ok(report.to_json())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 10^12")]
fn nanoseconds(ms: f64) -> u64 {
    (ms * 1e6) as u64
}

/// Whether latencies are those of the generator: it sent too late.
fn fell_behind(send_delay: &Histogram<u64>, limit_ns: u64) -> bool {
    send_delay.value_at_quantile(0.999) > limit_ns
}

struct Report<'a> {
    arguments: &'a Arguments,
    runs: &'a [Run<'a>],
    outcomes: &'a [Outcome],
    limit_ns: u64,
}

impl Report<'_> {
    fn print(&self) {
        let deadline = format!("over {} ms", self.arguments.http.deadline_ms);
        let mut header = vec!["to", "asked/s", "answers/s", "bids", "no bids", "failed"];
        header.extend(["p50", "p90", "p99", "p99.9", "p99.99", "max", &deadline, "sent late p99.9"]);
        let rows = self.runs.iter().zip(self.outcomes).filter(|(_, outcome)| !self.is_behind(outcome));
        let rows = rows.map(|(run, outcome)| {
            let mut row = vec![run.url.to_owned(), run.rate_per_second.to_string()];
            row.push(format!("{:.0}", outcome.answers_per_second()));
            row.extend([outcome.bid_count, outcome.no_bid_count, outcome.failed_count()].map(grouped));
            row.extend(QUANTILES.map(|(_, quantile)| ms(outcome.latency.value_at_quantile(quantile))));
            row.push(ms(outcome.latency.max()));
            row.push(format!("{:.4} %", self.late_share(outcome) * 100.0));
            row.push(ms(outcome.send_delay.value_at_quantile(0.999)));
            row
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            say!("latency of a request, from when it was due, until its answer was read (ms)");
            say!("{}", table(&header, rows));
        }
        for (run, outcome) in self.runs.iter().zip(self.outcomes).filter(|(_, outcome)| self.is_behind(outcome)) {
            say!("no figures for {} requests/s to {}: {}", run.rate_per_second, run.url, self.why(outcome));
        }
        for (run, outcome) in self.runs.iter().zip(self.outcomes) {
            if let Some(problem) = &outcome.problem {
                say!("failed at {} requests/s to {}: {problem}", run.rate_per_second, run.url);
            }
        }
    }

    fn is_behind(&self, outcome: &Outcome) -> bool {
        fell_behind(&outcome.send_delay, self.limit_ns)
    }

    fn why(&self, outcome: &Outcome) -> String {
        format!(
            "the generator fell behind its own schedule: expected 99.9 % of requests to be sent within {} ms, found {} ms; \
             take a lower rate, or a machine with nothing else to do",
            ms(self.limit_ns),
            ms(outcome.send_delay.value_at_quantile(0.999))
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    fn late_share(&self, outcome: &Outcome) -> f64 {
        let in_time = outcome.latency.count_between(0, nanoseconds(self.arguments.http.deadline_ms));
        (outcome.latency.len() - in_time.min(outcome.latency.len())) as f64 / outcome.latency.len().max(1) as f64
    }

    fn to_json(&self) -> Value {
        let runs = self.runs.iter().zip(self.outcomes).map(|(run, outcome)| {
            let behind = self.is_behind(outcome);
            json!({
                "url": run.url,
                "rate_per_second": run.rate_per_second,
                "poisson": self.arguments.http.poisson,
                "answers_per_second": outcome.answers_per_second(),
                "bids": outcome.bid_count,
                "no_bids": outcome.no_bid_count,
                "other_statuses": outcome.other_status_count,
                "errors": outcome.error_count,
                "unanswered": outcome.unanswered_count,
                "problem": outcome.problem,
                "fell_behind": behind,
                "send_delay_ms": quantiles(&outcome.send_delay),
                "latency_ms": (!behind).then(|| quantiles(&outcome.latency)),
                "over_deadline_share": (!behind).then(|| self.late_share(outcome)),
                "deadline_ms": self.arguments.http.deadline_ms,
            })
        });
        json!({
            "tool_version": env!("CARGO_PKG_VERSION"),
            "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
            "runs": runs.collect::<Vec<_>>(),
        })
    }
}

/// Returns the reason to fail, if a run of this report has no figures.
pub(super) fn refusal(report: &Value) -> Option<String> {
    let runs = report["runs"].as_array()?;
    let behind = runs.iter().filter(|run| run["fell_behind"] == json!(true)).count();
    (behind > 0).then(|| {
        format!(
            "{behind} of {} runs fell behind their own schedule, so there is no comparison; take a lower rate, or a \
             machine with nothing else to do",
            runs.len()
        )
    })
}

const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("p99_99", 0.9999)];

#[expect(clippy::cast_precision_loss, reason = "figures to read")]
fn quantiles(histogram: &Histogram<u64>) -> Value {
    let figure = |ns: u64| json!(ns as f64 / 1e6);
    let mut values: serde_json::Map<String, Value> = QUANTILES
        .iter()
        .map(|(name, quantile)| ((*name).to_owned(), figure(histogram.value_at_quantile(*quantile))))
        .collect();
    values.insert("max".to_owned(), figure(histogram.max()));
    values.insert("count".to_owned(), json!(histogram.len()));
    Value::Object(values)
}

/// Formats nanoseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
fn ms(ns: u64) -> String {
    format!("{:.3}", ns as f64 / 1e6)
}
