//! `omomi recalibrate`: corrects the calibration of a training state with held-out rows.

use std::path::PathBuf;

use crate::csv_flags::CsvFlags;
use crate::hold_out_flags::{HoldOutFlags, TimeFlags};
use crate::importance_flags::ImportanceFlags;
use crate::output::{note, say};
use crate::progress::ReadProgress;
use crate::text::{bytes, figure, grouped, table};
use omomi_train::evaluate::Metrics;
use omomi_train::learn::provenance_path;
use omomi_train::learn::recalibrate::{Event, RecalibrateOptions, RecalibrateReport, recalibrate};
use omomi_train::log::{KeptRows, ReadOptions};

use crate::Failure;
use crate::progress::CountProgress;

/// Recalibrate a training state on held-out logs
///
/// Fits a scale and a shift of the logit (Platt scaling) and folds them into the weights. Averages and pruned models
/// need this. Use rows that the state was not trained on. Afterwards these rows are no longer held out: evaluate on
/// others.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Training state to recalibrate
    #[arg(value_name = "STATE")]
    state: PathBuf,
    /// Logs that the state was not trained on, as paths or quoted patterns
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    logs: Vec<String>,
    /// Training state to write, such as recalibrated.parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Number of unusable log rows to skip before the command fails
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_bad_rows: u64,
    #[command(flatten)]
    csv: CsvFlags,
    #[command(flatten)]
    importance: ImportanceFlags,
    #[command(flatten)]
    hold_out: HoldOutFlags,
    #[command(flatten)]
    times: TimeFlags,
    /// Replace the state if it exists
    #[arg(long)]
    force: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut options = RecalibrateOptions::new(&arguments.state, &arguments.logs, &arguments.out);
    options.read = arguments.hold_out.applied_to(
        arguments.times.applied_to(arguments.csv.applied_to(
            arguments.importance.applied_to(ReadOptions::default().with(|it| it.max_bad_rows = arguments.max_bad_rows)),
        )),
        KeptRows::HeldOut,
    );
    options.replace = arguments.force;
    options.arguments = std::env::args().skip(1).collect();
    let mut predicted = None;
    let mut written = CountProgress::new(arguments.quiet);
    let report = recalibrate(&options, &mut |event| match event {
        Event::Started(reader) => predicted = Some(ReadProgress::new("predict held-out rows", reader, arguments.quiet)),
        Event::Read(reader) => {
            if let Some(progress) = &mut predicted {
                progress.update(reader);
            }
        }
        Event::Finished(reader) => {
            if let Some(progress) = predicted.take() {
                progress.finish(reader);
            }
        }
        Event::Written { row_count, of } => written.count("write the state", "rows", *row_count, *of),
        _ => {}
    })?;
    written.finish();
    print_report(&report);
    if let Some(warning) = &report.warning {
        note!("warning: {warning}");
    }
    say!("state      {} ({})", arguments.out.display(), bytes(report.state_len_bytes));
    say!("provenance {}", provenance_path(&arguments.out).display());
    Ok(())
}

pub(crate) fn print_report(report: &RecalibrateReport) {
    let row =
        |name: &str, of: &dyn Fn(&Metrics) -> String| vec![name.to_owned(), of(&report.before), of(&report.after)];
    let rows = vec![
        row("rows", &|metrics| grouped(metrics.impressions)),
        row("clicks", &|metrics| grouped(metrics.clicks)),
        row("log loss", &|metrics| format!("{:.6}", metrics.log_loss)),
        row("normalized entropy", &|metrics| figure(metrics.normalized_entropy)),
        row("calibration ratio", &|metrics| figure(metrics.calibration_ratio)),
    ];
    say!("{}\n", table(&["", "before", "after"], rows));
    let scaling = report.scaling;
    say!("applied    {}", report.correction.name());
    say!("scale      {:.4} (standard error {:.4})", scaling.scale, scaling.scale_error);
    say!("shift      {:+.4} (standard error {:.4})", scaling.shift, scaling.shift_error);
}
