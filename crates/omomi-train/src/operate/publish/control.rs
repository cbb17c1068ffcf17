//! Changes `control`: the orders to score or not, and what to serve.
//!
//! The two orders are apart: each change writes both, and leaves the other as it was. Freezing and rolling back start
//! from what servers serve, not from what was published.

use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use omomi::error::Error;
use omomi::new_file::sync_folder_of;
use omomi::store::{Control, ControlText, Current, Named, Pardon, Pardons, Scoring, Store, Target};

use super::servers::{Life, ServerStatus, servers_of};
use super::store_writer::{lock_control, remove_leftovers, write_text};
use super::{PublishError, Step, Verifier, digest_on_disk, failed};

/// A change of `control`.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlChange {
    /// The previous orders; `None` if there was no text, or a malformed one.
    pub before: Option<Control>,
    /// The new orders.
    pub after: Control,
    /// The content of `current`.
    pub current: Option<Current>,
    /// What each server does now, in words, by its name.
    pub effects: Vec<(String, String)>,
}

/// Switches scoring on or off. What servers serve stays as it was.
///
/// # Errors
///
/// Returns [`PublishError`] if the order cannot be written. The previous orders then stay in force.
pub fn switch(store: &Store, scoring: Scoring, watch: &mut dyn FnMut(Step)) -> Result<ControlChange, PublishError> {
    set_control(store, ControlText { scoring: Some(scoring), target: None }, watch)
}

/// Lets servers serve what is published. Whether they score stays as it was.
///
/// # Errors
///
/// Fails like [`switch`].
pub fn follow(store: &Store, watch: &mut dyn FnMut(Step)) -> Result<ControlChange, PublishError> {
    set_control(store, ControlText { scoring: None, target: Some(Target::Follow) }, watch)
}

/// Keeps what servers serve, no matter what is published later. `at` says which generation, where they differ.
///
/// # Errors
///
/// Returns [`PublishError::ServersDiffer`] if servers serve different generations and `at` does not say which one, and
/// [`PublishError::NothingPublished`] if there is nothing to stay at. Otherwise fails like [`switch`].
pub fn freeze(store: &Store, at: Option<u64>, watch: &mut dyn FnMut(Step)) -> Result<ControlChange, PublishError> {
    check_store(store)?;
    let served = match at {
        None => served_by_all(store)?,
        Some(generation) => {
            let known = served_now(store)?.into_iter().map(|(_, served)| served);
            match known.chain(store.read_current()?).find(|known| known.generation == generation) {
                Some(known) => known,
                None => content_of(store, generation)?,
            }
        }
    };
    set_control(store, ControlText { scoring: None, target: Some(Target::Freeze(Some(served.into()))) }, watch)
}

/// Pins a generation, after checking that its file exists and verifies. Also lifts a quarantine that deaths caused.
///
/// # Errors
///
/// Returns [`PublishError`] if the file is missing or bad, or if the order cannot be written. The previous orders then
/// stay in force.
pub fn pin(
    store: &Store,
    generation: u64,
    verifier: &Verifier,
    watch: &mut dyn FnMut(Step),
) -> Result<ControlChange, PublishError> {
    check_store(store)?;
    watch(Step::Verify);
    check_exists(store, generation)?;
    verifier.verify(store.generation_path(generation))?;
    let pinned = content_of(store, generation)?;
    set_control(store, ControlText { scoring: None, target: Some(Target::Pin(pinned.into())) }, watch)
}

/// Rolls back by pinning `to`, or else the newest generation before the one that servers serve.
///
/// # Errors
///
/// Returns [`PublishError::NothingPublished`] or [`PublishError::NothingBefore`] if there is nothing to roll back to,
/// and [`PublishError::ServersDiffer`] if servers serve different generations. Otherwise fails like [`pin`].
pub fn rollback(
    store: &Store,
    to: Option<u64>,
    verifier: &Verifier,
    watch: &mut dyn FnMut(Step),
) -> Result<ControlChange, PublishError> {
    check_store(store)?;
    let to = match to {
        Some(to) => to,
        None => {
            let served = served_by_all(store)?.generation;
            let earlier = store.generations()?.into_iter().rfind(|&generation| generation < served);
            earlier.ok_or(PublishError::NothingBefore { served })?
        }
    };
    pin(store, to, verifier, watch)
}

/// Takes the content of a generation out of the quarantine of every server. Each server then tries it again.
///
/// # Errors
///
/// Returns [`PublishError::NotPublished`] if there is no file of that generation, and other errors if the order cannot
/// be written.
pub fn unquarantine(store: &Store, generation: u64) -> Result<Current, PublishError> {
    check_store(store)?;
    check_exists(store, generation)?;
    let content = content_of(store, generation)?;
    let _lock = lock_control(store)?;
    let mut pardons = store.read_pardons().unwrap_or_default();
    pardons.retain(|pardon| pardon.digest != content.digest);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let unix_nanoseconds = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    pardons.push(Pardon { generation, digest: content.digest, unix_nanoseconds });
    let excess = pardons.len().saturating_sub(Pardons::MAX_LEN);
    pardons.drain(..excess);
    let path = store.pardons_path();
    write_text(&path, &Pardons(pardons).to_string())?.take_name().map_err(failed("replace", &path))?;
    sync_folder_of(&path).map_err(failed("sync the folder of", &path))?;
    Ok(content)
}

/// Writes both orders. An order that `change` does not name stays as it was.
fn set_control(store: &Store, change: ControlText, watch: &mut dyn FnMut(Step)) -> Result<ControlChange, PublishError> {
    check_store(store)?;
    let path = store.control_path();
    watch(Step::CleanUp);
    let lock = lock_control(store)?;
    if lock.is_some() {
        remove_leftovers(store.dir(), "control")?;
    }
    // The generation may have been removed while it was verified.
    if let Some(Target::Pin(named)) = change.target {
        check_exists(store, named.generation)?;
    }
    // What servers heard last is in force, even if the text is gone or malformed.
    let servers = servers_of(store).map(|(servers, _)| servers).unwrap_or_default();
    let text = match store.read_control() {
        Err(Error::StoreMalformed { .. }) => None,
        text => text?,
    };
    let heard = || heard_last(&servers).unwrap_or_default();
    let before = text.map(|text| match text {
        ControlText { scoring: Some(_), target: Some(_) } => text.over(Control::default()),
        // A part that was not named stays as servers heard it.
        text => text.over(heard()),
    });
    let after = change.over(before.unwrap_or_else(heard));
    watch(Step::WriteText);
    replace_text(&path, &format!("{after}\n"), watch)?;
    watch(Step::SyncStore);
    sync_folder_of(&path).map_err(failed("sync the folder of", &path))?;
    watch(Step::Done);
    let current = store.read_current().unwrap_or_default();
    let effects = servers.iter().map(|server| (server.name.clone(), effect(server, after, current))).collect();
    Ok(ControlChange { before, after, current, effects })
}

/// Returns the orders that servers heard last: those of a running one, before those of one that may run, before those
/// that ended servers left. Of several, those of the latest report, but a running one that is off keeps all off.
fn heard_last(servers: &[ServerStatus]) -> Option<Control> {
    let heard = servers.iter().filter_map(|server| {
        let likelihood = match server.life {
            Life::Running => 0,
            Life::Unknown => 1,
            Life::Ended | Life::Died => 2,
        };
        let control = server.control()?;
        let is_on = likelihood != 0 || !control.is_off();
        Some(((likelihood, is_on, std::cmp::Reverse(server.heartbeat_boot_ms())), control))
    });
    heard.min_by_key(|(rank, _)| *rank).map(|(_, control)| control)
}

/// Replaces the text. On a full disk, writes over the text that is there, which needs no space: an order to switch off
/// must be possible then.
pub(in crate::operate) fn replace_text(
    path: &Path,
    text: &str,
    watch: &mut dyn FnMut(Step),
) -> Result<(), PublishError> {
    let error = match write_text(path, text) {
        Ok(new_file) => {
            watch(Step::ReplaceText);
            return new_file.take_name().map_err(failed("replace", path));
        }
        Err(error) => error,
    };
    watch(Step::ReplaceText);
    let is_full = matches!(&error, PublishError::Serving(Error::File { source, .. })
        if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded));
    let Ok(file) = std::fs::File::options().write(true).open(path) else { return Err(error) };
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    let Ok(len) = usize::try_from(len).map(|len| len.max(text.len())) else { return Err(error) };
    if !is_full || len > 4_096 {
        return Err(error);
    }
    let padded = format!("{:width$}\n", text.trim_end(), width = len - 1);
    file.write_all_at(padded.as_bytes(), 0).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

/// Says what a server does under these orders.
fn effect(server: &ServerStatus, after: Control, current: Option<Current>) -> String {
    let life = match server.life {
        Life::Running => "",
        Life::Ended => "ended; after its next start, ",
        Life::Died => "died; after its next start, ",
        Life::Unknown => "not known whether it runs; if so, ",
    };
    let target = match after.target {
        Target::Follow => current.map(Named::from),
        target => target.named(),
    };
    let served = server.served();
    let does = match (target, served) {
        (Some(target), Some(served)) if target.is(served) => format!("stays at generation {}", served.generation),
        (Some(target), Some(served)) => {
            format!("goes from generation {} to {}", served.generation, target.generation)
        }
        (Some(target), None) => format!("loads generation {}", target.generation),
        (None, Some(served)) => format!("stays at generation {}", served.generation),
        (None, None) => "serves nothing, because nothing was published yet".to_owned(),
    };
    let off = if after.is_off() { "; does not score: scoring is off" } else { "" };
    format!("{life}{does}{off}")
}

/// Returns what each running server serves; without one, what the servers served last.
fn served_now(store: &Store) -> Result<Vec<(String, Current)>, PublishError> {
    let (servers, _) = servers_of(store)?;
    let of = |is_wanted: &dyn Fn(&ServerStatus) -> bool| {
        let servers = servers.iter().filter(|server| is_wanted(server));
        servers.filter_map(|server| Some((server.name.clone(), server.served()?))).collect::<Vec<_>>()
    };
    let running = of(&|server| server.life == Life::Running);
    let unknown = of(&|server| server.life == Life::Unknown);
    Ok([running, unknown, of(&|_| true)].into_iter().find(|served| !served.is_empty()).unwrap_or_default())
}

/// Returns the one generation that servers serve; without servers, the one that is published.
fn served_by_all(store: &Store) -> Result<Current, PublishError> {
    let served = served_now(store)?;
    let Some((_, first)) = served.first() else {
        // Servers that start go where the orders say.
        let ordered = store.read_control().ok().flatten().and_then(|text| text.target?.named());
        if let Some(Named { generation, digest: Some(digest) }) = ordered {
            return Ok(Current { generation, digest });
        }
        return store.read_current()?.ok_or_else(|| PublishError::NothingPublished { dir: store.dir().to_owned() });
    };
    if served.iter().all(|(_, other)| other == first) {
        return Ok(*first);
    }
    let served = served.iter().map(|(name, current)| (name.clone(), current.generation)).collect();
    Err(PublishError::ServersDiffer { served })
}

fn check_exists(store: &Store, generation: u64) -> Result<(), PublishError> {
    let published = store.generations()?;
    if published.contains(&generation) {
        return Ok(());
    }
    Err(PublishError::NotPublished { generation, path: store.generation_path(generation), published })
}

/// Returns the content of a generation's file. That of the published one must be what was published.
fn content_of(store: &Store, generation: u64) -> Result<Current, PublishError> {
    check_exists(store, generation)?;
    let path = store.generation_path(generation);
    let digest = digest_on_disk(&path).map_err(failed("read", &path))?;
    if let Ok(Some(Current { generation: current, digest: expected })) = store.read_current()
        && current == generation
        && digest != expected
    {
        return Err(Error::DigestMismatch { path, expected, found: digest }.into());
    }
    Ok(Current { generation, digest })
}

/// Rejects a folder that is not a store. Otherwise, an order could be written to a mistyped folder, where no server
/// would see it.
pub(super) fn check_store(store: &Store) -> Result<(), PublishError> {
    if store.generations_path().is_dir() {
        return Ok(());
    }
    Err(PublishError::NotAStore { dir: store.dir().to_owned() })
}
