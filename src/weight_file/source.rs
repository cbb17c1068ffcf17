//! A weight file on disk. It is opened once and then only accessed through its descriptor, so that the file that was
//! checked is the file that is used, even if its name changes in the meantime.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// An open weight file. Opening reads none of its content.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    path: PathBuf,
    stamp: FileStamp,
}

/// Identifies a file and its state. Any write, truncation or replacement changes the stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// Device and inode.
    pub identity: (u64, u64),
    /// Length in bytes.
    pub len_bytes: u64,
    /// Time of the last write, in seconds and nanoseconds, by the clock of the file system.
    pub written: (i64, i64),
    /// Time of the last change of content, permissions or names.
    pub changed: (i64, i64),
}

impl FileStamp {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            identity: (metadata.dev(), metadata.ino()),
            len_bytes: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        let written = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let written = written.map_or((0, 0), |age| (age.as_secs().cast_signed(), i64::from(age.subsec_nanos())));
        Self { identity: (0, 0), len_bytes: metadata.len(), written, changed: written }
    }
}

impl SourceFile {
    /// Opens the file at `path` for reading, without waiting: a pipe or a device of that name is rejected instead.
    ///
    /// # Errors
    ///
    /// Returns [`Error::File`] if the file cannot be opened or is not a regular file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let failed = |action| move |source| Error::File { action, path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true);
        // The standard library sets close-on-exec itself.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
        let file = options.open(path).map_err(failed("open"))?;
        let metadata = file.metadata().map_err(failed("read the metadata of"))?;
        if !metadata.is_file() {
            return Err(failed("map")(std::io::Error::other("it is not a regular file")));
        }
        Ok(Self { stamp: FileStamp::of(&metadata), file, path: path.to_owned() })
    }

    /// Rejects a file that users other than its owner may write: they could change the answers, or end the process that
    /// maps the file.
    ///
    /// # Errors
    ///
    /// Returns [`Error::WritableByOthers`] for such a file, and [`Error::File`] if the permissions cannot be read.
    pub fn check_permissions(&self) -> Result<(), Error> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let metadata = self.file.metadata();
            let metadata = metadata.map_err(|source| Error::File {
                action: "read the metadata of",
                path: self.path.clone(),
                source,
            })?;
            let mode = metadata.mode() & 0o7777;
            if mode & 0o022 != 0 {
                return Err(Error::WritableByOthers { path: self.path.clone(), mode });
            }
        }
        Ok(())
    }

    /// Returns the stamp that the file had when it was opened.
    #[must_use]
    pub const fn stamp(&self) -> FileStamp {
        self.stamp
    }

    /// Returns the stamp that the file has now. If it differs from [`SourceFile::stamp`], the bytes, permissions or
    /// names of the file have changed.
    ///
    /// # Errors
    ///
    /// Returns [`Error::File`] if the operating system cannot read the metadata.
    pub fn stamp_now(&self) -> Result<FileStamp, Error> {
        let metadata = self.file.metadata();
        metadata.map(|metadata| FileStamp::of(&metadata)).map_err(|source| Error::File {
            action: "read the metadata of",
            path: self.path.clone(),
            source,
        })
    }

    /// Passes the current bytes of the file to `take`, step by step, from first to last. A file that shrinks in the
    /// meantime is harmless here, whereas reading a mapping of it would end the process.
    ///
    /// # Errors
    ///
    /// Returns [`Error::File`] if the file cannot be read, and any error of `take`.
    pub(crate) fn read_in_steps<E: From<Error>>(
        &self,
        step_len: usize,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |source| Error::File { action: "read", path: self.path.clone(), source };
        let mut file = &self.file;
        file.rewind().map_err(failed)?;
        let mut step = vec![0; step_len];
        loop {
            match file.read(&mut step).map_err(failed)? {
                0 => return Ok(()),
                count => take(&step[..count])?,
            }
        }
    }

    /// Returns the length in bytes that the file had when it was opened.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.stamp.len_bytes
    }

    /// Returns the path by which the file was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_pipe_is_rejected_without_waiting_for_a_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the name is a C string, which ends in a null byte.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert!(matches!(SourceFile::open(&path), Err(Error::File { action: "map", .. })));
    }

    #[test]
    fn a_file_that_the_group_or_all_users_may_write_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"x").unwrap();
        for (mode, is_fine) in [(0o644, true), (0o444, true), (0o664, false), (0o646, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(SourceFile::open(&path).unwrap().check_permissions().is_ok(), is_fine, "{mode:o}");
        }
    }

    #[test]
    fn a_write_in_place_changes_the_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"before").unwrap();
        let source = SourceFile::open(&path).unwrap();
        assert_eq!(source.stamp_now().unwrap(), source.stamp());
        std::fs::write(&path, b"afterward").unwrap();
        assert_ne!(source.stamp_now().unwrap(), source.stamp());
    }
}
