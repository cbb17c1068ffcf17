//! Guesses the field of a column: pure rules over what the survey found.

use std::fmt;

use omomi::contract::Side;

use super::ColumnFacts;
use crate::readable::grouped;

/// Share of the label's entropy from which a column is suspected to be known only after the click.
const LEAK: f64 = 0.5;
/// Share of the rows from which different values are suspected to identify the row.
const OF_ROWS: f64 = 0.95;
/// Fewest values for a suspicion.
const MIN_VALUES: u64 = 100;
/// Share of the values of one type from which the column is of that type. The rest are bad rows, or mean missing.
const NEARLY_ALL: f64 = 0.99;
/// Number of different integers from which a column may be a quantity.
const MIN_QUANTITIES: u64 = 20;
/// Bounds of a range are rounded outward to this many significant digits.
const RANGE_DIGITS: i32 = 2;
/// Ratio of the highest to the lowest number from which buckets are powers of 2.
const WIDE: f64 = 1_000.0;

/// What a draft makes of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Guess {
    /// A field.
    Field(GuessedField),
    /// Not a field, for this reason.
    Left(Suspicion),
}

/// A field as it is guessed.
#[derive(Debug, Clone, PartialEq)]
pub struct GuessedField {
    /// The side: a guess by the name, unless `side_by_name` is false; then it is only a default.
    pub side: Side,
    /// Whether the name of the column told the side.
    pub side_by_name: bool,
    /// The type.
    pub kind: GuessedKind,
    /// Whether a row may have several categories.
    pub many: bool,
}

/// The type of a field as it is guessed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GuessedKind {
    /// Integers that are names of things.
    Id,
    /// Texts.
    Text,
    /// Quantities, within a range.
    Number {
        /// The lowest and the highest value, rounded outward.
        range: [f64; 2],
        /// Whether buckets are powers of 2; otherwise they are quantiles.
        log2: bool,
    },
}

/// Why a column is no field of a draft.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Suspicion {
    /// No row has a value.
    Empty,
    /// All rows have the same value.
    Constant,
    /// It tells more of the label than a column that is known before the click should.
    Leak {
        /// The share of the label's entropy that it takes away.
        explained: f64,
    },
    /// Nearly every row has a value of its own.
    OneValuePerRow,
    /// It holds the time of the impression, or another time.
    Time,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("no row has a value"),
            Self::Constant => formatter.write_str("all rows have the same value, so it tells nothing"),
            Self::Leak { explained } => write!(
                formatter,
                "it tells {:.0} % of the label, more than a column that is known before the click: look whether it is \
                 written after it",
                100.0 * explained
            ),
            Self::OneValuePerRow => formatter.write_str("nearly every row has a value of its own: it names the row"),
            Self::Time => {
                formatter.write_str("it holds times: give it to --time-column, or make it an hour of the day")
            }
        }
    }
}

/// Guesses the field of a column of a log with `row_count` rows.
pub(super) fn guess(facts: &ColumnFacts, row_count: u64) -> Guess {
    let values = facts.value_count;
    let share = |count: u64| count as f64 / values.max(1) as f64;
    let has_times = share(facts.time_count) >= NEARLY_ALL || is_clock(facts);
    let suspicion = match () {
        () if values == 0 => Some(Suspicion::Empty),
        () if facts.distinct_count == 1 && facts.missing_count == 0 => Some(Suspicion::Constant),
        () if has_times => Some(Suspicion::Time),
        () if facts.explained >= LEAK && values >= MIN_VALUES => Some(Suspicion::Leak { explained: facts.explained }),
        () if is_one_per_row(facts, row_count) => Some(Suspicion::OneValuePerRow),
        () => None,
    };
    if let Some(suspicion) = suspicion {
        return Guess::Left(suspicion);
    }
    let side = side_of(&facts.name);
    let many = facts.is_list || (share(facts.separated_count) > 0.05 && share(facts.number_count) < 0.5);
    Guess::Field(GuessedField {
        side: side.unwrap_or(Side::Context),
        side_by_name: side.is_some(),
        kind: if many && !facts.is_list { GuessedKind::Text } else { kind_of(facts) },
        many,
    })
}

/// Whether the column names rows. A quantity may well be different in each row, such as a price.
fn is_one_per_row(facts: &ColumnFacts, row_count: u64) -> bool {
    let distinct_share = facts.distinct_count as f64 / row_count.max(1) as f64;
    let is_fraction = facts.number_count > facts.integer_count;
    !facts.is_list && !is_fraction && facts.value_count >= MIN_VALUES && distinct_share >= OF_ROWS
}

/// Whether all values are integers that are times after 2000 in seconds or a smaller unit, in a column with such a
/// name.
fn is_clock(facts: &ColumnFacts) -> bool {
    let named = words_of(&facts.name).iter().any(|word| ["time", "timestamp", "ts", "datetime", "date"].contains(word));
    let [low, high] = facts.range;
    let is_in = |from: f64, to: f64| low >= from && high < to;
    let seconds = [1.0, 1e3, 1e6, 1e9].iter().any(|unit| is_in(946_684_800.0 * unit, 4_102_444_800.0 * unit));
    named && facts.integer_count == facts.value_count && (seconds || is_in(20_000_101.0, 21_000_101.0))
}

fn kind_of(facts: &ColumnFacts) -> GuessedKind {
    let share = |count: u64| count as f64 / facts.value_count.max(1) as f64;
    if share(facts.number_count) < NEARLY_ALL {
        return GuessedKind::Text;
    }
    let is_whole = share(facts.integer_count) >= NEARLY_ALL;
    let is_quantity = names_a_quantity(&facts.name) && facts.distinct_count >= MIN_QUANTITIES;
    if facts.is_list || (is_whole && !is_quantity) {
        return GuessedKind::Id;
    }
    let [low, high] = facts.range;
    let range = [outward(low, false), outward(high, true)];
    GuessedKind::Number { range, log2: low >= 0.0 && high / low.max(1.0) >= WIDE }
}

/// Rounds to two significant digits, away from the values in between.
fn outward(bound: f64, up: bool) -> f64 {
    if bound == 0.0 {
        return 0.0;
    }
    let step = 10_f64.powf(bound.abs().log10().floor() + 1.0 - f64::from(RANGE_DIGITS));
    let rounded = if up { (bound / step).ceil() * step } else { (bound / step).floor() * step };
    // The step is a power of ten that a double may miss in its last digit.
    format!("{rounded:.*e}", usize::try_from(RANGE_DIGITS).unwrap_or(0)).parse().unwrap_or(rounded)
}

/// The words of a name: `adSlotId` and `ad_slot_id` have `ad`, `slot` and `id`.
fn words_of(name: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let bytes = name.as_bytes();
    for index in 0..=bytes.len() {
        let at_end = index == bytes.len();
        let is_border = !at_end && !bytes[index].is_ascii_alphanumeric() && bytes[index].is_ascii();
        let is_hump =
            !at_end && index > start && bytes[index].is_ascii_uppercase() && bytes[index - 1].is_ascii_lowercase();
        if at_end || is_border || is_hump {
            if index > start {
                words.push(&name[start..index]);
            }
            start = if is_hump { index } else { index + 1 };
        }
    }
    words
}

fn has_word(name: &str, words: &[&str]) -> bool {
    words_of(name).iter().any(|found| words.iter().any(|word| found.eq_ignore_ascii_case(word)))
}

/// Tells the side by the words of a name, or `None` if they do not.
fn side_of(name: &str) -> Option<Side> {
    const CANDIDATE: [&str; 17] = [
        "creative",
        "campaign",
        "advertiser",
        "ad",
        "ads",
        "adgroup",
        "item",
        "product",
        "banner",
        "brand",
        "candidate",
        "offer",
        "article",
        "document",
        "bid",
        "image",
        "sku",
    ];
    const CONTEXT: [&str; 24] = [
        "user",
        "device",
        "os",
        "browser",
        "site",
        "page",
        "media",
        "publisher",
        "app",
        "slot",
        "placement",
        "position",
        "hour",
        "weekday",
        "day",
        "country",
        "region",
        "city",
        "language",
        "query",
        "referrer",
        "session",
        "age",
        "gender",
    ];
    // `ad_slot` is a place: the context says more than `ad`.
    if has_word(name, &CONTEXT) {
        return Some(Side::Context);
    }
    has_word(name, &CANDIDATE).then_some(Side::Candidate)
}

fn names_a_quantity(name: &str) -> bool {
    const WORDS: [&str; 28] = [
        "price", "amount", "cost", "bid", "floor", "count", "num", "number", "age", "score", "rate", "ctr", "ratio",
        "duration", "seconds", "secs", "minutes", "hours", "days", "distance", "length", "width", "height", "size",
        "weight", "income", "gain", "loss",
    ];
    has_word(name, &WORDS) && !has_word(name, &["id", "code"])
}

/// Says the facts of a column on one line, for a comment.
pub(super) fn facts_line(facts: &ColumnFacts, row_count: u64) -> String {
    let missing = 100.0 * facts.missing_count as f64 / row_count.max(1) as f64;
    let examples: Vec<String> = facts.examples.iter().map(|example| format!("{example:?}")).collect();
    let mut line = format!("{} different values", grouped(facts.distinct_count));
    if facts.missing_count > 0 {
        line.push_str(&format!(", {} % missing", crate::readable::significant(missing, 2)));
    }
    if !examples.is_empty() {
        line.push_str(&format!(", such as {}", examples.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_at_humps_and_marks() {
        assert_eq!(words_of("adSlotId"), ["ad", "Slot", "Id"]);
        assert_eq!(words_of("user.ad_group-ID"), ["user", "ad", "group", "ID"]);
        assert_eq!(words_of("広告_id"), ["広告", "id"]);
        assert_eq!(words_of(""), [""; 0]);
    }

    #[test]
    fn the_side_follows_from_the_name_or_stays_open() {
        for (name, side) in [
            ("creative_id", Some(Side::Candidate)),
            ("AdvertiserID", Some(Side::Candidate)),
            ("ad_slot", Some(Side::Context)),
            ("user_id", Some(Side::Context)),
            ("x17", None),
            ("address", None),
        ] {
            assert_eq!(side_of(name), side, "{name}");
        }
    }

    #[test]
    fn ranges_are_rounded_away_from_the_values() {
        for (bound, low, high) in
            [(0.0, 0.0, 0.0), (1234.0, 1200.0, 1300.0), (-0.0123, -0.013, -0.012), (99.5, 99.0, 100.0)]
        {
            assert_eq!((outward(bound, false), outward(bound, true)), (low, high), "{bound}");
        }
    }
}
