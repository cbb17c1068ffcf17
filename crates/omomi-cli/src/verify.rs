//! `omomi verify`: every byte of a weight file, and its golden requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use omomi::score::GoldenReport;
use omomi::weight_file::signature::{SignatureState, verify_signature};
use omomi::{Error, LoadMode, Model};
use serde_json::json;

use crate::Failure;
use crate::refusal::{Refusal, print_json};
use crate::sign::SignatureArguments;
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
    #[command(flatten)]
    signature: SignatureArguments,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mode = if arguments.copy { LoadMode::Copy } else { LoadMode::Map };
    let start = Instant::now();
    let (model, report, signature) = verify(arguments, mode).map_err(|error| refusal(error, arguments))?;
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        print_json(&json!({
            "verified": {
                "generation": model.generation(),
                "logic_id": model.logic_id(),
                "weights": model.weight_count(),
                "encoding": model.table().encoding().name(),
                "len_bytes": model.header().total_len_bytes,
                "golden_requests": report.request_count,
                "golden_candidates": report.candidate_count,
                "signature": signature_words(signature),
            },
        }));
        return Ok(());
    }
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
    if let Some(words) = signature_words(signature) {
        say!("  {words}");
    }
    Ok(())
}

/// A verified model, or what is wrong with its file, who must act and how.
pub(crate) fn load(path: &Path, mode: LoadMode) -> Result<Arc<Model>, Failure> {
    Model::load(path, mode).map_err(|error| Refusal::from(error).about(path.display()).report(false))
}

fn verify(arguments: &Arguments, mode: LoadMode) -> Result<(Arc<Model>, GoldenReport, SignatureState), Error> {
    let signature = arguments.signature.read()?;
    let model = Model::load(&arguments.file, mode)?;
    let report = model.check_golden()?;
    let state = match signature {
        None => SignatureState::NotChecked,
        Some((policy, keys)) => verify_signature(model.file(), &keys, policy)?,
    };
    Ok((model, report, state))
}

/// What is known about who vouches for the file; nothing where it was not looked at.
fn signature_words(state: SignatureState) -> Option<String> {
    match state {
        SignatureState::NotChecked => None,
        SignatureState::Unsigned => Some("not signed".to_owned()),
        SignatureState::UnknownKey(key) => Some(format!("signed by the key {key}, which is not known")),
        SignatureState::Signed(key) => Some(format!("signed by the key {key}")),
    }
}

/// As JSON it does not name the file: whoever asked knows it by another name, such as that of the original.
fn refusal(error: Error, arguments: &Arguments) -> Failure {
    let refusal = Refusal::from(error);
    if arguments.json { refusal.report(true) } else { refusal.about(arguments.file.display()).report(false) }
}
