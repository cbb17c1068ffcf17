//! CSV text as records and cells, strictly by RFC 4180 or by a [`CsvDialect`] that the caller names.
//!
//! Whatever the dialect does not allow is a fault of its record, never another reading of it: a quote inside an
//! unquoted cell, text after a closing quote, a quote that is never closed, a carriage return without a line feed. A
//! record with a fault ends at the end of the line on which the fault was found, and the next record begins after it.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memchr2, memchr3};

/// Most bytes in a record of CSV or in a line of JSON.
pub(super) const MAX_RECORD_LEN: usize = 16 << 20;
/// Most cells in a record, so that a line of nothing but delimiters is also bounded.
const MAX_CELL_COUNT: usize = 1 << 16;
/// Length of the buffer at first. It grows for a longer record.
const BUFFER_LEN: usize = 1 << 17;

/// How CSV text is written. The default is RFC 4180.
///
/// All three characters are ASCII, differ from each other, and are neither letters, digits nor line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvDialect {
    /// The character between two cells. `None`: a tab in a file whose name ends in `.tsv`, otherwise a comma.
    pub delimiter: Option<char>,
    /// The character around a cell that contains delimiters or line ends. Inside such a cell it is written twice.
    /// `None`: no cell is quoted, and quotes are ordinary characters.
    pub quote: Option<char>,
    /// The character that may precede a quote inside a quoted cell instead of the second quote, as Spark and Hive write
    /// it. It also precedes itself. Before any other character it is ordinary. If no cell is quoted, it may precede a
    /// delimiter or a line end.
    pub escape: Option<char>,
    /// Most lines in one quoted cell, at least 1. A cell with more lines most likely began with a stray quote, which
    /// would silently swallow the rows up to the next one.
    pub max_cell_lines: u32,
}

impl Default for CsvDialect {
    fn default() -> Self {
        Self { delimiter: None, quote: Some('"'), escape: None, max_cell_lines: 10 }
    }
}

impl CsvDialect {
    /// Checks the characters.
    ///
    /// # Errors
    ///
    /// Returns what is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let delimiter = self.delimiter.unwrap_or(',');
        for (name, char) in [("delimiter", Some(delimiter)), ("quote", self.quote), ("escape", self.escape)] {
            let Some(char) = char else { continue };
            // Hive separates cells by the first control characters.
            let is_fit = char.is_ascii_punctuation() || matches!(char, '\t' | ' ' | '\u{1}'..='\u{8}');
            if !is_fit {
                return Err(format!("expected a {name} that is an ASCII punctuation mark or a tab, found {char:?}"));
            }
        }
        let repeated = match (self.quote, self.escape) {
            (Some(quote), _) if quote == delimiter => Some(quote),
            (_, Some(escape)) if escape == delimiter || self.quote == Some(escape) => Some(escape),
            _ => None,
        };
        if let Some(char) = repeated {
            return Err(format!(
                "expected three different characters as delimiter, quote and escape, found {char:?} twice"
            ));
        }
        if self.max_cell_lines == 0 {
            return Err("expected cells of at least 1 line, found a limit of 0".to_owned());
        }
        Ok(())
    }
}

/// What a dialect does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CsvFault {
    /// An unquoted cell contains a quote.
    StrayQuote,
    /// A cell goes on after its closing quote.
    TextAfterQuote {
        /// Whether a backslash precedes that quote, so that it was most likely meant as a part of the cell.
        after_backslash: bool,
    },
    /// A quoted cell does not end before the text ends.
    UnclosedQuote,
    /// A quoted cell has more than [`CsvDialect::max_cell_lines`] lines.
    TooManyLines,
    /// A carriage return is neither quoted nor followed by a line feed.
    StrayCarriageReturn,
    /// The record has more than 16 MiB.
    TooLong,
    /// The record has more than 65,536 cells.
    TooManyCells,
}

/// A record that [`CsvRecords::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvRecord {
    /// Number of the line on which the record begins, from 1.
    pub line: u64,
    /// How many lines the record has. More than 1 if a quoted cell contains line ends.
    pub line_count: u64,
    /// The fault, and the index of the cell that has it; `None` if the record is well formed.
    pub fault: Option<(usize, CsvFault)>,
}

/// Reads the records of CSV text one at a time, into buffers that are used again. Lines without any character are
/// skipped.
pub struct CsvRecords<R> {
    input: R,
    syntax: Syntax,
    buffer: Vec<u8>,
    /// Length of the buffer at first.
    buffer_len: usize,
    /// Where the text that was not read yet begins in `buffer`.
    start: usize,
    /// Where the text in `buffer` ends.
    end: usize,
    /// Whether `input` has no more text.
    is_at_end: bool,
    /// Number of the line that begins at `start`.
    line: u64,
    cells: Vec<Cell>,
    /// The cells of the record that contain doubled or escaped characters, back to back.
    unescaped: Vec<u8>,
    /// Where the record begins in `buffer`, and its length.
    record: (usize, usize),
}

/// Where a cell is: in the buffer, relative to the start of the record, or in `unescaped`.
#[derive(Clone, Copy)]
struct Cell {
    start: u32,
    end: u32,
    is_unescaped: bool,
}

/// The characters of a dialect, as bytes.
struct Syntax {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    max_cell_lines: u64,
    /// The bytes that may end an unquoted cell, each repeated in a word.
    specials: [u64; 4],
    carriage_return: CarriageReturn,
    /// How many line ends are inside the cells of the record.
    inner_line_ends: u64,
}

/// What a carriage return without a line feed is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CarriageReturn {
    /// The first record decides.
    Undecided,
    /// The end of a record: the first record ended so.
    EndsRecord,
    Fault,
}

/// What [`Syntax::parse`] found at the start of a text.
enum Parsed {
    /// A record of this many bytes, its line end included.
    Record(usize),
    /// The text ends within the record.
    NeedsMore,
    /// A fault in the cell with the next index, noticed at this position. The record goes on to the end of the line.
    Fault(CsvFault, usize),
}

const fn repeated(byte: u8) -> u64 {
    u64::MAX / 255 * byte as u64
}

/// Sets the highest bit of each byte that is 0 in `word`, and no other bit.
#[inline]
const fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = repeated(0x7f);
    !(((word & LOW) + LOW) | word | LOW)
}

impl Syntax {
    fn new(dialect: &CsvDialect, default_delimiter: char) -> Self {
        let byte = |char: char| u8::try_from(char).unwrap_or(b',');
        let delimiter = byte(dialect.delimiter.unwrap_or(default_delimiter));
        let quote = dialect.quote.map(byte);
        let escape = dialect.escape.map(byte);
        // Without quotes, only the escape can hide a delimiter.
        let fourth = quote.or(escape).unwrap_or(delimiter);
        Self {
            delimiter,
            quote,
            escape,
            max_cell_lines: u64::from(dialect.max_cell_lines),
            specials: [delimiter, b'\n', b'\r', fourth].map(repeated),
            carriage_return: CarriageReturn::Undecided,
            inner_line_ends: 0,
        }
    }

    /// The byte that ends a line. A carriage return may precede a line feed.
    fn line_end(&self) -> u8 {
        if self.carriage_return == CarriageReturn::EndsRecord { b'\r' } else { b'\n' }
    }

    /// Returns the positions of all special bytes in the 8 bytes from `at` on, as the highest bits of a word.
    #[inline]
    fn special_bits(&self, text: &[u8], at: usize) -> u64 {
        let word = match text[at..].first_chunk::<8>() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => {
                // No special byte is 0.
                let mut bytes = [0; 8];
                bytes[..text.len() - at].copy_from_slice(&text[at..]);
                u64::from_le_bytes(bytes)
            }
        };
        let [one, two, three, four] = self.specials;
        zero_bytes(word ^ one) | zero_bytes(word ^ two) | zero_bytes(word ^ three) | zero_bytes(word ^ four)
    }

    /// Returns the length of the line end at `at`: 0 if there is none, `None` if the text ends too early to tell.
    fn line_end_len(&mut self, text: &[u8], at: usize, is_at_end: bool) -> Option<usize> {
        match (text.get(at), text.get(at + 1)) {
            (Some(b'\n'), _) => Some(1),
            (Some(b'\r'), Some(b'\n')) => Some(2),
            (Some(b'\r'), None) if !is_at_end => None,
            // A file that ends with a carriage return was most likely cut off before its last byte.
            (Some(b'\r'), None) => Some(1),
            (Some(b'\r'), Some(_)) => {
                if self.carriage_return == CarriageReturn::Undecided {
                    self.carriage_return = CarriageReturn::EndsRecord;
                }
                Some(usize::from(self.carriage_return == CarriageReturn::EndsRecord))
            }
            _ => Some(0),
        }
    }

    /// Parses the record at the start of `text`, which is not empty.
    fn parse(&mut self, text: &[u8], is_at_end: bool, cells: &mut Vec<Cell>, unescaped: &mut Vec<u8>) -> Parsed {
        cells.clear();
        unescaped.clear();
        self.inner_line_ends = 0;
        let (mut cell_start, mut word_start) = (0, 0);
        let mut has_escape = false;
        'words: while word_start < text.len() {
            let mut bits = self.special_bits(text, word_start);
            while bits != 0 {
                let at = word_start + bits.trailing_zeros() as usize / 8;
                bits &= bits - 1;
                let byte = text[at];
                if byte == self.delimiter {
                    if cells.len() >= MAX_CELL_COUNT {
                        return Parsed::Fault(CsvFault::TooManyCells, at);
                    }
                    self.end_cell(text, cell_start, at, &mut has_escape, cells, unescaped);
                    cell_start = at + 1;
                } else if byte == b'\n' || byte == b'\r' {
                    match self.line_end_len(text, at, is_at_end) {
                        None => return Parsed::NeedsMore,
                        Some(0) => return Parsed::Fault(CsvFault::StrayCarriageReturn, at),
                        Some(len) => {
                            self.end_cell(text, cell_start, at, &mut has_escape, cells, unescaped);
                            return Parsed::Record(at + len);
                        }
                    }
                } else if self.quote == Some(byte) {
                    if at != cell_start {
                        return Parsed::Fault(CsvFault::StrayQuote, at);
                    }
                    let (end, is_escaped) = match self.closing_quote(text, at + 1, is_at_end) {
                        Ok(found) => found,
                        Err(parsed) => return parsed,
                    };
                    self.end_cell(text, at + 1, end, &mut { is_escaped }, cells, unescaped);
                    let after = end + 1;
                    if text.get(after) == Some(&self.delimiter) {
                        if cells.len() >= MAX_CELL_COUNT {
                            return Parsed::Fault(CsvFault::TooManyCells, after);
                        }
                        (cell_start, word_start) = (after + 1, after + 1);
                        continue 'words;
                    }
                    if after == text.len() {
                        return if is_at_end { Parsed::Record(after) } else { Parsed::NeedsMore };
                    }
                    match self.line_end_len(text, after, is_at_end) {
                        None => return Parsed::NeedsMore,
                        Some(0) => {
                            // The fault is in the cell that was just added.
                            cells.pop();
                            let fault = if text[after] == b'\r' {
                                CsvFault::StrayCarriageReturn
                            } else {
                                CsvFault::TextAfterQuote { after_backslash: text[end - 1] == b'\\' }
                            };
                            return Parsed::Fault(fault, after);
                        }
                        Some(len) => return Parsed::Record(after + len),
                    }
                } else {
                    // The escape character, outside quotes.
                    let hidden = text.get(at + 1).copied();
                    if hidden.is_none() && !is_at_end {
                        return Parsed::NeedsMore;
                    }
                    if hidden.is_some_and(|hidden| self.is_hidden(hidden)) {
                        has_escape = true;
                        self.inner_line_ends += u64::from(hidden == Some(b'\n'));
                        word_start = at + 2;
                        continue 'words;
                    }
                }
            }
            word_start += 8;
        }
        if !is_at_end {
            return Parsed::NeedsMore;
        }
        self.end_cell(text, cell_start, text.len(), &mut has_escape, cells, unescaped);
        Parsed::Record(text.len())
    }

    /// Whether the escape changes the meaning of the byte that follows it.
    fn is_hidden(&self, byte: u8) -> bool {
        match self.quote {
            Some(quote) => byte == quote || Some(byte) == self.escape,
            None => byte == self.delimiter || byte == b'\n' || Some(byte) == self.escape,
        }
    }

    /// Finds the quote that closes the cell whose text begins at `at`. Returns its position, and whether the text
    /// before it has doubled or escaped characters.
    fn closing_quote(&mut self, text: &[u8], mut at: usize, is_at_end: bool) -> Result<(usize, bool), Parsed> {
        let quote = self.quote.unwrap_or(b'"');
        let cut_off = || if is_at_end { Parsed::Fault(CsvFault::UnclosedQuote, text.len()) } else { Parsed::NeedsMore };
        let line_end = self.line_end();
        let (mut is_escaped, mut line_count) = (false, 1);
        loop {
            let rest = &text[at..];
            let found = match self.escape {
                Some(escape) => memchr3(quote, line_end, escape, rest),
                None => memchr2(quote, line_end, rest),
            };
            at += found.ok_or_else(cut_off)?;
            let next = text.get(at + 1).copied();
            if text[at] == line_end {
                line_count += 1;
                self.inner_line_ends += 1;
                if line_count > self.max_cell_lines {
                    return Err(Parsed::Fault(CsvFault::TooManyLines, at));
                }
                at += 1;
            } else if next.is_none() && !is_at_end {
                return Err(Parsed::NeedsMore);
            } else if Some(text[at]) == self.escape {
                let is_hiding = next.is_some_and(|next| self.is_hidden(next));
                is_escaped |= is_hiding;
                at += 1 + usize::from(is_hiding);
            } else if next == Some(quote) {
                is_escaped = true;
                at += 2;
            } else {
                return Ok((at, is_escaped));
            }
        }
    }

    /// Adds a cell. `is_escaped` says whether it has doubled or escaped characters, and is false afterwards.
    #[inline]
    fn end_cell(
        &self,
        text: &[u8],
        start: usize,
        end: usize,
        is_escaped: &mut bool,
        cells: &mut Vec<Cell>,
        unescaped: &mut Vec<u8>,
    ) {
        if std::mem::take(is_escaped) {
            let start_unescaped = unescaped.len();
            self.unescape(&text[start..end], unescaped);
            cells.push(Cell { start: offset(start_unescaped), end: offset(unescaped.len()), is_unescaped: true });
        } else {
            cells.push(Cell { start: offset(start), end: offset(end), is_unescaped: false });
        }
    }

    fn unescape(&self, cell: &[u8], unescaped: &mut Vec<u8>) {
        let mut bytes = cell.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let hides = Some(byte) == self.escape && bytes.peek().is_some_and(|&next| self.is_hidden(next));
            // Within a quoted cell a quote that is not escaped is the first of two.
            let is_doubled = Some(byte) == self.quote;
            unescaped.push(if hides || is_doubled { bytes.next().unwrap_or(byte) } else { byte });
        }
    }
}

/// Converts a position in the buffer. Never saturates, because a record has at most `MAX_RECORD_LEN` bytes.
#[inline]
fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

impl<R: Read> CsvRecords<R> {
    /// Reads `input`, which may begin with a byte order mark. `default_delimiter` is used where the dialect names none.
    /// The dialect must pass [`CsvDialect::check`].
    pub fn new(input: R, dialect: &CsvDialect, default_delimiter: char) -> Self {
        Self {
            input,
            syntax: Syntax::new(dialect, default_delimiter),
            buffer: Vec::new(),
            buffer_len: BUFFER_LEN,
            start: 0,
            end: 0,
            is_at_end: false,
            line: 1,
            cells: Vec::new(),
            unescaped: Vec::new(),
            record: (0, 0),
        }
    }

    /// Reads with a buffer of `len` bytes at first, so that records of any length cross its end.
    #[allow(dead_code, reason = "for the tests below and for tests/fuzz")]
    pub(super) fn with_buffer_len(self, len: usize) -> Self {
        Self { buffer_len: len.max(4), ..self }
    }

    /// Reads the next record. Returns `None` at the end of the text.
    ///
    /// # Errors
    ///
    /// Fails if the input cannot be read.
    pub fn read(&mut self) -> io::Result<Option<CsvRecord>> {
        if !self.skip_blank_lines()? {
            return Ok(None);
        }
        let line = self.line;
        loop {
            let text = &self.buffer[self.start..self.end];
            let text = &text[..text.len().min(MAX_RECORD_LEN)];
            let is_whole = self.is_at_end && text.len() == self.end - self.start;
            match self.syntax.parse(text, is_whole, &mut self.cells, &mut self.unescaped) {
                Parsed::Record(len) => {
                    if self.syntax.carriage_return == CarriageReturn::Undecided {
                        self.syntax.carriage_return = CarriageReturn::Fault;
                    }
                    self.record = (self.start, len);
                    let line_count = self.syntax.inner_line_ends + 1;
                    self.start += len;
                    self.line += line_count;
                    return Ok(Some(CsvRecord { line, line_count, fault: None }));
                }
                Parsed::Fault(fault, at) => return self.skip_faulty(line, fault, at).map(Some),
                Parsed::NeedsMore if text.len() == MAX_RECORD_LEN => {
                    return self.skip_faulty(line, CsvFault::TooLong, MAX_RECORD_LEN).map(Some);
                }
                Parsed::NeedsMore => self.fill()?,
            }
        }
    }

    /// The number of cells of the record.
    #[must_use]
    pub fn cell_count(&self) -> usize {
        self.cells.len()
    }

    /// Returns a cell of the record: its text without quotes.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`cell_count`](Self::cell_count).
    #[inline]
    #[must_use]
    pub fn cell(&self, index: usize) -> &[u8] {
        let Cell { start, end, is_unescaped } = self.cells[index];
        let bytes = if is_unescaped { &self.unescaped[..] } else { &self.buffer[self.record.0..] };
        &bytes[start as usize..end as usize]
    }

    /// The length of the record in bytes, its line end included.
    #[must_use]
    pub fn record_len_bytes(&self) -> usize {
        self.record.1
    }

    /// Returns the first bytes of the text that was not read yet, as far as they are in the buffer.
    pub(super) fn first_bytes(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end && !self.is_at_end {
            self.fill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Skips a record with a fault: up to the end of the line with the byte at `at`, counted from `start`.
    fn skip_faulty(&mut self, line: u64, fault: CsvFault, at: usize) -> io::Result<CsvRecord> {
        let column = self.cells.len();
        self.cells.clear();
        self.record = (self.start, 0);
        if self.syntax.carriage_return == CarriageReturn::Undecided {
            self.syntax.carriage_return = CarriageReturn::Fault;
        }
        let line_end = self.syntax.line_end();
        let skipped = &self.buffer[self.start..self.start + at];
        let mut line_count = memchr_iter(line_end, skipped).count() as u64;
        let mut is_line_over = skipped.last() == Some(&line_end);
        self.start += at;
        loop {
            let text = &self.buffer[self.start..self.end];
            if let Some(len) = memchr(line_end, text) {
                self.start += len + 1;
                line_count += 1;
                break;
            }
            is_line_over &= text.is_empty();
            self.start = self.end;
            if self.is_at_end {
                line_count += u64::from(!is_line_over);
                break;
            }
            self.fill()?;
        }
        self.line += line_count;
        Ok(CsvRecord { line, line_count, fault: Some((column, fault)) })
    }

    /// Skips line ends. Returns false at the end of the text.
    pub(super) fn skip_blank_lines(&mut self) -> io::Result<bool> {
        loop {
            if self.start == self.end {
                if self.is_at_end {
                    return Ok(false);
                }
                self.fill()?;
                continue;
            }
            let text = &self.buffer[self.start..self.end];
            if !matches!(text[0], b'\n' | b'\r') {
                return Ok(true);
            }
            match self.syntax.line_end_len(text, 0, self.is_at_end) {
                Some(0) => return Ok(true),
                Some(len) => {
                    self.start += len;
                    self.line += 1;
                }
                None => self.fill()?,
            }
        }
    }

    /// Reads more text. Makes room first: moves the text to the front, or makes the buffer larger.
    fn fill(&mut self) -> io::Result<()> {
        let is_first = self.buffer.is_empty();
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end * 2 > self.buffer.len() || is_first {
            self.buffer.resize((self.buffer.len() * 2).max(self.buffer_len), 0);
        }
        while self.end < self.buffer.len() && !self.is_at_end {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.is_at_end = true,
                Ok(len) => self.end += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if is_first && self.buffer[..self.end].starts_with(b"\xef\xbb\xbf") {
            self.start = 3;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read = (CsvRecord, Vec<Vec<u8>>);

    fn read(text: &[u8], dialect: &CsvDialect, buffer_len: usize) -> Vec<Read> {
        let mut records = CsvRecords::new(text, dialect, ',').with_buffer_len(buffer_len);
        let mut all = Vec::new();
        while let Some(record) = records.read().unwrap() {
            all.push((record, (0..records.cell_count()).map(|index| records.cell(index).to_vec()).collect()));
        }
        all
    }

    /// Writes cells so that any dialect with quotes reads them back.
    fn write(rows: &[Vec<String>]) -> String {
        let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n";
        rows.iter().map(line).collect()
    }

    proptest! {
        #[test]
        fn records_do_not_depend_on_where_the_buffer_ends(
            text in "[ab,;\"\\\\\r\n\u{732b}]{0,60}",
            escape in proptest::option::of(Just('\\')),
            quote in proptest::option::of(Just('"')),
            buffer_len in 4..40_usize,
        ) {
            let dialect = CsvDialect { escape, quote, max_cell_lines: 3, ..CsvDialect::default() };
            let whole = read(text.as_bytes(), &dialect, 1_000);
            prop_assert_eq!(&read(text.as_bytes(), &dialect, buffer_len), &whole);
            // Each line belongs to one record at most, in order.
            let mut line = 1;
            for (record, cells) in &whole {
                prop_assert!(record.line >= line && record.line_count >= 1);
                prop_assert!(record.fault.is_none() || cells.is_empty());
                line = record.line + record.line_count;
            }
        }

        #[test]
        fn what_is_written_by_rfc_4180_is_read_back(
            rows in proptest::collection::vec(proptest::collection::vec("[a,\"\r\n\u{732b} ]{0,9}", 2..4), 1..5),
            buffer_len in 4..40_usize,
        ) {
            let dialect = CsvDialect { max_cell_lines: 20, ..CsvDialect::default() };
            let found = read(write(&rows).as_bytes(), &dialect, buffer_len);
            prop_assert!(found.iter().all(|(record, _)| record.fault.is_none()));
            let cells: Vec<Vec<String>> = found
                .into_iter()
                .map(|(_, cells)| cells.into_iter().map(|cell| String::from_utf8(cell).unwrap()).collect())
                .collect();
            prop_assert_eq!(cells, rows);
        }
    }
}
