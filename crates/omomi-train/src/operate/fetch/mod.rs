//! Brings a store from a bucket to the disk of a server: `omomi fetch`.
//!
//! One pass takes these steps. The process may die during any of them without harm, and the next pass goes on:
//!
//! 1. Read `control` of the bucket and write it, if people changed it there since the last pass. Orders that people
//!    gave on the server itself stay until then. An absent text is no order. This is done again every few seconds until
//!    the pass ends, so that an order to switch off does not wait for anything.
//! 2. Read and write `pardons` likewise, and read `current`.
//! 3. Copy the weight files that `current` and `control` name into `incoming/`, from where the last pass stopped, and
//!    check their digests.
//! 4. Verify each with its golden requests in a fresh process, make it read-only, and give it its name.
//! 5. Replace `current`.
//!
//! Servers see a generation only after step 5, and then its file is there, whole and verified.

mod error;
mod memory;
mod orders;
mod pass;

use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use omomi::store::{Current, Store};
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys};

use super::publish::store_writer::StoreWriter;
use super::publish::{PublishError, Verifier};
use crate::bucket::{Bucket, Pace};

pub use error::FetchError;
use orders::Orders;
use pass::Pass;

/// How often `control` is read while a pass copies or verifies.
const ORDERS_EVERY: Duration = Duration::from_secs(3);

/// What is fetched, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchOptions {
    /// Verifies the copies.
    pub verifier: Verifier,
    /// How fast weight files are copied.
    pub pace: Pace,
    /// Whether files need a signature, and the keys that are trusted.
    pub signature: Option<(SignaturePolicy, TrustedKeys)>,
    /// How often `control` is read while files are copied or verified.
    pub orders_every: Duration,
}

impl FetchOptions {
    /// Returns options without a limit of the pace.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self { verifier, pace: Pace::default(), signature: None, orders_every: ORDERS_EVERY }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// What a pass brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The new content of `current`, if it changed.
    pub current: Option<Current>,
    /// The new orders, if they changed.
    pub control: Option<String>,
    /// Whether there are new pardons.
    pub pardons: bool,
    /// Weight files that were brought, with their lengths.
    pub files: Vec<(u64, u64)>,
    /// Bytes that were copied in this pass.
    pub copied_bytes: u64,
    /// Whether nothing is published in the bucket yet.
    pub is_unpublished: bool,
}

/// A step of a pass, for those who watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchStep {
    /// Reads the texts of the bucket.
    Read,
    /// Writes the orders.
    Orders,
    /// Copies a part of a weight file.
    Copy,
    /// Computes the digest of what was copied.
    Digest,
    /// Verifies a weight file.
    Verify,
    /// Gives a weight file its name.
    TakeName,
    /// Replaces `current`.
    ReplaceCurrent,
}

/// Brings what is new from `bucket` to `store`, which is created if it does not exist. Calls `watch` before each step.
/// Puts the orders that it wrote into `ordered`, even if it fails later.
///
/// # Errors
///
/// Returns [`FetchError`]. What the pass completed stays; servers go on with what they serve.
pub fn fetch(
    bucket: &Bucket,
    store: &Store,
    options: &FetchOptions,
    ordered: &mut Option<String>,
    watch: &mut dyn FnMut(FetchStep),
) -> Result<Fetched, FetchError> {
    let writer = StoreWriter::lock(store).map_err(|error| match error {
        PublishError::Busy { dir } => FetchError::Busy { dir },
        error => error.into(),
    })?;
    let fetched = run(bucket, store, options, ordered, watch);
    if fetched.is_err() {
        writer.remove_new_folders();
    }
    fetched
}

fn run(
    bucket: &Bucket,
    store: &Store,
    options: &FetchOptions,
    ordered: &mut Option<String>,
    watch: &mut dyn FnMut(FetchStep),
) -> Result<Fetched, FetchError> {
    watch(FetchStep::Read);
    let orders = Orders::begin(bucket, store).inspect_err(|error| {
        // What is wrong with our notes is not in the way of an order to switch off.
        if matches!(error, FetchError::Memory { .. }) {
            Orders { bucket, store, state: Mutex::default() }.switch_off();
        }
    })?;
    watch(FetchStep::Orders);
    let target = orders.look()?;
    let (end, ended) = channel::<()>();
    let fetched = std::thread::scope(|scope| {
        let orders = &orders;
        scope.spawn(move || {
            // Failures are those of the pass, or the next pass has them too.
            while ended.recv_timeout(options.orders_every) == Err(RecvTimeoutError::Timeout) {
                let _ = orders.look();
            }
        });
        // Dropped when the pass ends, even by a panic.
        let _end = end;
        Pass { orders, options, watch, fetched: Fetched::default() }.run(target)
    });
    ordered.clone_from(&orders.state().written);
    fetched.map(|fetched| Fetched { control: orders.state().written, ..fetched })
}
