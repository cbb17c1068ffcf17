//! Times of impressions, as microseconds since 1970-01-01 UTC.

use arrow_cast::parse::string_to_timestamp_nanos;

/// Reads a time: an integer is microseconds already; text is RFC 3339, where a space may stand for the `T`, and UTC is
/// meant where no offset is given. Nothing comes of other text and of years outside 1678 to 2261.
pub(super) fn parse_us(text: &str) -> Option<i64> {
    if let Ok(microseconds) = text.parse() {
        return Some(microseconds);
    }
    string_to_timestamp_nanos(text).ok().map(|nanoseconds| nanoseconds.div_euclid(1_000))
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
