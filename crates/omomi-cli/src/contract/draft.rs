//! `omomi contract draft`: drafts a contract from logs.

use std::io::Write;
use std::path::PathBuf;

use omomi_train::bucket::NewFile;
use omomi_train::draft::{Draft, DraftOptions, Guess, GuessedKind, draft_contract};
use omomi_train::log::ReadOptions;

use crate::Failure;
use crate::csv_flags::CsvFlags;
use crate::output::{note, one_line, print_exactly, say};
use crate::places::FileFailure;
use crate::progress::ReadProgress;
use crate::text::{grouped, new_table};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Logs to read: Parquet, CSV or JSON lines, as paths or quoted patterns
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    logs: Vec<String>,
    /// Column that says whether a row was clicked
    #[arg(long, value_name = "COLUMN")]
    label: String,
    /// File to write, and then print a table of the columns [default: print the contract]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file of --out if it exists
    #[arg(long, requires = "out")]
    force: bool,
    /// Largest number of rows to read
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    #[command(flatten)]
    csv: CsvFlags,
    /// Number of unusable log rows to skip before the command fails
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_rows: u64,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut options = DraftOptions::new(&arguments.logs, &arguments.label);
    options.max_rows = arguments.rows;
    options.read = ReadOptions::default().with(|it| {
        it.csv = arguments.csv.dialect();
        it.max_bad_rows = arguments.max_bad_rows;
    });
    let mut progress = None;
    let draft = draft_contract(&options, &mut |reader| {
        progress.get_or_insert_with(|| ReadProgress::new("draft", reader, arguments.quiet)).update(reader);
    })?;
    drop(progress);
    let Some(path) = &arguments.out else {
        print_exactly(draft.text.as_bytes());
        return Ok(());
    };
    let write = || {
        let new_file = NewFile::create(path, arguments.force)?;
        new_file.file().write_all(draft.text.as_bytes())?;
        new_file.commit()
    };
    write().map_err(FileFailure::writing(path))?;
    print_columns(&draft);
    let (rows, clicks) = (grouped(draft.row_count), grouped(draft.click_count));
    say!("{}: a draft from {rows} rows with {clicks} clicks", path.display());
    note!("Next: fill in every empty meaning and unit, then omomi contract check {}", path.display());
    Ok(())
}

fn print_columns(draft: &Draft) {
    let mut table = new_table(&["column", "values", "missing", "field"]);
    for (facts, guess) in &draft.columns {
        let missing = 100.0 * facts.missing_count as f64 / draft.row_count as f64;
        let field = match guess {
            Guess::Field(field) => {
                let kind = match field.kind {
                    GuessedKind::Id => "id",
                    GuessedKind::Text => "text",
                    GuessedKind::Number { .. } => "number",
                };
                let many = if field.many { ", many" } else { "" };
                let limit = if field.over_limit { ", commented out: too many fields of this side" } else { "" };
                format!("{}, {kind}{many}{limit}", field.side.word())
            }
            Guess::Left(suspicion) => one_line(&format!("left out: {suspicion}")),
        };
        table.add_row([one_line(&facts.name), grouped(facts.distinct_count), format!("{missing:.1} %"), field]);
    }
    say!("{table}");
}
