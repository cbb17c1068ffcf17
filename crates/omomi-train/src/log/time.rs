//! Times of impressions, in microseconds since 1970-01-01 UTC: how they are parsed, and the range that a log covers.

use arrow_cast::parse::string_to_timestamp_nanos;

use super::row_part::PartFilter;
use super::wanted_columns::Wanted;
use super::{LogError, LogReader, ReadOptions};
use omomi::contract::Contract;

/// Parses a time. An integer is in microseconds; other text is RFC 3339, where a space may replace the `T`, and a time
/// without an offset is in UTC. Returns `None` for any other text and for years outside 1678 to 2261.
pub(super) fn parse_us(text: &str) -> Option<i64> {
    if let Ok(microseconds) = text.parse() {
        return Some(microseconds);
    }
    string_to_timestamp_nanos(text).ok().map(|nanoseconds| nanoseconds.div_euclid(1_000))
}

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
    let Some(time_column) = &options.time_column else { return Err(LogError::PartsWithoutTime) };
    let wanted = Wanted::new(contract, Some(time_column), &[])?.without_fields();
    let mut reader = LogReader::open_wanted(wanted, PartFilter::new(&[], true)?, patterns, options.clone())?;
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

#[cfg(test)]
mod tests {
    use super::parse_us;

    #[test]
    fn one_instant_reads_the_same_in_every_notation() {
        for text in [
            "2019-11-24T00:00:17.004101Z",
            "2019-11-24 00:00:17.004101+00:00",
            "2019-11-24 00:00:17.004101",
            "2019-11-24T09:00:17.004101+09:00",
            "1574553617004101",
        ] {
            assert_eq!(parse_us(text), Some(1_574_553_617_004_101), "{text}");
        }
        assert_eq!(parse_us("1969-12-31 23:59:59.999999999Z"), Some(-1));
        for text in ["", "yesterday", "2019-13-01", "1.5"] {
            assert_eq!(parse_us(text), None, "{text}");
        }
    }
}
