//! `omomi contract`: checks a contract and shows it, completes it from logs, and tells a server's team what to declare.

mod draft;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use comfy_table::Table;
use omomi::LoadMode;
use omomi::contract::{
    Buckets, CategoryLimit, Contract, ContractFaults, Field, FieldKind, OverLimit, Side, UnseenWeight,
};
use omomi::weight_file::layout::MAGIC;
use omomi_train::agreement::{ChangeKind, Difference, Language, Naming, compare, declaration};
use omomi_train::bucket::{Stream, read_to_string};
use omomi_train::learn::fill_quantiles;
use omomi_train::log::ReadOptions;
use omomi_train::serving_logs::unlogged_fields;
use serde_json::json;

use crate::Failure;
use crate::csv_flags::CsvFlags;
use crate::importance_flags::ImportanceFlags;
use crate::output::{note, one_line, print_exactly, say};
use crate::progress::say_noticed;
use crate::refusal::print_json;
use crate::text::{grouped, new_table, table};
use crate::verify::load;

/// A number field with more bucket edges than this shows their count, not a list.
const MAX_LISTED_EDGES: usize = 8;

/// Check a contract, complete it from logs, make a server's declaration from it, or compare two
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check a contract: print it as a table with its fingerprint, or print every fault with its line
    Check {
        /// Path of the contract.toml
        file: PathBuf,
    },
    /// Draft a contract from logs: a field for each column, with guesses, and what was found as comments
    ///
    /// People must then fill in what each field means and the units of numbers; `omomi contract check` says where they
    /// are missing. Columns that tell the label, name the row, or are constant, empty or times are left out, with the
    /// reason.
    Draft(draft::Arguments),
    /// Find the bucket edges for `buckets = { quantiles = N }` in logs, and print the completed contract
    ///
    /// All other text of the contract stays as it is.
    Quantiles {
        /// Path of the contract.toml
        file: PathBuf,
        /// Logs to read: Parquet, CSV or JSON lines, as paths or quoted patterns
        #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
        logs: Vec<String>,
        #[command(flatten)]
        csv: CsvFlags,
        #[command(flatten)]
        importance: ImportanceFlags,
        /// Number of unusable log rows to skip before the command fails
        #[arg(long, value_name = "N", default_value_t = 0)]
        max_bad_rows: u64,
    },
    /// Print the server's declaration of all fields as source text, made from a contract or a weight file
    ///
    /// Redirect it into a file of the server's sources. Binding a model checks the declaration again, so a file that is
    /// out of date is refused by name of the field, never misread. `omomi contract diff` shows what changed.
    #[command(group(clap::ArgGroup::new("language").required(true)))]
    Generate {
        /// Path of the contract.toml, or of a weight file
        file: PathBuf,
        /// An object for Scala 2.12, 2.13 and 3
        #[arg(long, group = "language")]
        scala: bool,
        /// A class for Java 8 or newer; the file must have the name of the class
        #[arg(long, group = "language")]
        java: bool,
        /// A header for C99, C++11 or newer
        #[arg(long, group = "language")]
        c: bool,
        /// A struct for Rust
        #[arg(long, group = "language")]
        rust: bool,
        /// Name of the object, class or struct [default: made from the name of the contract]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Package of the object or class [default: none]
        #[arg(long, value_name = "PACKAGE", conflicts_with_all = ["c", "rust"])]
        package: Option<String>,
    },
    /// Show what a server's team must change from one contract to another, field by field
    ///
    /// Exit code 0: the contracts are equal, and ask for the same form of texts. 3: they differ. 1: a file cannot be
    /// read, or is no contract.
    Diff {
        /// Contract that the server was made for: a contract.toml or a weight file
        old: PathBuf,
        /// The other contract: a contract.toml or a weight file
        new: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

/// The failure of `omomi contract diff` if the contracts differ.
#[derive(Debug)]
pub(crate) struct Differs {
    must_change: bool,
}

impl fmt::Display for Differs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.must_change {
            "the contracts differ: serve by the new one after the server has changed"
        } else {
            "the contracts differ, but the declaration of the server fits both"
        })
    }
}

impl std::error::Error for Differs {}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Check { file } => check(file),
        Command::Draft(arguments) => draft::run(arguments),
        Command::Quantiles { file, logs, csv, importance, max_bad_rows } => {
            let options = ReadOptions::default().with(|it| it.max_bad_rows = *max_bad_rows);
            let options = csv.applied_to(importance.applied_to(options));
            let filled = fill_quantiles(&read(file)?, logs, options, &mut say_noticed);
            let filled = filled.map_err(|error| format!("{}: {error}", file.display()))?;
            print_exactly(filled.as_bytes());
            Ok(())
        }
        Command::Generate { file, scala, java, c, rust: _, name, package } => {
            // Exactly one of the four is given.
            let language = match () {
                () if *scala => Language::Scala,
                () if *java => Language::Java,
                () if *c => Language::C,
                () => Language::Rust,
            };
            let naming = Naming { name: name.clone(), package: package.clone() };
            print_exactly(declaration(&read_either(file)?, language, &naming)?.as_bytes());
            Ok(())
        }
        Command::Diff { old, new, json } => diff(old, new, *json),
    }
}

fn diff(old_file: &Path, new_file: &Path, json: bool) -> Result<(), Failure> {
    let (old, new) = (read_either(old_file)?, read_either(new_file)?);
    let difference = compare(&old, &new);
    if json {
        let changes = difference
            .changes
            .iter()
            .map(|change| json!({ "server": change.kind.word(), "place": change.place, "text": change.text }));
        let changes: Vec<_> = changes.collect();
        let fingerprints = [&old, &new].map(|it| format!("{:016x}", it.fingerprint()));
        print_json(&json!({ "equal": difference.is_empty(), "fingerprints": fingerprints, "changes": changes }));
    } else {
        print_difference([(&old, old_file), (&new, new_file)], &difference);
    }
    if difference.is_empty() {
        return Ok(());
    }
    Err(Differs { must_change: difference.of_kind(ChangeKind::Change).next().is_some() }.into())
}

fn print_difference(contracts: [(&Contract, &Path); 2], difference: &Difference) {
    let heads = contracts.iter().zip(["old", "new"]).map(|((contract, file), which)| {
        let fingerprint = format!("{:016x}", contract.fingerprint());
        vec![which.to_owned(), contract.name().to_owned(), fingerprint, file.display().to_string()]
    });
    say!("{}", table(&[], heads.collect()));
    if difference.is_empty() {
        say!("\nthe contracts are equal");
    }
    for kind in ChangeKind::ALL {
        let rows: Vec<_> =
            difference.of_kind(kind).map(|change| vec![change.place.clone(), change.text.clone()]).collect();
        if !rows.is_empty() {
            let title = match kind {
                ChangeKind::Change => "the server must change",
                ChangeKind::Check => "the server's team must check",
                ChangeKind::Nothing => "the server changes nothing for",
            };
            say!("\n{title}\n{}", table(&[], rows));
        }
    }
}

fn check(file: &Path) -> Result<(), Failure> {
    let text = read(file)?;
    let contract = match omomi_train::toml::parse_contract(&text) {
        Ok(contract) => contract,
        Err(faults) => {
            for fault in &faults.0 {
                let line = fault.line.map_or_else(String::new, |line| format!("{line}:"));
                note!("{}:{line} {}: {}", file.display(), fault.place, fault.message);
            }
            let count = faults.0.len();
            return Err(NoContract::Listed { path: file.to_owned(), count }.into());
        }
    };
    say!("{}", describe(&contract).trim_end());
    for (owner, message) in unlogged_fields(&contract) {
        note!("warning: {message} (who must act: {})", owner.word());
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    read_to_string(path).map_err(|source| NoContract::Unreadable { path: path.to_owned(), source }.into())
}

/// Why there is no contract. Those who train wrote it, or named the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoContract {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file has faults.
    #[error("{}: {faults}", path.display())]
    Faults { path: PathBuf, faults: ContractFaults },
    /// The faults of the file have been listed.
    #[error("{} has {count} fault{}", path.display(), plural(*count))]
    Listed { path: PathBuf, count: usize },
}

/// Reads the contract in the file at `path`.
pub(crate) fn read_contract(path: &Path) -> Result<Contract, Failure> {
    omomi_train::toml::parse_contract(&read(path)?)
        .map_err(|faults| NoContract::Faults { path: path.to_owned(), faults }.into())
}

/// Reads the contract in the file at `path`: a contract.toml, or a weight file, which is verified.
pub(crate) fn read_either(path: &Path) -> Result<Contract, Failure> {
    let mut start = Vec::new();
    // What cannot be read here cannot be read as a contract either, which says why.
    if let Ok(file) = Stream::open(path) {
        drop(file.take(MAGIC.len() as u64).read_to_end(&mut start));
    }
    if start != MAGIC {
        return read_contract(path);
    }
    let model = load(path, LoadMode::Map)?;
    // The form of texts is no part of the contract in the file.
    match &model.provenance()["training"]["reading"] {
        serde_json::Value::Null => Ok(model.contract().clone()),
        reading => model
            .contract()
            .with_reading_json(&reading.to_string())
            .map_err(|faults| format!("{}: how its logs were read: {faults}", path.display()).into()),
    }
}

fn describe(contract: &Contract) -> String {
    let of_side = |side| contract.fields().iter().filter(|field| field.side == side).count();
    let (fields, crosses) = (contract.fields().len(), contract.crosses().len());
    let mut text = format!(
        "contract     {}\nlabel        {}\nfields       {fields}: {} context, {} candidate\ncrosses      {crosses}\n\
         fingerprint  {:016x}\n\n{}\n",
        contract.name(),
        label_text(contract),
        of_side(Side::Context),
        of_side(Side::Candidate),
        contract.fingerprint(),
        field_table(contract),
    );
    if crosses > 0 {
        text.push_str(&format!("\n{}\n", cross_table(contract)));
    }
    text
}

/// The label, with its column if that has another name.
fn label_text(contract: &Contract) -> String {
    let (label, column) = (contract.label(), contract.label_column());
    if label == column { label.to_owned() } else { format!("{label}, in the log column `{column}`") }
}

fn field_table(contract: &Contract) -> Table {
    let mut table = new_table(&["field", "side", "type", "log", "meaning"]);
    for (index, field) in contract.fields().iter().enumerate() {
        let many = if field.many { ", many" } else { "" };
        table.add_row([
            field.name.clone(),
            field.side.word().to_owned(),
            format!("{}{many}", field.kind.word()),
            field.log.word().to_owned(),
            meaning(field) + &reading_text(contract, index),
        ]);
    }
    table
}

/// Says how the column of a field is read, where the contract says more than the name: one line for each fact.
fn reading_text(contract: &Contract, index: usize) -> String {
    let reading = &contract.reading().fields[index];
    let column = reading.column.as_ref().map(|column| format!("\nlog column `{column}`"));
    // Scoring hashes the bytes that it gets, so the server has a part in this.
    let nfc = reading.nfc.then(|| "\nUnicode NFC: the server must send NFC".to_owned());
    let missing = reading.missing.as_ref().map(|texts| format!("\nmissing: {texts:?}"));
    column.into_iter().chain(nfc).chain(missing).collect()
}

/// Returns the meaning of a field. Below it come the unit, range and buckets of a number, the limit of categories, and
/// whether unseen ones add nothing.
fn meaning(field: &Field) -> String {
    let limit = field.category_limit.map(|limit| format!("\n{}", limit_text(limit)));
    let zero = (field.unseen == UnseenWeight::Zero).then(|| "\nunseen categories and missing values add 0".to_owned());
    [meaning_of_value(field)].into_iter().chain(limit).chain(zero).collect()
}

fn limit_text(limit: CategoryLimit) -> String {
    let over = if limit.over == OverLimit::Drop { "drops the others" } else { "fails if there are more" };
    format!("at most {} categories: omomi prune {over}", grouped(limit.max))
}

fn meaning_of_value(field: &Field) -> String {
    let FieldKind::Number { unit, range: [min, max], buckets } = &field.kind else {
        return one_line(&field.meaning);
    };
    let buckets = match buckets {
        Buckets::Log2 => "a bucket per power of 2".to_owned(),
        Buckets::Edges(edges) if edges.len() <= MAX_LISTED_EDGES => {
            let edges: Vec<String> = edges.iter().map(f64::to_string).collect();
            format!("edges {}", edges.join(" "))
        }
        Buckets::Edges(edges) => {
            let (first, last) = (edges[0], edges[edges.len() - 1]);
            format!("{} edges from {first} to {last}", edges.len())
        }
    };
    format!("{}\n{}; {min} to {max}; {buckets}", one_line(&field.meaning), one_line(unit))
}

fn cross_table(contract: &Contract) -> Table {
    let is_limited = contract.crosses().iter().any(|cross| cross.category_limit.is_some());
    let mut table = new_table(if is_limited { &["cross", "side", "limit"] } else { &["cross", "side"] });
    for cross in contract.crosses() {
        let names: Vec<&str> = cross.members.iter().map(|&member| contract.fields()[member].name.as_str()).collect();
        let side = contract.cross_side(cross).map_or("context x candidate", Side::word);
        let limit = is_limited.then(|| cross.category_limit.map_or_else(String::new, limit_text));
        table.add_row([names.join(" x "), side.to_owned()].into_iter().chain(limit));
    }
    table
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
