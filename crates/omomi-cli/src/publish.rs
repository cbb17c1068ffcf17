//! `omomi publish`: publishes a weight file to the servers of a store.

use std::path::PathBuf;
use std::time::Duration;

use omomi_train::operate::bucket_store::Needs;
use omomi_train::operate::publish::{BlessingPolicy, PublishOptions, Published, Verifier, Warning, publish};
use serde_json::json;

use crate::Failure;
use crate::output::{note, say};
use crate::refusal::{Refusal, print_json};
use crate::sign::SignatureArguments;
use crate::stores::NamedStore;
use crate::text::bytes;

/// Publish a weight file to a store, the directory from which servers take their models
///
/// The file needs the blessing that omomi gate writes next to it, unless DIR/limits.toml says otherwise. The file is
/// copied, read back, verified with its golden requests in a fresh process, and checked against the limits in
/// DIR/limits.toml. Then the copy gets the name of its generation, and `current` points to it. If the command is killed
/// at any moment, the store is in the old state or in the new one. If a check fails, the store is unchanged, the exit
/// code is 1, and the error says why and who must act.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Weight file to publish
    file: PathBuf,
    /// Directory of the store, or its address in a bucket: s3://bucket/key. It is created if it does not exist
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    verifying: Verifying,
    #[command(flatten)]
    signature: SignatureArguments,
    /// Publish the file even without a blessing of omomi gate
    #[arg(long)]
    unblessed: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// How files are verified before servers use them.
#[derive(clap::Args)]
pub(crate) struct Verifying {
    /// Longest time for verifying the file, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = Verifier::DEFAULT_TIME_LIMIT.as_secs())]
    verify_seconds: u64,
}

impl Verifying {
    pub(crate) fn verifier(&self) -> Result<Verifier, Failure> {
        let time_limit = Duration::from_secs(self.verify_seconds);
        Ok(Verifier { time_limit, ..Verifier::this_program()? })
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let json = arguments.json;
    let mut options = PublishOptions::new(&arguments.file, arguments.verifying.verifier()?);
    options.signature = arguments.signature.read().map_err(|error| Refusal::from(error).report(json))?;
    options.blessing = arguments.unblessed.then_some(BlessingPolicy::Off);
    let named = NamedStore::open(&arguments.to).map_err(|error| Refusal::from(error).report(json))?;
    let needs = Needs { served_file: true, last_files: true, ..Needs::default() };
    let published = named.change(needs, |store| {
        named.check_keys()?;
        Ok(publish(store, &options, &mut |_| ())?)
    });
    let published = published.map_err(|error| named.refuse_about(Some(&arguments.file), error, json))?;
    for warning in &published.warnings {
        note!("warning: {warning}");
    }
    if arguments.json {
        print_outcome(&published, &named)
    } else {
        say_outcome(&published, &named, arguments)
    }
    Ok(())
}

fn print_outcome(published: &Published, named: &NamedStore) {
    let warnings: Vec<String> = published.warnings.iter().map(ToString::to_string).collect();
    print_json(&json!({
        "published": {
            "generation": published.current.generation,
            "digest": published.current.digest.to_string(),
            "path": named.named(&published.path.display().to_string()),
            "len_bytes": published.len_bytes,
        },
        "before": published.before.map(|before| before.generation),
        "warnings": warnings,
    }));
}

fn say_outcome(published: &Published, named: &NamedStore, arguments: &Arguments) {
    let current = published.current;
    say!("Published generation {}: {}", current.generation, named.named(&published.path.display().to_string()));
    say!("  {}, sha256 {}", bytes(published.len_bytes), current.digest);
    match published.before {
        None => say!("  nothing was published before"),
        Some(before) => say!("  before: generation {}", before.generation),
    }
    let is_followed = !published.warnings.iter().any(|warning| matches!(warning, Warning::NotFollowed { .. }));
    if is_followed && published.before.is_some() {
        say!("  undo: omomi rollback {}", arguments.to.display());
    }
}
