//! What a store serves: the file that a new one would replace.

use std::path::PathBuf;

use omomi::error::Error;
use omomi::store::{Control, Digest, Store};

/// The file that a store serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its generation.
    pub generation: u64,
    /// Its digest.
    pub digest: Digest,
    /// Its path.
    pub path: PathBuf,
}

/// Returns what the store serves: the pinned generation if one is pinned, or else what was published last. Returns
/// `None` if nothing is served.
///
/// # Errors
///
/// Returns the error of a text or of a pinned file that cannot be read.
pub fn served(store: &Store) -> Result<Option<Served>, Error> {
    if let Control::Pin(generation) = store.read_control()? {
        let path = store.generation_path(generation);
        let digest =
            Digest::of_file(&path).map_err(|source| Error::File { action: "read", path: path.clone(), source })?;
        return Ok(Some(Served { generation, digest, path }));
    }
    let of_current = |current: omomi::store::Current| Served {
        generation: current.generation,
        digest: current.digest,
        path: store.generation_path(current.generation),
    };
    Ok(store.read_current()?.map(of_current))
}

#[cfg(test)]
mod tests {
    use super::*;
    use omomi::store::Current;

    #[test]
    fn a_pinned_generation_is_served_and_otherwise_the_last_published_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert_eq!(served(&store).unwrap(), None);
        let current = Current { generation: 42, digest: Digest::of(b"42") };
        std::fs::write(store.current_path(), current.to_string()).unwrap();
        let path = store.generation_path(42);
        assert_eq!(served(&store).unwrap(), Some(Served { generation: 42, digest: current.digest, path }));
        std::fs::write(store.control_path(), "pin 000041\n").unwrap();
        assert!(served(&store).unwrap_err().to_string().contains("000041.omomi"));
        std::fs::create_dir(store.generations_path()).unwrap();
        std::fs::write(store.generation_path(41), b"41").unwrap();
        let pinned = served(&store).unwrap().unwrap();
        assert_eq!((pinned.generation, pinned.digest), (41, Digest::of(b"41")));
    }
}
