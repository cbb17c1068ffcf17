//! Guesses the field of a column: pure rules over what the survey found.

use std::fmt;

use omomi::contract::Side;

use super::survey::{TextCounts, example};
use super::{ColumnFacts, MAX_COLUMN_LEN_BYTES};
use crate::log::is_usual_missing;
use crate::readable::grouped;

/// Share of the label's entropy from which a column is suspected to be known only after the click.
const LEAK: f64 = 0.5;
/// Share of the rows from which different values are suspected to identify the row.
const OF_ROWS: f64 = 0.95;
/// Fewest values for a suspicion.
const MIN_VALUES: u64 = 100;
/// Share of the values of one type from which the column is of that type. The rest mean missing, if all of them can be
/// named.
const NEARLY_ALL: f64 = 0.99;
/// Share of the cells that are lists from which a CSV column is one of lists.
const MOST: f64 = 0.5;
/// Number of different integers from which a column may be a quantity.
const MIN_QUANTITIES: u64 = 20;
/// Bounds of a range are rounded outward to this many significant digits.
const RANGE_DIGITS: i32 = 2;
/// Ratio of the highest to the lowest number from which buckets are powers of 2.
const WIDE: f64 = 1_000.0;
/// Number of odd texts that a comment quotes.
const MAX_QUOTED: usize = 3;

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
    /// All texts that mean a missing value, if the column cannot be read without a list of them.
    pub missing: Vec<String>,
    /// What the guess about the type did not follow, for a comment: values of another type.
    pub note: Option<String>,
    /// Whether its side has too many fields before it, so that the draft has it as a comment only.
    pub over_limit: bool,
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
#[derive(Debug, Clone, PartialEq)]
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
    /// A contract cannot name the column.
    Unnamable,
    /// No field can read all of its values.
    Unreadable {
        /// The first value that cannot be read, or what else is wrong.
        reason: String,
    },
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
            Self::Unnamable => write!(
                formatter,
                "a contract names columns with 1 to {MAX_COLUMN_LEN_BYTES} bytes of printable text: rename it in the \
                 logs"
            ),
            Self::Unreadable { reason } => write!(formatter, "no field can read all of its values: {reason}"),
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
        () if !is_namable(&facts.name) => Some(Suspicion::Unnamable),
        () => None,
    };
    if let Some(suspicion) = suspicion {
        return Guess::Left(suspicion);
    }
    let side = side_of(&facts.name);
    let is_separated = !facts.has_lists() && share(facts.separated_count) > 0.05 && share(facts.number_count) < 0.5;
    let typed = if is_separated { Typed::plain(GuessedKind::Text) } else { typed(facts) };
    Guess::Field(GuessedField {
        side: side.unwrap_or(Side::Context),
        side_by_name: side.is_some(),
        kind: typed.kind,
        many: facts.has_lists() || is_separated,
        missing: typed.missing,
        note: typed.note,
        over_limit: false,
    })
}

/// Makes the next best guess about a column whose guess `field` cannot read the logs, for this `reason`.
pub(super) fn second_guess(facts: &ColumnFacts, field: &GuessedField, reason: String) -> Guess {
    let next = |kind, many| {
        Guess::Field(GuessedField { kind, many, missing: Vec::new(), note: Some(reason.clone()), ..field.clone() })
    };
    match field.kind {
        GuessedKind::Text if field.many && !facts.is_list => next(GuessedKind::Text, false),
        GuessedKind::Text => Guess::Left(Suspicion::Unreadable { reason }),
        GuessedKind::Id if !field.many && facts.not_numbers.count == 0 => {
            next(number(facts).unwrap_or(GuessedKind::Text), false)
        }
        GuessedKind::Id | GuessedKind::Number { .. } => next(GuessedKind::Text, field.many),
    }
}

impl ColumnFacts {
    /// Whether the rows have lists, of a type of its own or as JSON in most cells of CSV.
    pub(super) fn has_lists(&self) -> bool {
        self.is_list || self.list_count as f64 > MOST * self.cell_count as f64
    }
}

fn is_namable(name: &str) -> bool {
    (1..=MAX_COLUMN_LEN_BYTES).contains(&name.len()) && omomi::printable::printable(name, usize::MAX) == name
}

/// Whether the column names rows. A quantity may well be different in each row, such as a price.
fn is_one_per_row(facts: &ColumnFacts, row_count: u64) -> bool {
    let distinct_share = facts.distinct_count as f64 / row_count.max(1) as f64;
    let is_quantity = facts.number_count > facts.integer_count || names_a_quantity(&facts.name);
    let is_no_key = facts.has_lists() || (is_quantity && number(facts).is_some());
    !is_no_key && facts.value_count >= MIN_VALUES && distinct_share >= OF_ROWS
}

/// Whether nearly all values are integers that are times after 2000 in seconds or a smaller unit, in a column with such
/// a name.
fn is_clock(facts: &ColumnFacts) -> bool {
    let named = words_of(&facts.name).iter().any(|word| ["time", "timestamp", "ts", "datetime", "date"].contains(word));
    let [low, high] = facts.range;
    let is_in = |from: f64, to: f64| low >= from && high < to;
    let seconds = [1.0, 1e3, 1e6, 1e9].iter().any(|unit| is_in(946_684_800.0 * unit, 4_102_444_800.0 * unit));
    let is_whole = facts.integer_count as f64 >= NEARLY_ALL * facts.value_count as f64;
    named && is_whole && (seconds || is_in(20_000_101.0, 21_000_101.0))
}

/// A type, and what it takes to read all values as such.
struct Typed {
    kind: GuessedKind,
    missing: Vec<String>,
    note: Option<String>,
}

impl Typed {
    fn plain(kind: GuessedKind) -> Self {
        Self { kind, missing: Vec::new(), note: None }
    }
}

fn typed(facts: &ColumnFacts) -> Typed {
    // Texts that other tools write for a missing value are no values of this column, however many there are.
    let share =
        |count: u64, odd: &TextCounts| count as f64 / (facts.value_count - usual_missing_count(odd)).max(1) as f64;
    let is_whole = facts.integer_count > 0
        && facts.number_count == facts.integer_count
        && share(facts.integer_count, &facts.not_ids) >= NEARLY_ALL;
    let is_number =
        facts.number_count > 0 && share(facts.number_count + facts.not_finite_count, &facts.not_numbers) >= NEARLY_ALL;
    let text = |note| Typed { note, ..Typed::plain(GuessedKind::Text) };
    if facts.has_lists() {
        let are_ids = is_whole && facts.not_ids.count == 0;
        return if are_ids { Typed::plain(GuessedKind::Id) } else { text(None) };
    }
    if facts.long_integer_count > 0 {
        return text(Some(format!("{} values are integers of more than 64 bits", grouped(facts.long_integer_count))));
    }
    let is_quantity = names_a_quantity(&facts.name) && facts.distinct_count >= MIN_QUANTITIES;
    let quantity = number(facts).filter(|_| is_number && (is_quantity || !is_whole));
    let (kind, odd, name) = match quantity {
        Some(kind) => (kind, &facts.not_numbers, "numbers"),
        None if is_whole => (GuessedKind::Id, &facts.not_ids, "integers"),
        // Where nearly no value is a number, that some are tells nothing.
        None if !is_number && share(facts.number_count, &facts.not_numbers) < MOST => return text(None),
        None => return text(odd_note(&facts.not_numbers, facts, "numbers")),
    };
    if odd.count == 0 {
        return Typed::plain(kind);
    }
    let note = odd_note(odd, facts, name);
    if odd.others > 0 {
        return text(note);
    }
    // A list replaces the texts that are read as missing without one.
    let listed = odd.texts.iter().chain(&facts.missing_texts.texts).map(|(text, _)| text.clone());
    Typed { kind, missing: listed.collect(), note }
}

fn usual_missing_count(odd: &TextCounts) -> u64 {
    let usual = odd.texts.iter().filter(|(text, _)| text.is_empty() || is_usual_missing(text));
    usual.map(|(_, count)| count).sum()
}

fn odd_note(odd: &TextCounts, facts: &ColumnFacts, name: &str) -> Option<String> {
    let quoted: Vec<String> =
        odd.texts.iter().take(MAX_QUOTED).map(|(text, _)| format!("{:?}", example(text))).collect();
    let more = if odd.texts.len() > MAX_QUOTED || odd.others > 0 { ", ..." } else { "" };
    let (count, values) = (grouped(odd.count), grouped(facts.value_count));
    (!quoted.is_empty()).then(|| format!("{count} of {values} values are no {name}: {}{more}", quoted.join(", ")))
}

/// The range and buckets of a quantity. `None` if there are no two different numbers: then it has no buckets.
fn number(facts: &ColumnFacts) -> Option<GuessedKind> {
    let [low, high] = facts.range;
    let range = [outward(low, false), outward(high, true)];
    (low < high).then_some(GuessedKind::Number { range, log2: low >= 0.0 && high / low.max(1.0) >= WIDE })
}

/// Rounds to two significant digits, away from the values in between.
fn outward(bound: f64, up: bool) -> f64 {
    if bound == 0.0 {
        return 0.0;
    }
    let step = 10_f64.powf(bound.abs().log10().floor() + 1.0 - f64::from(RANGE_DIGITS));
    let is_outward = |rounded: &f64| rounded.is_finite() && if up { *rounded >= bound } else { *rounded <= bound };
    let rounded = if up { (bound / step).ceil() * step } else { (bound / step).floor() * step };
    // The step is a power of ten that a double may miss in its last digit.
    let parsed = format!("{rounded:.*e}", usize::try_from(RANGE_DIGITS).unwrap_or(0)).parse();
    // At either end of the doubles, there is no rounder number.
    parsed.ok().filter(is_outward).unwrap_or(bound)
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
        let texts: Vec<String> =
            facts.missing_texts.texts.iter().take(MAX_QUOTED).map(|(text, _)| format!("{:?}", example(text))).collect();
        if !texts.is_empty() {
            line.push_str(&format!(" (also written {})", texts.join(", ")));
        }
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
