//! Texts of files, made fit for terminals, labels and reports: short, on one line, and without control characters.

/// Longest text of a file that an error quotes, in bytes.
pub const MAX_QUOTED_LEN_BYTES: usize = 200;

/// Whether a character changes how a terminal or a page shows the text around it: control characters, separators of
/// lines and paragraphs, and those that override the direction of writing.
#[must_use]
pub fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns `text` with each control character written as an escape, such as `\u{1b}`, and cut after about
/// `max_len_bytes` bytes.
#[must_use]
pub fn printable(text: &str, max_len_bytes: usize) -> String {
    const MORE: &str = " and more";
    let mut shown = String::new();
    for character in text.chars() {
        let start = shown.len();
        if is_control(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        if shown.len() > max_len_bytes {
            shown.truncate(start);
            shown.push_str(MORE);
            break;
        }
    }
    shown
}

/// Returns `text` as errors quote it.
#[must_use]
pub fn quoted(text: &str) -> String {
    printable(text, MAX_QUOTED_LEN_BYTES)
}

/// Returns `text` with its line ends, but with every other control character written as an escape. For messages of
/// several lines.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_control(character) && character != '\n' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Returns `text` in at most `max_len_bytes` bytes. Leaves out the middle if it is longer: a message begins with the
/// name of what is wrong, which may be of any length, and ends with the reason.
pub(crate) fn without_middle(text: String, max_len_bytes: usize) -> String {
    const CUT: &str = " ... ";
    if text.len() <= max_len_bytes {
        return text;
    }
    let kept = max_len_bytes.saturating_sub(CUT.len());
    let head_len = kept * 3 / 5;
    let is_boundary = |place: &usize| text.is_char_boundary(*place);
    let head = (0..=head_len).rev().find(is_boundary).unwrap_or(0);
    let end = (text.len() - (kept - head_len)..=text.len()).find(is_boundary).unwrap_or(text.len());
    format!("{}{CUT}{}", &text[..head], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        assert_eq!(without_middle("short".to_owned(), 5), "short");
        assert_eq!(without_middle("旅行の広告を見た人".to_owned(), 20), "旅行の ... た人");
        for len in 0..40 {
            let text = without_middle("旅行の広告を見た人".to_owned(), len);
            assert!(text.len() <= len.max(5), "{text} in {len}");
        }
        let cut = without_middle(format!("cannot open {}: no space", "x".repeat(1 << 20)), 100);
        assert!(cut.starts_with("cannot open xx") && cut.ends_with("xx: no space") && cut.len() == 100, "{cut}");
    }

    #[test]
    fn control_characters_become_escapes() {
        assert_eq!(printable("a\u{1b}[31mb\r\u{202e}\u{9b}", 100), r"a\u{1b}[31mb\r\u{202e}\u{9b}");
        assert_eq!(printable("旅行 é", 100), "旅行 é");
        assert_eq!(printable_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(printable("旅行旅行", 7), "旅行 and more");
        assert!(quoted(&"x".repeat(1 << 20)).len() < MAX_QUOTED_LEN_BYTES + 20);
    }
}
