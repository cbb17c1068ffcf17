//! Flags that say how CSV logs and live lists are written.

use omomi_train::log::CsvDialect;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CsvFlags {
    /// Character between two cells of CSV: a punctuation mark, or `tab` [default: tab in .tsv, otherwise comma]
    #[arg(long, value_name = "CHARACTER", value_parser = character)]
    csv_delimiter: Option<char>,
    /// Character around CSV cells that contain delimiters or line ends, or `none`
    #[arg(long, value_name = "CHARACTER", default_value = "\"", value_parser = character_or_none)]
    csv_quote: CharacterOrNone,
    /// Character that precedes a quote inside a quoted CSV cell, such as the backslash of Spark and Hive [default: such
    /// a quote is written twice]
    #[arg(long, value_name = "CHARACTER", value_parser = character)]
    csv_escape: Option<char>,
    /// Most lines in one quoted CSV cell: a stray quote swallows no more rows than that
    #[arg(long, value_name = "COUNT", default_value_t = CsvDialect::default().max_cell_lines)]
    csv_cell_lines: u32,
}

/// `clap` treats an `Option` as a flag that may be absent; this flag is always there.
type CharacterOrNone = Option<char>;

impl CsvFlags {
    pub(crate) fn dialect(&self) -> CsvDialect {
        CsvDialect {
            delimiter: self.csv_delimiter,
            quote: self.csv_quote,
            escape: self.csv_escape,
            max_cell_lines: self.csv_cell_lines,
        }
    }

    /// The flags of a command that reads like this one, with a space before each.
    pub(crate) fn words(&self, quoted: impl Fn(&str) -> String) -> String {
        let (dialect, default) = (self.dialect(), CsvDialect::default());
        let mut words = String::new();
        let mut add = |flag: &str, value: String| words.push_str(&format!(" {flag} {}", quoted(&value)));
        dialect.delimiter.into_iter().for_each(|delimiter| add("--csv-delimiter", named(delimiter)));
        if dialect.quote != default.quote {
            add("--csv-quote", dialect.quote.map_or_else(|| "none".to_owned(), String::from));
        }
        dialect.escape.into_iter().for_each(|escape| add("--csv-escape", escape.to_string()));
        if dialect.max_cell_lines != default.max_cell_lines {
            add("--csv-cell-lines", dialect.max_cell_lines.to_string());
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

fn character_or_none(text: &str) -> Result<CharacterOrNone, String> {
    if text == "none" { Ok(None) } else { character(text).map(Some) }
}
