//! Reads what a path or an address names.
//!
//! Everywhere in this crate, a path may be an address: `s3://bucket/key`, `gs://bucket/key`, `az://container/key` or
//! `file:///path`. Errors of buckets are [`io::Error`]s that hold a [`BucketError`], which [`BucketError::within`]
//! finds.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use omomi::Error;
use omomi::score::Model;
use omomi::store::{Digest, Digester};
use omomi::weight_file::map::{FileBytes, LoadMode};
use parquet::file::reader::{ChunkReader, Length};

use super::{Address, Bucket, BucketError, ObjectFile, ObjectReader, Pace, Place, Service, Version};

/// Bytes that are read at a time.
const PIECE_LEN_BYTES: usize = 1 << 20;

/// An open file, or a version of an object. It can be read from any position.
#[derive(Debug)]
pub enum Source {
    /// A file of this machine.
    File(File),
    /// An object.
    Object(ObjectFile),
}

/// The buckets that this process has access to, so that connections are used again.
static OPENED: LazyLock<Mutex<HashMap<(Service, String), Bucket>>> = LazyLock::new(Mutex::default);

/// Access to what is below an address. The object at the address itself has the empty name.
pub(crate) fn bucket_of(address: &Address) -> io::Result<Bucket> {
    let key = (address.service(), address.bucket().to_owned());
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bucket) = opened.get(&key) {
        return Ok(bucket.at(address));
    }
    let bucket = Bucket::open(address).map_err(io::Error::other)?;
    opened.insert(key, bucket.clone());
    Ok(bucket)
}

/// Lets what is below an address be what is in `bucket`, in tests.
#[cfg(test)]
pub(crate) fn take_for_opened(address: &Address, bucket: Bucket) {
    let key = (address.service(), address.bucket().to_owned());
    OPENED.lock().unwrap_or_else(PoisonError::into_inner).insert(key, bucket);
}

/// The bucket and the present version of the object at an address.
fn object_at(address: &Address) -> io::Result<(Bucket, Version)> {
    let bucket = bucket_of(address)?;
    let version = bucket.look_at("").map_err(io::Error::other)?;
    let missing = || io::Error::new(io::ErrorKind::NotFound, BucketError::Missing { address: address.to_string() });
    Ok((bucket, version.ok_or_else(missing)?))
}

/// Where a path is.
pub(crate) fn place_of(path: &Path) -> io::Result<Place> {
    Place::of(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

impl Source {
    /// Opens what `path` names.
    ///
    /// # Errors
    ///
    /// Returns `NotFound` if there is nothing, and other errors of the operating system or of the service.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        match place_of(path.as_ref())? {
            Place::Disk(path) => File::open(path).map(Self::File),
            Place::Bucket(address) => {
                let (bucket, version) = object_at(&address)?;
                Ok(Self::Object(bucket.file("", &version)))
            }
        }
    }

    /// The length in bytes.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn len_bytes(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Object(object) => Ok(object.len_bytes()),
        }
    }

    /// Opens it once more.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::File(file) => file.try_clone().map(Self::File),
            Self::Object(object) => Ok(Self::Object(object.clone())),
        }
    }

    /// Prepares to read at so many positions at once.
    pub(crate) fn prepare_for(&self, position_count: usize) {
        if let Self::Object(object) = self {
            object.prepare_for(position_count);
        }
    }

    /// Takes the failure of the service that the last failed read had.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        match self {
            Self::File(_) => None,
            Self::Object(object) => object.take_failure().map(io::Error::other),
        }
    }
}

impl Read for &Source {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::File(file) => {
                let mut file = file;
                file.read(to)
            }
            Source::Object(object) => {
                let mut object = object;
                object.read(to)
            }
        }
    }
}

impl Read for Source {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(to)
    }
}

impl Seek for &Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Source::File(file) => {
                let mut file = file;
                file.seek(to)
            }
            Source::Object(object) => {
                let mut object = object;
                object.seek(to)
            }
        }
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (&mut &*self).seek(to)
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.len_bytes().unwrap_or(0)
    }
}

/// Reads a source from some position to its end.
#[derive(Debug)]
pub enum SourceReader {
    /// A file.
    File(BufReader<File>),
    /// An object.
    Object(ObjectFile),
}

impl Read for SourceReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(to),
            Self::Object(object) => (&mut &*object).read(to),
        }
    }
}

impl ChunkReader for Source {
    type T = SourceReader;

    fn get_read(&self, start: u64) -> parquet::errors::Result<SourceReader> {
        match self {
            Self::File(file) => file.get_read(start).map(SourceReader::File),
            Self::Object(object) => Ok(SourceReader::Object(object.from(start))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match self {
            Self::File(file) => file.get_bytes(start, length),
            Self::Object(object) => {
                let mut bytes = vec![0; length];
                (&mut &object.from(start)).read_exact(&mut bytes)?;
                Ok(bytes.into())
            }
        }
    }
}

/// Bytes from the first to the last, from a file or an object.
#[derive(Debug)]
pub enum Stream {
    /// A file of this machine.
    File(File),
    /// An object, whose next piece is on its way while one is used.
    Object(Box<ObjectReader>),
}

impl Stream {
    /// Opens what `path` names, to be read once.
    ///
    /// # Errors
    ///
    /// Fails like [`Source::open`].
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        match place_of(path.as_ref())? {
            Place::Disk(path) => File::open(path).map(Self::File),
            Place::Bucket(address) => {
                let (bucket, version) = object_at(&address)?;
                let reader = bucket.reader("", &version, 0, Pace::default()).map_err(io::Error::other)?;
                Ok(Self::Object(Box::new(reader)))
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(to),
            Self::Object(object) => object.read(to),
        }
    }
}

/// Reads what `path` names whole.
///
/// # Errors
///
/// Fails like [`Source::open`].
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    match place_of(path)? {
        Place::Disk(path) => std::fs::read(path),
        Place::Bucket(_) => {
            let mut bytes = Vec::new();
            Stream::open(path)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

/// Reads what `path` names whole, as text.
///
/// # Errors
///
/// Fails like [`Source::open`], and with `InvalidData` if it is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The length of what `path` names, in bytes; nothing if it is not there.
///
/// # Errors
///
/// Returns other errors of the operating system or of the service.
pub fn len_of(path: impl AsRef<Path>) -> io::Result<Option<u64>> {
    let found = match place_of(path.as_ref())? {
        Place::Disk(path) => path.metadata().map(|metadata| metadata.len()),
        Place::Bucket(address) => object_at(&address).map(|(_, version)| version.len_bytes),
    };
    match found {
        Ok(len) => Ok(Some(len)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What tells whether the bytes at `path` changed: the length, and the time or the version.
///
/// # Errors
///
/// Fails like [`Source::open`].
pub(crate) fn stamp_of(path: &Path) -> io::Result<(u64, String)> {
    match place_of(path)? {
        Place::Disk(path) => {
            let metadata = path.metadata()?;
            Ok((metadata.len(), format!("{:?}", metadata.modified().ok())))
        }
        Place::Bucket(address) => {
            let (_, version) = object_at(&address)?;
            Ok((version.len_bytes, version.identity().unwrap_or_default()))
        }
    }
}

/// The path of a temporary file or folder with this name: in the folder of `path`, or among the temporary files of this
/// machine if that is in a bucket.
pub(crate) fn beside(path: &Path, name: &std::ffi::OsStr) -> PathBuf {
    match Place::of(path) {
        Ok(Place::Bucket(_)) => std::env::temp_dir().join(name),
        _ => path.with_file_name(name),
    }
}

/// The SHA-256 of what `path` names.
///
/// # Errors
///
/// Fails like [`Source::open`].
pub fn digest_of(path: impl AsRef<Path>) -> io::Result<Digest> {
    let path = path.as_ref();
    if let Place::Disk(path) = place_of(path)? {
        return Digest::of_file(path);
    }
    let (mut stream, mut digester) = (Stream::open(path)?, Digester::new());
    let mut piece = vec![0; PIECE_LEN_BYTES];
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(digester.finish()),
            len => digester.update(&piece[..len]),
        }
    }
}

/// Brings the weight file that `path` names into memory and verifies it, like [`Model::load`]. An object is copied to a
/// file without a name first.
///
/// # Errors
///
/// Fails like [`Model::load`].
pub fn load_model(path: impl AsRef<Path>, mode: LoadMode) -> Result<Arc<Model>, Error> {
    let path = path.as_ref();
    let local = LocalCopy::of(path)?;
    Model::load_as(path, local.path(), mode)
}

/// Brings the bytes that `path` names into memory, like [`FileBytes::load`].
///
/// # Errors
///
/// Fails like [`FileBytes::load`].
pub fn load_bytes(path: impl AsRef<Path>, mode: LoadMode) -> Result<FileBytes, Error> {
    FileBytes::load(LocalCopy::of(path.as_ref())?.path(), mode)
}

/// A file of this machine with the bytes that a path names: the file itself, or a copy of an object, which is removed
/// when this is dropped. What was mapped before remains.
#[derive(Debug)]
pub struct LocalCopy {
    path: PathBuf,
    _folder: Option<WorkFolder>,
}

impl LocalCopy {
    /// Copies an object to the folder for temporary files.
    ///
    /// # Errors
    ///
    /// Returns [`Error::File`] if the object cannot be read, or the copy not be written.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let failed = |action| move |source| Error::File { action, path: path.to_owned(), source };
        let address = match place_of(path).map_err(failed("read"))? {
            Place::Disk(path) => return Ok(Self { path, _folder: None }),
            Place::Bucket(address) => address,
        };
        let mut stream = Stream::open(path).map_err(failed("read"))?;
        let folder = WorkFolder::create().map_err(failed("make a folder for a copy of"))?;
        let name = address.key().rsplit('/').next().unwrap_or_default();
        let local = folder.path().join(name);
        let copied = File::create_new(&local).and_then(|mut file| io::copy(&mut stream, &mut file));
        copied.map_err(failed("copy"))?;
        Ok(Self { path: local, _folder: Some(folder) })
    }

    /// The file of this machine.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A folder among the temporary files of this machine. It is removed when it is dropped.
#[derive(Debug)]
pub(super) struct WorkFolder(PathBuf);

impl WorkFolder {
    pub(super) fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("omomi-{}-{:016x}", std::process::id(), rand::random::<u64>()));
        let mut builder = std::fs::DirBuilder::new();
        // Logs and weights are nobody else's business.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // Nothing depends on it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
