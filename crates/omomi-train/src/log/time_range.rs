//! When the first and the last row of a log were: a pass over its times alone.

use super::row_part::Narrowing;
use super::wanted::Wanted;
use super::{LogError, LogReader, ReadOptions};
use omomi::contract::Contract;

/// The times of the first and of the last row, in microseconds since 1970-01-01 UTC; nothing of a log without rows. Only
/// the label and the time are decoded. `watch` is called after some thousand rows each.
///
/// # Errors
///
/// [`LogError::PartsWithoutTime`] where the options name no time column; what [`LogReader`] says of files and rows.
pub fn time_range(
    contract: &Contract,
    patterns: &[impl AsRef<str>],
    options: &ReadOptions,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<Option<(i64, i64)>, LogError> {
    let Some(time_column) = &options.time_column else { return Err(LogError::PartsWithoutTime) };
    let wanted = Wanted::new(contract, Some(time_column), &[])?.without_fields();
    let mut reader = LogReader::open_wanted(wanted, Narrowing::new(&[], true)?, patterns, options.clone())?;
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
