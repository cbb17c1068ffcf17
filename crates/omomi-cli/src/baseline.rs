//! `omomi baseline`: makes the simple logic a model of its own.

use std::path::PathBuf;

use omomi_train::adopt::baseline::{BaselineOptions, BaselineReport, Prior, baseline};
use omomi_train::log::{KeptRows, ReadOptions};

use crate::Failure;
use crate::contract::read_either;
use crate::csv_flags::CsvFlags;
use crate::hold_out_flags::HoldOutFlags;
use crate::importance_flags::ImportanceFlags;
use crate::output::{note, say};
use crate::progress::ReadProgress;
use crate::text::{bytes, grouped, table};

/// Make a training state of the smoothed click rates by one or two fields: the simple logic as a model of its own
///
/// A category has the rate (clicks + a) / (impressions + b), where a and b are the clicks and impressions of a prior;
/// one without a weight has a / b. The prior is fitted to the categories (the most likely Beta prior), or given. Pack
/// the state with `omomi pack`: the file answers with these rates. It can be an arm of a test, the baseline of the
/// gate, or what a server answers with when scoring is off.
///
/// With two fields, rates are by both together; the contract must cross them.
///
/// Exit code 0: the state was written. 1: it was not. 2: misuse of the command line.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Contract that names the fields, or a weight file that has it
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
    /// Logs to count, as paths or quoted patterns
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    logs: Vec<String>,
    /// Field to count by; give it twice for two fields
    #[arg(long, value_name = "FIELD", required = true)]
    by: Vec<String>,
    /// Clicks of the prior [default: fitted]
    #[arg(long, value_name = "A", requires = "prior_impressions")]
    prior_clicks: Option<f64>,
    /// Impressions of the prior [default: fitted]
    #[arg(long, value_name = "B", requires = "prior_clicks")]
    prior_impressions: Option<f64>,
    /// Training state to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Column with the time of the impression: the file then says until when it counted
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    #[command(flatten)]
    csv: CsvFlags,
    #[command(flatten)]
    importance: ImportanceFlags,
    #[command(flatten)]
    hold_out: HoldOutFlags,
    /// Number of unusable log rows to skip before the command fails
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_rows: u64,
    /// Replace the state if it exists
    #[arg(long)]
    force: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let contract = read_either(&arguments.contract)?;
    let prior = arguments.prior_clicks.zip(arguments.prior_impressions);
    let read = ReadOptions::default().with(|it| {
        it.max_bad_rows = arguments.max_bad_rows;
        it.time_column = arguments.time_column.clone();
    });
    let mut options = BaselineOptions::new(&arguments.logs, &arguments.by, &arguments.out);
    options.read = arguments
        .hold_out
        .applied_to(arguments.csv.applied_to(arguments.importance.applied_to(read)), KeptRows::Others);
    options.prior = prior.map(|(clicks, impressions)| Prior { clicks, impressions });
    options.replace = arguments.force;
    options.arguments = std::env::args().collect();
    let mut progress = None;
    let report = baseline(&contract, &options, &mut |reader| {
        progress.get_or_insert_with(|| ReadProgress::new("count", reader, arguments.quiet)).update(reader);
    })?;
    drop(progress);
    print_report(&report, arguments);
    Ok(())
}

fn print_report(report: &BaselineReport, arguments: &Arguments) {
    let Prior { clicks, impressions } = report.prior;
    let source = if report.is_fitted { "fitted" } else { "given" };
    let [lowest, highest] = report.rates;
    let rows = vec![
        vec!["impressions".to_owned(), figure(report.impressions)],
        vec!["clicks".to_owned(), figure(report.clicks)],
        vec!["categories".to_owned(), grouped(report.category_count)],
        vec!["impressions without a category".to_owned(), figure(report.without_category)],
        vec![format!("prior, {source}"), format!("{clicks:.4} clicks of {impressions:.4}: {:.6}", report.prior.mean())],
        vec!["smoothed rates".to_owned(), format!("{lowest:.6} to {highest:.6}")],
        vec!["state".to_owned(), format!("{} ({})", arguments.out.display(), bytes(report.state_len_bytes))],
    ];
    say!("{}", table(&[], rows));
    say!("next: omomi pack --contract {} --state {} ...", arguments.contract.display(), arguments.out.display());
    if report.bad_row_count > 0 {
        note!("skipped: {} unusable rows", grouped(report.bad_row_count));
    }
}

/// A count, which is a sum of importances if the rows have any.
fn figure(count: f64) -> String {
    if count.fract() == 0.0 { format!("{count:.0}") } else { format!("{count:.1}") }
}
