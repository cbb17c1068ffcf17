//! Counts, by field and log file, the values that the start state has not seen.
//!
//! A state that is continued every day knows most categories of the next day. Where hardly any is known, the notation
//! of the field has changed, or its ids are others.

use std::ops::Range;
use std::path::Path;

use omomi::contract::Contract;

use crate::log::{LogFile, RowBatch, first_jump};

use super::chunk_features::ChunkFeatures;

/// An unseen rate is reported if it differs by at least this much from that of the files before. New users and
/// creatives come every day, so it is more than for missing values.
const MIN_JUMP: f64 = 0.3;
/// An unseen rate above this is reported, whatever it was in the files before.
const MAX_RATE: f64 = 0.9;
/// Fewest values of a field in a file for which the rate is judged.
const MIN_VALUES: u64 = 100;

/// How many values of each field one file has, and how many of them the start state has not seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileUnseen {
    /// Values of the rows that were learned, by field of the contract.
    pub value_counts: Vec<u64>,
    /// Those of them that are not in the start state, by field of the contract.
    pub unseen_counts: Vec<u64>,
}

/// Counts while rows are learned.
#[derive(Debug)]
pub(super) struct UnseenCounter {
    field_count: usize,
    /// Number of features of the start state. They have the first numbers.
    known_count: u32,
    by_file: Vec<FileUnseen>,
}

impl UnseenCounter {
    pub(super) fn new(contract: &Contract, known_count: usize) -> Self {
        let known_count = u32::try_from(known_count).unwrap_or(u32::MAX);
        Self { field_count: contract.fields().len(), known_count, by_file: Vec::new() }
    }

    /// Counts the values of `rows` of the batch, which are the rows of the chunk.
    pub(super) fn count(&mut self, chunk: &ChunkFeatures, batch: &RowBatch, rows: &Range<usize>) {
        let mut start = 0;
        for &(file, end) in &batch.file_ends {
            let own = start.max(rows.start)..end.min(rows.end);
            start = end;
            if own.is_empty() {
                continue;
            }
            if self.by_file.len() <= file {
                let zeros = vec![0; self.field_count];
                let none = FileUnseen { value_counts: zeros.clone(), unseen_counts: zeros };
                self.by_file.resize(file + 1, none);
            }
            let FileUnseen { value_counts, unseen_counts } = &mut self.by_file[file];
            let own = own.start - rows.start..own.end - rows.start;
            for (field, (values, unseen)) in value_counts.iter_mut().zip(unseen_counts).enumerate() {
                let numbers = chunk.numbers_of_rows(field, &own);
                *values += numbers.len() as u64;
                *unseen += numbers.iter().filter(|&&number| number >= self.known_count).count() as u64;
            }
        }
    }

    pub(super) fn by_file(&self) -> &[FileUnseen] {
        &self.by_file
    }
}

impl FileUnseen {
    /// The values of the field with index `field`, and how many of them are unseen.
    pub(super) fn rate(&self, field: usize) -> (u64, u64) {
        let count = |counts: &[u64]| counts.get(field).copied().unwrap_or(0);
        (count(&self.value_counts), count(&self.unseen_counts))
    }

    /// Adds the counts of another file, or of other rows of this one.
    pub(crate) fn add(&mut self, other: &Self) {
        for (own, other) in
            [(&mut self.value_counts, &other.value_counts), (&mut self.unseen_counts, &other.unseen_counts)]
        {
            own.resize(own.len().max(other.len()), 0);
            own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        }
    }
}

/// Says which fields have nearly only values that the start state has not seen, or suddenly many of them. At most one
/// warning for each field.
pub(crate) fn unseen_warnings(contract: &Contract, logs: &[LogFile], by_file: &[FileUnseen]) -> Vec<String> {
    let percent = |rate: f64| format!("{:.1} %", 100.0 * rate);
    let warning = |(field, name): (usize, &str)| {
        let rates = || by_file.iter().map(|file| Some(file.rate(field)).filter(|(all, _)| *all >= MIN_VALUES));
        let path = |file: usize| logs.get(file).map_or(Path::new(""), |log| log.path.as_path()).display();
        let rate = |(all, unseen): (u64, u64)| unseen as f64 / all as f64;
        let strange =
            rates().enumerate().find_map(|(file, now)| Some((file, rate(now?))).filter(|(_, now)| *now > MAX_RATE));
        if let Some((file, rate)) = strange {
            return Some(format!(
                "{}: {} of the values of `{name}` are not in the start state; is it of the same logs, and is the \
                 notation of the field the same?",
                path(file),
                percent(rate)
            ));
        }
        let jump = first_jump(rates().map(Option::unwrap_or_default), MIN_JUMP)?;
        Some(format!(
            "{}: {} of the values of `{name}` are not in the start state, in the files before {}; has the notation of \
             the field changed?",
            path(jump.file),
            percent(jump.rate),
            percent(jump.rate_before)
        ))
    };
    contract.fields().iter().map(|field| field.name.as_str()).enumerate().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(rates: &[(u64, u64)]) -> Vec<String> {
        let json = br#"{"name":"one","label":"clicked","field":[
            {"name":"site","side":"context","type":"text","meaning":"m"}]}"#;
        let contract = Contract::from_json(json).unwrap();
        let files: Vec<FileUnseen> = rates
            .iter()
            .map(|&(all, unseen)| FileUnseen { value_counts: vec![all], unseen_counts: vec![unseen] })
            .collect();
        unseen_warnings(&contract, &[], &files)
    }

    #[test]
    fn a_field_of_another_notation_is_told_and_new_categories_are_not() {
        assert!(warnings(&[(1_000, 950)])[0].contains("95.0 % of the values of `site` are not in the start state"));
        assert!(warnings(&[(1_000, 100), (1_000, 800)])[0].contains("80.0 %"));
        assert!(warnings(&[(1_000, 600), (1_000, 650)]).is_empty(), "users are new every day");
        assert!(warnings(&[(99, 99)]).is_empty(), "too few to tell");
        assert!(warnings(&[(1_000, 10), (20, 20)]).is_empty(), "too few to tell");
        assert!(warnings(&[(0, 0), (1_000, 10), (0, 0)]).is_empty());
        assert!(warnings(&[]).is_empty());
    }
}
