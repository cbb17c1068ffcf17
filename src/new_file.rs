//! Creates a file that appears under its name only when it is complete: it is written as a sibling and synced, then it
//! gets its name, then the folder is synced.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file that does not have its name yet. If it is dropped before [`commit`](Self::commit), it leaves nothing. If the
/// process is killed, it leaves the sibling `.NAME.*.partial`, and never an incomplete file under the name.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    sibling: PathBuf,
    target: PathBuf,
    replace: bool,
}

impl NewFile {
    /// Starts a file that will become `target`.
    ///
    /// # Errors
    ///
    /// Returns `AlreadyExists` if `target` exists and `replace` is false. Otherwise returns the error of the operating
    /// system if the folder cannot be written.
    pub fn create(target: &Path, replace: bool) -> io::Result<Self> {
        refuse_to_replace(target, replace)?;
        let Some(name) = target.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a path that ends in a file name"));
        };
        // Process ids are reused, especially in containers. Together with the clock they are unique.
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut sibling_name = OsString::from(".");
        sibling_name.push(name);
        sibling_name.push(format!(".{}-{nanoseconds}.partial", std::process::id()));
        let sibling = target.with_file_name(sibling_name);
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        // Only the owner may write it, even without a umask. A umask can only take more permissions away.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
        let file = options.open(&sibling)?;
        Ok(Self { file, sibling, target: target.to_owned(), replace })
    }

    /// Returns the file, for writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the temporary path, so that the file can be read back before it gets its name.
    pub fn sibling(&self) -> &Path {
        &self.sibling
    }

    /// Removes the write permission of all users.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn make_read_only(&self) -> io::Result<()> {
        let mut permissions = self.file.metadata()?.permissions();
        permissions.set_readonly(true);
        self.file.set_permissions(permissions)
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, most often that the disk is full.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Makes what was written durable and gives it its name.
    ///
    /// # Errors
    ///
    /// Returns `AlreadyExists` if another process took the name in the meantime, or the error of the operating system.
    /// The name is then as it was before, unless only the last step, the sync of the folder, failed.
    pub fn commit(self) -> io::Result<()> {
        self.sync()?;
        self.take_name()?;
        sync_folder_of(&self.target)
    }

    /// Gives the file its name. The name is durable only after its folder is synced by [`sync_folder_of`].
    ///
    /// # Errors
    ///
    /// Fails like [`commit`](Self::commit).
    pub fn take_name(&self) -> io::Result<()> {
        if self.replace { fs::rename(&self.sibling, &self.target) } else { self.take_free_name() }
    }

    /// Gives the file its name by a hard link, which fails if the name is taken. A rename would silently replace a file
    /// that has appeared in the meantime, which another process may have mapped.
    fn take_free_name(&self) -> io::Result<()> {
        match fs::hard_link(&self.sibling, &self.target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                // Some file systems have no hard links. There, the check and the rename are two steps.
                refuse_to_replace(&self.target, false)?;
                fs::rename(&self.sibling, &self.target)
            }
            outcome => outcome,
        }
    }
}

/// Makes the names in the folder of `path` durable. Names are stored in the folder, not in the files.
///
/// # Errors
///
/// Returns the error of the operating system.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Returns `AlreadyExists` if `target` exists and `replace` is false, and `InvalidInput` if it is neither a file nor
/// free. To replace a device or a pipe would remove it from the system: `/dev/full`, or the pipe behind `/dev/stdout`.
pub fn refuse_to_replace(target: &Path, replace: bool) -> io::Result<()> {
    if !replace && target.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let is_taken = target.metadata().is_ok_and(|metadata| !metadata.is_file());
    // `/dev/stdout` is such a link, even where it leads to a file.
    let is_system_link = fs::read_link(target).is_ok_and(|link| link.starts_with("/proc"));
    if is_taken || is_system_link {
        let message = "expected a regular file or a free name, found a folder, a pipe or a device";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a commit by link, this removes the temporary name. After a rename, there is nothing to remove.
        let _ = fs::remove_file(&self.sibling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_only_after_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("state");
        let new_file = NewFile::create(&target, false).unwrap();
        new_file.file().write_all(b"whole").unwrap();
        assert!(!target.exists());
        new_file.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert_eq!(names(folder.path()), ["state"]);
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(NewFile::create(&folder.path().join("state"), false).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for target in [Path::new("/dev/full"), Path::new("/dev/stdout"), &link, folder.path()] {
            assert_eq!(NewFile::create(target, true).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{target:?}");
        }
        assert_eq!(names(folder.path()), ["link"]);
    }

    #[test]
    fn a_name_that_is_taken_is_replaced_on_demand_only() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("state");
        let late = NewFile::create(&target, false).unwrap();
        fs::write(&target, b"first").unwrap();
        assert_eq!(NewFile::create(&target, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(late.commit().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"first");
        NewFile::create(&target, true).unwrap().commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"");
        assert_eq!(names(folder.path()), ["state"]);
    }
}
