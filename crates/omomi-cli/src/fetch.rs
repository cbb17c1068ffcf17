//! `omomi fetch`: brings a store from a bucket to the disk of a server.

use std::path::PathBuf;
use std::time::Duration;

use omomi::store::Store;
use omomi_train::bucket::{Bucket, Pace, Place};
use omomi_train::operate::fetch::{FetchError, FetchOptions, Fetched, fetch};
use omomi_train::operate::publish::gc::{GcOptions, collect};
use serde_json::json;

use crate::Failure;
use crate::output::{json_line, note, print_exactly, say};
use crate::publish::Verifying;
use crate::refusal::Refusal;
use crate::sign::SignatureArguments;
use crate::text::bytes;

/// Bring a store from a bucket to a server's disk, and keep it up to date
///
/// Runs beside the servers, which follow DIR as any other store and never access the bucket. Each pass reads control,
/// pardons and current of the bucket, copies the weight files that they name, verifies them with their golden requests,
/// and only then lets current name them. An interrupted copy goes on where it stopped. Orders that are given to DIR
/// itself, such as omomi off DIR, stay in force until the orders of the bucket change. Old generations are removed by
/// the rule of omomi gc.
///
/// Without --once, a failed pass is reported and tried again at the next one; servers go on with what they serve.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Address of the store: s3://bucket/key, gs://bucket/key or az://container/key
    #[arg(value_name = "ADDRESS")]
    from: String,
    /// Directory of the store that servers follow; it is created if it does not exist
    dir: PathBuf,
    /// Make one pass and end
    #[arg(long)]
    once: bool,
    /// Seconds from one pass to the next. Each pause is longer or shorter by up to a tenth, so that many servers do not
    /// ask at once
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Most megabytes to copy per second [default: as many as come]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..))]
    max_mb_per_second: Option<u32>,
    /// Number of newest generations to keep on the disk, up to the published one
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    keep: u64,
    #[command(flatten)]
    verifying: Verifying,
    #[command(flatten)]
    signature: SignatureArguments,
    /// Print what each pass brought as JSON, a line each
    #[arg(long)]
    json: bool,
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        let (code, owner, action) = (error.name().to_owned(), error.owner(), error.action().to_owned());
        let is_temporary = matches!(&error, FetchError::Bucket(error) if error.is_temporary());
        Self::new(code, owner, &error, action).temporary_if(is_temporary)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let json = arguments.json;
    let address = match Place::parse(&arguments.from).map_err(|error| Refusal::from(error).report(json))? {
        Place::Bucket(address) => address,
        Place::Disk(path) => {
            return Err(format!(
                "{} is a path: expected the address of a bucket, such as s3://bucket/feed-ctr; servers follow a \
                 directory without omomi fetch",
                path.display()
            )
            .into());
        }
    };
    let bucket = Bucket::open(&address).map_err(|error| Refusal::from(error).report(json))?;
    let store = Store::new(&arguments.dir);
    let mut options = FetchOptions::new(arguments.verifying.verifier()?);
    options.pace = Pace(arguments.max_mb_per_second.map(|mb| u64::from(mb) * 1_000_000));
    options.signature = arguments.signature.read().map_err(|error| Refusal::from(error).report(json))?;
    let mut is_first = true;
    loop {
        let mut ordered = None;
        let outcome = fetch(&bucket, &store, &options, &mut ordered, &mut |_| ());
        let failure = match outcome {
            Ok(fetched) => {
                report(&fetched, arguments, is_first);
                is_first = false;
                remove_old(&store, arguments);
                None
            }
            // One line for each pass that failed: the same text again is the same failure.
            Err(error) => {
                report_orders_of_failed_pass(ordered, arguments);
                Some(Refusal::from(error).report(json))
            }
        };
        match failure {
            Some(failure) if arguments.once => return Err(failure),
            Some(failure) => note!("error: {failure}"),
            None if arguments.once => return Ok(()),
            None => {}
        }
        let pause = Duration::from_secs(u64::from(arguments.every));
        std::thread::sleep(pause.mul_f64(rand::random_range(0.9..1.1)));
    }
}

/// Removes old generations. What cannot be removed now stays until the next pass.
fn remove_old(store: &Store, arguments: &Arguments) {
    let options = GcOptions::default().with(|it| it.keep_count = usize::try_from(arguments.keep).unwrap_or(usize::MAX));
    match collect(store, options, false) {
        Ok(collected) => {
            collected.failures.iter().for_each(|failure| note!("warning: {failure} was not removed"));
        }
        Err(error) => note!("warning: old generations were not removed: {error}"),
    }
}

/// Says which orders a pass wrote that failed later: they are in force.
fn report_orders_of_failed_pass(ordered: Option<String>, arguments: &Arguments) {
    let Some(control) = ordered else { return };
    if arguments.json {
        print_exactly(json_line(&json!({ "control": control })).as_bytes());
    } else {
        say_control(&control, arguments);
    }
}

fn say_control(control: &str, arguments: &Arguments) {
    say!("Control of {} says `{control}`", arguments.dir.display());
}

/// Says what a pass brought. That nothing is published yet is said once.
fn report(fetched: &Fetched, arguments: &Arguments, is_first: bool) {
    let is_unpublished = fetched.is_unpublished;
    let is_nothing = Fetched { is_unpublished: false, ..fetched.clone() } == Fetched::default();
    if arguments.json {
        if arguments.once || !is_nothing || (is_unpublished && is_first) {
            let files =
                fetched.files.iter().map(|(generation, len)| json!({ "generation": generation, "len_bytes": len }));
            let line = json_line(&json!({
                "current": fetched.current.map(|current| json!({
                    "generation": current.generation,
                    "digest": current.digest.to_string(),
                })),
                "control": fetched.control,
                "pardons_changed": fetched.pardons,
                "files": files.collect::<Vec<_>>(),
                "copied_bytes": fetched.copied_bytes,
                "is_unpublished": is_unpublished,
            }));
            print_exactly(line.as_bytes());
        }
        return;
    }
    if is_unpublished {
        if is_first {
            say!("Nothing is published in {} yet", arguments.from);
        }
    } else if is_nothing && arguments.once {
        say!("Nothing is new in {}", arguments.from);
    }
    if let Some(control) = &fetched.control {
        say_control(control, arguments);
    }
    for (generation, len_bytes) in &fetched.files {
        say!(
            "Brought generation {generation}: {}, of which {} were copied now",
            bytes(*len_bytes),
            bytes(fetched.copied_bytes)
        );
    }
    if let Some(current) = fetched.current {
        say!("Generation {} is published in {}", current.generation, arguments.dir.display());
    }
}
