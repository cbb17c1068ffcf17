//! How logs are read: the names of columns, and the notations of their values. The trainer needs it; a server does not,
//! so it is no part of the canonical JSON and of the fingerprint.

use super::Contract;

/// How the logs of a contract are read: the table `[reading]` of a `contract.toml`, and some keys of its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Column of the label, if it is not named like the label.
    pub label_column: Option<String>,
    /// Texts in the label column that mean a click, besides `1` and `true`.
    pub clicked: Vec<String>,
    /// Texts in the label column that mean no click, besides `0` and `false`.
    pub not_clicked: Vec<String>,
    /// Unit of times that are integers. `None`: it is guessed, and the guess is reported.
    pub time_unit: Option<TimeUnit>,
    /// Texts that mean a missing value. `None`: the usual ones in CSV, such as `NULL`, are guessed and reported.
    pub missing: Option<Vec<String>>,
    /// Notation of numbers that are texts.
    pub number_format: NumberFormat,
    /// Notation of lists in CSV. `None`: a list in JSON is recognized and reported.
    pub lists: Option<ListForm>,
    /// How each field is read, in contract order.
    pub fields: Vec<FieldReading>,
}

/// How the column of one field is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldReading {
    /// Name of the column, if it is not named like the field. In JSON lines and Parquet, dots lead into nested records:
    /// `user.id`.
    pub column: Option<String>,
    /// Whether texts are normalized to Unicode NFC. The server must send NFC as well: scoring does not normalize.
    pub nfc: bool,
    /// Texts that mean a missing value in this column. `None`: those of [`Reading::missing`].
    pub missing: Option<Vec<String>>,
    /// Whether training may find no value at all in this column. Otherwise that is an error.
    pub may_be_empty: bool,
}

/// The unit of a time that is an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since 1970-01-01 UTC.
    Seconds,
    /// Milliseconds since 1970-01-01 UTC.
    Milliseconds,
    /// Microseconds since 1970-01-01 UTC.
    Microseconds,
    /// Nanoseconds since 1970-01-01 UTC.
    Nanoseconds,
    /// A day in UTC, such as 20191124.
    Day,
    /// A second in UTC, such as 20191124235959.
    DateTime,
}

/// The notation of a number that is text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NumberFormat {
    /// `1234.56`
    #[default]
    Plain,
    /// `1,234.56`
    CommaGroups,
    /// `1.234,56`
    DotGroups,
    /// `1 234,56`
    SpaceGroups,
}

/// The notation of the list of a `many` field in a CSV cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListForm {
    /// Categories joined by the separator: `a|b`.
    Separated,
    /// A list in JSON: `["a","b"]`.
    Json,
}

impl TimeUnit {
    /// The words for the units in a contract: `s`, `ms`, `us`, `ns`, `yyyymmdd` and `yyyymmddhhmmss`.
    pub const WORDS: [&'static str; 6] = ["s", "ms", "us", "ns", "yyyymmdd", "yyyymmddhhmmss"];

    const ALL: [Self; 6] =
        [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds, Self::Day, Self::DateTime];

    /// Returns the unit with this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.word() == word)
    }

    /// Returns the word for this unit.
    #[must_use]
    pub const fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

impl NumberFormat {
    /// The words for the notations in a contract: one number in each of them.
    pub const WORDS: [&'static str; 4] = ["1234.56", "1,234.56", "1.234,56", "1 234,56"];

    /// Returns the notation with this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Plain, Self::CommaGroups, Self::DotGroups, Self::SpaceGroups].into_iter().find(|one| one.word() == word)
    }

    /// Returns the word for this notation.
    #[must_use]
    pub const fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

impl ListForm {
    /// The words for the notations in a contract.
    pub const WORDS: [&'static str; 2] = ["separated", "json"];

    /// Returns the notation with this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Separated, Self::Json].into_iter().find(|one| one.word() == word)
    }

    /// Returns the word for this notation.
    #[must_use]
    pub const fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

impl Contract {
    /// Returns how logs are read.
    #[must_use]
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Returns the name of the log column of the field with this index.
    ///
    /// # Panics
    ///
    /// Panics if there is no such field.
    #[must_use]
    pub fn field_column(&self, index: usize) -> &str {
        self.reading.fields[index].column.as_deref().unwrap_or(&self.fields[index].name)
    }

    /// Returns the name of the log column of the label.
    #[must_use]
    pub fn label_column(&self) -> &str {
        self.reading.label_column.as_deref().unwrap_or(&self.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::ContractFaults;

    const PLAIN: &str = r#"{"name":"n","label":"clicked","field":[
        {"name":"site","side":"context","type":"text","meaning":"m"},
        {"name":"price","side":"context","type":"number","unit":"JPY","range":[0,9],"buckets":[1],"meaning":"m"}]}"#;

    fn with(keys: &str, field_keys: &str) -> Result<Contract, ContractFaults> {
        let text = PLAIN.replace(r#""label""#, &format!(r#"{keys} "label""#));
        Contract::from_json(text.replacen(r#""side""#, &format!(r#"{field_keys} "side""#), 1).as_bytes())
    }

    #[test]
    fn how_logs_are_read_changes_neither_the_canonical_json_nor_equality() {
        let plain = Contract::from_json(PLAIN.as_bytes()).unwrap();
        let read = with(
            r#""reading":{"label_column":"is click","clicked":["yes"],"not_clicked":["no"],"time_unit":"ms",
                "missing":["-"],"number_format":"1.234,56","lists":"json"},"#,
            r#""column":"context.サイト","normalize":"nfc","missing":["none"],"may_be_empty":true,"#,
        )
        .unwrap();
        assert_eq!(plain.canonical_json(), read.canonical_json());
        assert_eq!(plain.fingerprint(), read.fingerprint());
        assert_eq!(plain, read);
        assert_ne!(plain.reading(), read.reading());
        assert_eq!((read.field_column(0), read.field_column(1)), ("context.サイト", "price"));
        assert_eq!(read.label_column(), "is click");
        let again = plain.with_reading_json(&read.reading_json().unwrap()).unwrap();
        assert_eq!(again.reading(), read.reading());
        assert_eq!(plain.reading_json(), None);
    }

    #[test]
    fn faults_of_reading_name_the_place() {
        let cases = [
            (r#""reading":{"time_unit":"minutes"},"#, "", "`time_unit` must be one of s, ms, us, ns"),
            (r#""reading":{"colum":"x"},"#, "", "unknown key `colum`"),
            (r#""reading":{"missing":"NULL"},"#, "", "reading: `missing` must be a list"),
            (r#""reading":{"clicked":["a"],"not_clicked":["a"]},"#, "", "\"a\" is also in `clicked`"),
            (r#""reading":7,"#, "", "reading: expected a table"),
            ("", r#""column":"clicked","#, "the column `clicked` is also the column of the label"),
            ("", r#""column":"","#, "`column` is empty"),
            ("", r#""normalize":"nfd","#, "`normalize` must be one of nfc"),
        ];
        for (keys, field_keys, message) in cases {
            let faults = with(keys, field_keys).unwrap_err().to_string();
            assert!(faults.contains(message), "{faults}");
        }
        let number = PLAIN.replace(r#""unit""#, r#""normalize":"nfc","unit""#);
        let faults = Contract::from_json(number.as_bytes()).unwrap_err().to_string();
        assert!(faults.contains("`normalize` is only for text"), "{faults}");
    }
}
