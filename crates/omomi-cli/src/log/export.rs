//! `omomi log export`.

use std::path::PathBuf;

use omomi_train::serving_logs::{Segments, export};

use super::note_losses;
use crate::Failure;
use crate::output::{note, say};
use crate::text::{grouped, table};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Segments, or folders of them
    #[arg(value_name = "FILE|FOLDER", required = true)]
    paths: Vec<PathBuf>,
    /// Folder to write to; it is created
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let report = export(&Segments::find(&arguments.paths)?, &arguments.out)?;
    note_losses(&report.losses);
    if report.partial_count > 0 {
        note!("left out: {} segments that are still written; run again later", grouped(report.partial_count));
    }
    if report.left_out_count > 0 {
        note!("left out: {} values that are hashes of texts", grouped(report.left_out_count));
    }
    let rows = [
        ("files written", report.written_count),
        ("rows in them", report.row_count),
        ("files that were there", report.existing_count),
    ];
    say!("{}", table(&[], rows.map(|(what, count)| vec![what.to_owned(), grouped(count)]).to_vec()));
    Ok(report.losses.check_readable()?)
}
