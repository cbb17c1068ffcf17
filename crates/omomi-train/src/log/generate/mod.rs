//! Generates ad logs with known true probabilities. Impressions are random, from a seed, and have the marginal
//! distributions of real logs.
//!
//! Real click logs cannot show how good a model *could* be. In a generated log, each row has the probability with which
//! its click was drawn. Therefore the log loss of the true probabilities (the Bayes loss) is known, and the regret of a
//! model can be computed.
//!
//! ```
//! # fn main() -> Result<(), omomi_train::log::generate::Error> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("log.parquet");
//! use omomi_train::log::generate::{LogSpec, write_parquet};
//!
//! let summary = write_parquet(&LogSpec { rows: 1000, seed: 1, click_rate: 0.1 }, &path)?;
//! assert_eq!(summary.rows, 1000);
//! assert!(summary.bayes_log_loss < summary.constant_log_loss());
//! # Ok(())
//! # }
//! ```
//!
//! # Content of a log
//!
//! Row `i` is a function of only the [`LogSpec`] and `i`. Therefore the number of threads and the number of files do
//! not change any row. (Another processor or math library may round a logarithm differently, and then the last bits
//! differ.)
//!
//! The rows cover seven days from Monday 2026-01-05 00:00 UTC, in order of time. They follow an hourly curve with a
//! minimum in the Japanese night and a peak at 12:00 UTC. There are more rows on the weekend.
//!
//! With `n` rows, there are:
//!
//! * 1.1 `n` users (popularity: Zipf, exponent 0.62). In 9 % of the rows the user is unknown.
//! * `600 + n^0.62` sites (Zipf, exponent 1.36).
//! * `400 + n^0.75` creatives (Zipf, exponent 0.65), three per campaign. Each lives for six hours to 60 days, 4.25 days
//!   on average, so that about a third is alive at any time.
//! * 506 advertisers (Zipf, exponent 1.67, flattened so that the largest has 20 %).
//!
//! The user, the site and the creative of a row are independent of each other.
//!
//! | Column | Type | Side | Distribution | Missing | Effect sd |
//! | --- | --- | --- | --- | ---: | ---: |
//! | `timestamp` | microseconds, UTC | | see above | | |
//! | `user_id` | i64, opaque | context | Zipf 0.62 over 1.1 `n` | 9 % | 0.20 |
//! | `device` | text, 5 | context | of the user; 66 % smartphone | | 0.25 |
//! | `os` | text, 11 | context | of the user, by device | 1.5 % | 0.15 |
//! | `region` | text, 47 | context | of the user; Zipf 0.85 | 6 % | 0.10 |
//! | `segment` | text, 12 | context | of the user; Zipf 0.7 | 25 % | 0.30 |
//! | `interest` | list of text, 66 | context | of the user; mean 5, median 2, at most 42 | 9 % | 0.05 each |
//! | `hour` | i64, 24 | context | hour of the day, UTC | | 0.10 |
//! | `site_id` | i64 | context | Zipf 1.36 over `600 + n^0.62` | | 0.60 |
//! | `slot` | text, 8 | context | one of up to 3 of the site | | 0.45 |
//! | `size` | text, 10 | context | of the site's slot | | 0.20 |
//! | `exchange` | text, 7 | context | of the site | 2 % | 0.15 |
//! | `floor_price` | f64, JPY per 1,000 | context | lognormal around the site's, Pareto tail 1.1, at most 100,000 | 12 % | 0.10 per doubling |
//! | `creative_id` | i64 | candidate | Zipf 0.65 over `400 + n^0.75`, while alive | | 0.35 |
//! | `campaign_id` | i64 | candidate | `creative_id / 3` | | 0.30, walk 0.15 per day |
//! | `advertiser_id` | i64, 506 | candidate | of the campaign; Zipf 1.67, largest 20 % | | 0.40 |
//! | `category` | text, 40 | candidate | the advertiser's for 80 % of its campaigns; Zipf 0.8 | | 0.40 |
//! | `format` | text, 6 | candidate | of the creative | | 0.90 |
//! | `theme` | text, 10 | candidate | of the creative | 45 % | 0.20 |
//! | `landing` | text, 6 | candidate | of the campaign | 8 % | 0.15 |
//! | `creative_age` | f64, hours | candidate | since the creative's birth | | -0.12 per ln(1 + days) |
//! | `true_probability` | f64 | | the probability with which `clicked` was drawn | | |
//! | `clicked` | i64, 0 or 1 | | the label | | |
//!
//! The true logit is the sum of a bias, the effects of the row's categories and numbers, and three pairwise terms of
//! rank 4: `segment` with `category` (sd 0.35), `slot` with `format` (0.30), `device` with `hour` (0.10). Effects have
//! a normal distribution with the standard deviation in the table. A missing value adds nothing.
//!
//! The bias is found by bisection, so that the mean true probability is the requested click rate. If there are more
//! than 262,144 rows, the mean over that many evenly spread rows is used. The mean over all rows is then within about 1
//! % of the click rate.
//!
//! # Limits
//!
//! The log is not modeled on one real log: users do not come in sessions, no policy chose the creatives, and a missing
//! value has no meaning. A model cannot learn two things from the contract's fields: the daily walk of the campaigns,
//! and most of the users.

mod clock;
mod columns;
mod draw;
mod effects;
mod parquet_out;
mod row;
mod summary;
mod vocabulary;
mod world;
mod zipf;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use effects::{Effects, bias_for, sigmoid};
use row::{Row, Rows};
use summary::RowTotals;
pub use summary::Summary;

/// The contract of all generated logs, as the text of a `contract.toml`.
pub const CONTRACT: &str = include_str!("contract.toml");

/// Most rows in a log. All sites and creatives are in memory, and their number grows with the rows; with this many
/// rows, they take 2 GB.
pub const MAX_ROWS: u64 = 10_000_000_000;
/// Most files in a log: file names have a number of three digits.
pub const MAX_FILES: usize = 1000;
/// The click rates that are allowed: those of real logs, from banners to search.
pub const CLICK_RATES: std::ops::RangeInclusive<f64> = 0.002..=0.36;

/// The parameters that determine every row of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSpec {
    /// Number of rows, from 1 to [`MAX_ROWS`]. It also determines the number of users, sites and creatives.
    pub rows: u64,
    /// Seed of all random numbers. Another seed gives other users, sites, creatives and impressions.
    pub seed: u64,
    /// The mean true probability, within [`CLICK_RATES`].
    pub click_rate: f64,
}

impl LogSpec {
    fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_ROWS).contains(&self.rows) {
            return Err(Error::RowCount { found: self.rows });
        }
        if !CLICK_RATES.contains(&self.click_rate) {
            return Err(Error::ClickRate { found: self.click_rate });
        }
        Ok(())
    }
}

/// Options for writing a log. They do not change the rows. Later versions may have more of them, so start from the
/// defaults and [change](Self::with) what differs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Whether existing files are replaced. If not, an existing file is an error.
    pub overwrite: bool,
    /// Number of threads that make and encode rows. 0 means one per core.
    pub threads: usize,
}

impl Default for WriteOptions {
    /// Options that do not overwrite files and use all cores.
    fn default() -> WriteOptions {
        WriteOptions { overwrite: false, threads: 0 }
    }
}

impl WriteOptions {
    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Why a log was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// [`LogSpec::rows`] is out of range.
    #[error("expected 1 to {MAX_ROWS} rows, found {found}; choose a number in this range")]
    RowCount {
        /// The requested number of rows.
        found: u64,
    },
    /// [`LogSpec::click_rate`] is out of range.
    #[error(
        "expected a click rate from {} to {}, found {found}; give a probability, not a percentage",
        CLICK_RATES.start(),
        CLICK_RATES.end()
    )]
    ClickRate {
        /// The requested click rate.
        found: f64,
    },
    /// There are no files, more files than rows, or more than [`MAX_FILES`].
    #[error("expected 1 to {max} files, each with at least one row, found {found}; choose another number of files")]
    FileCount {
        /// The requested number of files.
        found: usize,
        /// Most files that this log can have.
        max: u64,
    },
    /// A file with this name exists.
    #[error("{} exists already; choose another name or allow it to be replaced", path.display())]
    Exists {
        /// The file that exists.
        path: PathBuf,
    },
    /// The folder has parts of another log that this log would not replace. A reader of `part-*.parquet` would mix both
    /// logs.
    #[error("{} is part of another log; remove it or choose another folder", path.display())]
    ForeignPart {
        /// The part of the other log.
        path: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("{} could not be written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Rows could not be encoded or written.
    #[error("{} could not be written as Parquet", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The error of the encoder.
        source: parquet::errors::ParquetError,
    },
}

/// Writes the log of `spec` as one Parquet file at `path`, and returns a summary. Fails if the file exists.
pub fn write_parquet(spec: &LogSpec, path: impl AsRef<Path>) -> Result<Summary, Error> {
    let path = path.as_ref();
    write(spec, &[path.to_owned()], WriteOptions::default(), &mut |_| ())
}

/// Writes the log of `spec` as `paths.len()` Parquet files, and returns a summary of all files. The files are
/// consecutive in time and have equal numbers of rows. Calls `on_rows` on this thread with the number of rows written
/// since the last call.
///
/// Each file gets its name only after it is complete. If writing fails, files that are already complete stay.
pub fn write(
    spec: &LogSpec,
    paths: &[PathBuf],
    options: WriteOptions,
    on_rows: &mut dyn FnMut(u64),
) -> Result<Summary, Error> {
    spec.check()?;
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads.min(MAX_THREADS),
    };
    let max = spec.rows.min(MAX_FILES as u64);
    let file_count = paths.len() as u64;
    if file_count == 0 || file_count > max {
        return Err(Error::FileCount { found: paths.len(), max });
    }
    if !options.overwrite
        && let Some(path) = paths.iter().find(|path| path.exists())
    {
        return Err(Error::Exists { path: path.clone() });
    }
    let impressions = Impressions::new(spec, threads);
    let mut totals = RowTotals::default();
    let mut written = 0;
    for (index, path) in (1u64..).zip(paths) {
        let end = share_of(spec.rows, index, file_count);
        totals.add(&parquet_out::write_file(&impressions, written..end, path, threads, on_rows)?);
        written = end;
    }
    totals.into_summary(paths)
}

/// Returns the names `part-000.parquet`, `part-001.parquet`, ... for a log of `file_count` files in `folder`. Creates
/// the folder if it does not exist.
///
/// Fails if `file_count` is above [`MAX_FILES`]. Fails if the folder has other files named `part-*.parquet`, such as a
/// part with a higher number, because a reader of `part-*.parquet` would mix two logs.
pub fn part_paths(folder: impl AsRef<Path>, file_count: usize) -> Result<Vec<PathBuf>, Error> {
    let folder = folder.as_ref();
    if file_count > MAX_FILES {
        return Err(Error::FileCount { found: file_count, max: MAX_FILES as u64 });
    }
    let failed = |source| Error::Io { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let paths: Vec<PathBuf> = (0..file_count).map(|index| folder.join(format!("part-{index:03}.parquet"))).collect();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("part-") && name.ends_with(".parquet") && !paths.contains(&path) {
            return Err(Error::ForeignPart { path });
        }
    }
    Ok(paths)
}

/// The rows of a log with their probabilities and clicks.
struct Impressions {
    rows: Rows,
    effects: Effects,
    bias: f64,
}

/// Most threads. More threads than cores would only use memory.
const MAX_THREADS: usize = 256;

/// Number of rows whose mean true probability is set to the click rate.
const PILOT_ROWS: u64 = 256 * 1024;

impl Impressions {
    fn new(spec: &LogSpec, threads: usize) -> Impressions {
        let rows = Rows::new(spec.seed, spec.rows);
        let effects = Effects::new(spec.seed, &rows);
        let pilot_rows = spec.rows.min(PILOT_ROWS);
        let pilot: Vec<u64> = (0..pilot_rows).map(|index| share_of(spec.rows, index, pilot_rows)).collect();
        let logits: Vec<f64> = std::thread::scope(|scope| {
            let logit = |&index: &u64| effects.logit(&rows.at(index));
            let workers: Vec<_> = pilot
                .chunks(pilot.len().div_ceil(threads))
                .map(|part| scope.spawn(move || part.iter().map(logit).collect::<Vec<f64>>()))
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("a pilot row does not panic")).collect()
        });
        Impressions { bias: bias_for(spec.click_rate, &logits), rows, effects }
    }

    /// Returns row `index`, its true probability, and whether it was clicked.
    fn at(&self, index: u64) -> (Row, f64, bool) {
        let row = self.rows.at(index);
        // Round to f32, which halves the size of the column. The click is drawn with the rounded probability, so the
        // column has the exact true probability.
        #[expect(clippy::cast_possible_truncation, reason = "the rounding is meant")]
        let probability = f64::from(sigmoid(self.bias + self.effects.logit(&row)) as f32).clamp(1e-6, 1.0 - 1e-6);
        let clicked = row.luck < probability;
        (row, probability, clicked)
    }
}

/// Computes `total * part / parts` without overflow, for `part <= parts`.
fn share_of(total: u64, part: u64, parts: u64) -> u64 {
    let share = u128::from(total) * u128::from(part) / u128::from(parts);
    u64::try_from(share).expect("at most the total")
}

#[cfg(test)]
mod tests;
