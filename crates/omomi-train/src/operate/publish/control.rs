//! What people decide over the head of `current`: go back, pin, freeze, switch off and on.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use omomi::error::Error;
use omomi::new_file::sync_folder_of;
use omomi::store::{Control, Current, Store};

use super::place::{lock_control, remove_leftovers, write_text};
use super::{PublishError, Step, Verifier, digest_on_disk, failed};

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlChange {
    /// What `control` said before; nothing where it said nothing sensible.
    pub before: Option<Control>,
    /// What it says now.
    pub after: Control,
    /// What `current` says.
    pub current: Option<Current>,
}

impl ControlChange {
    /// The generation that servers go to; nothing where they stay with what they have, or serve nothing.
    #[must_use]
    pub fn served(&self) -> Option<u64> {
        match self.after {
            Control::Follow => self.current.map(|current| current.generation),
            Control::Pin(generation) => Some(generation),
            Control::Freeze | Control::Off => None,
        }
    }
}

/// Decides: [`Control::Follow`] takes back what was decided before. Whether a generation that is pinned is there is not looked at; that is
/// what [`pin`] is for.
///
/// # Errors
///
/// [`PublishError`]; what was decided before then holds.
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
        // What is written now takes its place.
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

/// Pins a generation whose file is there and verifies.
///
/// # Errors
///
/// [`PublishError`]; what was decided before then holds.
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
    // Of other generations the digest is known to nobody any more.
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

/// Goes back to `to`, or to the generation that was published before the served one, by a pin.
///
/// # Errors
///
/// As [`pin`]; [`PublishError::NothingPublished`] and [`PublishError::NothingBefore`] where there is nothing to go back to.
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

/// A folder that merely has the name would be switched off without anybody being the quieter for it.
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
