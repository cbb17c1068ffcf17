//! Looks after the file under a mapping.

use std::sync::Arc;

use super::super::load;
use super::super::report::Reason;
use super::Worker;
use crate::error::Error;
use crate::weight_file::map::LoadMode;
use crate::weight_file::source::FileStamp;

impl Worker {
    /// A mapped file must stay as it is. Where it does not, serving moves to a private copy of the verified bytes, if they are still
    /// there to be copied, and otherwise away from them.
    pub(super) fn watch_file(&mut self) {
        let Some(served) = &mut self.served else { return };
        self.reasons.extend(served.reasons.iter().cloned());
        if served.load_mode != LoadMode::Map {
            return;
        }
        let now = match served.source.stamp_now() {
            Ok(now) if now == served.stamp => return,
            Ok(now) => now,
            Err(error) => {
                self.reasons.push(Reason::of(&error));
                return;
            }
        };
        let (current, before) = (served.current, served.stamp);
        let change = describe_change(before, now);
        if now.len_bytes < before.len_bytes {
            // Whoever touches a page behind the new end ends the process: nobody may, while the bytes are looked at.
            self.switch_to_nothing();
        }
        let Some(served) = &mut self.served else { return };
        // A file that lost its name, or got another one: what a publisher does that makes room. Not worth a copy of it.
        let is_written = (now.len_bytes, now.written) != (before.len_bytes, before.written);
        if !is_written && matches!(load::is_still(&served.source, current.digest, &mut || Ok(())), Ok(true)) {
            served.stamp = now;
            return;
        }
        let copy = load::private_copy(&served.source, current.digest, &mut || Ok(()));
        let error = Error::ChangedInPlace { path: served.source.path().to_owned(), change };
        match copy {
            Ok(copy) => {
                served.reasons.push(Reason::of(&error));
                served.load_mode = LoadMode::Copy;
                self.reasons.push(Reason::of(&error));
                let mapped = std::mem::replace(&mut served.model, Arc::clone(&copy));
                let prepared = self.prepare(&copy);
                if prepared.and_then(|prepared| self.switch(&copy, prepared)).is_err() {
                    self.switch_to_nothing();
                    let unused = self.served.take();
                    self.retire(unused);
                }
                self.retired.push(mapped);
            }
            Err(_) => {
                self.shared.ledger().withdrawn(error.code());
                self.reasons.push(Reason::of(&error));
                let lost = self.served.take();
                // What was good last is not there any more, and what was good before it is not known.
                if self.memory.good == Some(current) && self.fallback.is_none() {
                    self.memory.forget_good();
                }
                self.trial = None;
                self.memory.give_up_trial();
                self.retire(lost);
                self.serve_fallback();
            }
        }
    }
}

fn describe_change(before: FileStamp, now: FileStamp) -> String {
    if now.len_bytes != before.len_bytes {
        return format!("its length was {} bytes and is {}", before.len_bytes, now.len_bytes);
    }
    if now.written == before.written {
        return "its permissions or names are other ones".to_owned();
    }
    "it was written to".to_owned()
}
