//! Writes a drafted contract as TOML, with what was found as comments.

use std::collections::HashSet;

use omomi::contract::{MAX_FIELDS_PER_SIDE, MAX_NAME_LEN_BYTES, Side};

use super::guess::{GuessedField, GuessedKind, facts_line};
use super::{ColumnFacts, Guess};
use crate::readable::grouped;

/// Longest reason in a comment, in bytes.
const MAX_REASON_LEN: usize = 400;

/// The label of a draft.
pub(super) struct Label<'a> {
    pub(super) column: &'a str,
    /// The texts that mean not clicked and clicked, unless they are the usual ones.
    pub(super) words: Option<[String; 2]>,
}

/// What is written where only people, or the logs, know the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blanks {
    /// Empty meanings and units, and the number of quantiles.
    Open,
    /// Any words, and any edge: such a contract can read logs.
    Filled,
}

/// Returns the text of a `contract.toml`. `others` are columns that no field can read, each with the reason.
pub(super) fn contract(
    label: &Label<'_>,
    columns: &[(ColumnFacts, Guess)],
    others: &[(String, String)],
    counts: [u64; 2],
    blanks: Blanks,
) -> String {
    let [row_count, click_count] = counts;
    let (rows, clicks) = (grouped(row_count), grouped(click_count));
    let rate = crate::readable::significant(100.0 * click_count as f64 / row_count as f64, 3);
    let mut text = format!(
        "# A draft, made from {rows} rows with {clicks} clicks ({rate} %).\n\
         # Fill in every empty `meaning` and `unit`, look at each line with `guess`, and delete what you do not want.\n\
         # Then: omomi contract check\n\n"
    );
    let label_name = name_of(label.column, &HashSet::new());
    text.push_str(&format!(
        "name = \"draft\"                          # choose a name\nlabel = {}\n",
        quoted(&label_name)
    ));
    let mut reading = String::new();
    if label_name != label.column {
        reading.push_str(&format!("label_column = {}\n", quoted(label.column)));
    }
    if let Some([not_clicked, clicked]) = &label.words {
        reading.push_str(&format!(
            "clicked = [{}]                          # guess: look which of the two is a click\nnot_clicked = [{}]\n",
            quoted(clicked),
            quoted(not_clicked)
        ));
    }
    if !reading.is_empty() {
        text.push_str(&format!("\n[reading]\n{reading}"));
    }
    let mut names = HashSet::from([label_name]);
    let mut surplus = String::new();
    for (facts, guess) in columns {
        let Guess::Field(field) = guess else { continue };
        let name = name_of(&facts.name, &names);
        names.insert(name.clone());
        let block = field_block(facts, field, &name, row_count, blanks);
        if field.over_limit {
            let lines = block.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n");
            surplus.extend(lines);
        } else {
            text.push_str(&block);
        }
    }
    if !surplus.is_empty() {
        text.push_str(&format!(
            "\n# A contract has at most {MAX_FIELDS_PER_SIDE} fields of each side. The following ones are over that \
             limit.\n# To use one of them, take out the marks before its lines, and delete another field.\n{surplus}"
        ));
    }
    let left: Vec<String> = columns
        .iter()
        .filter_map(|(facts, guess)| match guess {
            Guess::Left(suspicion) => {
                let reason = omomi::printable::printable(&suspicion.to_string(), MAX_REASON_LEN);
                let facts_line = facts_line(facts, row_count);
                Some(format!("#   {}: {reason}\n#     {facts_line}\n", one_line(&facts.name)))
            }
            Guess::Field(_) => None,
        })
        .chain(others.iter().map(|(name, reason)| {
            let reason = omomi::printable::printable(reason, MAX_REASON_LEN);
            format!("#   {}: no field can read its values: {reason}\n", one_line(name))
        }))
        .collect();
    if !left.is_empty() {
        text.push_str(&format!("\n# Left out:\n{}", left.concat()));
    }
    text
}

fn field_block(facts: &ColumnFacts, field: &GuessedField, name: &str, row_count: u64, blanks: Blanks) -> String {
    let blank = |word: &str| if blanks == Blanks::Open { "\"\"".to_owned() } else { quoted(word) };
    let mut text = format!("\n# {}\n", facts_line(facts, row_count));
    if let Some(note) = &field.note {
        text.push_str(&format!("# {}\n", omomi::printable::printable(note, MAX_REASON_LEN)));
    }
    text.push_str(&format!("[[field]]\nname = {}\n", quoted(name)));
    if name != facts.name {
        text.push_str(&format!("column = {}\n", quoted(&facts.name)));
    }
    let (side, why) = match (field.side, field.side_by_name) {
        (Side::Candidate, _) => ("candidate", "guess by the name: context | candidate"),
        (Side::Context, true) => ("context", "guess by the name: context | candidate"),
        (Side::Context, false) => ("context", "guess, the name says nothing: context | candidate"),
    };
    text.push_str(&with_comment(&format!("side = \"{side}\""), why));
    match field.kind {
        GuessedKind::Id => text.push_str("type = \"id\"\n"),
        GuessedKind::Text if field.note.is_some() => {
            text.push_str(&with_comment("type = \"text\"", "guess: for the values above"));
        }
        GuessedKind::Text => text.push_str("type = \"text\"\n"),
        GuessedKind::Number { range: [low, high], log2 } => {
            text.push_str(&with_comment("type = \"number\"", "guess: a quantity; \"id\" if the values are names"));
            text.push_str(&format!("unit = {}\n", blank("one")));
            text.push_str(&with_comment(
                &format!("range = [{low:?}, {high:?}]"),
                "guess: the values found, rounded; values outside count as missing",
            ));
            let (buckets, next) = match (log2, blanks) {
                (true, _) => ("{ log2 = true }".to_owned(), "guess: a wide range"),
                (false, Blanks::Open) => {
                    ("{ quantiles = 16 }".to_owned(), "guess; omomi contract quantiles finds the edges")
                }
                (false, Blanks::Filled) => (format!("[{high:?}]"), "any edge"),
            };
            text.push_str(&with_comment(&format!("buckets = {buckets}"), next));
        }
    }
    if field.many {
        let why = match (facts.is_list, facts.list_count > 0) {
            (true, _) => "each row has a list",
            (false, true) => "guess: values are lists in JSON",
            (false, false) => "guess: values have the separator",
        };
        text.push_str(&with_comment("many = true", why));
    }
    if !field.missing.is_empty() {
        let texts: Vec<String> = field.missing.iter().map(|text| quoted(text)).collect();
        let why = "guess: these texts mean a missing value, and no others";
        text.push_str(&with_comment(&format!("missing = [{}]", texts.join(", ")), why));
    }
    text + &format!("meaning = {}\n", blank("something"))
}

fn with_comment(line: &str, comment: &str) -> String {
    format!("{line:<40}# {comment}\n")
}

/// Makes the name of a column that of a field: letters, digits and underscores. Names that are taken get a number.
fn name_of(column: &str, taken: &HashSet<String>) -> String {
    let letter = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
    let mut name: String = column.chars().map(letter).collect();
    if name.chars().all(|char| char == '_') {
        "field".clone_into(&mut name);
    }
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert(0, '_');
    }
    // Room for a number.
    name.truncate(MAX_NAME_LEN_BYTES - 4);
    let numbered = |number: usize| if number == 1 { name.clone() } else { format!("{name}_{number}") };
    (1..).map(numbered).find(|name| !taken.contains(name)).unwrap_or_default()
}

/// Returns the text as a TOML string on one line.
fn quoted(text: &str) -> String {
    // TOML has the escapes of JSON, and forbids DEL as it is.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn one_line(text: &str) -> String {
    omomi::printable::printable(text, 100)
}
