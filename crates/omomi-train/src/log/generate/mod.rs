//! Ad logs whose truth is known: a seeded generator of impressions with the marginals of real ones.
//!
//! Real click logs cannot say how good a model *could* be. Here each row carries the probability with which its click
//! was drawn, so the log loss of the truth itself (the Bayes loss) is known, and a model's regret is a number.
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
//! # What a log is
//!
//! Row `i` is a function of the [`LogSpec`] and of `i` alone. So neither the number of threads nor that of the files
//! can change a row. (Another processor or libm may round a logarithm otherwise, and then the last bits differ.)
//!
//! The rows spread over seven days from Monday 2026-01-05 00:00 UTC, in the order of time, along an hourly curve with
//! its dip in the Japanese night and its peak at 12:00 UTC, and more on the weekend.
//!
//! With `n` rows there are 1.1 `n` users (popularity: Zipf, exponent 0.62), of which 9 % of the rows know nothing;
//! `600 + n^0.62` sites (exponent 1.36); `400 + n^0.75` creatives (exponent 0.65), three to a campaign, each alive for
//! six hours to 60 days (4.25 days on average), so that a third or so is alive at any time; 506 advertisers (exponent
//! 1.67, flattened so that the largest has 20 %). Which user, site and creative meet is independent.
//!
//! | Column | Type | Side | Distribution | Missing | Effect sd |
//! | --- | --- | --- | --- | ---: | ---: |
//! | `timestamp` | microseconds, UTC | | see above | | |
//! | `user_id` | i64, opaque | context | Zipf 0.62 over 1.1 `n` | 9 % | 0.20 |
//! | `device` | text, 5 | context | of the user; 66 % smartphone | | 0.25 |
//! | `os` | text, 11 | context | of the user, by device | 1.5 % | 0.15 |
//! | `region` | text, 47 | context | of the user; Zipf 0.85 | 6 % | 0.10 |
//! | `segment` | text, 12 | context | of the user; Zipf 0.7 | 25 % | 0.30 |
//! | `interest` | list of text, 66 | context | of the user; mean 5, median 2, most 42 | 9 % | 0.05 each |
//! | `hour` | i64, 24 | context | hour of the day, UTC | | 0.10 |
//! | `site_id` | i64 | context | Zipf 1.36 over `600 + n^0.62` | | 0.60 |
//! | `slot` | text, 8 | context | one of up to 3 of the site | | 0.45 |
//! | `size` | text, 10 | context | of the site's slot | | 0.20 |
//! | `exchange` | text, 7 | context | of the site | 2 % | 0.15 |
//! | `floor_price` | f64, JPY per 1,000 | context | lognormal around the site's, Pareto tail 1.1, at most 100,000 | 12 % | 0.10 a doubling |
//! | `creative_id` | i64 | candidate | Zipf 0.65 over `400 + n^0.75`, while alive | | 0.35 |
//! | `campaign_id` | i64 | candidate | `creative_id / 3` | | 0.30, walk 0.15 a day |
//! | `advertiser_id` | i64, 506 | candidate | of the campaign; Zipf 1.67, largest 20 % | | 0.40 |
//! | `category` | text, 40 | candidate | the advertiser's for 80 % of its campaigns; Zipf 0.8 | | 0.40 |
//! | `format` | text, 6 | candidate | of the creative | | 0.90 |
//! | `theme` | text, 10 | candidate | of the creative | 45 % | 0.20 |
//! | `landing` | text, 6 | candidate | of the campaign | 8 % | 0.15 |
//! | `creative_age` | f64, hours | candidate | since the creative's birth | | -0.12 per ln(1 + days) |
//! | `true_probability` | f64 | | the probability with which `clicked` was drawn | | |
//! | `clicked` | i64, 0 or 1 | | the label | | |
//!
//! The true logit is a bias, the effects of the row's categories and numbers, and three pairwise terms of rank 4:
//! `segment` with `category` (sd 0.35), `slot` with `format` (0.30), `device` with `hour` (0.10). Effects are normal
//! with the deviation of the table. A missing value adds nothing. The bias is found by bisection so that the mean
//! true probability is the click rate asked; beyond 262,144 rows the mean is over that many, evenly spread, which holds
//! it within a percent or so.
//!
//! # Limits
//!
//! No real log is behind it: users do not come in sessions, nothing was chosen by a policy, and a missing value means
//! nothing. What a model cannot learn from the contract's fields is the walk from day to day and most of the users.

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
pub use summary::Summary;
use summary::Tally;

/// The contract of every generated log, as the text of a `contract.toml`.
pub const CONTRACT: &str = include_str!("contract.toml");

/// Most rows of a log. The world of sites and creatives stays in memory and grows with the rows: 2 GB here.
pub const MAX_ROWS: u64 = 10_000_000_000;
/// Most files of a log: what three digits can number.
pub const MAX_FILES: usize = 1000;
/// The click rates that can be asked for: those of real logs, from banners to search.
pub const CLICK_RATES: std::ops::RangeInclusive<f64> = 0.002..=0.36;

/// What decides every row of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSpec {
    /// Rows of the log, at least 1 and at most [`MAX_ROWS`]. It decides how many users, sites and creatives there are.
    pub rows: u64,
    /// Another seed gives another world and other impressions.
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

/// How a log is written; none of it changes a row.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// Replace files that exist. Otherwise they are an error.
    pub overwrite: bool,
    /// Threads that make and encode rows. 0 means as many as there are cores.
    pub threads: usize,
}

impl Default for WriteOptions {
    /// Refuses to overwrite, uses all cores.
    fn default() -> WriteOptions {
        WriteOptions { overwrite: false, threads: 0 }
    }
}

/// Why a log was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// [`LogSpec::rows`] is out of range.
    #[error("expected 1 to {MAX_ROWS} rows, found {found}; ask for a number between them")]
    RowCount {
        /// The number asked.
        found: u64,
    },
    /// [`LogSpec::click_rate`] is out of range.
    #[error(
        "expected a click rate from {} to {}, found {found}; give a probability, not a percentage",
        CLICK_RATES.start(),
        CLICK_RATES.end()
    )]
    ClickRate {
        /// The rate asked.
        found: f64,
    },
    /// More files than rows or than can be numbered, or none.
    #[error("expected 1 to {max} files, each with a row at least, found {found}; ask for another number of files")]
    FileCount {
        /// The number asked.
        found: usize,
        /// The most files that this log can have.
        max: u64,
    },
    /// A file of that name exists.
    #[error("{} exists; choose another name or ask for it to be replaced", path.display())]
    Exists {
        /// The file that exists.
        path: PathBuf,
    },
    /// The folder holds parts that this log would leave in place, and a reader of `part-*.parquet` would mix both.
    #[error("{} is part of another log; remove it or choose another folder", path.display())]
    ForeignPart {
        /// The part that is not ours.
        path: PathBuf,
    },
    /// The system refused a file or folder.
    #[error("{} could not be written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Encoding failed, or the disk did under it.
    #[error("{} could not be written as Parquet", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: parquet::errors::ParquetError,
    },
}

/// Writes the log of `spec` as one Parquet file at `path`, and returns what is in it. Refuses to replace a file.
pub fn write_parquet(spec: &LogSpec, path: &Path) -> Result<Summary, Error> {
    write(spec, &[path.to_owned()], WriteOptions::default(), &mut |_| ())
}

/// Writes the log of `spec` as `paths.len()` Parquet files, cut by time into equal numbers of rows, and returns what is
/// in them all. `on_rows` is called on this thread with the number of rows written since the last call.
///
/// Each file appears under its name only when it is whole. If a later file fails, the earlier ones stay.
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
    let mut tally = Tally::default();
    let mut written = 0;
    for (index, path) in (1u64..).zip(paths) {
        let end = share_of(spec.rows, index, file_count);
        tally.add(&parquet_out::write_file(&impressions, written..end, path, threads, on_rows)?);
        written = end;
    }
    tally.into_summary(paths)
}

/// The names `part-000.parquet`, `part-001.parquet`, ... of a log of `file_count` files in `folder`, which is made if
/// absent. Fails if the folder holds such a part of a higher number: readers of `part-*.parquet` would mix two logs.
/// `file_count` is at most [`MAX_FILES`].
pub fn part_paths(folder: &Path, file_count: usize) -> Result<Vec<PathBuf>, Error> {
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

/// More threads than any machine has cores to feed would only cost memory.
const MAX_THREADS: usize = 256;

/// Rows over which the mean true probability is made to be the click rate.
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

    /// Row `index`, its true probability, and whether it was clicked.
    fn at(&self, index: u64) -> (Row, f64, bool) {
        let row = self.rows.at(index);
        // Rounded to f32, which halves the column's bytes; the click is drawn with the rounded probability, so the
        // column is the truth and not near it.
        #[expect(clippy::cast_possible_truncation, reason = "the rounding is meant")]
        let probability = f64::from(sigmoid(self.bias + self.effects.logit(&row)) as f32).clamp(1e-6, 1.0 - 1e-6);
        let clicked = row.luck < probability;
        (row, probability, clicked)
    }
}

/// `total * part / parts` without overflow, for `part <= parts`.
fn share_of(total: u64, part: u64, parts: u64) -> u64 {
    let share = u128::from(total) * u128::from(part) / u128::from(parts);
    u64::try_from(share).expect("at most the total")
}

#[cfg(test)]
mod tests;
