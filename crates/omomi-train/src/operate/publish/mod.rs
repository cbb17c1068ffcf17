//! What people do to a [store](omomi::store): publish a weight file, go back, freeze, switch off, look.
//!
//! Publishing takes a file through these steps, each of which may be the last one that the process lives to see:
//!
//! 1. The store is locked, so that two publishers cannot interleave, and what a publisher that died left behind is removed.
//! 2. The file is looked at: header, length, generation; and where one is asked for, its [blessing](crate::judge::gate).
//! 3. It is copied to a hidden sibling of its future name, synced, read back from the disk, and made read-only.
//! 4. **The copy** is verified with its golden requests in a fresh process, whose end no file can make the publisher's end, its
//!    [signature](omomi::weight_file::signature) is, where one is asked for, and it is held against the [`Limits`]. What was verified is what is published, whatever happens to the original meanwhile.
//! 5. The text for `current` is written and synced beside it, so that nothing that needs room on the disk is left to do.
//! 6. The copy gets its name, by a link, which never replaces a file; the folder is synced.
//! 7. `current` is replaced by rename, and its folder synced.
//!
//! Before step 7 readers see the old state, after it the new one. A file that has its name without having become `current` belongs
//! to a publisher that died between 6 and 7; publishing the same bytes again completes it.
//!
//! A refusal says its reason, who must act and how ([`PublishError`]), and leaves nothing behind.
//!
//! ```no_run
//! use omomi_train::operate::publish::{PublishOptions, Verifier, publish};
//! use omomi::store::Store;
//!
//! let verifier = Verifier { program: "omomi".into(), ..Verifier::this_program()? };
//! let options = PublishOptions { file: "000042.omomi".into(), verifier, signature: None, blessing: None };
//! let published = publish(&Store::new("feed-ctr"), &options, &mut |step| eprintln!("{}", step.name()))?;
//! assert_eq!(published.current.generation, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blessing;
mod control;
mod error;
mod fresh_process;
pub mod limits;
mod place;
mod planned;
pub mod status;
mod step;
mod warning;

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use omomi::error::Error;
use omomi::new_file::{NewFile, sync_folder_of};
use omomi::store::{Current, Digest, Digester, Store};
use omomi::weight_file::layout::HEADER_LEN;
use omomi::weight_file::map::{FileBytes, LoadMode};
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys, verify_signature};
use omomi::weight_file::{Header, WeightFile};

use place::Place;

pub use crate::settings::SettingsFaults;
pub use blessing::{BlessingPolicy, blessing_path};
pub use control::{ControlChange, pin, rollback, set_control};
pub use error::PublishError;
pub use fresh_process::Verifier;
pub use limits::Limits;
pub use planned::check_planned;
pub use step::Step;
pub use warning::Warning;

/// Bytes that are copied between two announcements of [`Step::Copy`].
pub const PIECE_LEN_BYTES: usize = 256 << 10;

/// Everybody reads, nobody writes.
const MODE_OF_WEIGHT_FILE: u32 = 0o444;
/// Servers may run as other users than the publisher.
const MODE_OF_TEXT: u32 = 0o644;

/// What to publish.
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// The weight file.
    pub file: PathBuf,
    /// What verifies the copy.
    pub verifier: Verifier,
    /// What signatures have to do with it, and the keys that are trusted, where not the limits of the store shall say it.
    pub signature: Option<(SignaturePolicy, TrustedKeys)>,
    /// Whether the file needs a [blessing](crate::judge::gate), where not the limits of the store shall say it.
    pub blessing: Option<BlessingPolicy>,
}

/// What was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// What `current` says now.
    pub current: Current,
    /// What it said before.
    pub before: Option<Current>,
    /// Where the weight file is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len_bytes: u64,
    /// What somebody should look at.
    pub warnings: Vec<Warning>,
}

/// Publishes a weight file: afterwards `current` names its generation. `watch` is told each step before it is taken.
///
/// # Errors
///
/// [`PublishError`]; the store is then as it was before.
pub fn publish(
    store: &Store,
    options: &PublishOptions,
    watch: &mut dyn FnMut(Step),
) -> Result<Published, PublishError> {
    watch(Step::Lock);
    let place = Place::take(store)?;
    let published = Publication { store, options, watch, warnings: Vec::new() }.run();
    if published.is_err() {
        place.leave_as_it_was();
    }
    published
}

/// A publication on its way.
struct Publication<'a> {
    store: &'a Store,
    options: &'a PublishOptions,
    watch: &'a mut dyn FnMut(Step),
    warnings: Vec<Warning>,
}

/// Where the verified bytes are.
enum Copied {
    /// Beside their future name.
    Sibling(NewFile),
    /// Under their name already: a publisher died before it could move `current`.
    Named,
}

impl Publication<'_> {
    fn run(mut self) -> Result<Published, PublishError> {
        (self.watch)(Step::CleanUp);
        place::remove_leftovers(&self.store.generations_path(), "")?;
        place::remove_leftovers(self.store.dir(), "current")?;
        let limits = Limits::of_store(self.store)?;
        (self.watch)(Step::LookAt);
        let mut source = Source::open(&self.options.file)?;
        let generation = source.generation;
        let before = self.read_current()?;
        let is_named = self.check_generation(generation, before)?;
        let policy = self.options.blessing.unwrap_or(limits.blessing);
        let blessed = match policy {
            BlessingPolicy::Off => None,
            BlessingPolicy::Require => Some(blessing::blessed_digest(&self.options.file)?),
        };
        let usual_lens = usual_lens(self.store, &others_than(self.store, generation)?)?;
        self.warnings.extend(limits.check_len(source.len_bytes, &usual_lens)?);

        let path = self.store.generation_path(generation);
        let (copied, digest) = if is_named {
            (Copied::Named, self.digest_of_named(&mut source, &path)?)
        } else {
            let (file, digest) = self.copy(&mut source, &path)?;
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
        self.options.verifier.verify(copy_path)?;
        (self.watch)(Step::CheckLimits);
        self.check_content(&limits, copy_path, generation)?;

        let current = Current { generation, digest };
        (self.watch)(Step::WriteText);
        let text = place::write_text(&self.store.current_path(), &current.to_string())?;
        let is_new = matches!(copied, Copied::Sibling(_));
        let named = self.give_name(copied, &path).and_then(|()| {
            (self.watch)(Step::ReplaceText);
            text.take_name().map_err(failed("replace", &self.store.current_path()))
        });
        if let Err(error) = named {
            // Nobody has opened it: nothing has named it yet.
            let _ = if is_new { fs::remove_file(&path) } else { Ok(()) };
            return Err(error);
        }
        (self.watch)(Step::SyncStore);
        sync_folder_of(&self.store.current_path()).map_err(failed("sync the folder of", &self.store.current_path()))?;
        (self.watch)(Step::Done);
        self.warn_where_nobody_follows();
        Ok(Published { current, before, path, len_bytes: source.len_bytes, warnings: self.warnings })
    }

    /// What is published. A `current` that says nothing sensible is no obstacle: publishing is how it is written again.
    fn read_current(&mut self) -> Result<Option<Current>, PublishError> {
        match self.store.read_current() {
            Err(error @ Error::StoreMalformed { .. }) => {
                self.warnings.push(Warning::CurrentMalformed { problem: error.to_string() });
                Ok(None)
            }
            current => Ok(current?),
        }
    }

    /// Refuses a generation that is not newer than all others; answers whether its file has its name already.
    fn check_generation(&self, found: u64, before: Option<Current>) -> Result<bool, PublishError> {
        let newest_named = self.store.generations()?.last().copied();
        let newest_current = before.map(|current| current.generation);
        match newest_named.max(newest_current) {
            Some(newest) if found == newest && newest_current.is_none_or(|current| current < found) => Ok(true),
            Some(newest) if found <= newest => Err(PublishError::NotNewer { newest, found }),
            _ => Ok(false),
        }
    }

    /// Copies the file to a hidden sibling of `path`, down to the disk.
    fn copy(&mut self, source: &mut Source<'_>, path: &Path) -> Result<(NewFile, Digest), PublishError> {
        let new_file = NewFile::create(path, false).map_err(failed("write", path))?;
        let mut digester = Digester::new();
        source.read_pieces(self.watch, &mut |piece| {
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

    /// The digest of a file that has its name already; refused if the name stands for other bytes.
    fn digest_of_named(&mut self, source: &mut Source<'_>, path: &Path) -> Result<Digest, PublishError> {
        let mut digester = Digester::new();
        source.read_pieces(self.watch, &mut |piece| {
            digester.update(piece);
            Ok(())
        })?;
        let (expected, found) = (digest_on_disk(path).map_err(failed("read", path))?, digester.finish());
        if expected != found {
            return Err(PublishError::NameTaken { path: path.to_owned(), expected, found });
        }
        Ok(found)
    }

    /// Holds what the verified copy says against the limits.
    fn check_content(&mut self, limits: &Limits, copy_path: &Path, expected: u64) -> Result<(), PublishError> {
        let file = WeightFile::open(FileBytes::load(copy_path, LoadMode::Map)?)?;
        let found = file.header().generation;
        if found != expected {
            return Err(PublishError::Changed { expected, found });
        }
        let content = file.verify()?;
        match &self.options.signature {
            Some((policy, keys)) => verify_signature(&file, keys, *policy)?,
            None => verify_signature(&file, &TrustedKeys::read(&limits.keys)?, limits.signature)?,
        };
        self.warnings.extend(limits.check_content(&file, &content)?);
        Ok(())
    }

    fn give_name(&mut self, copied: Copied, path: &Path) -> Result<(), PublishError> {
        if let Copied::Sibling(file) = copied {
            (self.watch)(Step::TakeName);
            file.take_name().map_err(failed("name", path))?;
            // Before anybody is told of the file: a server that has it open would see the other name go as a change of the file.
            (self.watch)(Step::DropSibling);
            drop(file);
        }
        (self.watch)(Step::SyncGenerations);
        sync_folder_of(path).map_err(failed("sync the folder of", path))
    }

    fn warn_where_nobody_follows(&mut self) {
        match self.store.read_control() {
            Ok(omomi::store::Control::Follow) => {}
            Ok(control) => self.warnings.push(Warning::NotFollowed { control }),
            Err(error) => self.warnings.push(Warning::ControlUnreadable { problem: error.full_message() }),
        }
    }
}

/// The generations that have files, without this one.
fn others_than(store: &Store, generation: u64) -> Result<Vec<u64>, PublishError> {
    let mut others = store.generations()?;
    others.retain(|&other| other != generation);
    Ok(others)
}

/// Lengths of the last of these files.
fn usual_lens(store: &Store, generations: &[u64]) -> Result<Vec<u64>, PublishError> {
    let last = generations.iter().rev().take(limits::USUAL_COUNT).map(|&generation| store.generation_path(generation));
    let lens = last.map(|path| path.metadata().map(|metadata| metadata.len()).map_err(failed("look at", &path)));
    lens.collect()
}

/// Holds the length of a file that is to be `generation` against the limits of a store and the files in it, before it is published.
/// A store that is not there yet has no files.
///
/// # Errors
///
/// The refusal that publishing would meet.
pub fn check_size(store: &Store, generation: u64, len_bytes: u64) -> Result<(), PublishError> {
    let limits = Limits::of_store(store)?;
    let others = if store.generations_path().is_dir() { others_than(store, generation)? } else { Vec::new() };
    let lens = usual_lens(store, &others)?;
    limits.check_len(len_bytes, &lens).map(|_| ())
}

/// The file that is to be published, opened once.
struct Source<'a> {
    path: &'a Path,
    file: File,
    len_bytes: u64,
    generation: u64,
}

impl<'a> Source<'a> {
    fn open(path: &'a Path) -> Result<Self, PublishError> {
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path);
        let mut file = file.map_err(failed("open", path))?;
        let metadata = file.metadata().map_err(failed("look at", path))?;
        if !metadata.is_file() {
            return Err(failed("publish", path)(io::Error::other("it is not a regular file")));
        }
        let mut front = Vec::new();
        Read::by_ref(&mut file).take(HEADER_LEN as u64).read_to_end(&mut front).map_err(failed("read", path))?;
        let (header, _) = Header::decode_front(&front, metadata.len())?;
        file.rewind().map_err(failed("read", path))?;
        Ok(Self { path, file, len_bytes: metadata.len(), generation: header.generation })
    }

    /// Reads the file once, piece by piece.
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

/// Fills `buffer` as far as there is something to read.
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

/// The digest of a file as far as possible from the disk itself, not from what memory still holds of the writing.
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

/// An error of the system about `path`.
fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> PublishError {
    let path = path.to_owned();
    move |source| match source.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.clone() }.into(),
        _ => Error::File { action, path: path.clone(), source }.into(),
    }
}
