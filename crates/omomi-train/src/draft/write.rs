//! Writes a drafted contract as TOML, with what was found as comments.

use std::collections::HashSet;

use omomi::contract::Side;

use super::guess::{GuessedKind, facts_line};
use super::{ColumnFacts, Guess};
use crate::readable::grouped;

/// Longest name of a field, in bytes.
const MAX_NAME_LEN: usize = 64;

/// The label of a draft.
pub(super) struct Label<'a> {
    pub(super) column: &'a str,
    /// The texts that mean not clicked and clicked, unless they are the usual ones.
    pub(super) words: Option<[String; 2]>,
}

/// Returns the text of a `contract.toml`. `others` are columns that no field can read.
pub(super) fn contract(
    label: &Label<'_>,
    columns: &[(ColumnFacts, Guess)],
    others: &[&str],
    row_count: u64,
    click_count: u64,
) -> String {
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
            "clicked = [{}]                          # guess: the rarer of the two\nnot_clicked = [{}]\n",
            quoted(clicked),
            quoted(not_clicked)
        ));
    }
    if !reading.is_empty() {
        text.push_str(&format!("\n[reading]\n{reading}"));
    }
    let mut names = HashSet::from([label_name]);
    for (facts, guess) in columns {
        let Guess::Field(field) = guess else { continue };
        let name = name_of(&facts.name, &names);
        names.insert(name.clone());
        text.push_str(&format!("\n# {}\n[[field]]\nname = {}\n", facts_line(facts, row_count), quoted(&name)));
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
            GuessedKind::Text => text.push_str("type = \"text\"\n"),
            GuessedKind::Number { range: [low, high], log2 } => {
                text.push_str(&with_comment("type = \"number\"", "guess: a quantity; \"id\" if the values are names"));
                text.push_str("unit = \"\"\n");
                text.push_str(&with_comment(
                    &format!("range = [{low:?}, {high:?}]"),
                    "guess: the values found, rounded; values outside count as missing",
                ));
                let buckets = if log2 { "{ log2 = true }" } else { "{ quantiles = 16 }" };
                let next = if log2 { "guess: a wide range" } else { "guess; omomi contract quantiles finds the edges" };
                text.push_str(&with_comment(&format!("buckets = {buckets}"), next));
            }
        }
        if field.many {
            let why = if facts.is_list { "each row has a list" } else { "guess: values have the separator |" };
            text.push_str(&with_comment("many = true", why));
        }
        text.push_str("meaning = \"\"\n");
    }
    let left: Vec<String> = columns
        .iter()
        .filter_map(|(facts, guess)| match guess {
            Guess::Left(suspicion) => {
                let facts_line = facts_line(facts, row_count);
                Some(format!("#   {}: {suspicion}\n#     {facts_line}\n", one_line(&facts.name)))
            }
            Guess::Field(_) => None,
        })
        .chain(others.iter().map(|name| format!("#   {}: no field can read its values\n", one_line(name))))
        .collect();
    if !left.is_empty() {
        text.push_str(&format!("\n# Left out:\n{}", left.concat()));
    }
    text
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
    name.truncate(MAX_NAME_LEN - 4);
    let numbered = |number: usize| if number == 1 { name.clone() } else { format!("{name}_{number}") };
    (1..).map(numbered).find(|name| !taken.contains(name)).unwrap_or_default()
}

fn quoted(text: &str) -> String {
    ::toml::Value::from(text).to_string()
}

fn one_line(text: &str) -> String {
    omomi::printable::printable(text, 100)
}
