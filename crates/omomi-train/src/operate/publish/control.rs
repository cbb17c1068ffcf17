//! Changes `control`, the orders that override `current`: roll back, pin, freeze, switch off and on.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use omomi::error::Error;
use omomi::new_file::sync_folder_of;
use omomi::store::{Control, Current, Store};

use super::store_writer::{lock_control, remove_leftovers, write_text};
use super::{PublishError, Step, Verifier, digest_on_disk, failed};

/// A change of `control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlChange {
    /// The previous order; `None` if the text was malformed.
    pub before: Option<Control>,
    /// The new order.
    pub after: Control,
    /// The content of `current`.
    pub current: Option<Current>,
}

impl ControlChange {
    /// Returns the generation that servers change to; `None` if they keep what they have, or serve nothing.
    #[must_use]
    pub fn served(&self) -> Option<u64> {
        match self.after {
            Control::Follow => self.current.map(|current| current.generation),
            Control::Pin(generation) => Some(generation),
            Control::Freeze | Control::Off => None,
        }
    }
}

/// Writes an order. [`Control::Follow`] cancels the previous order. This does not check whether a pinned generation
/// exists; use [`pin`] for that.
///
/// # Errors
///
/// Returns [`PublishError`] if the order cannot be written. The previous order then stays in force.
pub fn set_control(
    store: &Store,
    control: Control,
    watch: &mut dyn FnMut(Step),
) -> Result<ControlChange, PublishError> {
    check_store(store)?;
    let path = store.control_path();
    watch(Step::CleanUp);
    let lock = lock_control(store)?;
    if lock.is_some() {
        remove_leftovers(store.dir(), "control")?;
    }
    let before = match store.read_control() {
        // The new text replaces it.
        Err(Error::StoreMalformed { .. }) => None,
        control => Some(control?),
    };
    watch(Step::WriteText);
    if control == Control::Follow {
        watch(Step::ReplaceText);
        remove(&path)?;
    } else {
        let text = write_text(&path, &format!("{control}\n"))?;
        watch(Step::ReplaceText);
        text.take_name().map_err(failed("replace", &path))?;
    }
    watch(Step::SyncStore);
    sync_folder_of(&path).map_err(failed("sync the folder of", &path))?;
    watch(Step::Done);
    let current = store.read_current().unwrap_or_default();
    Ok(ControlChange { before, after: control, current })
}

/// Pins a generation, after checking that its file exists and verifies.
///
/// # Errors
///
/// Returns [`PublishError`] if the file is missing or bad, or if the order cannot be written. The previous order then
/// stays in force.
pub fn pin(
    store: &Store,
    generation: u64,
    verifier: &Verifier,
    watch: &mut dyn FnMut(Step),
) -> Result<ControlChange, PublishError> {
    check_store(store)?;
    let path = store.generation_path(generation);
    let published = store.generations()?;
    if !published.contains(&generation) {
        return Err(PublishError::NotPublished { generation, path, published });
    }
    watch(Step::Verify);
    verifier.verify(&path)?;
    // The digests of other generations are not recorded anywhere.
    if let Ok(Some(Current { generation: current, digest: expected })) = store.read_current()
        && current == generation
    {
        let found = digest_on_disk(&path).map_err(failed("read", &path))?;
        if found != expected {
            return Err(Error::DigestMismatch { path, expected, found }.into());
        }
    }
    set_control(store, Control::Pin(generation), watch)
}

/// Rolls back by pinning `to`, or else the generation that was published before the served one.
///
/// # Errors
///
/// Returns [`PublishError::NothingPublished`] or [`PublishError::NothingBefore`] if there is nothing to roll back to.
/// Otherwise fails like [`pin`].
pub fn rollback(
    store: &Store,
    to: Option<u64>,
    verifier: &Verifier,
    watch: &mut dyn FnMut(Step),
) -> Result<ControlChange, PublishError> {
    check_store(store)?;
    let to = match to {
        Some(to) => to,
        None => before_served(store)?,
    };
    pin(store, to, verifier, watch)
}

fn before_served(store: &Store) -> Result<u64, PublishError> {
    let served = match store.read_control()? {
        Control::Pin(generation) => generation,
        Control::Follow | Control::Freeze | Control::Off => {
            let nothing = || PublishError::NothingPublished { dir: store.dir().to_owned() };
            store.read_current()?.ok_or_else(nothing)?.generation
        }
    };
    let earlier = store.generations()?.into_iter().rfind(|&generation| generation < served);
    earlier.ok_or(PublishError::NothingBefore { served })
}

/// Rejects a folder that is not a store. Otherwise, an order could be written to a mistyped folder, where no server
/// would see it.
pub(super) fn check_store(store: &Store) -> Result<(), PublishError> {
    if store.generations_path().is_dir() {
        return Ok(());
    }
    Err(PublishError::NotAStore { dir: store.dir().to_owned() })
}

fn remove(path: &Path) -> Result<(), PublishError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}
