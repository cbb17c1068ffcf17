//! `omomi log replay`.

use std::path::PathBuf;

use omomi_train::serving_logs::{MAX_EXPLAINED, ReplayFiles, ReplayReport, Segments, replay};

use super::note_losses;
use crate::Failure;
use crate::output::{note, say};
use crate::text::{grouped, table};

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("weights").required(true)))]
pub(super) struct Arguments {
    /// Segments, or folders of them
    #[arg(value_name = "FILE|FOLDER", required = true)]
    paths: Vec<PathBuf>,
    /// Directory of the store that the server followed
    #[arg(long, value_name = "DIR", group = "weights")]
    store: Option<PathBuf>,
    /// Weight files of the generations that answered
    #[arg(long, value_name = "FILE", num_args = 1.., group = "weights")]
    files: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let files = match &arguments.store {
        Some(dir) => ReplayFiles::Store(dir.clone()),
        None => ReplayFiles::of_files(&arguments.files)?,
    };
    let report = replay(&Segments::find(&arguments.paths)?, &files)?;
    let ReplayReport { prediction_count, equal_count, mismatch_count, .. } = report;
    let mut rows = vec![
        vec!["predictions".to_owned(), grouped(prediction_count)],
        vec!["equal, bit for bit".to_owned(), grouped(equal_count)],
        vec!["different".to_owned(), grouped(mismatch_count)],
    ];
    rows.extend(report.skipped.iter().map(|(why, count)| vec![format!("not computed: {why}"), grouped(*count)]));
    say!("{}", table(&[], rows));
    note_losses(&report.losses);
    for (owner, message) in &report.file_faults {
        note!("{}: {message}", owner.word());
    }
    for mismatch in &report.mismatches {
        let (owner, part) = (mismatch.owner.word(), mismatch.part.word());
        let (id, generation) = (&mismatch.prediction_id, mismatch.generation);
        note!("{owner}: {part} differs in prediction {id} of generation {generation}: {}", mismatch.message);
    }
    if mismatch_count > MAX_EXPLAINED as u64 {
        note!("and {} more, which are not explained", grouped(mismatch_count - MAX_EXPLAINED as u64));
    }
    report.losses.check_readable()?;
    match (mismatch_count, equal_count) {
        (0, 0) => Err("no prediction could be computed again".into()),
        (0, _) if report.file_faults.is_empty() => Ok(()),
        (0, _) => Err("some weight files are not those that answered".into()),
        (1, _) => Err("1 prediction differs".into()),
        (count, _) => Err(format!("{} predictions differ", grouped(count)).into()),
    }
}
