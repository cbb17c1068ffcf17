//! Bytes of a weight file in memory, shared with the page cache or private.

use std::io::Read;
use std::path::Path;

use memmap2::{Mmap, MmapMut, MmapOptions};

use super::source::SourceFile;
use crate::error::Error;

/// Bytes that are copied, or given back, in one go.
const STEP_LEN: usize = 4 << 20;

/// How the bytes of a file get into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadMode {
    /// A shared mapping, every page read in before it is used. All processes of the machine share one copy. Whoever
    /// truncates or overwrites the file in place hurts every process that maps it: replace files by rename only.
    #[default]
    Map,
    /// A private copy in huge pages where the system gives them, read-only from then on. Immune to whatever happens to the file
    /// later, and faster through fewer TLB misses; each process pays for its own copy.
    Copy,
}

impl LoadMode {
    /// `map` or `copy`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Copy => "copy",
        }
    }
}

/// The bytes of a file.
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
    /// The vector that they were made from; nothing for a file.
    #[doc(hidden)]
    #[must_use]
    pub fn into_vec(self) -> Option<Vec<u8>> {
        match self.0 {
            Memory::Owned(bytes) => Some(bytes),
            Memory::Mapped(_) => None,
        }
    }

    /// Brings the file at `path` into memory, all pages of it. Looks at none of its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if it cannot be opened or read, or is not a regular file; [`Error::Truncated`] if it is empty or shrinks meanwhile.
    pub fn load(path: &Path, mode: LoadMode) -> Result<Self, Error> {
        let source = SourceFile::open(path)?;
        match mode {
            LoadMode::Map => Self::mapped(&source, MmapOptions::new().populate()),
            LoadMode::Copy => Self::copied(&source, &mut || Ok(())),
        }
    }

    /// Brings an open file into memory. Pages of a mapping are read in by whoever touches them first. `go_on` is asked every few
    /// megabytes of a copy.
    ///
    /// # Errors
    ///
    /// As [`FileBytes::load`], and whatever `go_on` says.
    pub(crate) fn of<E: From<Error>>(
        source: &SourceFile,
        mode: LoadMode,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Self, E> {
        match mode {
            LoadMode::Map => Ok(Self::mapped(source, &MmapOptions::new())?),
            LoadMode::Copy => Self::copied(source, go_on),
        }
    }

    fn mapped(source: &SourceFile, options: &MmapOptions) -> Result<Self, Error> {
        check_not_empty(source)?;
        // SAFETY: the mapping is only read. That nobody changes the file while it is mapped is what the rules for replacing
        // weight files ask of people (written once, then read-only, replaced by rename); where that cannot be relied
        // on, `Copy` is there.
        let map = unsafe { options.map(source.file()) };
        map.map(|map| Self(Memory::Mapped(map))).map_err(failed(source, "map"))
    }

    fn copied<E: From<Error>>(source: &SourceFile, go_on: &mut dyn FnMut() -> Result<(), E>) -> Result<Self, E> {
        check_not_empty(source)?;
        let Ok(len) = usize::try_from(source.len_bytes()) else {
            return Err(failed(source, "copy")(std::io::Error::other("it is larger than the address space")).into());
        };
        let mut memory = MmapMut::map_anon(len).map_err(failed(source, "find memory for"))?;
        // Best effort: without huge pages the copy is as good, only slower.
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

    /// Keeps the bytes in memory even where the system would rather have it for something else.
    ///
    /// # Errors
    ///
    /// Whatever the system says, above all that the process may not lock as much.
    pub(crate) fn lock(&self) -> std::io::Result<()> {
        match &self.0 {
            #[cfg(unix)]
            Memory::Mapped(map) => map.lock(),
            #[cfg(not(unix))]
            Memory::Mapped(_) => Ok(()),
            Memory::Owned(_) => Ok(()),
        }
    }

    /// Bytes of the file that lie in memory now, nothing where the system does not say.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            Memory::Mapped(map) => resident_bytes(map),
            #[cfg(not(target_os = "linux"))]
            Memory::Mapped(_) => None,
            Memory::Owned(bytes) => Some(bytes.len() as u64),
        }
    }

    /// Gives the memory back a few megabytes at a time. Unmapping a gigabyte in one go holds a lock of the whole process meanwhile, for
    /// which every page fault and every mapping of other threads would wait.
    pub(crate) fn give_back_slowly(self) {
        #[cfg(target_os = "linux")]
        if let Memory::Mapped(map) = self.0 {
            // Where nothing is locked this changes nothing.
            let _ = map.unlock();
            for start in (0..map.len()).step_by(STEP_LEN) {
                let len = STEP_LEN.min(map.len() - start);
                // SAFETY: the pages of a file come back from the file if they are touched again, those of a copy as zeros; nobody
                // touches them, because `self` was the only way to them.
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

fn failed(source: &SourceFile, action: &'static str) -> impl Fn(std::io::Error) -> Error {
    let path = source.path().to_owned();
    move |source| Error::File { action, path: path.clone(), source }
}

#[cfg(target_os = "linux")]
fn resident_bytes(map: &Mmap) -> Option<u64> {
    const PAGE_LEN: usize = 4_096;
    let mut pages = vec![0_u8; map.len().div_ceil(PAGE_LEN)];
    // SAFETY: the range is that of a mapping, which begins at a page, and `pages` has a byte for each of its pages (or more than
    // enough, where pages are larger).
    let outcome = unsafe { libc::mincore(map.as_ptr().cast_mut().cast(), map.len(), pages.as_mut_ptr().cast()) };
    let count = pages.iter().filter(|&&page| page & 1 == 1).count();
    (outcome == 0).then_some((count * PAGE_LEN).min(map.len()) as u64)
}
