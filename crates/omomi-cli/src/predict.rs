//! `omomi predict`: writes what a weight file predicts for each row of a log.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use omomi_train::evaluate::{PredictOptions, PredictionOutput, write_predictions};
use omomi_train::log::ReadOptions;

use crate::Failure;
use crate::csv_flags::CsvFlags;
use crate::output::{note, print_exactly, say};
use crate::progress::ReadProgress;
use crate::text::grouped;

/// Score logs with a weight file and write the prediction for each row
///
/// Scoring uses the library that serves, so the numbers are those that a server answers. The logs need no label. The
/// output has one row for each row of the logs, in their order: the chosen columns, then `probability`, `logit`,
/// `unseen_count` (categories without a weight) and `missing_count` (fields without a value).
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Weight file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Logs to score, as paths or quoted patterns
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    logs: Vec<String>,
    /// File to write: .parquet, .csv, or `-` for CSV on standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Column of the logs to write next to the predictions, such as a row's id or label. May be given several times
    #[arg(long, value_name = "COLUMN")]
    column: Vec<String>,
    /// Replace the file of --out if it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    csv: CsvFlags,
    /// Number of unusable log rows to skip before the command fails. Skipped rows are missing in the output
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_rows: u64,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

/// Standard output, which remembers its own errors.
struct StandardOutput;

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        print_exactly(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut options = PredictOptions::new(&arguments.file, &arguments.logs);
    options.read = arguments.csv.applied_to(ReadOptions::default().with(|it| {
        it.max_bad_rows = arguments.max_bad_rows;
        it.extra_columns = arguments.column.clone();
    }));
    let is_printed = arguments.out == Path::new("-");
    let output = if is_printed {
        PredictionOutput::Csv(&mut StandardOutput)
    } else {
        PredictionOutput::File { path: &arguments.out, replace: arguments.force }
    };
    let mut progress = None;
    let rows = write_predictions(&options, output, &mut |reader| {
        progress.get_or_insert_with(|| ReadProgress::new("predict", reader, arguments.quiet)).update(reader);
    })?;
    drop(progress);
    if rows.bad_row_count > 0 {
        note!("skipped: {} rows, which the output lacks", grouped(rows.bad_row_count));
    }
    if !is_printed {
        let (count, mean) = (grouped(rows.row_count), rows.mean_probability);
        say!("{}: {count} rows, mean probability {mean:.6}", arguments.out.display());
    }
    Ok(())
}
