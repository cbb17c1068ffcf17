//! `omomi verify`: checks every byte of a weight file and its golden requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use omomi::score::GoldenReport;
use omomi::weight_file::signature::SignatureState;
use omomi::{Error, LoadMode, Model};
use omomi_train::bucket::{LocalCopy, load_model};
use serde_json::json;

use crate::Failure;
use crate::output::say;
use crate::refusal::{Refusal, print_json};
use crate::sign::SignatureArguments;
use crate::text::{bytes, grouped};

/// Check every byte of a weight file and recompute its golden requests
///
/// Exit code 0: the file is whole and gives the answers that it promises. Exit code 1: the error says what is wrong and
/// who must act.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Weight file to check
    file: PathBuf,
    /// Load the file as a private copy instead of a shared mapping
    #[arg(long)]
    copy: bool,
    #[command(flatten)]
    signature: SignatureArguments,
    /// Print the result as JSON
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
        "  {} golden requests with {} candidates: all bits equal, by the kernel and by the plain implementation",
        report.request_count,
        report.candidate_count
    );
    if let Some(words) = signature_words(signature) {
        say!("  {words}");
    }
    Ok(())
}

/// Loads and verifies a model. The error says what is wrong with the file, who must act, and what to do.
pub(crate) fn load(path: &Path, mode: LoadMode) -> Result<Arc<Model>, Failure> {
    load_model(path, mode).map_err(|error| Refusal::from(error).about(path.display()).report(false))
}

fn verify(arguments: &Arguments, mode: LoadMode) -> Result<(Arc<Model>, GoldenReport, SignatureState), Error> {
    let signature = arguments.signature.read()?;
    let (policy, keys) = signature.unwrap_or_default();
    let local = LocalCopy::of(&arguments.file)?;
    let (model, state) = Model::load_signed(local.path(), mode, &keys, policy)?;
    let report = model.check_golden()?;
    Ok((model, report, state))
}

/// Describes the signature of the file, or returns `None` if it was not checked.
fn signature_words(state: SignatureState) -> Option<String> {
    match state {
        SignatureState::NotChecked => None,
        SignatureState::Unsigned => Some("not signed".to_owned()),
        SignatureState::UnknownKey(key) => Some(format!("signed by the unknown key {key}")),
        SignatureState::Signed(key) => Some(format!("signed by the key {key}")),
    }
}

/// Turns an error into a failure. The JSON does not name the file, because the caller may verify a copy under another
/// name.
fn refusal(error: Error, arguments: &Arguments) -> Failure {
    let refusal = Refusal::from(error);
    if arguments.json { refusal.report(true) } else { refusal.about(arguments.file.display()).report(false) }
}
