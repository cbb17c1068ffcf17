//! `omomi generate-log`: writes an ad log whose true click probabilities are known.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use omomi_train::log::generate::{CONTRACT, LogSpec, Summary, WriteOptions, part_paths, write};
use omomi_train::plan::Day;

use crate::Failure;
use crate::output::say;
use crate::places::FileFailure;

/// The first day of a generated log.
const FIRST_DAY: &str = "2026-01-05";

/// Generate an ad log with realistic distributions, and the true click probability in each row
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Number of rows of the log
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Seed of the world and its impressions: the same seed gives the same rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Mean true click probability, from 0.002 to 0.36
    #[arg(long, default_value_t = 0.1)]
    click_rate: f64,
    /// Folder for part-000.parquet and so on; a name that ends in .parquet means a single file
    #[arg(long, value_name = "FOLDER|FILE")]
    out: PathBuf,
    /// Number of files to split the log into, in order of time, at most 1000; more than 1 needs a folder
    #[arg(long, default_value_t = 1)]
    files: usize,
    /// Write a folder for each of the seven days, such as 2026-01-05/part-000.parquet, with a seventh of the rows each
    #[arg(long, conflicts_with = "files")]
    by_day: bool,
    /// Replace existing log files
    #[arg(long)]
    force: bool,
    /// Number of threads; 0 means one per core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let spec = LogSpec { rows: arguments.rows, seed: arguments.seed, click_rate: arguments.click_rate };
    let one_file = arguments.out.extension().is_some_and(|extension| extension == "parquet");
    let paths = match (one_file, arguments.files) {
        (false, _) if arguments.by_day => paths_by_day(&arguments.out)?,
        (true, _) if arguments.by_day => {
            return Err(format!("expected a folder for the days, found {}", arguments.out.display()).into());
        }
        (true, 1) => vec![arguments.out.clone()],
        (true, found) => {
            return Err(format!(
                "expected a folder for {found} files, found the file name {}; give --out a folder",
                arguments.out.display()
            )
            .into());
        }
        (false, count) => part_paths(&arguments.out, count)?,
    };
    let folder = if one_file { arguments.out.parent().unwrap_or(Path::new("")) } else { &arguments.out };
    let options = WriteOptions::default().with(|it| {
        it.overwrite = arguments.force;
        it.threads = arguments.threads;
    });
    // The bar hides itself if standard error is not a terminal.
    let progress = ProgressBar::new(arguments.rows)
        .with_style(ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} rows, {per_sec}, {eta} left")?);
    let outcome = write(&spec, &paths, options, &mut |rows| progress.inc(rows));
    progress.finish_and_clear();
    print(&outcome?, place_contract(folder)?);
    Ok(())
}

/// Returns the paths of the logs of seven days, in folders that exist then.
fn paths_by_day(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let first: Day = FIRST_DAY.parse()?;
    let path = |day: Day| -> Result<PathBuf, Failure> {
        let folder = folder.join(day.to_string());
        std::fs::create_dir_all(&folder).map_err(FileFailure::writing(&folder))?;
        Ok(folder.join("part-000.parquet"))
    };
    first.up_to(first.plus(6)).map(path).collect()
}

/// Writes the contract next to the log. Keeps a contract that exists, because it may be the user's own.
///
/// Returns its path, and whether it is new.
fn place_contract(folder: &Path) -> Result<(PathBuf, bool), Failure> {
    let path = folder.join("contract.toml");
    let failed = |error| format!("{} could not be written: {error}", path.display());
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => file.write_all(CONTRACT.as_bytes()).map_err(failed)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok((path, false)),
        Err(error) => return Err(failed(error).into()),
    }
    Ok((path, true))
}

fn print(summary: &Summary, (contract, contract_is_new): (PathBuf, bool)) {
    let entropy = summary.bayes_normalized_entropy();
    say!("rows                      {}", summary.rows);
    say!("clicks                    {}", summary.clicks);
    say!("observed CTR              {:.6}", summary.observed_ctr());
    say!("mean true probability     {:.6}", summary.mean_true_probability);
    say!("Bayes log loss            {:.6}", summary.bayes_log_loss);
    say!("constant's log loss       {:.6}", summary.constant_log_loss());
    say!("Bayes normalized entropy  {}", entropy.map_or("-".to_owned(), |entropy| format!("{entropy:.4}")));
    for (path, bytes) in &summary.files {
        say!("file                      {} ({bytes} bytes)", path.display());
    }
    let kept = if contract_is_new { "" } else { " (existed already, unchanged)" };
    say!("contract                  {}{kept}", contract.display());
}
