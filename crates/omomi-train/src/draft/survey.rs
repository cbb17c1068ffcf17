//! Surveys the columns of a log: counts, ranges, examples, and how much of the label each column tells.

use std::collections::{BTreeSet, HashMap};

use xxhash_rust::xxh3::xxh3_64;

use super::{DraftError, MAX_READING_TEXT_LEN_BYTES};
use crate::evaluate::{entropy, whole};
use crate::log::{is_guessed_missing, text_id};

/// Most categories of a column that are counted one by one.
const MAX_COUNTED: usize = 1 << 16;
/// Most categories of a column whose texts are kept as possible examples.
const MAX_EXAMPLES_KEPT: usize = 1 << 10;
/// Number of smallest hashes by which distinct values are estimated, once there are too many to count.
const SMALLEST_HASHES: usize = 2_048;
/// Number of examples.
const EXAMPLE_COUNT: usize = 3;
/// Longest example that is kept, in bytes.
const MAX_EXAMPLE_LEN: usize = 60;
/// Rows that a category counts for the mean click rate, when its own is estimated.
const PRIOR_ROWS: f64 = 10.0;
/// Most texts of a label that an error lists.
const MAX_LABELS: usize = 4;

/// Most different texts of a column that its type cannot read and that are counted one by one.
const MAX_ODD_TEXTS: usize = 16;

/// A value of a column in a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Missing,
    /// A value of a format with types of its own.
    Text(&'a str),
    /// A cell of CSV, which is not empty.
    Cell(&'a str),
}

/// How often each of a few texts occurs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextCounts {
    /// Number of all such values.
    pub count: u64,
    /// The first different texts, at most 16, each with its number.
    pub texts: Vec<(String, u64)>,
    /// Number of values with other texts.
    pub others: u64,
}

impl TextCounts {
    fn add(&mut self, text: &str) {
        self.count += 1;
        if let Some((_, count)) = self.texts.iter_mut().find(|(known, _)| known == text) {
            *count += 1;
        } else if self.texts.len() < MAX_ODD_TEXTS && text.len() <= MAX_READING_TEXT_LEN_BYTES && self.others == 0 {
            self.texts.push((text.to_owned(), 1));
        } else {
            self.others += 1;
        }
    }
}

/// What a survey found about one column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnFacts {
    /// Name of the column.
    pub name: String,
    /// Whether the rows have lists of values, in a format that has lists.
    pub is_list: bool,
    /// Number of rows without a value.
    pub missing_count: u64,
    /// The texts in CSV that are read as missing, such as `NULL`.
    pub missing_texts: TextCounts,
    /// Number of cells that are not missing.
    pub cell_count: u64,
    /// Number of CSV cells that are a list in JSON. Their items are the values.
    pub list_count: u64,
    /// Number of values.
    pub value_count: u64,
    /// Number of different values: exact up to 65,536, otherwise an estimate that is within 5 % nearly always.
    pub distinct_count: u64,
    /// Some values, the most frequent first.
    pub examples: Vec<String>,
    /// Number of values that are integers without leading zeros, from -2^63 to 2^64 - 1, also as `12.0`.
    pub integer_count: u64,
    /// Number of values that are finite numbers, integers included, longer ones excluded.
    pub number_count: u64,
    /// Number of values that are numbers, but not finite. Training counts them as missing.
    pub not_finite_count: u64,
    /// Number of values that are integers of more than 64 bits: names, for a double would round them.
    pub long_integer_count: u64,
    /// The values that an `id` field cannot read.
    pub not_ids: TextCounts,
    /// The values that a `number` field cannot read.
    pub not_numbers: TextCounts,
    /// Number of values that are times in words, such as `2026-01-01 00:00:00`.
    pub time_count: u64,
    /// Number of values with the character that separates the values of a list in CSV.
    pub separated_count: u64,
    /// The lowest and the highest number; infinite without numbers.
    pub range: [f64; 2],
    /// The share of the label's entropy that the column takes away, from 0 to 1. The click rates of the values are
    /// learned on one half of the rows and tried on the other.
    pub explained: f64,
}

/// What a survey found in a log.
pub(super) struct Found {
    pub(super) columns: Vec<ColumnFacts>,
    pub(super) row_count: u64,
    pub(super) click_count: u64,
    /// The texts of the label that mean not clicked and clicked, unless they are the usual ones.
    pub(super) label_words: Option<[String; 2]>,
}

/// The survey of all columns.
pub(super) struct Survey {
    columns: Vec<Column>,
    /// Index of the label among the columns.
    label: usize,
    labels: Vec<String>,
    /// Number of rows with each label.
    rows_of_label: [u64; 2],
    /// Values of the current row: the column, and the value's hash, or `None` for a missing one.
    row: Vec<(usize, Option<u64>)>,
    row_label: Option<usize>,
    row_count: u64,
    odd_label: Option<String>,
    /// The character that separates the values of a list in CSV.
    separator: char,
}

struct Column {
    facts: ColumnFacts,
    /// Rows by the hash of the value: on the two halves of the rows, with the first and the second label.
    counted: HashMap<u64, Cell>,
    /// The same by magnitude, for numbers.
    by_magnitude: HashMap<u64, Cell>,
    missing: Cell,
    others: Cell,
    texts: HashMap<u64, String>,
    smallest: BTreeSet<u64>,
    /// The magnitude of the row's value, if it is a number.
    magnitude: Option<u64>,
}

/// Rows of the two halves, with the first and the second label.
type Cell = [[u32; 2]; 2];

impl Survey {
    /// Surveys these columns, each with whether it holds lists. `label` is one of them. In CSV, `separator` is between
    /// the values of a list.
    pub(super) fn new(columns: impl Iterator<Item = (String, bool)>, label: &str, separator: char) -> Self {
        let columns: Vec<Column> = columns.map(|(name, is_list)| Column::new(name, is_list)).collect();
        let label = columns.iter().position(|column| column.facts.name == label).unwrap_or(0);
        Self {
            columns,
            label,
            labels: Vec::new(),
            rows_of_label: [0; 2],
            row: Vec::new(),
            row_label: None,
            row_count: 0,
            odd_label: None,
            separator,
        }
    }

    /// Returns the number of rows with a label.
    pub(super) fn row_count(&self) -> u64 {
        self.row_count
    }

    pub(super) fn begin_row(&mut self) {
        self.row.clear();
        self.row_label = None;
    }

    pub(super) fn add(&mut self, column: usize, value: Value<'_>) {
        if column == self.label {
            if let Value::Text(text) | Value::Cell(text) = value {
                self.row_label = self.label_of(text);
            }
            return;
        }
        let (found, separator) = (&mut self.columns[column], self.separator);
        let hash = match value {
            Value::Missing => None,
            Value::Text(text) => {
                found.facts.cell_count += 1;
                Some(found.look_at(text))
            }
            // What training reads as missing is no value here either.
            Value::Cell(text) if is_guessed_missing(text) => {
                found.facts.missing_texts.add(text);
                None
            }
            Value::Cell(text) => {
                found.facts.cell_count += 1;
                if let Some(items) = list_items(text, separator) {
                    found.facts.list_count += 1;
                    if items.is_empty() {
                        self.row.push((column, None));
                    }
                    self.row.extend(items.iter().map(|item| (column, Some(found.look_at(item)))));
                    return;
                }
                found.facts.separated_count += u64::from(text.contains(separator));
                Some(found.look_at(text))
            }
        };
        self.row.push((column, hash));
    }

    /// Returns the place of a label among the two that there are.
    fn label_of(&mut self, text: &str) -> Option<usize> {
        let known = self.labels.iter().position(|label| label == text);
        if known.is_none() {
            if self.labels.len() < MAX_LABELS {
                self.labels.push(text.to_owned());
                return Some(self.labels.len() - 1);
            }
            self.odd_label.get_or_insert_with(|| text.to_owned());
        }
        known
    }

    pub(super) fn end_row(&mut self) {
        // A row without a label is a bad row for training, and says nothing here.
        let Some(label) = self.row_label.filter(|&label| label < 2) else { return };
        // Scattered, because logs have patterns of their own, such as pairs of rows.
        let half = usize::from(self.row_count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1);
        self.row_count += 1;
        self.rows_of_label[label] += 1;
        for &(column, hash) in &self.row {
            self.columns[column].count(hash, half, label);
        }
    }

    /// Ends the survey.
    pub(super) fn finish(mut self) -> Result<Found, DraftError> {
        let name = self.columns[self.label].facts.name.clone();
        let not_a_label = |found: String| DraftError::NotALabel { label: name.clone(), found };
        let quoted: Vec<String> = self.labels.iter().map(|label| format!("`{}`", example(label))).collect();
        if self.labels.len() != 2 {
            let more = if self.odd_label.is_some() { " and more" } else { "" };
            return Err(not_a_label(format!("{}{more}", quoted.join(", "))));
        }
        let (clicked, label_words) = self.clicked_label();
        let clicks = self.rows_of_label[clicked] as f64;
        let base = entropy(clicks / self.row_count as f64);
        self.columns.remove(self.label);
        let columns = self.columns.into_iter().map(|column| column.finish(clicked, base)).collect();
        Ok(Found { columns, row_count: self.row_count, click_count: self.rows_of_label[clicked], label_words })
    }

    /// Tells which of the two labels means a click, and their texts unless these are the usual ones. If one is usual,
    /// the other means the opposite. Of two unusual ones, the rarer one is taken: a guess.
    fn clicked_label(&self) -> (usize, Option<[String; 2]>) {
        let usual = |text: &str| match text {
            "0" | "0.0" | "false" | "False" | "FALSE" | "f" => Some(false),
            "1" | "1.0" | "true" | "True" | "TRUE" | "t" => Some(true),
            _ => None,
        };
        match [usual(&self.labels[0]), usual(&self.labels[1])] {
            [Some(false), Some(true)] => (1, None),
            [Some(true), Some(false)] => (0, None),
            usual => {
                let clicked = match usual {
                    [Some(true), None] | [None, Some(false)] => 0,
                    [Some(false), None] | [None, Some(true)] => 1,
                    _ => usize::from(self.rows_of_label[1] <= self.rows_of_label[0]),
                };
                (clicked, Some([self.labels[1 - clicked].clone(), self.labels[clicked].clone()]))
            }
        }
    }
}

impl Column {
    fn new(name: String, is_list: bool) -> Self {
        let facts = ColumnFacts {
            name,
            is_list,
            missing_count: 0,
            missing_texts: TextCounts::default(),
            cell_count: 0,
            list_count: 0,
            value_count: 0,
            distinct_count: 0,
            examples: Vec::new(),
            integer_count: 0,
            number_count: 0,
            not_finite_count: 0,
            long_integer_count: 0,
            not_ids: TextCounts::default(),
            not_numbers: TextCounts::default(),
            time_count: 0,
            separated_count: 0,
            range: [f64::INFINITY, f64::NEG_INFINITY],
            explained: 0.0,
        };
        Self {
            facts,
            counted: HashMap::new(),
            by_magnitude: HashMap::new(),
            missing: Cell::default(),
            others: Cell::default(),
            texts: HashMap::new(),
            smallest: BTreeSet::new(),
            magnitude: None,
        }
    }

    /// Looks at a value: its type, its range and its text. Returns its hash.
    fn look_at(&mut self, text: &str) -> u64 {
        let facts = &mut self.facts;
        facts.value_count += 1;
        self.magnitude = None;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let has_leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
        let is_id = text_id(text).is_some();
        if !is_id {
            facts.not_ids.add(text);
        }
        let is_long_integer = !is_id && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        facts.long_integer_count += u64::from(is_long_integer);
        let number = text.parse::<f64>().ok();
        match number {
            None => facts.not_numbers.add(text),
            Some(number) => facts.not_finite_count += u64::from(!number.is_finite()),
        }
        let is_number = |number: &f64| number.is_finite() && !has_leading_zero && !is_long_integer;
        if let Some(number) = number.filter(is_number) {
            facts.number_count += 1;
            facts.integer_count += u64::from(is_id);
            facts.range = [facts.range[0].min(number), facts.range[1].max(number)];
            // The sign, the exponent, and two bits after the point.
            self.magnitude = Some(number.to_bits() >> 50);
        } else if text.len() >= 8 && text.contains(['-', ':']) && crate::log::parse_time_us(text, None, true).is_some()
        {
            facts.time_count += 1;
        }
        let hash = xxh3_64(text.as_bytes());
        if self.texts.len() < MAX_EXAMPLES_KEPT && !self.texts.contains_key(&hash) {
            self.texts.insert(hash, example(text));
        }
        hash
    }

    fn count(&mut self, hash: Option<u64>, half: usize, label: usize) {
        let Some(hash) = hash else {
            self.facts.missing_count += 1;
            self.missing[half][label] += 1;
            return;
        };
        // Of a list, only the last magnitude counts: integers of lists are ids.
        if let Some(magnitude) = self.magnitude {
            self.by_magnitude.entry(magnitude).or_default()[half][label] += 1;
        }
        if self.counted.len() < MAX_COUNTED || self.counted.contains_key(&hash) {
            self.counted.entry(hash).or_default()[half][label] += 1;
        } else {
            self.others[half][label] += 1;
        }
        if self.smallest.len() < SMALLEST_HASHES || self.smallest.last().is_some_and(|&last| hash < last) {
            self.smallest.insert(hash);
            if self.smallest.len() > SMALLEST_HASHES {
                self.smallest.pop_last();
            }
        }
    }

    /// `clicked` is the label of a click, and `base` the entropy of the label.
    fn finish(mut self, clicked: usize, base: f64) -> ColumnFacts {
        let rest = [self.missing, self.others];
        let by_value = explained(self.counted.values().chain(&rest), clicked, base);
        let by_magnitude = explained(self.by_magnitude.values().chain(&rest[..1]), clicked, base);
        self.facts.explained = by_value.max(by_magnitude);
        self.facts.distinct_count = if self.counted.len() < MAX_COUNTED {
            self.counted.len() as u64
        } else {
            // The k-th smallest of n hashes is at about k / n of their range.
            let last = self.smallest.last().map_or(1.0, |&last| last as f64 / u64::MAX as f64);
            whole((SMALLEST_HASHES as f64 - 1.0) / last)
        };
        let count = |hash: &u64| self.counted.get(hash).map_or(0, |cell| cell.iter().flatten().sum::<u32>());
        let mut texts: Vec<(u32, String)> = self.texts.iter().map(|(hash, text)| (count(hash), text.clone())).collect();
        texts.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        self.facts.examples = texts.into_iter().take(EXAMPLE_COUNT).map(|(_, text)| text).collect();
        self.facts
    }
}

/// Returns the share of the label's entropy that goes away when each row is predicted by the click rate of its cell on
/// the other half of the rows.
fn explained<'a>(cells: impl Iterator<Item = &'a Cell> + Clone, clicked: usize, base: f64) -> f64 {
    let mut totals = [[0.0; 2]; 2];
    for cell in cells.clone() {
        for half in [0, 1] {
            for label in [0, 1] {
                totals[half][label] += f64::from(cell[half][label]);
            }
        }
    }
    let (mut loss, mut row_count) = (0.0, 0.0);
    for half in [0, 1] {
        let other = 1 - half;
        let rate = totals[other][clicked] / (totals[other][0] + totals[other][1]).max(1.0);
        for cell in cells.clone() {
            let [learned, tried] = [cell[other], cell[half]].map(|rows| rows.map(f64::from));
            let rows = learned[0] + learned[1];
            // Half a click keeps the rate away from 0 and 1 where all rows are alike.
            let rate = (learned[clicked] + rate * PRIOR_ROWS) / (rows + PRIOR_ROWS);
            let rate = rate.clamp(1e-6, 1.0 - 1e-6);
            loss -= tried[clicked] * rate.ln() + tried[1 - clicked] * (1.0 - rate).ln();
            row_count += tried[0] + tried[1];
        }
    }
    if row_count == 0.0 || base == 0.0 { 0.0 } else { (1.0 - loss / row_count / base).clamp(0.0, 1.0) }
}

/// The items of a CSV cell that training reads as a list in JSON, as texts. `None` for another cell, and for a list of
/// items that no field can read.
fn list_items(cell: &str, separator: char) -> Option<Vec<String>> {
    if !cell.starts_with('[') || !cell.ends_with(']') || cell.contains(separator) {
        return None;
    }
    let items: Vec<serde_json::Value> = serde_json::from_str(cell).ok()?;
    let text = |item: serde_json::Value| match item {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Bool(value) => Some(value.to_string()),
        serde_json::Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    };
    items.into_iter().filter(|item| !item.is_null()).map(text).collect()
}

/// Shortens a text to an example.
pub(super) fn example(text: &str) -> String {
    omomi::printable::printable(text, MAX_EXAMPLE_LEN)
}
