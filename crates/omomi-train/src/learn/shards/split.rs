//! Splits a log into shards and rounds.

use std::fmt;
use std::str::FromStr;

use crate::learn::TrainOptions;
use crate::log::{LogError, LogFile, LogReader, PartBy, RowPart, time_range};
use omomi::contract::Contract;

use super::TrainShardsError;

/// Seeds for selecting rows by number. They differ, so that the rows of a round are spread over all shards.
const SHARD_SEED: u64 = 1;
const ROUND_SEED: u64 = 2;

/// How the rows of a log are distributed to shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// By whole files, the largest first: each goes to the shard that has the least to read so far. A process reads
    /// only its own files.
    File,
    /// By a hash of the row's value in this column, which need not be a field of the contract.
    Column(String),
    /// By equal spans of time: the first shard has the oldest rows.
    Time(Option<TimeRange>),
    /// By a hash of the row's number, which gives similar shards.
    Random,
}

/// The times of the first and the last row, in microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Time of the first row.
    pub first_us: i64,
    /// Time of the last row.
    pub last_us: i64,
}

/// One of several shards or rounds, written as `2/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneOf {
    /// Number of the shard or round, from 1 to `count`.
    pub number: u32,
    /// Total number of shards or rounds.
    pub count: u32,
}

impl Split {
    /// Returns the split with its time range filled in. If the split needs a range and has none, reads the times of all
    /// rows.
    ///
    /// # Errors
    ///
    /// Returns [`TrainShardsError::Log`] if the times cannot be read, or [`TrainShardsError::NoTimes`] if there are
    /// none.
    pub fn completed(
        self,
        contract: &Contract,
        options: &TrainOptions,
        watch: &mut dyn FnMut(&LogReader),
    ) -> Result<Self, TrainShardsError> {
        if self != Self::Time(None) {
            return Ok(self);
        }
        let range = time_range(contract, &options.logs, &options.read, watch)?;
        let (first_us, last_us) = range.ok_or(TrainShardsError::NoTimes)?;
        Ok(Self::Time(Some(TimeRange { first_us, last_us })))
    }

    /// Narrows `options` to the rows that one shard learns. A split by time must be [completed](Self::completed)
    /// before.
    ///
    /// # Errors
    ///
    /// Returns [`TrainShardsError::TooFewFiles`] if shards are files and there are fewer files than shards, or
    /// [`TrainShardsError::Log`] if the files cannot be listed or opened.
    pub fn narrow(
        &self,
        shard: OneOf,
        contract: &Contract,
        options: &mut TrainOptions,
    ) -> Result<(), TrainShardsError> {
        let by = match self {
            Self::File => {
                let reader = LogReader::open(contract, &options.logs, options.read.clone())?;
                let mut distributed = distribute(reader.files(), shard.count)?;
                let own = distributed.swap_remove(shard.number as usize - 1);
                options.logs = own.iter().map(|file| file.path.display().to_string()).collect();
                return Ok(());
            }
            Self::Column(column) => PartBy::Column(column.clone()),
            Self::Time(None) => return Err(LogError::PartsWithoutTime.into()),
            Self::Time(Some(TimeRange { first_us, last_us })) => {
                PartBy::Time { first_us: *first_us, last_us: *last_us }
            }
            Self::Random => PartBy::RowNumber { seed: SHARD_SEED },
        };
        options.read.parts.push(RowPart { by, number: shard.number, count: shard.count });
        Ok(())
    }
}

/// Narrows `options` to the rows that one of several rounds learns.
pub fn narrow_to_round(round: OneOf, options: &mut TrainOptions) {
    let OneOf { number, count } = round;
    options.read.parts.push(RowPart { by: PartBy::RowNumber { seed: ROUND_SEED }, number, count });
}

/// Distributes files to shards by size. Each shard has its files in their order in the log. The result depends only on
/// the files and the number of shards.
pub(crate) fn distribute(files: &[LogFile], shard_count: u32) -> Result<Vec<Vec<LogFile>>, TrainShardsError> {
    let count = shard_count as usize;
    if files.len() < count {
        return Err(TrainShardsError::TooFewFiles { expected: count, found: files.len() });
    }
    let mut largest_first: Vec<usize> = (0..files.len()).collect();
    // The sort is stable: of equally large files, the first in the log comes first.
    largest_first.sort_by_key(|&index| std::cmp::Reverse(files[index].len_bytes));
    let mut distributed: Vec<(u64, Vec<usize>)> = vec![(0, Vec::new()); count];
    for index in largest_first {
        // If two shards have equally much to read, choose the one with fewer files, so that no shard gets no file.
        let min = distributed.iter_mut().min_by_key(|(len_bytes, own)| (*len_bytes, own.len()));
        let (len_bytes, own) = min.expect("there is at least one shard");
        *len_bytes += files[index].len_bytes;
        own.push(index);
    }
    let in_order = |(_, mut own): (u64, Vec<usize>)| {
        own.sort_unstable();
        own.into_iter().map(|index| files[index].clone()).collect()
    };
    Ok(distributed.into_iter().map(in_order).collect())
}

impl fmt::Display for Split {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => formatter.write_str("file"),
            Self::Column(column) => write!(formatter, "column:{column}"),
            Self::Time(None) => formatter.write_str("time"),
            Self::Time(Some(TimeRange { first_us, last_us })) => write!(formatter, "time:{first_us}..{last_us}"),
            Self::Random => formatter.write_str("random"),
        }
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unexpected = || {
            format!(
                "expected file, column:NAME, time, random, or time:FIRST..LAST with two times in microseconds, found \
                 `{text}`"
            )
        };
        match text.split_once(':') {
            None if text == "file" => Ok(Self::File),
            None if text == "time" => Ok(Self::Time(None)),
            None if text == "random" => Ok(Self::Random),
            Some(("column", column)) if !column.is_empty() => Ok(Self::Column(column.to_owned())),
            Some(("time", range)) => {
                let (first, last) = range.split_once("..").ok_or_else(unexpected)?;
                let time_us = |text: &str| text.parse::<i64>().map_err(|_| unexpected());
                let range = TimeRange { first_us: time_us(first)?, last_us: time_us(last)? };
                if range.first_us > range.last_us { Err(unexpected()) } else { Ok(Self::Time(Some(range))) }
            }
            _ => Err(unexpected()),
        }
    }
}

impl fmt::Display for OneOf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.count)
    }
}

impl FromStr for OneOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(number, count)| Some(Self { number: number.parse().ok()?, count: count.parse().ok()? }));
        let in_bounds = parsed.filter(|one| one.number >= 1 && one.number <= one.count);
        in_bounds.ok_or_else(|| format!("expected a number from 1 and the number of all, such as 2/8, found `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(lens: &[u64]) -> Vec<LogFile> {
        let file = |(index, &len_bytes)| LogFile {
            path: format!("{index}").into(),
            len_bytes,
            row_count: None,
            is_pipe: false,
            pipe_digest: None,
        };
        lens.iter().enumerate().map(file).collect()
    }

    fn distributed(lens: &[u64], shard_count: u32) -> Vec<Vec<String>> {
        let names = |own: Vec<LogFile>| own.iter().map(|file| file.path.display().to_string()).collect();
        distribute(&files(lens), shard_count).unwrap().into_iter().map(names).collect()
    }

    #[test]
    fn files_are_distributed_by_size_and_keep_their_order() {
        assert_eq!(distributed(&[1, 5, 3, 4, 3], 2), [["1", "4"].as_slice(), &["0", "2", "3"]]);
        assert_eq!(distributed(&[2, 2, 2], 3), [["0"], ["1"], ["2"]]);
        assert_eq!(distributed(&[0, 0, 0, 0], 2), [["0", "2"], ["1", "3"]]);
    }

    #[test]
    fn more_shards_than_files_are_rejected() {
        let error = distribute(&files(&[1, 1]), 3).unwrap_err();
        assert!(error.to_string().starts_with("expected at least 3 files"), "{error}");
    }

    #[test]
    fn a_split_is_parsed_from_its_text() {
        for text in ["file", "column:site_id", "column:a:b", "time", "time:-5..17", "random"] {
            assert_eq!(text.parse::<Split>().unwrap().to_string(), text);
        }
        for text in ["", "files", "column", "column:", "time:", "time:5", "time:6..5", "time:a..b", "random:1"] {
            assert!(text.parse::<Split>().unwrap_err().contains("found `"), "{text}");
        }
    }

    #[test]
    fn one_of_several_is_parsed_from_its_text() {
        assert_eq!("2/8".parse::<OneOf>().unwrap(), OneOf { number: 2, count: 8 });
        for text in ["", "2", "0/8", "9/8", "2/8/1", "-1/2", "1/0"] {
            assert!(text.parse::<OneOf>().is_err(), "{text}");
        }
    }
}
