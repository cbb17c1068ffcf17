//! The journals of the other processes of a store: what one process died of concerns all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::decide::{Ended, Inherited};
use super::folder::{is_locked, read_json};
use super::process::StoreId;
use super::text::JournalText;
use crate::store::Store;

/// Maximum number of other processes that are read.
const MAX_SIBLINGS: usize = 1_000;

/// The journals of the other processes, as they were read last.
#[derive(Debug, Default)]
pub(super) struct Siblings {
    read: BTreeMap<PathBuf, Sibling>,
}

#[derive(Debug)]
struct Sibling {
    changed: (SystemTime, u64),
    /// `None` if it cannot be read: its own process sets it aside.
    text: Option<JournalText>,
    ended: Ended,
}

impl Siblings {
    /// Reads the journals that have changed. Returns all of them if anything is new.
    pub(super) fn look(&mut self, store: &Store, name: &str, id: StoreId) -> Option<Vec<Inherited>> {
        let Ok(entries) = store.state_path().read_dir() else { return None };
        let folders = entries.flatten().filter(|entry| entry.file_name() != *name).map(|entry| entry.path());
        let folders: Vec<PathBuf> = folders.take(MAX_SIBLINGS).collect();
        let count_before = self.read.len();
        self.read.retain(|folder, _| folders.contains(folder));
        let mut is_new = self.read.len() != count_before;
        for folder in folders {
            let journal = folder.join("journal.json");
            let Ok(metadata) = fs::metadata(&journal) else { continue };
            let changed = (metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), inode(&metadata));
            if self.read.get(&folder).is_none_or(|known| known.changed != changed) {
                let text = read_json(&journal).ok().flatten().and_then(|value| JournalText::of_json(&value).ok());
                self.read.insert(folder.clone(), Sibling { changed, text, ended: Ended::Unknown });
                is_new = true;
            }
            if let Some(sibling) = self.read.get_mut(&folder) {
                let ended = sibling.ended_now(&folder, id);
                is_new |= ended != sibling.ended;
                sibling.ended = ended;
            }
        }
        let inherited = |sibling: &Sibling| {
            let text = sibling.text.as_ref()?;
            Some(Inherited { journal: text.journal.clone(), ended: sibling.ended })
        };
        is_new.then(|| self.read.values().filter_map(inherited).collect())
    }
}

impl Sibling {
    /// Only an open attempt makes it matter how the process ended.
    fn ended_now(&self, folder: &Path, id: StoreId) -> Ended {
        match &self.text {
            Some(text) if text.journal.attempt.is_some() && !is_locked(folder) => text.ended(Some(id)),
            _ => Ended::Unknown,
        }
    }
}

fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}
