//! `omomi verify`: every byte of a weight file, and its golden requests.

use std::path::PathBuf;
use std::time::Instant;

use omomi::{LoadMode, Model};

use crate::Failure;
use crate::text::{bytes, grouped, say};

/// Check every byte of a weight file and recompute its golden requests
///
/// Exit code 0: the file is whole and gives the answers that it promises. Exit code 1: it says what is wrong and who must act.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The weight file
    file: PathBuf,
    /// Verify a private copy instead of the shared mapping
    #[arg(long)]
    copy: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mode = if arguments.copy { LoadMode::Copy } else { LoadMode::Map };
    let start = Instant::now();
    let model = load(&arguments.file, mode)?;
    let seconds = start.elapsed().as_secs_f64();
    let report = model.check_golden()?;
    say!("{}: every byte verified", arguments.file.display());
    say!(
        "  {} weights in {}, {}, {seconds:.2} s",
        grouped(model.weight_count()),
        model.table().encoding().name(),
        bytes(model.header().total_len_bytes)
    );
    say!(
        "  {} golden requests with {} candidates: all bits equal, by the kernel and by its plain twin",
        report.request_count,
        report.candidate_count
    );
    Ok(())
}

/// A verified model, or what is wrong with its file, who must act and how.
pub(crate) fn load(path: &std::path::Path, mode: LoadMode) -> Result<std::sync::Arc<Model>, Failure> {
    Model::load(path, mode).map_err(|error| {
        let code = error.code();
        let (owner, action) = (code.owner().word(), code.action());
        format!("{}: {}\n  who must act: {owner}\n  what to do: {action}", path.display(), error.full_message()).into()
    })
}
