//! Brings a store from a bucket to the disk of a server: `omomi fetch`.
//!
//! One pass takes these steps. The process may die during any of them without harm, and the next pass goes on:
//!
//! 1. Read `control`, `pardons` and `current` of the bucket.
//! 2. Write the orders, if people changed them in the bucket since the last pass. Orders that people gave on the server
//!    itself stay until then. An absent text is no order.
//! 3. Copy the weight files that `current` and `control` name into `incoming/`, from where the last pass stopped, and
//!    check their digests.
//! 4. Verify each with its golden requests in a fresh process, make it read-only, and give it its name.
//! 5. Replace `current`.
//!
//! Servers see a generation only after step 5, and then its file is there, whole and verified.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use omomi::error::{Error, Owner};
use omomi::new_file::sync_folder_of;
use omomi::store::{ControlText, Current, Digest, Digester, MAX_TEXT_LEN, Named, Store};
use omomi::weight_file::WeightFile;
use omomi::weight_file::map::{FileBytes, LoadMode};
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys, verify_signature};
use serde::{Deserialize, Serialize};

use super::bucket_store::object_of;
use super::publish::store_writer::{StoreWriter, lock_control, write_text};
use super::publish::{MODE_OF_WEIGHT_FILE, PublishError, Verifier};
use crate::bucket::{Bucket, BucketError, Pace};

/// What is fetched, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchOptions {
    /// Verifies the copies.
    pub verifier: Verifier,
    /// How fast weight files are copied.
    pub pace: Pace,
    /// Whether files need a signature, and the keys that are trusted.
    pub signature: Option<(SignaturePolicy, TrustedKeys)>,
}

impl FetchOptions {
    /// Returns options without a limit of the pace.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self { verifier, pace: Pace::default(), signature: None }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// What a pass brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The new content of `current`, if it changed.
    pub current: Option<Current>,
    /// The new orders, if they changed.
    pub control: Option<String>,
    /// Whether there are new pardons.
    pub pardons: bool,
    /// Weight files that were brought, with their lengths.
    pub files: Vec<(u64, u64)>,
    /// Bytes that were copied in this pass.
    pub copied_bytes: u64,
}

/// Why a pass stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The bucket did not do what it was asked.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The store on the disk cannot be changed, or a weight file is bad.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A text of the bucket is malformed.
    #[error("{address} is malformed: expected {expected}, found {found}")]
    Malformed {
        /// The object.
        address: String,
        /// What was expected.
        expected: String,
        /// Its text.
        found: String,
    },
    /// The bytes of a weight file are not those that were published.
    #[error("{address} has other bytes than were published: expected the digest {expected}, found {found}")]
    OtherBytes {
        /// The object.
        address: String,
        /// The digest in `current` or `control`.
        expected: Digest,
        /// The digest of what was copied.
        found: Digest,
    },
    /// The bucket names an older generation than the store, or other bytes under the same number.
    #[error(
        "{address} names generation {found}, but the store already has generation {present}: expected the same or a \
         newer one"
    )]
    GoesBack {
        /// The object `current`.
        address: String,
        /// The generation of the bucket.
        found: u64,
        /// The generation of the store.
        present: u64,
    },
    /// The store was fetched from another bucket.
    #[error("{dir} was fetched from {expected}: expected that address, found {found}")]
    OtherBucket {
        /// The store.
        dir: PathBuf,
        /// Where it came from.
        expected: String,
        /// The address now.
        found: String,
    },
}

impl FetchError {
    /// The stable name of the error in snake case.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Bucket(error) => error.name(),
            Self::Publish(error) => error.name(),
            Self::Malformed { .. } => "store_malformed",
            Self::OtherBytes { .. } => "digest_mismatch",
            Self::GoesBack { .. } => "goes_back",
            Self::OtherBucket { .. } => "other_bucket",
        }
    }

    /// Who must act.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self {
            Self::Bucket(error) => error.owner(),
            Self::Publish(error) => error.owner(),
            Self::Malformed { .. } | Self::OtherBytes { .. } | Self::GoesBack { .. } => Owner::Ml,
            Self::OtherBucket { .. } => Owner::Infra,
        }
    }

    /// What they must do.
    #[must_use]
    pub fn action(&self) -> &str {
        match self {
            Self::Bucket(error) => error.action(),
            Self::Publish(error) => error.action(),
            Self::Malformed { .. } => "publish again, or give the order again",
            Self::OtherBytes { .. } => "publish a new generation; never write to the bucket by hand",
            Self::GoesBack { .. } => "if the bucket was made anew, fetch it into a new directory",
            Self::OtherBucket { .. } => "fetch into another directory",
        }
    }
}

/// What the last pass wrote down: where the store comes from, and the orders that the bucket had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    from: String,
    control: Option<String>,
    pardons: Option<String>,
}

/// Whether a text of the bucket is written over that of the store: if there is one, and it is not the one that was
/// seen last. What people wrote on the server itself meanwhile stays in force.
#[must_use]
fn is_new_order(in_bucket: Option<&str>, seen_last: Option<&str>) -> bool {
    in_bucket.is_some() && in_bucket != seen_last
}

/// Whether `current` may become what the bucket says.
fn check_direction(address: &str, found: Current, present: Option<Current>) -> Result<(), FetchError> {
    match present {
        Some(present) if found.generation < present.generation => Err(FetchError::GoesBack {
            address: address.to_owned(),
            found: found.generation,
            present: present.generation,
        }),
        Some(present) if found.generation == present.generation && found.digest != present.digest => {
            Err(FetchError::OtherBytes { address: address.to_owned(), expected: present.digest, found: found.digest })
        }
        _ => Ok(()),
    }
}

/// A step of a pass, for those who watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchStep {
    /// Reads the texts of the bucket.
    Read,
    /// Writes the orders.
    Orders,
    /// Copies a part of a weight file.
    Copy,
    /// Computes the digest of what was copied.
    Digest,
    /// Verifies a weight file.
    Verify,
    /// Gives a weight file its name.
    TakeName,
    /// Replaces `current`.
    ReplaceCurrent,
}

/// Brings what is new from `bucket` to `store`, which is created if it does not exist. Calls `watch` before each step.
///
/// # Errors
///
/// Returns [`FetchError`]. What the pass completed stays; servers go on with what they serve.
pub fn fetch(
    bucket: &Bucket,
    store: &Store,
    options: &FetchOptions,
    watch: &mut dyn FnMut(FetchStep),
) -> Result<Fetched, FetchError> {
    let writer = StoreWriter::lock(store)?;
    let fetched = Pass { bucket, store, options, watch, fetched: Fetched::default() }.run();
    if fetched.is_err() {
        writer.remove_new_folders();
    }
    fetched
}

struct Pass<'a> {
    bucket: &'a Bucket,
    store: &'a Store,
    options: &'a FetchOptions,
    watch: &'a mut dyn FnMut(FetchStep),
    fetched: Fetched,
}

fn file_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| PublishError::from(Error::File { action, path: path.clone(), source }).into()
}

impl Pass<'_> {
    fn run(mut self) -> Result<Fetched, FetchError> {
        (self.watch)(FetchStep::Read);
        let mut memory = self.read_memory()?;
        let [control, pardons, current] = ["control", "pardons", "current"].map(|name| self.read_text(name));
        let (control, pardons, current) = (control?, pardons?, current?);
        let orders = control.as_deref().map(|text| self.parse::<ControlText>("control", text)).transpose()?;
        pardons.as_deref().map(|text| self.parse::<omomi::store::Pardons>("pardons", text)).transpose()?;
        let named = current.as_deref().map(|text| self.parse::<Current>("current", text)).transpose()?;

        (self.watch)(FetchStep::Orders);
        // An order to switch off must not wait for a file.
        if is_new_order(control.as_deref(), memory.control.as_deref()) {
            self.fetched.control = control.as_deref().map(|text| text.trim().to_owned());
            self.write_order(&self.store.control_path(), control.as_deref())?;
            memory.control.clone_from(&control);
        }
        if is_new_order(pardons.as_deref(), memory.pardons.as_deref()) {
            self.fetched.pardons = true;
            self.write_order(&self.store.pardons_path(), pardons.as_deref())?;
            memory.pardons.clone_from(&pardons);
        }
        if self.fetched != Fetched::default() || !self.memory_path().is_file() {
            self.write_memory(&memory)?;
        }

        if let Some(ordered) = orders.and_then(|orders| orders.target?.named()) {
            self.bring(ordered)?;
        }
        if let Some(named) = named {
            let present = self.store.read_current().map_err(PublishError::from).unwrap_or_default();
            check_direction(&self.address("current"), named, present)?;
            self.bring(named.into())?;
            if present != Some(named) {
                (self.watch)(FetchStep::ReplaceCurrent);
                self.replace(&self.store.current_path(), &format!("{named}"))?;
                self.fetched.current = Some(named);
            }
        }
        // Whatever is left there belongs to a generation that nothing names any more.
        let _ = fs::remove_dir_all(self.incoming());
        Ok(self.fetched)
    }

    fn address(&self, name: &str) -> String {
        self.bucket.address().join(name).to_string()
    }

    fn incoming(&self) -> PathBuf {
        self.store.dir().join("incoming")
    }

    fn memory_path(&self) -> PathBuf {
        self.store.dir().join("fetched.json")
    }

    fn read_memory(&self) -> Result<Memory, FetchError> {
        let from = self.bucket.address().to_string();
        let path = self.memory_path();
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory { from, ..Memory::default() }),
            text => text.map_err(file_error("read", &path))?,
        };
        let memory: Memory = serde_json::from_str(&text).map_err(|error| FetchError::Malformed {
            address: path.display().to_string(),
            expected: "what the last omomi fetch wrote".to_owned(),
            found: error.to_string(),
        })?;
        if memory.from != from {
            let dir = self.store.dir().to_owned();
            return Err(FetchError::OtherBucket { dir, expected: memory.from, found: from });
        }
        Ok(memory)
    }

    fn write_memory(&self, memory: &Memory) -> Result<(), FetchError> {
        let text = serde_json::to_string_pretty(memory).unwrap_or_default() + "\n";
        self.replace(&self.memory_path(), &text)
    }

    fn read_text(&self, name: &str) -> Result<Option<String>, FetchError> {
        let Some((bytes, _)) = self.bucket.read(name, MAX_TEXT_LEN)? else { return Ok(None) };
        String::from_utf8(bytes.into()).map(Some).map_err(|_| FetchError::Malformed {
            address: self.address(name),
            expected: "a text in UTF-8".to_owned(),
            found: "other bytes".to_owned(),
        })
    }

    fn parse<T: std::str::FromStr<Err = omomi::store::UnexpectedText>>(
        &self,
        name: &str,
        text: &str,
    ) -> Result<T, FetchError> {
        text.parse().map_err(|error: omomi::store::UnexpectedText| FetchError::Malformed {
            address: self.address(name),
            expected: error.expected.to_owned(),
            found: error.found,
        })
    }

    fn write_order(&self, path: &Path, text: Option<&str>) -> Result<(), FetchError> {
        let _lock = lock_control(self.store)?;
        self.replace(path, text.unwrap_or_default())
    }

    fn replace(&self, path: &Path, text: &str) -> Result<(), FetchError> {
        write_text(path, text)?.take_name().map_err(file_error("replace", path))?;
        sync_folder_of(path).map_err(file_error("sync the folder of", path))
    }

    /// Makes sure that a generation has its weight file.
    fn bring(&mut self, named: Named) -> Result<(), FetchError> {
        let path = self.store.generation_path(named.generation);
        if path.exists() {
            return Ok(());
        }
        let name = object_of(named.generation, self.store);
        let missing = || BucketError::Missing { address: self.address(&name) };
        let version = self.bucket.look_at(&name)?.ok_or_else(missing)?;
        let incoming = self.incoming();
        fs::create_dir_all(&incoming).map_err(file_error("create", &incoming))?;
        // Parts of other bytes under one number must not be joined.
        let of = named.digest.map_or_else(|| "any".to_owned(), |digest| digest.to_string()[..16].to_owned());
        let part = incoming.join(format!("{:06}-{of}.part", named.generation));
        let found = self.copy(&name, &version, &part)?;
        if let Some(expected) = named.digest.filter(|expected| *expected != found) {
            // The next pass must not go on from these bytes.
            let _ = fs::remove_file(&part);
            return Err(FetchError::OtherBytes { address: self.address(&name), expected, found });
        }
        (self.watch)(FetchStep::Verify);
        let verified = self.check_signature(&part).and_then(|()| Ok(self.options.verifier.verify(&part)?));
        if let Err(error) = verified {
            if matches!(&error, FetchError::Publish(PublishError::NotVerified { .. } | PublishError::Serving(_))) {
                let _ = fs::remove_file(&part);
            }
            return Err(error);
        }
        let mode = Permissions::from_mode(MODE_OF_WEIGHT_FILE);
        fs::set_permissions(&part, mode).map_err(file_error("make read-only", &part))?;
        (self.watch)(FetchStep::TakeName);
        // A link never replaces a file; servers that open it see one name only after the other is gone.
        fs::rename(&part, &path).map_err(file_error("name", &path))?;
        sync_folder_of(&path).map_err(file_error("sync the folder of", &path))?;
        self.fetched.files.push((named.generation, version.len_bytes));
        Ok(())
    }

    fn check_signature(&self, path: &Path) -> Result<(), FetchError> {
        let Some((policy, keys)) = &self.options.signature else { return Ok(()) };
        let bytes = FileBytes::load(path, LoadMode::Map).map_err(PublishError::from)?;
        let file = WeightFile::open(bytes).map_err(PublishError::from)?;
        verify_signature(&file, keys, *policy).map(|_| ()).map_err(|error| PublishError::from(error).into())
    }

    /// Copies an object to `part`, from where an earlier pass stopped, and returns the digest of the whole.
    fn copy(&mut self, name: &str, version: &crate::bucket::Version, part: &Path) -> Result<Digest, FetchError> {
        let failed = |action| file_error(action, part);
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(part).map_err(failed("open"))?;
        let mut start = file.metadata().map_err(failed("look at"))?.len();
        if start > version.len_bytes {
            file.set_len(0).map_err(failed("shorten"))?;
            start = 0;
        }
        file.seek(SeekFrom::End(0)).map_err(failed("write"))?;
        let mut reader = self.bucket.reader(name, version, start, self.options.pace)?;
        let mut piece = vec![0; 1 << 20];
        loop {
            (self.watch)(FetchStep::Copy);
            let len = reader.read(&mut piece).map_err(|error| BucketError::of(error, self.address(name)))?;
            if len == 0 {
                break;
            }
            file.write_all(&piece[..len]).map_err(failed("write"))?;
            self.fetched.copied_bytes += len as u64;
        }
        file.sync_all().map_err(failed("sync"))?;
        (self.watch)(FetchStep::Digest);
        file.rewind().map_err(failed("read"))?;
        let mut digester = Digester::new();
        loop {
            match file.read(&mut piece).map_err(failed("read"))? {
                0 => return Ok(digester.finish()),
                len => digester.update(&piece[..len]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_of_the_bucket_counts_once_and_absence_is_no_order() {
        let cases = [
            (None, None, false),
            (None, Some("on follow"), false),
            (Some("off follow"), None, true),
            (Some("off follow"), Some("on follow"), true),
            (Some("off follow"), Some("off follow"), false),
        ];
        for (in_bucket, seen_last, expected) in cases {
            assert_eq!(is_new_order(in_bucket, seen_last), expected, "{in_bucket:?} after {seen_last:?}");
        }
    }

    #[test]
    fn generations_only_go_forward_and_one_number_has_one_content() {
        let current = |generation, bytes: &[u8]| Current { generation, digest: Digest::of(bytes) };
        let check =
            |found, present| check_direction("s3://ads/current", found, present).map_err(|it| it.name().to_owned());
        assert_eq!(check(current(7, b"a"), None), Ok(()));
        assert_eq!(check(current(8, b"b"), Some(current(7, b"a"))), Ok(()));
        assert_eq!(check(current(7, b"a"), Some(current(7, b"a"))), Ok(()));
        assert_eq!(check(current(7, b"b"), Some(current(7, b"a"))), Err("digest_mismatch".to_owned()));
        assert_eq!(check(current(6, b"a"), Some(current(7, b"a"))), Err("goes_back".to_owned()));
    }
}
