//! The store: one directory for each serving logic, through which weight files reach the servers. Nothing else couples
//! the two sides.
//!
//! ```text
//! feed-ctr/
//!   generations/000041.omomi  000042.omomi    sealed, read-only, never written again
//!   current                                   "000042 <digest>": what was published last
//!   control                                   the orders: on | off, and follow | freeze 000042 <digest> | pin 000041 <digest>
//!   pardons                                   optional: contents that people took out of quarantine
//!   limits.toml                               optional: what may be published
//!   state/                                    what each serving process keeps and reports
//! ```
//!
//! This module reads the store. `current` and `control` are only ever replaced by rename, so a reader sees the complete
//! old or new text. The text may still be anything: a file is opened without waiting for the writer of a FIFO, and it
//! must be a regular file and short.

mod control;
mod current;
mod pardon;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;
use crate::short_text::{self, TextError};

pub use crate::digest::{Digest, Digester};
pub use crate::short_text::UnexpectedText;
pub use control::{Control, ControlText, Named, Scoring, Target};
pub use current::Current;
pub use pardon::{Pardon, Pardons};

/// Longest text file of a store, in bytes. All of them need far less.
pub const MAX_TEXT_LEN: u64 = 4_096;

/// Suffix of the name of a published weight file.
const EXTENSION: &str = ".omomi";

/// The directory of a serving logic.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Creates a store in `dir`. Does not access the file system: the directory need not exist yet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Returns the directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the folder of the weight files.
    #[must_use]
    pub fn generations_path(&self) -> PathBuf {
        self.dir.join("generations")
    }

    /// Returns the path of a generation's weight file, published or not: `generations/000042.omomi`.
    #[must_use]
    pub fn generation_path(&self, generation: u64) -> PathBuf {
        self.generations_path().join(file_name(generation))
    }

    /// Returns the path of the file that names the last published generation.
    #[must_use]
    pub fn current_path(&self) -> PathBuf {
        self.dir.join("current")
    }

    /// Returns the path of the file with the orders of people.
    #[must_use]
    pub fn control_path(&self) -> PathBuf {
        self.dir.join("control")
    }

    /// Returns the path of the file with the contents that people took out of quarantine.
    #[must_use]
    pub fn pardons_path(&self) -> PathBuf {
        self.dir.join("pardons")
    }

    /// Returns the folder in which each serving process has its own folder.
    #[must_use]
    pub fn state_path(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Reads what was published last. Returns nothing if nothing was published.
    ///
    /// # Errors
    ///
    /// Returns [`Error::StoreMalformed`] if the file has unexpected content, and [`Error::File`] if it cannot be read.
    pub fn read_current(&self) -> Result<Option<Current>, Error> {
        read(&self.current_path())
    }

    /// Reads the orders of people. Returns nothing if the file does not exist. That is no order: what was in force
    /// stays in force.
    ///
    /// # Errors
    ///
    /// Returns [`Error::StoreMalformed`] if the file has unexpected content, and [`Error::File`] if it cannot be read.
    pub fn read_control(&self) -> Result<Option<ControlText>, Error> {
        read(&self.control_path())
    }

    /// Reads which contents people took out of quarantine. An absent file has none.
    ///
    /// # Errors
    ///
    /// Returns [`Error::StoreMalformed`] if the file has unexpected content, and [`Error::File`] if it cannot be read.
    pub fn read_pardons(&self) -> Result<Vec<Pardon>, Error> {
        Ok(read::<Pardons>(&self.pardons_path())?.unwrap_or_default().0)
    }

    /// Lists the generations that have a weight file, in ascending order. Temporary files and other entries are
    /// ignored.
    ///
    /// # Errors
    ///
    /// Returns [`Error::File`] if the folder cannot be read. A folder that does not exist has no files.
    pub fn generations(&self) -> Result<Vec<u64>, Error> {
        let folder = self.generations_path();
        let failed = |source| Error::File { action: "list", path: folder.clone(), source };
        let entries = match folder.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut generations = Vec::new();
        for entry in entries {
            generations.extend(entry.map_err(failed)?.file_name().to_str().and_then(generation_of_name));
        }
        generations.sort_unstable();
        Ok(generations)
    }
}

/// A generation in names and texts: at least six digits.
fn generation_text(generation: u64) -> String {
    format!("{generation:06}")
}

fn file_name(generation: u64) -> String {
    generation_text(generation) + EXTENSION
}

/// Returns nothing for a name that no generation has, such as one with too many zeros.
fn generation_of_name(name: &str) -> Option<u64> {
    let generation = parse_generation(name.strip_suffix(EXTENSION)?)?;
    (file_name(generation) == name).then_some(generation)
}

/// Accepts digits only: no sign, no space. People may omit the leading zeros.
fn parse_generation(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Reads and parses a text file. Returns nothing if it does not exist.
fn read<T: FromStr<Err = UnexpectedText>>(path: &Path) -> Result<Option<T>, Error> {
    let malformed = |expected, found| Error::StoreMalformed { path: path.to_owned(), expected, found };
    let text = short_text::read(path, MAX_TEXT_LEN).map_err(|error| match error {
        TextError::Io { action, source } => Error::File { action, path: path.to_owned(), source },
        TextError::Unexpected { expected, found } => malformed(expected, found.to_owned()),
    })?;
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|error: UnexpectedText| malformed(error.expected.to_owned(), error.found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::os::unix::ffi::OsStrExt;

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        (folder, store)
    }

    #[track_caller]
    fn assert_malformed(store: &Store, expected_words: &str, found_words: &str) {
        let error = store.read_current().expect_err("a malformed text was accepted");
        assert_eq!(error.code(), Code::StoreMalformed, "{error}");
        let message = error.to_string();
        assert!(message.contains("/current is"), "{message}");
        assert!(message.contains(expected_words), "expected `{expected_words}` in: {message}");
        assert!(message.contains(found_words), "expected `{found_words}` in: {message}");
    }

    #[test]
    fn a_directory_that_does_not_exist_is_a_store_without_publications() {
        let (folder, _) = store();
        let store = Store::new(folder.path().join("absent"));
        assert_eq!(store.read_current().unwrap(), None);
        assert_eq!(store.read_control().unwrap(), None);
        assert_eq!(store.generations().unwrap(), [0; 0]);
        assert!(!store.dir().exists());
    }

    #[test]
    fn written_files_are_read_back() {
        let (_folder, store) = store();
        let current = Current { generation: 42, digest: Digest::of(b"abc") };
        std::fs::write(store.current_path(), current.to_string()).unwrap();
        let control = Control { scoring: Scoring::Off, target: Target::Pin(current.into()) };
        std::fs::write(store.control_path(), control.to_string()).unwrap();
        assert_eq!(store.read_current().unwrap(), Some(current));
        assert_eq!(store.read_control().unwrap(), Some(control.into()));
    }

    #[test]
    fn a_generation_has_at_least_six_digits() {
        let store = Store::new("feed-ctr");
        assert_eq!(store.generation_path(42), Path::new("feed-ctr/generations/000042.omomi"));
        assert_eq!(store.generation_path(1_234_567), Path::new("feed-ctr/generations/1234567.omomi"));
    }

    #[test]
    fn only_names_of_the_exact_form_are_generations() {
        let (_folder, store) = store();
        std::fs::create_dir(store.generations_path()).unwrap();
        let generations = ["000010.omomi", "000009.omomi", "1000000.omomi", "18446744073709551615.omomi"];
        let others = [
            ".000011.omomi.17-1.partial",
            "000012.omomi.bak",
            "0000013.omomi",
            "14.omomi",
            "+00015.omomi",
            "-00016.omomi",
            "000017",
            ".omomi",
            "00001a.omomi",
            "18446744073709551616.omomi",
        ];
        for name in generations.into_iter().chain(others) {
            std::fs::write(store.generations_path().join(name), "").unwrap();
        }
        std::fs::write(store.generations_path().join(std::ffi::OsStr::from_bytes(b"\xff00018.omomi")), "").unwrap();
        assert_eq!(store.generations().unwrap(), [9, 10, 1_000_000, u64::MAX]);
    }

    #[test]
    fn a_fifo_is_rejected_without_waiting_for_its_writer() {
        let (_folder, store) = store();
        let path = std::ffi::CString::new(store.current_path().as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is a text with a null byte at its end.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
        assert_malformed(&store, "expected a regular file", "found a FIFO");
    }

    #[test]
    fn a_folder_is_rejected() {
        let (_folder, store) = store();
        std::fs::create_dir(store.current_path()).unwrap();
        assert_malformed(&store, "expected a regular file", "found a folder");
    }

    #[test]
    fn a_device_is_rejected() {
        let (_folder, store) = store();
        std::os::unix::fs::symlink("/dev/zero", store.current_path()).unwrap();
        assert_malformed(&store, "expected a regular file", "found a device");
    }

    #[test]
    fn a_text_that_is_too_long_is_rejected() {
        let (_folder, store) = store();
        std::fs::write(store.current_path(), "0".repeat(4_097)).unwrap();
        assert_malformed(&store, "expected at most 4096 bytes", "found more");
    }

    #[test]
    fn bytes_that_are_not_text_are_rejected() {
        let (_folder, store) = store();
        std::fs::write(store.current_path(), b"\xff").unwrap();
        assert_malformed(&store, "expected UTF-8", "found other bytes");
    }

    #[test]
    fn an_empty_file_is_rejected() {
        let (_folder, store) = store();
        std::fs::write(store.current_path(), "").unwrap();
        assert_malformed(&store, "expected a generation and a digest", "found \"\"");
    }

    #[test]
    fn a_link_to_a_text_is_followed() {
        let (_folder, store) = store();
        std::fs::write(store.dir().join("elsewhere"), format!("000042 {DIGEST}\n")).unwrap();
        std::os::unix::fs::symlink("elsewhere", store.current_path()).unwrap();
        assert_eq!(store.read_current().unwrap().unwrap().generation, 42);
    }

    #[test]
    fn an_unreadable_store_is_an_error_and_not_an_empty_store() {
        let (_folder, store) = store();
        std::fs::write(store.dir().join("file"), "").unwrap();
        let store = Store::new(store.dir().join("file"));
        assert_eq!(store.read_current().unwrap_err().code(), Code::File);
        assert_eq!(store.read_control().unwrap_err().code(), Code::File);
        assert_eq!(store.generations().unwrap_err().code(), Code::File);
    }
}
