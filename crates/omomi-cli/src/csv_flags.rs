//! Flags that say how CSV logs and live lists are written.

use omomi_train::log::{CsvDialect, LogChar, ReadOptions};

/// Flags that are not given are as in the training of the model, if there is one and its logs were CSV.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CsvFlags {
    /// Character between the categories of a `many` field in a CSV cell [default: as in training, otherwise |]
    #[arg(long, value_name = "CHARACTER", value_parser = character)]
    many_separator: Option<char>,
    /// Character between two cells of CSV: a punctuation mark, `tab`, or `auto` for a tab in .tsv and otherwise a comma
    /// [default: as in training, otherwise auto]
    #[arg(long, value_name = "CHARACTER", value_parser = character_or_auto)]
    csv_delimiter: Option<MaybeChar>,
    /// Character around CSV cells that contain delimiters or line ends, or `none` [default: as in training, otherwise
    /// "]
    #[arg(long, value_name = "CHARACTER", value_parser = character_or_none)]
    csv_quote: Option<MaybeChar>,
    /// Character that precedes a quote inside a quoted CSV cell, such as the backslash of Spark and Hive, or `none`:
    /// such a quote is written twice [default: as in training, otherwise none]
    #[arg(long, value_name = "CHARACTER", value_parser = character_or_none)]
    csv_escape: Option<MaybeChar>,
    /// Most lines in one quoted CSV cell: a stray quote swallows no more rows than that
    #[arg(long, value_name = "COUNT", default_value_t = CsvDialect::default().max_cell_lines)]
    csv_cell_lines: u32,
}

/// `clap` treats an `Option` as a flag that may be absent; this is a value of a flag.
type MaybeChar = Option<char>;

impl CsvFlags {
    /// The dialect of a file that no training has read.
    pub(crate) fn dialect(&self) -> CsvDialect {
        let default = CsvDialect::default();
        CsvDialect {
            delimiter: self.csv_delimiter.unwrap_or(default.delimiter),
            quote: self.csv_quote.unwrap_or(default.quote),
            escape: self.csv_escape.unwrap_or(default.escape),
            max_cell_lines: self.csv_cell_lines,
        }
    }

    /// Returns the options with these flags.
    pub(crate) fn applied_to(&self, read: ReadOptions) -> ReadOptions {
        let unstated = [
            (LogChar::ManySeparator, self.many_separator.is_none()),
            (LogChar::CsvDelimiter, self.csv_delimiter.is_none()),
            (LogChar::CsvQuote, self.csv_quote.is_none()),
            (LogChar::CsvEscape, self.csv_escape.is_none()),
        ];
        let as_trained = unstated.into_iter().filter(|(_, is_unstated)| *is_unstated).map(|(char, _)| char);
        read.with(|it| {
            it.many_separator = self.many_separator.unwrap_or(it.many_separator);
            it.csv = self.dialect();
            it.as_trained = as_trained.collect();
        })
    }

    /// The flags of a command that reads like this one, with a space before each.
    pub(crate) fn words(&self, quoted: impl Fn(&str) -> String) -> String {
        let mut words = String::new();
        let mut add = |flag: LogChar, value: Option<String>| {
            words.extend(value.map(|value| format!(" {} {}", flag.flag(), quoted(&value))));
        };
        add(LogChar::ManySeparator, self.many_separator.map(named));
        add(LogChar::CsvDelimiter, self.csv_delimiter.map(|char| char.map_or_else(|| "auto".to_owned(), named)));
        add(LogChar::CsvQuote, self.csv_quote.map(|char| char.map_or_else(|| "none".to_owned(), named)));
        add(LogChar::CsvEscape, self.csv_escape.map(|char| char.map_or_else(|| "none".to_owned(), named)));
        if self.csv_cell_lines != CsvDialect::default().max_cell_lines {
            words.push_str(&format!(" --csv-cell-lines {}", self.csv_cell_lines));
        }
        words
    }
}

fn named(char: char) -> String {
    if char == '\t' { "tab".to_owned() } else { char.to_string() }
}

fn character(text: &str) -> Result<char, String> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        _ if matches!(text, "tab" | "\\t") => Ok('\t'),
        (Some(char), None) => Ok(char),
        _ => Err("expected one character, or `tab`".to_owned()),
    }
}

fn character_or_none(text: &str) -> Result<MaybeChar, String> {
    if text == "none" { Ok(None) } else { character(text).map(Some) }
}

fn character_or_auto(text: &str) -> Result<MaybeChar, String> {
    if text == "auto" { Ok(None) } else { character(text).map(Some) }
}
