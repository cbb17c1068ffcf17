//! Lines of prose have at most 120 columns: Markdown outside code blocks, tables and links, and comments of Rust, Java
//! and Scala. `cargo fmt` keeps code within the same limit, but it does not break comments.

use std::path::Path;
use std::process::Command;

const MAX_COLUMNS: usize = 120;

/// The files that git knows, with their text. None outside a clone.
fn tracked() -> Option<Vec<(String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patterns = ["*.md", "*.rs", "*.java", "*.scala"];
    let output = Command::new("git").args(["ls-files", "-z", "--"]).args(patterns).current_dir(root).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let names = String::from_utf8(output.stdout).unwrap();
    let names = names.split_terminator('\0').filter(|name| root.join(name).is_file());
    Some(names.map(|name| (name.to_owned(), std::fs::read_to_string(root.join(name)).unwrap())).collect())
}

/// The prose of a line of source: a comment that begins the line, without its marks.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start();
    ["///", "//!", "//", "/**", "/*", "* ", "*/"].iter().find_map(|marks| line.strip_prefix(marks))
}

/// The line without the targets of its links.
fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("](");
        text.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    text
}

/// The numbers of the lines that are too long.
fn long_lines(is_markdown: bool, text: &str) -> Vec<usize> {
    let mut in_code = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(prose) = (if is_markdown { Some(line) } else { comment(line) }) else {
            in_code = false;
            continue;
        };
        let prose = prose.trim_start();
        if prose.starts_with("```") {
            in_code = !in_code;
        }
        let is_target = prose.starts_with('[') && prose.contains("]: ");
        let is_code = in_code || (is_markdown && line.starts_with("    "));
        if is_code || is_target || prose.starts_with('|') || prose.starts_with("http") {
            continue;
        }
        if without_targets(line).chars().count() > MAX_COLUMNS {
            found.push(index + 1);
        }
    }
    found
}

#[test]
fn lines_of_prose_have_at_most_120_columns() {
    let Some(files) = tracked() else {
        eprintln!("skipped: this is not a clone");
        return;
    };
    let mut reports = Vec::new();
    for (name, text) in files {
        let lines = long_lines(name.ends_with(".md"), &text);
        if !lines.is_empty() {
            reports.push(format!("{name}: {} long lines: {lines:?}", lines.len()));
        }
    }
    assert!(reports.is_empty(), "more than {MAX_COLUMNS} columns:\n{}", reports.join("\n"));
}

#[test]
fn code_tables_and_targets_of_links_may_be_longer() {
    let (long, line) = ("x".repeat(121), "x".repeat(100));
    assert_eq!(
        long_lines(true, &format!("{line}\n{long}\n\n```sh\n{long}\n```\n    {long}\n| {long} |\n{long}")),
        [2, 9]
    );
    assert_eq!(long_lines(true, &format!("[text](https://{long}) {line}\n[text]: https://{long}")), [0; 0]);
    let source = format!("let {long} = 1;\n    // {long}\n/// ```\n/// {long}\n/// ```\n/// {long}\n * {long}\n");
    assert_eq!(long_lines(false, &source), [2, 6, 7]);
}
