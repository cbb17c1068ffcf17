//! Creates what a path or an address names: it appears under its name only when it is complete.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use omomi::new_file::NewFile as LocalFile;

use super::source::{WorkFolder, bucket_of, place_of};
use super::{Address, Bucket, BucketError, Place};

/// The folders of buckets of which this process knows that they observe conditions.
static CHECKED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// A file that does not have its name yet, like [`omomi::new_file::NewFile`]. If its name is an address, it is written
/// to a temporary file of this machine, and becomes an object when it is complete. If it is dropped before
/// [`commit`](Self::commit), or the process is killed, the bucket is as it was.
#[derive(Debug)]
pub struct NewFile {
    local: LocalFile,
    target: Option<Target>,
    _folder: Option<WorkFolder>,
}

#[derive(Debug)]
struct Target {
    bucket: Bucket,
    replace: bool,
}

impl NewFile {
    /// Starts a file that will become `target`.
    ///
    /// # Errors
    ///
    /// Returns `AlreadyExists` if `target` exists and `replace` is false. Otherwise returns the error of the operating
    /// system, or of the service. A bucket that ignores conditions is refused, unless `replace` is true.
    pub fn create(target: impl AsRef<Path>, replace: bool) -> io::Result<Self> {
        let address = match place_of(target.as_ref())? {
            Place::Disk(path) => {
                return Ok(Self { local: LocalFile::create(&path, replace)?, target: None, _folder: None });
            }
            Place::Bucket(address) => address,
        };
        refuse_to_replace_object(&address, replace)?;
        if !replace {
            check_folder(&address)?;
        }
        let name = address.key().rsplit('/').next().unwrap_or_default();
        let folder = WorkFolder::create()?;
        let local = LocalFile::create(&folder.path().join(name), false)?;
        let target = Target { bucket: bucket_of(&address)?, replace };
        Ok(Self { local, target: Some(target), _folder: Some(folder) })
    }

    /// Returns the file, for writing.
    #[must_use]
    pub fn file(&self) -> &File {
        self.local.file()
    }

    /// Returns the temporary path, so that the file can be read back before it gets its name.
    #[must_use]
    pub fn sibling(&self) -> &Path {
        self.local.sibling()
    }

    /// Removes the write permission of all users, if this is a file of this machine.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn make_read_only(&self) -> io::Result<()> {
        if self.target.is_some() { Ok(()) } else { self.local.make_read_only() }
    }

    /// Makes what was written durable, if this is a file of this machine.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, most often that the disk is full.
    pub fn sync(&self) -> io::Result<()> {
        if self.target.is_some() { Ok(()) } else { self.local.sync() }
    }

    /// Makes what was written durable and gives it its name. An object is read back and compared.
    ///
    /// # Errors
    ///
    /// Returns `AlreadyExists` if another process took the name in the meantime, or the error of the operating system
    /// or of the service.
    pub fn commit(self) -> io::Result<()> {
        let Some(Target { bucket, replace }) = self.target else { return self.local.commit() };
        let sibling = self.local.sibling();
        if replace {
            bucket.overwrite_from("", sibling).map_err(io::Error::other)?;
        } else if !bucket.create_from("", sibling).map_err(io::Error::other)?.is_done() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        bucket.check_written("", sibling).map_err(io::Error::other)
    }
}

/// Returns `AlreadyExists` if `target` exists and `replace` is false, and other errors like [`NewFile::create`].
///
/// # Errors
///
/// Those that it returns.
pub fn refuse_to_replace(target: impl AsRef<Path>, replace: bool) -> io::Result<()> {
    match place_of(target.as_ref())? {
        Place::Disk(path) => omomi::new_file::refuse_to_replace(&path, replace),
        Place::Bucket(address) => refuse_to_replace_object(&address, replace),
    }
}

fn refuse_to_replace_object(address: &Address, replace: bool) -> io::Result<()> {
    if address.key().is_empty() {
        let (found, expected) = (address.to_string(), "the key of an object, such as s3://bucket/state.parquet");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, BucketError::NoAddress { found, expected }));
    }
    if !replace && bucket_of(address)?.look_at("").map_err(io::Error::other)?.is_some() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    Ok(())
}

/// Checks once in this process that the folder of an address observes conditions.
fn check_folder(address: &Address) -> io::Result<()> {
    let folder = address.folder();
    let name = folder.to_string();
    if CHECKED.lock().unwrap_or_else(PoisonError::into_inner).contains(&name) {
        return Ok(());
    }
    bucket_of(&folder)?.check_conditions().map_err(io::Error::other)?;
    CHECKED.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    Ok(())
}

/// Removes the file or the object that `path` names.
///
/// # Errors
///
/// Returns `NotFound` if a file is not there; it is no error if an object is not. Returns other errors of the operating
/// system or of the service.
pub fn remove(path: impl AsRef<Path>) -> io::Result<()> {
    match place_of(path.as_ref())? {
        Place::Disk(path) => std::fs::remove_file(path),
        Place::Bucket(address) => bucket_of(&address)?.remove("").map_err(io::Error::other),
    }
}
