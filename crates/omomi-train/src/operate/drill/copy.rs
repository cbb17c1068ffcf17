//! The copy of a store that the incidents happen to, and every change that is made to it from outside the server.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{DrillError, DrillOptions, files, server};
use crate::operate::publish::{
    BlessingPolicy, PublishOptions, Step, Verifier, follow, freeze, pin, publish, rollback, switch,
};
use omomi::score::Model;
use omomi::store::{Current, Digest, Scoring, Store};
use omomi::weight_file::map::LoadMode;
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys};
use serde_json::Value;

const MAX_FIRST_GENERATION: u64 = 1 << 52;

/// A store in a temporary folder, which is removed with it.
#[derive(Debug)]
pub(super) struct Copy {
    folder: Folder,
    pub(super) store: Store,
    verifier: Verifier,
    /// A copy of the weight file that is published in the original store. No incident touches it.
    pub(super) original: PathBuf,
    bytes: Vec<u8>,
    next_generation: u64,
}

/// An order of people.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    /// Score, and serve what is published.
    Normal,
    Off,
    On,
    Follow,
    Freeze,
    Pin(u64),
    /// To the generation before the one that the server serves.
    Rollback,
}

/// A folder that is removed with its content on drop.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be removed stays in the scratch folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Copy {
    pub(super) fn of(dir: &Path, options: &DrillOptions) -> Result<Self, DrillError> {
        let original_store = Store::new(dir);
        let Some(current) = original_store.read_current()? else {
            return Err(DrillError::NothingPublished { dir: dir.to_owned() });
        };
        let path = original_store.generation_path(current.generation);
        let bytes = fs::read(&path).map_err(DrillError::system("read", path))?;
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let folder = options.scratch.join(format!("omomi-drill-{}-{nanoseconds}", std::process::id()));
        fs::create_dir(&folder).map_err(DrillError::system("create", &folder))?;
        let folder = Folder(folder);
        let store = Store::new(folder.0.join("store"));
        let original = folder.0.join("original.omomi");
        write_new(&original, &bytes)?;
        let arguments = ["verify", "--json"].map(Into::into).to_vec();
        let verifier =
            Verifier { program: options.program.clone(), arguments, time_limit: Verifier::DEFAULT_TIME_LIMIT };
        // Rejects a file that no server would load before anything else is done.
        Model::load(&original, LoadMode::Map)?;
        // The drill publishes many. In its copy, a number near the end of all numbers may start again.
        let next_generation = current.generation.min(MAX_FIRST_GENERATION) + 1;
        Ok(Self { folder, store, verifier, original, bytes, next_generation })
    }

    pub(super) fn new_generation(&mut self) -> u64 {
        self.next_generation += 1;
        self.next_generation - 1
    }

    /// Returns the bytes of a good file with that generation.
    pub(super) fn good_bytes(&self, generation: u64) -> Result<Vec<u8>, DrillError> {
        Ok(files::of_generation(self.bytes.clone(), generation)?)
    }

    /// Publishes a good file in the proper way. Returns its generation and the time at which `current` was replaced.
    pub(super) fn publish_good(&mut self) -> Result<(u64, Instant), DrillError> {
        let generation = self.new_generation();
        Ok((generation, self.publish(generation)?))
    }

    fn publish(&self, generation: u64) -> Result<Instant, DrillError> {
        let file = self.folder.0.join("incoming.omomi");
        write_new(&file, &self.good_bytes(generation)?)?;
        let mut moved = Instant::now();
        // The new generation is not signed. The drill does not rehearse signatures.
        let signature = Some((SignaturePolicy::Off, TrustedKeys::default()));
        // The drill rehearses publishing, not the gate.
        let blessing = Some(BlessingPolicy::Off);
        let options = PublishOptions { file: file.clone(), verifier: self.verifier.clone(), signature, blessing };
        publish(&self.store, &options, &mut |step| {
            if step == Step::ReplaceText {
                moved = Instant::now();
            }
        })?;
        fs::remove_file(&file).map_err(DrillError::system("remove", file))?;
        Ok(moved)
    }

    /// Makes the store again, with a lower number than all before. Returns that number.
    pub(super) fn rebuild(&self) -> Result<u64, DrillError> {
        for generation in self.store.generations()? {
            self.remove(&self.store.generation_path(generation))?;
        }
        self.remove(&self.store.current_path())?;
        let rebuilt = self.next_generation.saturating_sub(1_000).max(1);
        self.publish(rebuilt)?;
        Ok(rebuilt)
    }

    /// Moves the store to another path, as if it were no longer mounted.
    pub(super) fn move_away(&self) -> Result<Instant, DrillError> {
        let moved = Instant::now();
        fs::rename(self.store.dir(), self.away()).map_err(DrillError::system("move", self.store.dir()))?;
        Ok(moved)
    }

    pub(super) fn move_back(&self) -> Result<Instant, DrillError> {
        let moved = Instant::now();
        fs::rename(self.away(), self.store.dir()).map_err(DrillError::system("move", self.away()))?;
        Ok(moved)
    }

    /// Replaces the store by a copy of it.
    pub(super) fn replace_by_copy(&self) -> Result<(), DrillError> {
        self.move_away()?;
        copy_folder(&self.away(), self.store.dir())?;
        fs::remove_dir_all(self.away()).map_err(DrillError::system("remove", self.away()))
    }

    fn away(&self) -> PathBuf {
        self.folder.0.join("away")
    }

    /// Removes what the server remembers. Its next process is like one with a new name.
    pub(super) fn forget(&self) -> Result<(), DrillError> {
        let state = self.store.state_path().join(server::NAME);
        fs::remove_dir_all(&state).map_err(DrillError::system("remove", state))
    }

    /// Stores `bytes` under the name of a generation and points `current` to it without verifying anything, like a
    /// careless operator.
    pub(super) fn publish_carelessly(&self, generation: u64, bytes: &[u8], mode: u32) -> Result<Instant, DrillError> {
        let path = self.store.generation_path(generation);
        replace(&path, bytes, mode)?;
        let current = Current { generation, digest: Digest::of(bytes) };
        replace(&self.store.current_path(), current.to_string().as_bytes(), 0o644)
    }

    /// Removes a generation that was published carelessly and restores the previous text of `current`.
    pub(super) fn withdraw(&self, generation: u64, before: &str) -> Result<(), DrillError> {
        let path = self.store.generation_path(generation);
        fs::remove_file(&path).map_err(DrillError::system("remove", path))?;
        replace(&self.store.current_path(), before.as_bytes(), 0o644)?;
        Ok(())
    }

    pub(super) fn current_text(&self) -> Result<String, DrillError> {
        let path = self.store.current_path();
        fs::read_to_string(&path).map_err(DrillError::system("read", path))
    }

    /// Overwrites what the server has written down about itself.
    pub(super) fn garble_journal(&self) -> Result<Instant, DrillError> {
        replace(&self.store.state_path().join(server::NAME).join("journal.json"), b"{\0\0\0\0", 0o644)
    }

    /// Whether the server has written down that it serves this generation, and that no trial is open.
    pub(super) fn has_settled(&self, generation: u64) -> bool {
        let [journal, report] = ["journal.json", "report.json"].map(|name| self.noted(name));
        let is_served = |noted: &Value| noted["served"]["generation"] == generation;
        journal["attempt"].is_null() && is_served(&journal) && is_served(&report)
    }

    /// Whether the server has written down that scoring is off.
    pub(super) fn is_off_noted(&self) -> bool {
        self.noted("journal.json")["heard"].as_str().is_some_and(|heard| heard.starts_with("off"))
    }

    /// Returns a file of the server's state; null if there is none.
    fn noted(&self, name: &str) -> Value {
        let path = self.store.state_path().join(server::NAME).join(name);
        fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Gives an order, and returns when it was in force.
    pub(super) fn order(&self, order: Order) -> Result<Instant, DrillError> {
        let mut ordered = Instant::now();
        let mut watch = |step| {
            if step == Step::ReplaceText {
                ordered = Instant::now();
            }
        };
        match order {
            Order::Normal => {
                follow(&self.store, &mut watch)?;
                switch(&self.store, Scoring::On, &mut watch)?;
            }
            Order::Off => drop(switch(&self.store, Scoring::Off, &mut watch)?),
            Order::On => drop(switch(&self.store, Scoring::On, &mut watch)?),
            Order::Follow => drop(follow(&self.store, &mut watch)?),
            Order::Freeze => drop(freeze(&self.store, None, &mut watch)?),
            Order::Rollback => drop(rollback(&self.store, None, &self.verifier, &mut watch)?),
            Order::Pin(generation) => drop(pin(&self.store, generation, &self.verifier, &mut watch)?),
        }
        Ok(ordered)
    }

    pub(super) fn remove(&self, path: &Path) -> Result<Instant, DrillError> {
        let removed = Instant::now();
        fs::remove_file(path).map_err(DrillError::system("remove", path))?;
        Ok(removed)
    }

    /// Overwrites an existing file from its first byte, without truncating it.
    pub(super) fn write_in_place(&self, generation: u64, bytes: &[u8]) -> Result<Instant, DrillError> {
        self.change_in_place(generation, "write", |file| file.write_all_at(bytes, 0))
    }

    /// Cuts an existing file off after its first half.
    pub(super) fn truncate_in_place(&self, generation: u64) -> Result<Instant, DrillError> {
        self.change_in_place(generation, "truncate", |file| file.set_len(self.bytes.len() as u64 / 2))
    }

    fn change_in_place(
        &self,
        generation: u64,
        action: &'static str,
        change: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<Instant, DrillError> {
        let path = self.store.generation_path(generation);
        let failed = |action| DrillError::system(action, &path);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).map_err(failed("make writable"))?;
        let file = File::options().write(true).open(&path).map_err(failed("open"))?;
        let changed = Instant::now();
        change(&file).map_err(failed(action))?;
        fs::set_permissions(&path, Permissions::from_mode(0o444)).map_err(failed("make read-only"))?;
        Ok(changed)
    }
}

/// Copies a folder with everything in it.
fn copy_folder(from: &Path, to: &Path) -> Result<(), DrillError> {
    fs::create_dir(to).map_err(DrillError::system("create", to))?;
    for entry in from.read_dir().map_err(DrillError::system("list", from))? {
        let entry = entry.map_err(DrillError::system("list", from))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &copy)?;
        } else {
            fs::copy(&path, &copy).map_err(DrillError::system("copy", path))?;
        }
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), DrillError> {
    File::create_new(path).and_then(|mut file| file.write_all(bytes)).map_err(DrillError::system("write", path))
}

/// Replaces `path` with `bytes` atomically, and returns the time of the replacement.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<Instant, DrillError> {
    let sibling = path.with_extension("careless");
    write_new(&sibling, bytes)?;
    fs::set_permissions(&sibling, Permissions::from_mode(mode))
        .map_err(DrillError::system("set the permissions of", &sibling))?;
    let replaced = Instant::now();
    fs::rename(&sibling, path).map_err(DrillError::system("replace", path))?;
    Ok(replaced)
}
