//! `omomi log`: reads what servers logged.

mod calibration;
mod drift;
mod export;
mod join;
mod replay;

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use omomi_train::readable::grouped;
use omomi_train::serving_logs::{Losses, Segments, check, cloud_event, record_json};

pub(crate) use drift::Drifted;

use crate::Failure;
use crate::contract::read_contract;
use crate::output::{has_failed, json_line, note, print_exactly, say};
use crate::text::table;

/// Length of the text that is printed at a time.
const PRINTED_LEN_BYTES: usize = 1 << 16;

/// Read the serving log: what servers answered, what was won and clicked
///
/// Segments are named by file, or by the folder that a server logs to. They may still be written.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print records as JSON lines, one record per line
    ///
    /// Losses and gaps are reported on standard error. Feature keys and hashes of texts are objects: {"key": "..."}.
    Cat {
        /// Segments, or folders of them
        #[arg(value_name = "FILE|FOLDER", required = true)]
        paths: Vec<PathBuf>,
        /// Print each record as a CloudEvent
        #[arg(long)]
        cloudevents: bool,
    },
    /// Check a log against the contract and what every log must have, and list every fault with who must act
    ///
    /// Exit code 0: nothing is wrong. 1: something is, or the log cannot be read.
    Check {
        /// Segments, or folders of them
        #[arg(value_name = "FILE|FOLDER", required = true)]
        paths: Vec<PathBuf>,
        /// Path of the contract.toml
        #[arg(long, value_name = "FILE")]
        contract: PathBuf,
    },
    /// Join predictions with wins, impressions, clicks and conversions, into a log to train from
    ///
    /// The output has the contract's fields under their columns, the label (1 if there was a click), and what was
    /// logged. Rows are sorted by the time served and the prediction id; the order of the inputs changes no byte. A
    /// prediction whose window is still open is left to a later run.
    Join(join::Arguments),
    /// Show the sum of probabilities next to the clicks, by logic id and hour, from joined logs
    ///
    /// Reads outputs of `omomi log join`. If the log has impressions, only predictions that were shown count. A row
    /// that a later run wrote again, because an event came late, replaces the earlier one.
    Calibration(calibration::Arguments),
    /// Write the log as Parquet, for people and SQL engines
    ///
    /// Predictions are in files under predictions/logic_id=.../dt=.../hour=..., events under events/dt=.../hour=....
    /// Names and bytes follow from the segments, and a file that exists is left alone, so the command can run again.
    Export(export::Arguments),
    /// Compute logged predictions again, and compare them bit for bit
    ///
    /// Each prediction that differs is attributed to the first part that does: a feature, a weight, the bias, the
    /// calibration or the file. Details, of which a log has those of some requests, make this exact. Exit code 1:
    /// some predictions differ, or the file of a generation is missing or not the one that answered.
    Replay(replay::Arguments),
    /// Compare joined logs with the logs that the model learned, by what the served file sees in both, worst first
    ///
    /// The figures and their bands are those of `omomi profile`, which compares days. Exit code 0: nothing differs. 3:
    /// a figure differs.
    Drift(Box<drift::Arguments>),
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Cat { paths, cloudevents } => cat(paths, *cloudevents),
        Command::Check { paths, contract } => run_check(paths, contract),
        Command::Calibration(arguments) => calibration::run(arguments),
        Command::Drift(arguments) => drift::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Join(arguments) => join::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
    }
}

fn cat(paths: &[PathBuf], cloudevents: bool) -> Result<(), Failure> {
    let form = if cloudevents { cloud_event } else { record_json };
    let mut lines = Vec::with_capacity(2 * PRINTED_LEN_BYTES);
    let losses = Segments::find(paths)?.read(&mut |header, block, record| {
        lines.extend_from_slice(json_line(&form(header, block, record)).as_bytes());
        if lines.len() >= PRINTED_LEN_BYTES {
            print_exactly(&std::mem::take(&mut lines));
        }
        // Nothing more can be printed, and a log may be long.
        if has_failed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    print_exactly(&lines);
    if !has_failed() {
        note_losses(&losses);
    }
    Ok(losses.check_readable()?)
}

/// Says on standard error what of a log cannot be read.
fn note_losses(losses: &Losses) {
    for (owner, line) in losses.lines() {
        note!("lost: {line} (who must act: {})", owner.word());
    }
    if losses.repeated_count > 0 {
        note!("repeated: {} records, because segments were passed twice", grouped(losses.repeated_count));
    }
    if losses.open_writer_count > 0 {
        note!("open: {} writers still run, or were killed", grouped(losses.open_writer_count));
    }
}

fn run_check(paths: &[PathBuf], contract: &std::path::Path) -> Result<(), Failure> {
    let contract = read_contract(contract)?;
    let report = check(&Segments::find(paths)?, &contract)?;
    let losses = &report.losses;
    let events: u64 = report.event_counts.values().sum();
    let mut rows = vec![
        vec!["segments".to_owned(), grouped(losses.segment_count)],
        vec!["predictions".to_owned(), grouped(report.prediction_count)],
        vec!["details".to_owned(), grouped(report.detail_count)],
        vec!["events".to_owned(), grouped(events)],
        vec!["outside the sample".to_owned(), grouped(losses.sampled_out)],
    ];
    rows.extend(report.event_counts.iter().map(|(kind, count)| vec![format!("  {kind}"), grouped(*count)]));
    rows.extend(
        report.models.iter().map(|((logic_id, generation), count)| {
            vec![format!("{logic_id}, generation {generation}"), grouped(*count)]
        }),
    );
    say!("{}", table(&[], rows));
    for fault in &report.faults {
        let first = if fault.first.is_empty() { String::new() } else { format!(" (first: {})", fault.first) };
        note!("{}: {}{first}", fault.owner.word(), fault.message);
    }
    match report.faults.len() {
        0 => Ok(()),
        1 => Err("the log has 1 fault".into()),
        count => Err(format!("the log has {count} faults").into()),
    }
}
