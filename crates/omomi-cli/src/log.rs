//! `omomi log`: reads what servers logged.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use omomi_train::readable::grouped;
use omomi_train::serving_logs::{Losses, Segments, check, cloud_event, record_json};

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
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Cat { paths, cloudevents } => cat(paths, *cloudevents),
        Command::Check { paths, contract } => run_check(paths, contract),
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
