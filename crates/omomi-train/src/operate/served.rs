//! What a store serves: the file that a new one would replace.

use std::path::PathBuf;

use omomi::error::Error;
use omomi::store::{Digest, Named, Store};

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

/// Returns what the store serves: the generation that is pinned or frozen, or else what was published last. Returns
/// `None` if nothing is served.
///
/// # Errors
///
/// Returns the error of a text, or of a pinned or frozen file that cannot be read or has other bytes than were ordered.
pub fn served(store: &Store) -> Result<Option<Served>, Error> {
    let ordered = store.read_control()?.and_then(|text| text.target?.named());
    if let Some(Named { generation, digest: expected }) = ordered {
        let path = store.generation_path(generation);
        let digest =
            Digest::of_file(&path).map_err(|source| Error::File { action: "read", path: path.clone(), source })?;
        return match expected.filter(|expected| *expected != digest) {
            Some(expected) => Err(Error::DigestMismatch { path, expected, found: digest }),
            None => Ok(Some(Served { generation, digest, path })),
        };
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
        std::fs::write(store.control_path(), format!("off freeze 000041 {}\n", Digest::of(b"41"))).unwrap();
        assert_eq!(served(&store).unwrap().unwrap(), pinned);
        std::fs::write(store.control_path(), format!("on pin 000041 {}\n", Digest::of(b"other"))).unwrap();
        assert_eq!(served(&store).unwrap_err().code(), omomi::Code::DigestMismatch);
    }
}
