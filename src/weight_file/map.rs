//! Bytes of a weight file in memory, shared with the page cache or private.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use memmap2::{Mmap, MmapMut, MmapOptions};

use crate::error::Error;

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
    #[cfg(feature = "train")]
    pub(crate) fn into_vec(self) -> Option<Vec<u8>> {
        match self.0 {
            Memory::Owned(bytes) => Some(bytes),
            Memory::Mapped(_) => None,
        }
    }

    /// Brings the file at `path` into memory. Looks at none of its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if it cannot be opened or read, or is not a regular file; [`Error::Truncated`] if it is empty or shrinks meanwhile.
    pub fn load(path: &Path, mode: LoadMode) -> Result<Self, Error> {
        let failed = |action| move |source| Error::File { action, path: path.to_owned(), source };
        let file = File::open(path).map_err(failed("open"))?;
        let metadata = file.metadata().map_err(failed("look at"))?;
        if !metadata.is_file() {
            let source = std::io::Error::other("it is not a regular file");
            return Err(failed("map")(source));
        }
        if metadata.len() == 0 {
            return Err(Error::Truncated { expected: super::layout::HEADER_LEN as u64, found: 0 });
        }
        match mode {
            LoadMode::Map => {
                // SAFETY: the mapping is only read. That nobody changes the file while it is mapped is what the rules for replacing
                // weight files ask of people (written once, then read-only, replaced by rename); where that cannot be relied
                // on, `Copy` is there.
                let map = unsafe { MmapOptions::new().populate().map(&file) };
                map.map(|map| Self(Memory::Mapped(map))).map_err(failed("map"))
            }
            LoadMode::Copy => copy(file, metadata.len(), path),
        }
    }
}

fn copy(mut file: File, len: u64, path: &Path) -> Result<FileBytes, Error> {
    let failed = |action| move |source| Error::File { action, path: path.to_owned(), source };
    let Ok(len) = usize::try_from(len) else {
        return Err(failed("copy")(std::io::Error::other("it is larger than the address space")));
    };
    let mut memory = MmapMut::map_anon(len).map_err(failed("find memory for"))?;
    // Best effort: without huge pages the copy is as good, only slower.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    let mut filled = 0;
    while filled < len {
        match file.read(&mut memory[filled..]).map_err(failed("read"))? {
            0 => return Err(Error::Truncated { expected: len as u64, found: filled as u64 }),
            count => filled += count,
        }
    }
    memory.make_read_only().map(|map| FileBytes(Memory::Mapped(map))).map_err(failed("protect the copy of"))
}
