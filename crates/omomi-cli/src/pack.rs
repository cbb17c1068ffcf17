//! `omomi pack`: packs a training state into a weight file.

use std::path::PathBuf;

use omomi::weight_file::table::Encoding;
use omomi_train::log::{KeptRows, ReadOptions};
use omomi_train::pack::{PackOptions, PackReport, chosen_encoding, pack};

use crate::Failure;
use crate::contract::read_contract;
use crate::csv_flags::CsvFlags;
use crate::hold_out_flags::{HoldOutFlags, TimeFlags};
use crate::importance_flags::ImportanceFlags;
use crate::output::{note, say};
use crate::progress::PackProgress;
use crate::text::{bytes, grouped, table};

/// Pack a training state into a sealed weight file
///
/// Applies the l1 threshold, drops weights of 0 and rounds the others to the encoding. Measures on held-out rows what
/// the rounding costs, and chooses golden requests from them, or makes them of the weights if there are no such rows.
/// The file is written whole or not at all: a temporary sibling is written, synced, read back, verified, made read-only
/// and renamed. A name is never used twice.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Contract that the state was trained with
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
    /// Training state to pack, as written by `omomi train`, `average`, `recalibrate` or `prune`
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Logs for golden requests and for the cost of rounding, preferably not trained on; paths or quoted patterns.
    /// Without them, golden requests are made of the categories of the state, and the encoding must be f32
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    held_out: Vec<String>,
    /// Name of the serving logic, returned with each score and written to each log row
    #[arg(long, value_name = "NAME")]
    logic_id: String,
    /// Generation: a number that must be larger for each new file
    #[arg(long, value_name = "N")]
    generation: u64,
    /// Weight file to write, such as 000042.omomi; the name must be new
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Encoding of the weights, in bytes per weight: f32 8.4, f16 5.4, i8 4.4 [default: what `omomi prune` chose, or
    /// f32]
    #[arg(long, value_enum)]
    encoding: Option<EncodingName>,
    #[command(flatten)]
    csv: CsvFlags,
    #[command(flatten)]
    importance: ImportanceFlags,
    #[command(flatten)]
    hold_out: HoldOutFlags,
    #[command(flatten)]
    times: TimeFlags,
    /// Number of unusable held-out rows to skip before the command fails
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_rows: u64,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

/// An encoding, as the command line names it.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum EncodingName {
    /// 32-bit floating point: no rounding
    F32,
    /// Half precision: 11 significant bits, up to 65,504
    F16,
    /// 8 bits: whole numbers times one scale per field or cross
    I8,
}

impl From<EncodingName> for Encoding {
    fn from(name: EncodingName) -> Self {
        match name {
            EncodingName::F32 => Self::F32,
            EncodingName::F16 => Self::F16,
            EncodingName::I8 => Self::I8,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.held_out.is_empty()
        && let Some(rule) = arguments.hold_out.rule()
    {
        return Err(
            format!("--held-out-rows {rule} says which rows of logs to read: name the logs by --held-out").into()
        );
    }
    let contract = read_contract(&arguments.contract)?;
    let encoding = match arguments.encoding {
        Some(name) => name.into(),
        None => chosen_encoding(&arguments.state)?.unwrap_or_default(),
    };
    let mut options =
        PackOptions::new(&arguments.state, &arguments.held_out, &arguments.logic_id, arguments.generation);
    options.read = arguments.hold_out.applied_to(
        arguments.times.applied_to(arguments.csv.applied_to(
            arguments.importance.applied_to(ReadOptions::default().with(|it| it.max_bad_rows = arguments.max_bad_rows)),
        )),
        KeptRows::HeldOut,
    );
    options.encoding = encoding;
    let mut progress = PackProgress::new(arguments.quiet);
    let report = pack(&contract, &options, &arguments.out, &mut |event| progress.watch(event))?;
    progress.finish();
    print_report(&report);
    let fields = report.uncovered_fields.join(", ");
    if arguments.held_out.is_empty() && !fields.is_empty() {
        note!("warning: the state has no category of {fields}, so no golden request covers them");
    } else {
        for field in &report.uncovered_fields {
            note!("warning: no held-out row has a value of `{field}`, so no golden request covers that field");
        }
    }
    for warning in &report.warnings {
        note!("warning: {warning}");
    }
    say!("Verified and read-only: {}", arguments.out.display());
    Ok(())
}

pub(crate) fn print_report(report: &PackReport) {
    let model = &report.model;
    let len = model.header().total_len_bytes;
    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    let bytes_per_weight = len as f64 / model.weight_count().max(1) as f64;
    let mut rows = vec![
        vec!["features in the state".to_owned(), grouped(report.feature_count)],
        vec!["weights in the file".to_owned(), grouped(model.weight_count())],
        vec!["file".to_owned(), format!("{} ({bytes_per_weight:.2} bytes per weight)", bytes(len))],
        vec!["encoding".to_owned(), model.table().encoding().name().to_owned()],
        vec!["golden requests".to_owned(), grouped(report.golden_count as u64)],
    ];
    if let Some(rounded) = &report.rounded {
        let rounding = rounded.rounding;
        let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
        row("largest rounding error", format!("{:.3e}", rounding.largest_error));
        row("mean rounding error", format!("{:.3e}", rounding.mean_error));
        row("rounded to 0 and left out", grouped(rounding.zero_count));
        row("held-out rows", grouped(rounded.after.impressions));
        row("  log loss", format!("{:.6} ({:.6} in f32)", rounded.after.log_loss, rounded.before.log_loss));
        row("  change of log loss", format!("{:+.5} %", rounded.log_loss_change() * 100.0));
    }
    for (field, count) in &report.field_sizes {
        rows.push(vec![format!("  weights of {field}"), grouped(*count)]);
    }
    say!("{}", table(&[], rows));
}
