//! `state/<name>`: what a serving process keeps in the store for the next process of its name, and reports.
//!
//! * `lock` is held as long as the process lives. A second process of the same name serves, too, but keeps nothing; it
//!   asks for the lock again and again, so that a rolling deployment ends with an owner.
//! * `journal.json`: orders, proven generations, open attempts, deaths. `quarantine.json`: refused contents.
//! * `report.json`: for `omomi status`.
//!
//! One thread does all of this, so that a disk that hangs delays nothing else.

mod folder;
mod process;
mod siblings;
mod text;
mod writer;

pub(super) use folder::check_store;
pub(super) use process::boot_ms;
pub(super) use writer::{Desk, Writer};
