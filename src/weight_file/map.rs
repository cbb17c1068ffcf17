//! Brings the bytes of a weight file into memory, shared with the page cache or private.

use std::io::Read;
use std::path::Path;

use memmap2::{Mmap, MmapMut, MmapOptions};

pub use super::load_mode::LoadMode;
use super::source::SourceFile;
use crate::error::Error;

/// Bytes that one step copies or releases.
const STEP_LEN: usize = 4 << 20;

/// The bytes of a file in memory.
#[derive(Debug)]
pub struct FileBytes(Memory);

#[derive(Debug)]
enum Memory {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl AsRef<[u8]> for FileBytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Memory::Mapped(map) => map,
            Memory::Owned(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for FileBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Memory::Owned(bytes))
    }
}

impl FileBytes {
    /// Returns the vector that the bytes were created from; nothing if they come from a file.
    #[doc(hidden)]
    #[must_use]
    pub fn into_vec(self) -> Option<Vec<u8>> {
        match self.0 {
            Memory::Owned(bytes) => Some(bytes),
            Memory::Mapped(_) => None,
        }
    }

    /// Brings all pages of the file at `path` into memory. Does not look at its bytes.
    ///
    /// # Errors
    ///
    /// Returns [`Error::File`] if the file cannot be opened or read, or is not a regular file. Returns
    /// [`Error::Truncated`] if it is empty or shrinks in the meantime.
    pub fn load(path: impl AsRef<Path>, mode: LoadMode) -> Result<Self, Error> {
        let source = SourceFile::open(path)?;
        match mode.chosen(source.len_bytes()).mode {
            LoadMode::Map => Self::mapped(&source, MmapOptions::new().populate()),
            LoadMode::Copy | LoadMode::Auto => Self::copied(&source, &mut || Ok(())),
        }
    }

    /// Brings an open file into memory. Pages of a mapping are read when they are first touched. While copying, `go_on`
    /// is called every few megabytes.
    ///
    /// # Errors
    ///
    /// Fails like [`FileBytes::load`], and with any error of `go_on`.
    pub(crate) fn of<E: From<Error>>(
        source: &SourceFile,
        mode: LoadMode,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Self, E> {
        match mode {
            LoadMode::Map => Ok(Self::mapped(source, &MmapOptions::new())?),
            LoadMode::Copy | LoadMode::Auto => Self::copied(source, go_on),
        }
    }

    fn mapped(source: &SourceFile, options: &MmapOptions) -> Result<Self, Error> {
        check_not_empty(source)?;
        // SAFETY: the mapping is only read. The rules for replacing weight files (write once, then read-only, replace
        // by rename) ask people never to change a mapped file. Where people cannot be relied on, use `Copy`.
        let map = unsafe { options.map(source.file()) };
        map.map(|map| Self(Memory::Mapped(map))).map_err(without_memory(source, "map"))
    }

    fn copied<E: From<Error>>(source: &SourceFile, go_on: &mut dyn FnMut() -> Result<(), E>) -> Result<Self, E> {
        check_not_empty(source)?;
        let Ok(len) = usize::try_from(source.len_bytes()) else {
            return Err(failed(source, "copy")(std::io::Error::other("it is larger than the address space")).into());
        };
        let mut memory = MmapMut::map_anon(len).map_err(without_memory(source, "find memory for"))?;
        // Best effort: without huge pages, the copy is only slower.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        let mut file = source.file();
        std::io::Seek::rewind(&mut file).map_err(failed(source, "read"))?;
        let mut filled = 0;
        while filled < len {
            go_on()?;
            let step = STEP_LEN.min(len - filled);
            match file.read(&mut memory[filled..filled + step]).map_err(failed(source, "read"))? {
                0 => return Err(Error::Truncated { expected: len as u64, found: filled as u64 }.into()),
                count => filled += count,
            }
        }
        Ok(memory
            .make_read_only()
            .map(|map| Self(Memory::Mapped(map)))
            .map_err(failed(source, "protect the copy of"))?)
    }

    /// Locks the bytes in memory, so that the system cannot evict them.
    ///
    /// # Errors
    ///
    /// Returns [`Error::MemoryNotLocked`], most often because the process may not lock that much memory.
    pub(crate) fn lock(&self, path: &Path) -> Result<(), Error> {
        match &self.0 {
            #[cfg(unix)]
            Memory::Mapped(map) => map.lock().map_err(|source| Error::MemoryNotLocked {
                path: path.to_owned(),
                needed: map.len() as u64,
                limit: locked_memory_limit(),
                source,
            }),
            #[cfg(not(unix))]
            Memory::Mapped(_) => Ok(()),
            Memory::Owned(_) => Ok(()),
        }
    }

    /// Returns how many bytes of the file are in memory now, or nothing if the system cannot tell.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            Memory::Mapped(map) => resident_bytes(map),
            #[cfg(not(target_os = "linux"))]
            Memory::Mapped(_) => None,
            Memory::Owned(bytes) => Some(bytes.len() as u64),
        }
    }

    /// Releases the memory a few megabytes at a time. Unmapping a gigabyte in one call would hold a process-wide lock
    /// meanwhile, and every page fault and mapping of other threads would wait for it.
    pub(crate) fn give_back_slowly(self) {
        #[cfg(target_os = "linux")]
        if let Memory::Mapped(map) = self.0 {
            // Has no effect if nothing is locked.
            let _ = map.unlock();
            for start in (0..map.len()).step_by(STEP_LEN) {
                let len = STEP_LEN.min(map.len() - start);
                // SAFETY: if pages are touched again, those of a file are read from the file again, and those of a copy
                // become zeros. They are not touched, because `self` was the only access to them.
                let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len) };
                std::thread::yield_now();
            }
        }
    }
}

fn check_not_empty(source: &SourceFile) -> Result<(), Error> {
    if source.len_bytes() == 0 {
        return Err(Error::Truncated { expected: super::layout::HEADER_LEN as u64, found: 0 });
    }
    Ok(())
}

/// Returns an error for a call that needs as much memory as the file has bytes.
fn without_memory(source: &SourceFile, action: &'static str) -> impl Fn(std::io::Error) -> Error {
    let (failed, needed) = (failed(source, action), source.len_bytes());
    move |error| match error.kind() {
        std::io::ErrorKind::OutOfMemory => Error::OutOfMemory { what: "a weight file", needed },
        _ => failed(error),
    }
}

fn failed(source: &SourceFile, action: &'static str) -> impl Fn(std::io::Error) -> Error {
    let path = source.path().to_owned();
    move |source| Error::File { action, path: path.clone(), source }
}

/// Describes how much memory this process may lock.
#[cfg(unix)]
fn locked_memory_limit() -> String {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a writable struct of the right type.
    let outcome = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    match limit.rlim_cur {
        _ if outcome != 0 => "an unknown one".to_owned(),
        libc::RLIM_INFINITY => "none".to_owned(),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(target_os = "linux")]
fn resident_bytes(map: &Mmap) -> Option<u64> {
    const PAGE_LEN: usize = 4_096;
    let mut pages = vec![0_u8; map.len().div_ceil(PAGE_LEN)];
    // SAFETY: the range is that of a mapping, which begins at a page, and `pages` has a byte for each of its pages (or
    // more, if pages are larger).
    let outcome = unsafe { libc::mincore(map.as_ptr().cast_mut().cast(), map.len(), pages.as_mut_ptr().cast()) };
    let count = pages.iter().filter(|&&page| page & 1 == 1).count();
    (outcome == 0).then_some((count * PAGE_LEN).min(map.len()) as u64)
}
