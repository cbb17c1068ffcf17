//! `omomi average`: merges training states of several data sets into one.

use std::path::PathBuf;

use omomi_train::learn::average::{AverageOptions, AverageReport, Event, FieldRates, FieldSpread, Rule, average};
use omomi_train::learn::provenance_path;

use crate::Failure;
use crate::output::{note, say};
use crate::progress::CountProgress;
use crate::text::{bytes, figure, grouped, table};

/// Average training states of several data sets into one
///
/// All states must have the same contract and the same settings, and must be as `omomi train` wrote them: average
/// first, then prune and recalibrate. The states are merged row by row, with one batch of each in memory. The order of
/// the arguments does not change a byte of the result. A copy of its provenance is written next to it as JSON.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Training states to average, at least two
    #[arg(value_name = "STATE", required = true, num_args = 1..)]
    states: Vec<PathBuf>,
    /// Training state to write, such as merged.parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How to average a feature: weighted by curvature. For comparison only: plain is the mean of the finished weights,
    /// seen the mean over the states that saw the feature, count the mean weighted by its impressions
    #[arg(long, value_name = "curvature|plain|seen|count", default_value_t, value_parser = str::parse::<Rule>)]
    rule: Rule,
    /// State that all states were trained from (`omomi train --start`), so that its evidence counts once
    #[arg(long, value_name = "FILE")]
    start: Option<PathBuf>,
    /// Also accept states with less than half or more than twice the median number of rows
    #[arg(long)]
    allow_uneven: bool,
    /// Replace the state if it exists
    #[arg(long)]
    force: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut options = AverageOptions::new(&arguments.states, &arguments.out);
    options.start = arguments.start.clone();
    options.rule = arguments.rule;
    options.allow_uneven = arguments.allow_uneven;
    options.replace = arguments.force;
    options.arguments = std::env::args().skip(1).collect();
    let mut progress = CountProgress::new(arguments.quiet);
    let report = average(&options, &mut |event| {
        if let Event::Merged { row_count, of } = event {
            progress.count("average", "rows", *row_count, *of);
        }
    })?;
    progress.finish();
    print_report(&report);
    if report.name_collision_count > 0 {
        let count = grouped(report.name_collision_count);
        note!("warning: {count} keys have different names in different states; each key gets one weight");
    }
    say!("state      {} ({})", arguments.out.display(), bytes(report.state_len_bytes));
    say!("provenance {}", provenance_path(&arguments.out).display());
    Ok(())
}

pub(crate) fn print_report(report: &AverageReport) {
    let shards = report.shards.iter().map(|shard| {
        let counts = [shard.rows, shard.clicks, shard.feature_count].map(grouped);
        [vec![shard.path.display().to_string()], counts.to_vec()].concat()
    });
    let metadata = &report.metadata;
    let counts = [metadata.rows, metadata.clicks, report.feature_count()].map(grouped);
    let all = [vec!["average".to_owned()], counts.to_vec()].concat();
    say!("{}\n", table(&["state", "rows", "clicks", "features"], shards.chain([all]).collect()));

    let seen_by_all = |field: &FieldSpread| field.seen_by.last().copied().unwrap_or(0);
    let seen_by_one = |field: &FieldSpread| field.seen_by.first().copied().unwrap_or(0);
    let share = |share: Option<f64>| share.map_or_else(String::new, |share| format!("{:.1} %", 100.0 * share));
    let fields = report.fields.iter().map(|field| {
        let counts = [field.feature_count, field.nonzero_count, seen_by_one(field), seen_by_all(field)].map(grouped);
        let spread = [figure(field.magnitude), figure(field.standard_deviation)];
        // The bias and crosses have no column of their own.
        let rates = report.rates.iter().find(|rates| rates.field == field.field);
        let of = |rate: fn(&FieldRates) -> Option<f64>| share(rates.and_then(rate));
        let rates = [of(|it| it.missing), of(|it| it.out_of_range), of(|it| it.unseen)];
        [vec![field.field.clone()], counts.to_vec(), spread.to_vec(), rates.to_vec()].concat()
    });
    let header = ["field", "features", "not 0", "seen by one", "by all", "magnitude", "spread"];
    let header = [&header[..], &["missing", "out of range", "unseen"]].concat();
    say!("{}\n", table(&header, fields.collect()));
}
