//! The range of times that a log covers.

use super::hold_out::{HoldOut, HoldOutRule, KeptRows};
use super::row_part::PartFilter;
use super::wanted_columns::Wanted;
use super::{LogError, LogReader, ReadOptions};
use omomi::contract::Contract;

/// Returns the earliest and the latest time in a log, in microseconds since 1970-01-01 UTC, or `None` if the log has no
/// rows. Reads the whole log, but decodes only the label and the time. Calls `watch` after each batch of
/// [`ReadOptions::batch_row_count`] rows.
///
/// # Errors
///
/// Returns [`LogError::PartsWithoutTime`] if the options name no time column. Otherwise fails like [`LogReader::open`]
/// and [`LogReader::next_batch`].
pub fn time_range(
    contract: &Contract,
    patterns: &[impl AsRef<str>],
    options: &ReadOptions,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<Option<(i64, i64)>, LogError> {
    let mut reader = LogReader::open_times(contract, patterns, options)?;
    let mut range: Option<(i64, i64)> = None;
    while let Some(batch) = reader.next_batch()? {
        for &time_us in batch.time_us.iter().flatten() {
            let (first, last) = range.unwrap_or((time_us, time_us));
            range = Some((first.min(time_us), last.max(time_us)));
        }
        watch(&reader);
    }
    Ok(range)
}

impl LogReader {
    /// Opens a reader that decodes only the label and the time of all rows.
    pub(super) fn open_times(
        contract: &Contract,
        patterns: &[impl AsRef<str>],
        options: &ReadOptions,
    ) -> Result<Self, LogError> {
        let Some(time_column) = &options.time_column else { return Err(LogError::PartsWithoutTime) };
        let wanted = Wanted::new(contract, Some(time_column), &[])?.without_fields();
        let options = ReadOptions { parts: Vec::new(), hold_out: None, ..options.clone() };
        Self::open_wanted(wanted, PartFilter::new(&[], None, true)?, patterns, options)
    }

    /// Fails if the hold-out of the options holds out no row of the logs, or every row: before a step begins that takes
    /// hours. Reads the columns of the rule only, and stops once there is a row of each kind.
    pub(crate) fn check_hold_out(
        contract: &Contract,
        patterns: &[impl AsRef<str>],
        options: &ReadOptions,
    ) -> Result<(), LogError> {
        // A share of the last rows is checked where it becomes a time.
        let is_checked = |hold_out: &&HoldOut| !matches!(hold_out.rule, HoldOutRule::Last(_));
        let Some(hold_out) = options.hold_out.as_ref().filter(is_checked) else { return Ok(()) };
        let mut part_filter = PartFilter::new(&[], Some(hold_out), options.time_column.is_some())?;
        let columns: Vec<String> = part_filter.columns().cloned().collect();
        let time_column = options.time_column.as_deref().filter(|_| hold_out.needs_time());
        let wanted = Wanted::new(contract, time_column, &columns)?.without_fields().without_label();
        let options = ReadOptions { parts: Vec::new(), max_bad_rows: u64::MAX, ..options.clone() };
        let mut reader = Self::open_wanted(wanted, PartFilter::new(&[], None, true)?, patterns, options)?;
        while let Some(mut batch) = reader.next_batch()? {
            part_filter.apply(&mut batch);
            if part_filter.hold_out().is_some_and(|hold_out| hold_out.counts.has_both()) {
                return Ok(());
            }
        }
        let hold_out = HoldOut { kept: KeptRows::Others, ..hold_out.clone() };
        part_filter.hold_out().map_or(Ok(()), |filter| filter.counts.check(&hold_out))
    }
}
