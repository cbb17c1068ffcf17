//! The notations of values in logs: texts that mean a missing value, labels as words, lists, numbers with separators,
//! and ids as numbers with a fraction of zero.

use std::borrow::Cow;

use serde_json::Value;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::error::{RowFault, excerpt};
use omomi::contract::{FieldKind, FieldReading, ListForm, NumberFormat, Reading};
use omomi::feature;

/// Texts that other tools write for a missing value: SQL, MySQL and Hive, pandas, JSON, Python, Excel, C and Java, R.
/// In CSV, the first [`GUESSED_COUNT`] are read as missing, because nobody names a category so. The others may be
/// categories, such as the country code of Namibia, and are only reported.
pub(super) const USUAL_MISSING: [&str; 16] = [
    "NULL",
    "\\N",
    "NaN",
    "nan",
    "<NA>",
    "null",
    "Null",
    "None",
    "NaT",
    "#N/A",
    "(null)",
    "NA",
    "N/A",
    "n/a",
    "nil",
    "undefined",
];
const GUESSED_COUNT: usize = 11;

/// How the cells of one field are read.
#[derive(Debug)]
pub(super) struct FieldRules {
    /// Texts that mean a missing value. `None` if the contract says nothing about them.
    missing: Option<Vec<String>>,
    /// Those of `missing` that are integers, and those that are numbers: formats with types of their own have no texts
    /// for them.
    missing_ids: Vec<i64>,
    missing_numbers: Vec<f64>,
    nfc: bool,
    /// Whether texts can be left out or changed: a summary of the two fields above.
    changes_texts: bool,
    pub(super) number_format: NumberFormat,
    pub(super) lists: Option<ListForm>,
    /// How many cells were treated as missing for each text of [`USUAL_MISSING`], by a guess.
    pub(super) guessed_missing: Box<[u64; USUAL_MISSING.len()]>,
    /// How many values have each text of [`USUAL_MISSING`] as their category, because their format has a null of its
    /// own. Counts the texts of a dictionary once per batch.
    pub(super) kept_missing: Box<[u64; USUAL_MISSING.len()]>,
    /// How many cells were read as a list in JSON.
    pub(super) list_count: u64,
}

impl FieldRules {
    pub(super) fn new(reading: &Reading, field: &FieldReading) -> Self {
        let mut missing = field.missing.clone().or_else(|| reading.missing.clone());
        if field.nfc {
            missing.iter_mut().flatten().for_each(|text| *text = nfc(text).into_owned());
        }
        let texts = || missing.iter().flatten();
        Self {
            missing_ids: texts().filter_map(|text| text.parse().ok()).collect(),
            missing_numbers: texts().filter_map(|text| number_of(text, reading.number_format)).collect(),
            changes_texts: field.nfc || missing.as_ref().is_some_and(|texts| !texts.is_empty()),
            missing,
            nfc: field.nfc,
            number_format: reading.number_format,
            lists: reading.lists,
            guessed_missing: Box::new([0; USUAL_MISSING.len()]),
            kept_missing: Box::new([0; USUAL_MISSING.len()]),
            list_count: 0,
        }
    }

    /// Returns the values of the texts that the contract says mean a missing value.
    pub(super) fn missing_text_values(&self) -> Vec<u64> {
        self.missing.iter().flatten().map(|text| feature::text_value(text.as_bytes())).collect()
    }

    /// Whether texts can be left out or changed.
    #[inline]
    pub(super) fn changes_texts(&self) -> bool {
        self.changes_texts
    }

    /// Whether the contract says that `text` means a missing value.
    #[inline]
    pub(super) fn is_missing(&self, text: &str) -> bool {
        self.missing.as_ref().is_some_and(|texts| {
            let text = self.normalized(text);
            texts.iter().any(|missing| *missing == text)
        })
    }

    /// Whether the contract says that this integer means a missing value.
    #[inline]
    pub(super) fn is_missing_id(&self, id: i64) -> bool {
        self.missing_ids.contains(&id)
    }

    /// Whether the contract says that this number means a missing value.
    #[inline]
    pub(super) fn is_missing_number(&self, number: f64) -> bool {
        self.missing_numbers.contains(&number)
    }

    /// Whether some integers, or numbers, mean a missing value.
    pub(super) fn has_missing_numbers(&self) -> bool {
        !self.missing_numbers.is_empty()
    }

    /// Whether a CSV cell means a missing value: because the contract says so or, if it says nothing, because other
    /// tools write it for one.
    #[inline]
    pub(super) fn is_missing_in_csv(&mut self, cell: &str, kind: &FieldKind) -> bool {
        if !self.changes_texts && !is_usual_missing(cell) {
            return false;
        }
        self.is_unusual_cell_missing(cell, kind)
    }

    /// Decides about the few cells that are not plainly a value.
    fn is_unusual_cell_missing(&mut self, cell: &str, kind: &FieldKind) -> bool {
        if self.missing.is_some() {
            return self.is_missing(cell);
        }
        if !is_usual_missing(cell) {
            return false;
        }
        // "Not a number" is a number, which is counted as invalid.
        if matches!(kind, FieldKind::Number { .. }) && cell.eq_ignore_ascii_case("nan") {
            return false;
        }
        let Some(position) = position_of(cell) else { return false };
        let is_guessed = is_guessed_missing(cell);
        if is_guessed {
            self.guessed_missing[position] += 1;
        } else if matches!(kind, FieldKind::Text) {
            self.kept_missing[position] += 1;
        }
        is_guessed
    }

    /// Notes that a text of [`USUAL_MISSING`] became a category, unless the contract names the texts that do not.
    #[cold]
    pub(super) fn note_kept(&mut self, text: &str) {
        if self.missing.is_none()
            && let Some(position) = position_of(text)
        {
            self.kept_missing[position] += 1;
        }
    }

    /// Returns the text in the form in which it is hashed.
    #[inline]
    pub(super) fn normalized<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.nfc { nfc(text) } else { Cow::Borrowed(text) }
    }
}

/// Returns the text in Unicode NFC.
#[inline]
pub(crate) fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfc().collect())
}

/// Whether a CSV cell is read as missing although the contract says nothing about it.
pub(crate) fn is_guessed_missing(cell: &str) -> bool {
    position_of(cell).is_some_and(|position| position < GUESSED_COUNT)
}

/// Whether a text is one of [`USUAL_MISSING`].
#[inline]
pub(crate) fn is_usual_missing(text: &str) -> bool {
    // Nearly every cell ends here.
    let begins_so = matches!(text.as_bytes().first(), Some(b'N' | b'\\' | b'n' | b'<' | b'#' | b'(' | b'u'));
    begins_so && text.len() <= MAX_USUAL_LEN && position_of(text).is_some()
}

/// Length of the longest text of [`USUAL_MISSING`].
const MAX_USUAL_LEN: usize = "undefined".len();

fn position_of(text: &str) -> Option<usize> {
    USUAL_MISSING.iter().position(|usual| *usual == text)
}

/// The texts that a label may have.
#[derive(Debug)]
pub(super) struct LabelTexts {
    clicked: Vec<String>,
    not_clicked: Vec<String>,
    /// Whether the contract says anything. It then comes before what common tools write.
    has_own: bool,
}

impl LabelTexts {
    pub(super) fn new(reading: &Reading) -> Self {
        let (clicked, not_clicked) = (reading.clicked.clone(), reading.not_clicked.clone());
        Self { has_own: !clicked.is_empty() || !not_clicked.is_empty(), clicked, not_clicked }
    }

    /// Whether the contract names the texts of labels, so that numbers are to be compared as texts.
    #[inline]
    pub(super) const fn has_own(&self) -> bool {
        self.has_own
    }

    /// Whether the label `text` means a click. `None` if it is no label.
    #[inline]
    pub(super) fn clicked(&self, text: &str) -> Option<bool> {
        match text {
            "0" if !self.has_own => Some(false),
            "1" if !self.has_own => Some(true),
            _ => self.clicked_in_words(text),
        }
    }

    fn clicked_in_words(&self, text: &str) -> Option<bool> {
        // Tools write an integer column with fractions once a value is missing.
        let whole = text.strip_suffix(".0").unwrap_or(text);
        let is_in = |texts: &[String]| texts.iter().any(|one| one == text || one == whole);
        match text {
            _ if is_in(&self.clicked) => Some(true),
            _ if is_in(&self.not_clicked) => Some(false),
            "0" | "0.0" => Some(false),
            "1" => Some(true),
            "1.0" => Some(true),
            _ => boolean_of(text),
        }
    }
}

/// Parses a boolean as common tools write it.
fn boolean_of(text: &str) -> Option<bool> {
    match text {
        "false" | "False" | "FALSE" | "f" => Some(false),
        "true" | "True" | "TRUE" | "t" => Some(true),
        _ => None,
    }
}

/// Returns the word of a boolean in a text field.
pub(super) const fn boolean_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Returns the id of an unsigned integer: the signed one with the same 64 bits. It is what a `long` of Java has, and
/// what a cast of a `uint64_t` gives.
#[inline]
pub(super) const fn unsigned_id(number: u64) -> i64 {
    number.cast_signed()
}

/// Parses an id: an integer from -2^63 to 2^64 - 1, one with a fraction of zeros, such as `2.0`, or a boolean.
#[inline]
pub(crate) fn text_id(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| unusual_text_id(text))
}

fn unusual_text_id(text: &str) -> Option<i64> {
    if let Some(boolean) = boolean_of(text) {
        return Some(i64::from(boolean));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || fraction.bytes().any(|byte| byte != b'0') {
        return None;
    }
    whole.parse().ok().or_else(|| whole.parse().ok().map(unsigned_id))
}

/// Returns the id that a double is exactly. At 2^53 and above, a double may have been rounded to an integer, so that it
/// is no id.
#[inline]
pub(super) fn float_id(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
    let id = || number as i64;
    (number.abs() < 9_007_199_254_740_992.0 && number.fract() == 0.0).then(id)
}

/// Parses a number in the notation of the contract.
#[inline]
pub(crate) fn number_of(text: &str, format: NumberFormat) -> Option<f64> {
    let (group, decimal) = match format {
        NumberFormat::Plain => return text.parse().ok(),
        NumberFormat::CommaGroups => (',', '.'),
        NumberFormat::DotGroups => ('.', ','),
        NumberFormat::SpaceGroups => (' ', ','),
    };
    let (whole, fraction) = text.split_once(decimal).map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    // French writers also group with spaces that do not break.
    let is_group = |char: char| char == group || (group == ' ' && matches!(char, '\u{a0}' | '\u{202f}'));
    let mut groups = digits.split(is_group);
    let first = groups.next().filter(|first| is_digits(first))?;
    let rest: Vec<&str> = groups.collect();
    let is_grouped = rest.is_empty() || (first.len() <= 3 && rest.iter().all(|group| group.len() == 3));
    if !is_grouped || !rest.iter().all(|group| is_digits(group)) || fraction.is_some_and(|digits| !is_digits(digits)) {
        return None;
    }
    format!("{sign}{first}{}.{}", rest.concat(), fraction.unwrap_or("0")).parse().ok()
}

/// Whether a CSV cell may be a list in JSON. If not, [`list_of`] need not be asked.
#[inline]
pub(super) fn may_be_list(cell: &str, form: Option<ListForm>) -> bool {
    form == Some(ListForm::Json) || matches!(cell.as_bytes().first(), Some(b'[' | b'{' | b'(' | b' ' | b'\t'))
}

/// Parses a CSV cell as a list in JSON. Returns `None` if its categories are joined by the separator.
///
/// If the contract does not say which of the two it is, a cell in brackets is a list if it is one in JSON. Otherwise it
/// is a fault, unless it has the separator and does not look like a list of quoted texts.
pub(super) fn list_of(cell: &str, separator: char, form: Option<ListForm>) -> Result<Option<Vec<Value>>, RowFault> {
    match form {
        Some(ListForm::Separated) => return Ok(None),
        Some(ListForm::Json) => {}
        None => {
            let text = cell.trim();
            let is_enclosed = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
            let looks_quoted = [("['", "']"), ("[\"", "\"]"), ("('", "')"), ("(\"", "\")"), ("{\"", "\"}")];
            let looks_quoted = looks_quoted.iter().any(|(open, close)| is_enclosed(open, close));
            if !looks_quoted && !is_enclosed("[", "]") && !is_enclosed("{", "}") {
                return Ok(None);
            }
            let list = serde_json::from_str(text).ok();
            if list.is_some() || cell.contains(separator) && !looks_quoted {
                return Ok(list);
            }
        }
    }
    serde_json::from_str(cell).map(Some).map_err(|_| RowFault::List { separator, found: excerpt(cell) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_where_they_are_exact() {
        let cases = [
            ("2", Some(2)),
            ("2.0", Some(2)),
            ("-7.000", Some(-7)),
            ("9223372036854775807.0", Some(i64::MAX)),
            ("2.5", None),
            ("2.", None),
            (".0", None),
            ("2e0", None),
            ("", None),
            ("9223372036854775808", Some(i64::MIN)),
            ("18446744073709551615", Some(-1)),
            ("18446744073709551615.00", Some(-1)),
            ("18446744073709551616", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("True", Some(1)),
            ("f", Some(0)),
            ("yes", None),
            ("2026-01-31", None),
        ];
        for (text, id) in cases {
            assert_eq!(text_id(text), id, "{text}");
        }
        let floats = [(2.0, Some(2)), (-0.0, Some(0)), (2.5, None), (f64::NAN, None), (9_007_199_254_740_992.0, None)];
        for (number, id) in floats {
            assert_eq!(float_id(number), id, "{number}");
        }
    }

    #[test]
    fn numbers_are_read_in_the_notation_of_the_contract_only() {
        let cases = [
            ("1234.56", [Some(1234.56), Some(1234.56), None, None]),
            ("1,234.56", [None, Some(1234.56), None, None]),
            ("1.234,56", [None, None, Some(1234.56), None]),
            ("1 234,56", [None, None, None, Some(1234.56)]),
            ("-12.345.678", [None, None, Some(-12_345_678.0), None]),
            ("1.23,5", [None; 4]),
            ("1,2,3", [None; 4]),
            ("1\u{a0}234", [None, None, None, Some(1234.0)]),
            ("", [None; 4]),
            ("-", [None; 4]),
        ];
        for (text, numbers) in cases {
            let read = NumberFormat::WORDS.map(|word| number_of(text, NumberFormat::of_word(word).unwrap()));
            assert_eq!(read, numbers, "{text}");
        }
    }

    #[test]
    fn labels_are_words_of_common_tools_and_of_the_contract() {
        let usual = LabelTexts::new(&Reading::default());
        for (texts, clicked) in [
            (["1", "1.0", "true", "True", "TRUE", "t"], Some(true)),
            (["0", "0.0", "false", "False", "FALSE", "f"], Some(false)),
            (["yes", "no", "2", "", "tRUE", "T "], None),
        ] {
            for text in texts {
                assert_eq!(usual.clicked(text), clicked, "{text}");
            }
        }
        let reading = Reading { clicked: vec!["yes".into()], not_clicked: vec!["no".into()], ..Reading::default() };
        let own = LabelTexts::new(&reading);
        assert_eq!(
            ["yes", "no", "1", "Yes"].map(|text| own.clicked(text)),
            [Some(true), Some(false), Some(true), None]
        );
        let reading = Reading { clicked: vec!["2".into()], not_clicked: vec!["1".into()], ..Reading::default() };
        let own = LabelTexts::new(&reading);
        assert_eq!(
            ["2", "1", "2.0", "1.0", "0", "3"].map(|text| own.clicked(text)),
            [Some(true), Some(false), Some(true), Some(false), Some(false), None],
            "the contract comes first"
        );
    }

    #[test]
    fn lists_in_json_are_told_from_joined_categories() {
        let list = |cell, form| list_of(cell, '|', form).map(|list| list.map(|list| list.len()));
        assert_eq!(list(r#"["a","b"]"#, None), Ok(Some(2)));
        assert_eq!(list("[]", None), Ok(Some(0)));
        assert_eq!(list("[a]|[b]", None), Ok(None));
        assert_eq!(list("a|b", None), Ok(None));
        assert_eq!(list(r#"["a","b|c"]"#, None), Ok(Some(2)), "the separator within a text");
        assert_eq!(list(r#" ["a","b"] "#, None), Ok(Some(2)));
        assert_eq!(list("(none)", None), Ok(None));
        assert_eq!(list("[sale]", Some(ListForm::Separated)), Ok(None));
        for cell in ["['a', 'b']", "['a|b', 'c']", "('a', 'b')", "{a,b}", "[sale]"] {
            let fault = list(cell, None).unwrap_err().to_string();
            assert!(fault.contains("lists = \"separated\""), "{fault}");
        }
        assert!(list("a|b", Some(ListForm::Json)).is_err());
    }

    #[test]
    fn nfc_joins_what_looks_the_same() {
        let field = FieldReading { nfc: true, ..FieldReading::default() };
        let rules = FieldRules::new(&Reading::default(), &field);
        assert_eq!(rules.normalized("カ\u{3099}"), "ガ");
        assert_eq!(rules.normalized("e\u{301}"), "é");
        assert!(matches!(rules.normalized("ガé"), Cow::Borrowed(_)));
        let plain = FieldRules::new(&Reading::default(), &FieldReading::default());
        assert_eq!(plain.normalized("e\u{301}"), "e\u{301}");
    }

    #[test]
    fn what_means_missing_does_not_depend_on_the_format_or_the_form_of_a_text() {
        let reading = Reading { missing: Some(vec!["-1".into(), "カ\u{3099}".into()]), ..Reading::default() };
        let rules = FieldRules::new(&reading, &FieldReading { nfc: true, ..FieldReading::default() });
        assert!(rules.is_missing_id(-1) && rules.is_missing_number(-1.0) && rules.is_missing("-1"));
        assert!(!rules.is_missing_id(1) && !rules.is_missing_number(0.5));
        assert!(rules.is_missing("ガ") && rules.is_missing("カ\u{3099}") && !rules.is_missing("カ"));
        let plain = FieldRules::new(&reading, &FieldReading::default());
        assert!(!plain.is_missing("ガ") && plain.is_missing("カ\u{3099}"));
    }
}
