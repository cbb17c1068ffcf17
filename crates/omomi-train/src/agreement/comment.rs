//! Texts of a contract in comments: broken into lines, and with nothing that ends the comment or begins something else.

/// Longest line of a comment, its indentation and marks included.
const MAX_LINE_LEN: usize = 110;

/// Returns `text` in lines of at most about `MAX_LINE_LEN - indent` characters, broken at spaces.
pub(super) fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines
            .last_mut()
            .filter(|line| line.is_empty() || indent + line.chars().count() + 1 + word.chars().count() <= MAX_LINE_LEN);
        match line {
            Some(line) => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Returns a comment between `/*` or `/**` and `*/`. In Scala comments nest, and compilers of C warn about them.
pub(super) fn block(open: &str, text: &str, indent: &str) -> String {
    let lines = wrapped(&text.replace("*/", "* /").replace("/*", "/ *"), indent.len() + 6);
    if let [line] = lines.as_slice() {
        return format!("{indent}{open} {line} */\n");
    }
    let body: String = lines.iter().map(|line| format!("{indent} * {line}\n")).collect();
    format!("{indent}{open}\n{body}{indent} */\n")
}

/// Returns a text for a comment of Java or Scala. Both take `\u` as the begin of a character, even in comments: an
/// error if no digits follow.
pub(super) fn without_unicode_escapes(text: &str) -> String {
    text.replace("\\u", "\\ u")
}

/// Returns a text for a comment of Javadoc, whose language is HTML with tags of its own.
pub(super) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' => escaped.push_str("&#64;"),
            '{' => escaped.push_str("&#123;"),
            '}' => escaped.push_str("&#125;"),
            '\\' => escaped.push_str("&#92;"),
            '*' => escaped.push_str("&#42;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Returns a text for a documentation comment of Rust, whose language is Markdown.
pub(super) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '`' | '[' | ']' | '<' | '>' | '*' | '#') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
