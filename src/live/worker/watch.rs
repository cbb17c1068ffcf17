//! Watches the file of the served generation for changes.

use std::sync::Arc;

use super::super::load;
use super::super::reason::Reason;
use super::Worker;
use crate::error::{Code, Error};
use crate::weight_file::load_mode::{ChosenMode, LoadMode};
use crate::weight_file::source::{FileStamp, SourceFile};

impl Worker {
    /// Checks that a mapped file has not changed. If it has, serving moves to a private copy of the verified bytes, if
    /// they can still be copied. Otherwise nothing is served, until another generation is found: returns why.
    pub(super) fn watch_file(&mut self) -> Option<Reason> {
        let served = self.served.as_mut()?;
        let now = match served.source.stamp_now() {
            Ok(now) if now != served.stamp => now,
            unchanged => {
                self.reasons.extend(served.reasons.iter().cloned());
                self.reasons.extend(unchanged.err().map(|error| Reason::of(&error)));
                return None;
            }
        };
        let (current, before) = (served.current, served.stamp);
        let change = describe_change(before, now);
        if served.load_mode.mode != LoadMode::Map {
            // Requests do not notice. Others that open the file do.
            let is_damaged = now.len_bytes != served.model.header().total_len_bytes
                || !matches!(load::is_still(&served.source, current.digest, &mut || Ok(())), Ok(true));
            served.reasons.retain(|reason| reason.code != Code::ChangedInPlace);
            if is_damaged {
                let path = served.source.path().to_owned();
                let reason = Reason::of(&Error::ChangedInPlace { path, change });
                served.reasons.push(reason);
            }
            served.stamp = now;
            self.reasons.extend(served.reasons.iter().cloned());
            return None;
        }
        if now.len_bytes < before.len_bytes {
            // Touching a page past the new end raises SIGBUS and ends the process, so no request may use the mapping
            // while the bytes are checked.
            self.switch_to_nothing();
        }
        let served = self.served.as_mut()?;
        self.reasons.extend(served.reasons.iter().cloned());
        // The file was unlinked, renamed or linked: publishers that free space do that. It needs no copy.
        let is_written = (now.len_bytes, now.written) != (before.len_bytes, before.written);
        if !is_written && matches!(load::is_still(&served.source, current.digest, &mut || Ok(())), Ok(true)) {
            served.stamp = now;
            return None;
        }
        let copy = load::private_copy(&served.source, current.digest, &mut || Ok(()));
        let error = Error::ChangedInPlace { path: served.source.path().to_owned(), change };
        match copy {
            Ok(copy) => {
                served.reasons.push(Reason::of(&error));
                served.stamp = now;
                served.load_mode =
                    ChosenMode { mode: LoadMode::Copy, reason: "the file was changed in place".to_owned() };
                self.reasons.push(Reason::of(&error));
                let mapped = std::mem::replace(&mut served.model, Arc::clone(&copy));
                let prepared = self.prepare(&copy);
                let is_switched = prepared.and_then(|prepared| self.switch(&copy, current.digest, prepared)).is_ok();
                self.retired.push(mapped);
                if is_switched {
                    return None;
                }
            }
            Err(_) => {
                self.shared.ledger().withdrawn(error.code());
            }
        }
        self.switch_to_nothing();
        let lost = self.served.take();
        self.retire(lost);
        self.known.lost();
        Some(Reason::of(&error))
    }

    /// Checks that the name of the served file still leads to its content: the next start would find what is there. A
    /// file that replaces it is read once. One that is gone is shown by `omomi status`.
    pub(super) fn watch_name(&mut self) {
        let Some(served) = &self.served else { return };
        let named = SourceFile::open(served.source.path());
        let Some(other) = named.ok().filter(|file| file.stamp().identity != served.stamp.identity) else {
            self.namesake = None;
            return;
        };
        if self.namesake.as_ref().is_none_or(|(stamp, _)| *stamp != other.stamp()) {
            let Ok(found) = load::digest_of_file(&other, &mut || self.go_on()) else { return };
            let (path, expected) = (other.path().to_owned(), served.current.digest);
            let error = Error::DigestMismatch { path, expected, found };
            self.namesake = Some((other.stamp(), (found != expected).then(|| Reason::of(&error))));
        }
        self.reasons.extend(self.namesake.iter().filter_map(|(_, reason)| reason.clone()));
    }
}

fn describe_change(before: FileStamp, now: FileStamp) -> String {
    if now.len_bytes != before.len_bytes {
        return format!("its length changed from {} to {} bytes", before.len_bytes, now.len_bytes);
    }
    if now.written == before.written {
        return "its permissions or links changed".to_owned();
    }
    "it was written to".to_owned()
}
