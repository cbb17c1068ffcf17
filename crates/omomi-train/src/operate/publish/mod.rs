//! Changes a [store](omomi::store): publishes a weight file, rolls back, freezes, switches off; and reports its status.
//!
//! Publishing takes these steps. The process may die during any of them without harm:
//!
//! 1. Lock the store, so that two publishers cannot interleave, and remove what a dead publisher left behind.
//! 2. Check the file's header, length and generation, and its [blessing](crate::judge::gate) if one is required: it
//!    has to name this file, and what the store serves now as the baseline.
//! 3. Copy the file to a hidden sibling of its future name, sync it, read it back from the disk, and make it read-only.
//! 4. Verify **the copy** with its golden requests in a fresh process, so that no file can crash the publisher. Verify
//!    its [signature](omomi::weight_file::signature) if one is required, and check the [`Limits`]. The verified bytes
//!    are the published ones, even if the original changes in the meantime.
//! 5. Write and sync the new text of `current` beside the old one. No later step needs disk space.
//! 6. Link the copy to its name, which never replaces a file, and sync the folder.
//! 7. Replace `current` by rename, and sync its folder.
//!
//! Readers see the old state before step 7 and the new state after it. A file that has its name but is not `current`
//! was left by a publisher that died between steps 6 and 7. Publishing the same bytes again completes the publication.
//!
//! Errors name the cause, who must act and how ([`PublishError`]). A failed publication leaves nothing behind.
//!
//! ```no_run
//! use omomi_train::operate::publish::{PublishOptions, Verifier, publish};
//! use omomi::store::Store;
//!
//! let verifier = Verifier { program: "omomi".into(), ..Verifier::this_program()? };
//! let options = PublishOptions::new("000042.omomi", verifier);
//! let published = publish(&Store::new("feed-ctr"), &options, &mut |step| eprintln!("{}", step.name()))?;
//! assert_eq!(published.current.generation, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blessing;
pub(super) mod control;
mod error;
mod fresh_process;
pub mod gc;
pub mod limits;
mod planned;
pub mod servers;
pub mod status;
mod step;
pub(super) mod store_writer;
mod warning;

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::bucket::LocalCopy;
use omomi::error::Error;
use omomi::new_file::{NewFile, sync_folder_of};
use omomi::store::{Control, Current, Digest, Digester, Store};
use omomi::weight_file::layout::HEADER_LEN;
use omomi::weight_file::map::{FileBytes, LoadMode};
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys, verify_signature};
use omomi::weight_file::{Header, WeightFile};

use super::served::served;
use store_writer::StoreWriter;

pub use crate::settings::SettingsFaults;
pub use blessing::{Amends, Blessing, BlessingPolicy, Replaces, WithoutBaseline, blessing_path};
pub use control::{ControlChange, follow, freeze, pin, rollback, switch, unquarantine};
pub use error::PublishError;
pub use fresh_process::Verifier;
pub use limits::Limits;
pub use planned::check_planned;
pub use step::Step;
pub use warning::Warning;

/// Number of bytes that are copied between two announcements of [`Step::Copy`].
pub const PIECE_LEN_BYTES: usize = 256 << 10;

/// Every user can read the file; none can write it.
pub(super) const MODE_OF_WEIGHT_FILE: u32 = 0o444;
/// Readable for all users, because servers may run as other users than the publisher.
const MODE_OF_TEXT: u32 = 0o644;

/// What to publish, and how to check it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PublishOptions {
    /// The weight file.
    pub file: PathBuf,
    /// Verifies the copy.
    pub verifier: Verifier,
    /// The signature policy and the trusted keys; `None` takes both from the limits of the store. If the store requires
    /// signatures, this adds to its demand, and does not replace it.
    pub signature: Option<(SignaturePolicy, TrustedKeys)>,
    /// Whether the file needs a [blessing](crate::judge::gate); `None` takes this from the limits of the store.
    pub blessing: Option<BlessingPolicy>,
}

impl PublishOptions {
    /// Returns options that ask for signatures and blessings as the limits of the store say.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, verifier: Verifier) -> Self {
        Self { file: file.into(), verifier, signature: None, blessing: None }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// A completed publication.
#[derive(Debug, Clone)]
pub struct Published {
    /// The new content of `current`.
    pub current: Current,
    /// The previous content of `current`.
    pub before: Option<Current>,
    /// Path of the published weight file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len_bytes: u64,
    /// Warnings that someone should look into.
    pub warnings: Vec<Warning>,
}

/// Publishes a weight file, so that `current` names its generation. Calls `watch` with each step before the step is
/// taken.
///
/// # Errors
///
/// Returns [`PublishError`] if the file cannot be published. The store is then as it was before.
pub fn publish(
    store: &Store,
    options: &PublishOptions,
    watch: &mut dyn FnMut(Step),
) -> Result<Published, PublishError> {
    watch(Step::Lock);
    let writer = StoreWriter::lock(store)?;
    let published = Publication { store, options, watch, warnings: Vec::new() }.run();
    if published.is_err() {
        writer.remove_new_folders();
    }
    published
}

/// A publication in progress.
struct Publication<'a> {
    store: &'a Store,
    options: &'a PublishOptions,
    watch: &'a mut dyn FnMut(Step),
    warnings: Vec<Warning>,
}

/// Where the verified bytes are.
enum Copied {
    /// At a hidden sibling of their future name.
    Sibling(NewFile),
    /// Already at their name: a publisher died before it replaced `current`.
    Named,
}

impl Publication<'_> {
    fn run(mut self) -> Result<Published, PublishError> {
        (self.watch)(Step::CleanUp);
        store_writer::remove_leftovers(&self.store.generations_path(), "")?;
        store_writer::remove_leftovers(self.store.dir(), "current")?;
        let limits = Limits::of_store(self.store)?;
        (self.watch)(Step::LookAt);
        let mut input = InputFile::open(&self.options.file)?;
        let generation = input.generation;
        let before = self.read_current()?;
        let is_named = self.check_generation(generation, before, &limits)?;
        let policy = self.options.blessing.unwrap_or(limits.blessing);
        let blessed = match policy {
            BlessingPolicy::Off => None,
            BlessingPolicy::Require => {
                let (digest, replaces) = blessing::read_blessing(&self.options.file)?;
                let has_generations = !generations_except(self.store, generation)?.is_empty();
                replaces.check(self.read_served()?, has_generations)?;
                Some(digest)
            }
        };
        let usual_lens = usual_lens(self.store, &generations_except(self.store, generation)?)?;
        self.warnings.extend(limits.check_len(input.len_bytes, &usual_lens)?);

        let path = self.store.generation_path(generation);
        let (copied, digest) = if is_named {
            (Copied::Named, self.digest_of_named(&mut input, &path)?)
        } else {
            let (file, digest) = self.copy(&mut input, &path)?;
            (Copied::Sibling(file), digest)
        };
        let copy_path = match &copied {
            Copied::Sibling(file) => file.sibling(),
            Copied::Named => &path,
        };
        if let Some(expected) = blessed.filter(|&blessed| blessed != digest) {
            return Err(PublishError::BlessingOfOther { expected, found: digest });
        }
        (self.watch)(Step::Verify);
        self.check_signature(&limits, copy_path, generation)?;
        self.options.verifier.verify(copy_path)?;
        (self.watch)(Step::CheckLimits);
        self.check_content(&limits, copy_path, generation)?;

        let current = Current { generation, digest };
        (self.watch)(Step::WriteText);
        let text = store_writer::write_text(&self.store.current_path(), &current.to_string())?;
        let is_new = matches!(copied, Copied::Sibling(_));
        let named = self.give_name(copied, &path).and_then(|()| {
            (self.watch)(Step::ReplaceText);
            text.take_name().map_err(failed("replace", &self.store.current_path()))
        });
        if let Err(error) = named {
            // No reader has opened it, because nothing has named it yet.
            let _ = if is_new { fs::remove_file(&path) } else { Ok(()) };
            return Err(error);
        }
        (self.watch)(Step::SyncStore);
        // Without them, servers follow as well, and say that the orders are missing.
        if before.is_none() {
            let _ = self.write_first_orders();
        }
        sync_folder_of(&self.store.current_path()).map_err(failed("sync the folder of", &self.store.current_path()))?;
        (self.watch)(Step::Done);
        self.warn_unless_followed();
        self.warn_unless_readable();
        Ok(Published { current, before, path, len_bytes: input.len_bytes, warnings: self.warnings })
    }

    /// Reads `current`. A malformed text only causes a warning, because publishing replaces it.
    fn read_current(&mut self) -> Result<Option<Current>, PublishError> {
        match self.store.read_current() {
            Err(error @ Error::StoreMalformed { .. }) => {
                self.warnings.push(Warning::CurrentMalformed { problem: error.to_string() });
                Ok(None)
            }
            current => Ok(current?),
        }
    }

    /// Returns the digest of what the store serves. A malformed `current` names nothing.
    fn read_served(&self) -> Result<Option<Digest>, PublishError> {
        match served(self.store) {
            Err(Error::StoreMalformed { .. }) => Ok(None),
            served => Ok(served?.map(|served| served.digest)),
        }
    }

    /// Rejects a generation that is not newer than all others. Returns whether the file already has its name.
    fn check_generation(&self, found: u64, before: Option<Current>, limits: &Limits) -> Result<bool, PublishError> {
        let others = generations_except(self.store, found)?;
        let newest_named = self.store.generations()?.last().copied();
        let newest_current = before.map(|current| current.generation);
        let newest_other = others.last().copied().max(newest_current);
        if newest_other.is_none_or(|newest| found > newest) {
            limits.check_step(newest_other, found)?;
        }
        match newest_named.max(newest_current) {
            Some(newest) if found == newest && newest_current.is_none_or(|current| current < found) => Ok(true),
            Some(newest) if found <= newest => Err(PublishError::NotNewer { newest, found }),
            _ => Ok(false),
        }
    }

    /// Copies the file to a hidden sibling of `path` and syncs the copy to the disk.
    fn copy(&mut self, input: &mut InputFile<'_>, path: &Path) -> Result<(NewFile, Digest), PublishError> {
        let new_file = NewFile::create(path, false).map_err(failed("write", path))?;
        let mut digester = Digester::new();
        input.read_pieces(self.watch, &mut |piece| {
            digester.update(piece);
            new_file.file().write_all(piece).map_err(failed("write", path))
        })?;
        let digest = digester.finish();
        let permissions = Permissions::from_mode(MODE_OF_WEIGHT_FILE);
        new_file.file().set_permissions(permissions).map_err(failed("make read-only", path))?;
        (self.watch)(Step::Sync);
        new_file.sync().map_err(failed("sync", path))?;
        (self.watch)(Step::ReadBack);
        let found = digest_on_disk(new_file.sibling()).map_err(failed("read back", path))?;
        if found != digest {
            return Err(PublishError::ReadBackDiffers { path: path.to_owned(), expected: digest, found });
        }
        Ok((new_file, digest))
    }

    /// Returns the digest of a file that already has its name, or an error if that file has other bytes.
    fn digest_of_named(&mut self, input: &mut InputFile<'_>, path: &Path) -> Result<Digest, PublishError> {
        let mut digester = Digester::new();
        input.read_pieces(self.watch, &mut |piece| {
            digester.update(piece);
            Ok(())
        })?;
        let (expected, found) = (digest_on_disk(path).map_err(failed("read", path))?, digester.finish());
        if expected != found {
            return Err(PublishError::NameTaken { path: path.to_owned(), expected, found });
        }
        Ok(found)
    }

    /// Checks the signature of the copy before anything else of it is read. What the store demands always holds: an
    /// option can add a demand, and cannot remove one.
    fn check_signature(&self, limits: &Limits, copy_path: &Path, expected: u64) -> Result<(), PublishError> {
        let file = WeightFile::open(FileBytes::load(copy_path, LoadMode::Map)?)?;
        let found = file.header().generation;
        if found != expected {
            return Err(PublishError::Changed { expected, found });
        }
        // The keys of the option count only beside those of the store, not instead of them.
        if limits.signature == SignaturePolicy::Require || self.options.signature.is_none() {
            verify_signature(&file, &TrustedKeys::read(&limits.keys)?, limits.signature)?;
        }
        if let Some((policy, keys)) = &self.options.signature {
            verify_signature(&file, keys, *policy)?;
        }
        Ok(())
    }

    /// Checks the content of the copy against the limits.
    fn check_content(&mut self, limits: &Limits, copy_path: &Path, expected: u64) -> Result<(), PublishError> {
        let file = WeightFile::open(FileBytes::load(copy_path, LoadMode::Map)?)?;
        let found = file.header().generation;
        if found != expected {
            return Err(PublishError::Changed { expected, found });
        }
        // The verifier has just read every byte of this copy, in a process of its own.
        let content = file.decode_content()?;
        self.warnings.extend(limits.check_content(&file, &content)?);
        Ok(())
    }

    fn give_name(&mut self, copied: Copied, path: &Path) -> Result<(), PublishError> {
        if let Copied::Sibling(file) = copied {
            (self.watch)(Step::TakeName);
            file.take_name().map_err(failed("name", path))?;
            // Drop the hidden name before `current` names the file: a server that has the file open would notice the
            // dropped link as a change of the file.
            (self.watch)(Step::DropSibling);
            drop(file);
        }
        (self.watch)(Step::SyncGenerations);
        sync_folder_of(path).map_err(failed("sync the folder of", path))
    }

    fn warn_unless_followed(&mut self) {
        match self.store.read_control() {
            Ok(None) => {}
            Ok(Some(text)) => {
                let control = text.over(Control::default());
                if control != Control::default() {
                    self.warnings.push(Warning::NotFollowed { control });
                }
            }
            Err(error) => self.warnings.push(Warning::ControlUnreadable { problem: error.full_message() }),
        }
    }

    /// Servers may run as other users than the publisher.
    fn warn_unless_readable(&mut self) {
        let store = self.store;
        let folders = [store.dir().to_owned(), store.generations_path()].into_iter().map(|path| (path, 0o005));
        let texts = [store.current_path(), store.control_path(), store.pardons_path()];
        let files = store.generations().unwrap_or_default().into_iter();
        let files = texts.into_iter().chain(files.map(|generation| store.generation_path(generation)));
        let is_closed = |(path, needed): &(PathBuf, u32)| {
            path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & needed != *needed)
        };
        let closed = folders.chain(files.map(|path| (path, 0o004))).filter(is_closed);
        let closed: Vec<PathBuf> = closed.map(|(path, _)| path).collect();
        if !closed.is_empty() {
            self.warnings.push(Warning::NotReadableByOthers { dir: store.dir().to_owned(), closed });
        }
    }

    /// Writes the orders with the first publication: to follow is an order, too.
    fn write_first_orders(&mut self) -> Result<(), PublishError> {
        let path = self.store.control_path();
        if fs::symlink_metadata(&path).is_ok() {
            return Ok(());
        }
        let text = store_writer::write_new_text(&path, &format!("{}\n", Control::default()))?;
        match text.take_name() {
            // Somebody gave another order meanwhile.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            outcome => outcome.map_err(failed("write", &path)),
        }
    }
}

/// Returns the generations that have files, without `generation`.
fn generations_except(store: &Store, generation: u64) -> Result<Vec<u64>, PublishError> {
    let mut others = store.generations()?;
    others.retain(|&other| other != generation);
    Ok(others)
}

/// Returns the lengths of the last of these files.
fn usual_lens(store: &Store, generations: &[u64]) -> Result<Vec<u64>, PublishError> {
    let last = generations.iter().rev().take(limits::USUAL_COUNT).map(|&generation| store.generation_path(generation));
    let len = |path: PathBuf| {
        let len = path.metadata().map(|metadata| metadata.len());
        len.map_err(failed("read the metadata of", &path))
    };
    last.map(len).collect()
}

/// Checks the length of a future weight file against the limits of a store and the files in it. A store that does not
/// exist yet has no files.
///
/// # Errors
///
/// Returns the [`PublishError`] that publishing the file would return.
pub fn check_size(store: &Store, generation: u64, len_bytes: u64) -> Result<(), PublishError> {
    let limits = Limits::of_store(store)?;
    let others = if store.generations_path().is_dir() { generations_except(store, generation)? } else { Vec::new() };
    let lens = usual_lens(store, &others)?;
    limits.check_len(len_bytes, &lens).map(|_| ())
}

/// The file to publish, opened once.
struct InputFile<'a> {
    path: &'a Path,
    file: File,
    len_bytes: u64,
    generation: u64,
}

impl<'a> InputFile<'a> {
    fn open(path: &'a Path) -> Result<Self, PublishError> {
        let local = LocalCopy::of(path)?;
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(local.path());
        let mut file = file.map_err(failed("open", path))?;
        let metadata = file.metadata().map_err(failed("read the metadata of", path))?;
        if !metadata.is_file() {
            return Err(failed("publish", path)(io::Error::other("it is not a regular file")));
        }
        let mut front = Vec::new();
        Read::by_ref(&mut file).take(HEADER_LEN as u64).read_to_end(&mut front).map_err(failed("read", path))?;
        let (header, _) = Header::decode_front(&front, metadata.len())?;
        file.rewind().map_err(failed("read", path))?;
        Ok(Self { path, file, len_bytes: metadata.len(), generation: header.generation })
    }

    /// Reads the file once, piece by piece, and passes each piece to `take`.
    fn read_pieces(
        &mut self,
        watch: &mut dyn FnMut(Step),
        take: &mut dyn FnMut(&[u8]) -> Result<(), PublishError>,
    ) -> Result<(), PublishError> {
        let mut piece = vec![0; PIECE_LEN_BYTES];
        loop {
            watch(Step::Copy);
            let filled = read_full(&mut self.file, &mut piece).map_err(failed("read", self.path))?;
            if filled == 0 {
                return Ok(());
            }
            take(&piece[..filled])?;
        }
    }
}

/// Reads until `buffer` is full or the file ends. Returns the number of bytes read.
fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Computes the digest of a file, if possible from the disk itself instead of from the page cache.
fn digest_on_disk(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        // SAFETY: the descriptor is open for as long as `file` is. A hint: the outcome does not matter.
        let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
    let mut digester = Digester::new();
    let mut piece = vec![0; PIECE_LEN_BYTES];
    loop {
        match read_full(&mut file, &mut piece)? {
            0 => return Ok(digester.finish()),
            filled => digester.update(&piece[..filled]),
        }
    }
}

/// Converts an error of the operating system about `path`.
fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> PublishError {
    let path = path.to_owned();
    move |source| match source.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.clone() }.into(),
        _ => Error::File { action, path: path.clone(), source }.into(),
    }
}
