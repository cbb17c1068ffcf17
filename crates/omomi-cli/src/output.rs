//! The edge between the command and the outside: every text for standard output and standard error passes here.
//!
//! A write that fails is remembered, and [`finish`] returns it to `main`, so that no command succeeds without its
//! output. Control characters of log rows, weight files and reports are escaped, because a terminal obeys them: they
//! can set its title, hide lines, or write a false result over the true one.

mod closed;

use std::fmt::{Arguments, Write as _};
use std::io::{self, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};

/// The first error of writing to standard output. Nothing is written after it.
static FIRST_ERROR: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line on standard output: see [`print_line`].
macro_rules! say {
    ($($arguments:tt)*) => { crate::output::print_line(format_args!($($arguments)*)) };
}

/// Prints a line on standard error: see [`print_note`].
macro_rules! note {
    ($($arguments:tt)*) => { crate::output::print_note(format_args!($($arguments)*)) };
}

pub(crate) use {note, say};

/// Prints a text and a line feed on standard output. Escapes control characters other than line feeds.
pub(crate) fn print_line(text: Arguments<'_>) {
    let mut line = escaped(&text.to_string(), true);
    line.push('\n');
    print_exactly(line.as_bytes());
}

/// Prints a text like [`print_line`], but piece by piece, so that a long one is not copied as a whole.
pub(crate) fn print_pieces(text: Arguments<'_>) {
    struct Pieces;
    impl std::fmt::Write for Pieces {
        fn write_str(&mut self, piece: &str) -> std::fmt::Result {
            print_exactly(escaped(piece, true).as_bytes());
            Ok(())
        }
    }
    // Errors of standard output are remembered.
    let _ = Pieces.write_fmt(text);
    print_exactly(b"\n");
}

/// Prints bytes on standard output as they are, for output that is made to be stored in a file.
pub(crate) fn print_exactly(bytes: &[u8]) {
    let mut first_error = FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
    if first_error.is_none() {
        *first_error = closed::check().and_then(|()| stdout().write_all(bytes)).err();
    }
}

/// Returns whether writing to standard output has failed, so that a command which prints much can end early.
pub(crate) fn has_failed() -> bool {
    FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Returns a JSON value as one line, with every character escaped that a terminal obeys.
pub(crate) fn json_line(value: &serde_json::Value) -> String {
    let mut line = escaped(&value.to_string(), false);
    line.push('\n');
    line
}

/// Remembers whether a text was written to standard output that another function wrote there.
pub(crate) fn note_written(written: io::Result<()>) {
    if let Err(error) = written.and_then(|()| closed::check()) {
        FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Prints a text and a line feed on standard error. Escapes control characters other than line feeds. Ignores errors:
/// there is no other place to report them.
pub(crate) fn print_note(text: Arguments<'_>) {
    let mut line = escaped(&text.to_string(), true);
    line.push('\n');
    let _ = stderr().write_all(line.as_bytes());
}

/// Writes out what is still in memory, and returns the first error of writing to standard output.
pub(crate) fn finish() -> io::Result<()> {
    let first_error = FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner).take();
    first_error.map_or_else(|| stdout().flush(), Err)
}

/// Returns a text from a file with every control character escaped, so that it stays on its line. For texts that are
/// printed inside of a line or a table cell.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, false)
}

/// Escapes like JSON does, so that a JSON text has the same meaning as before.
fn escaped(text: &str, keeps_line_feeds: bool) -> String {
    let mut escaped = String::with_capacity(text.len() + 1);
    for char in text.chars() {
        match char {
            '\n' if keeps_line_feeds => escaped.push('\n'),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            // All of them have at most 4 hexadecimal digits. Writing to a string cannot fail.
            char if acts_on_a_terminal(char) => drop(write!(escaped, "\\u{:04x}", u32::from(char))),
            char => escaped.push(char),
        }
    }
    escaped
}

/// Returns whether a character moves the cursor, begins a sequence that does, or changes the order of the characters
/// around it.
const fn acts_on_a_terminal(char: char) -> bool {
    matches!(
        char,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_a_terminal_obeys_are_escaped_and_all_others_are_kept() {
        assert_eq!(one_line("\u{1b}]0;x\u{7}\u{1b}[31mred"), "\\u001b]0;x\\u0007\\u001b[31mred");
        assert_eq!(one_line("a\u{9b}31m\u{7f}\0b"), "a\\u009b31m\\u007f\\u0000b");
        assert_eq!(one_line("name\u{202e}txt.exe\u{2066}\u{2028}"), "name\\u202etxt.exe\\u2066\\u2028");
        assert_eq!(one_line("a\r\n\tb"), "a\\r\\n\\tb");
        assert_eq!(escaped("a\r\n\tb\n", true), "a\\r\n\\tb\n");
        for kept in ["新聞 – 50 %", "👩‍👩‍👧", "a\\b", "\u{a0}", "ﷺ"] {
            assert_eq!(one_line(kept), kept);
        }
    }

    #[test]
    fn a_json_text_keeps_its_meaning() {
        let value = serde_json::json!({ "category": "\u{1b}[31m\u{9b}\u{7f}\u{202e}\n\t\"\\", "n": [1, 2] });
        for text in [value.to_string(), format!("{value:#}")] {
            let shown = escaped(&text, true);
            assert!(!shown.chars().any(|char| char != '\n' && acts_on_a_terminal(char)), "{shown:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }
}
