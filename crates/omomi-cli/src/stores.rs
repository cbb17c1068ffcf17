//! Stores as commands name them: directories, or addresses in buckets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use omomi::store::Store;
use omomi_train::bucket::{Bucket, BucketError, Place};
use omomi_train::operate::bucket_store::{BucketStore, BucketStoreError, Needs};
use omomi_train::operate::publish::PublishError;

use crate::Failure;
use crate::refusal::Refusal;

/// A store in a folder, or in a bucket with a copy in the cache of this machine.
pub(crate) enum NamedStore {
    Disk(Store),
    Bucket { store: BucketStore, address: String, _folder: Option<ShortLived> },
}

/// A folder that is removed when the command ends.
pub(crate) struct ShortLived(PathBuf);

impl Drop for ShortLived {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Why a store cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Store(#[from] PublishError),
    #[error(transparent)]
    Bucket(#[from] BucketStoreError),
    #[error(transparent)]
    Address(#[from] BucketError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Store(error) => error.into(),
            StoreError::Bucket(error) => error.into(),
            StoreError::Address(error) => error.into(),
        }
    }
}

impl NamedStore {
    /// Opens the store at a path or an address.
    pub(crate) fn open(named: &Path) -> Result<Self, StoreError> {
        match Place::of(named)? {
            Place::Disk(dir) => Ok(Self::Disk(Store::new(dir))),
            Place::Bucket(address) => {
                let folder = address.path_in(&cache().join("stores"));
                let store = BucketStore::open(Bucket::open(&address)?, folder)?;
                Ok(Self::Bucket { store, address: address.to_string(), _folder: None })
            }
        }
    }

    /// Opens the store for an order that needs no weight file. It does not wait for commands that work on the copy: an
    /// order to switch off must be possible while a publication uploads, and where the cache cannot be written.
    pub(crate) fn open_for_order(named: &Path) -> Result<Self, StoreError> {
        let Place::Bucket(address) = Place::of(named)? else { return Self::open(named) };
        let bucket = Bucket::open(&address)?;
        let name = format!("order-{}-{:016x}", std::process::id(), rand::random::<u64>());
        let folders = [cache().join("orders"), std::env::temp_dir().join("omomi-orders")];
        remove_old_folders(&folders[0]);
        let open = |folder: &Path| {
            let folder = ShortLived(folder.join(&name));
            BucketStore::open(bucket.clone(), &folder.0).map(|store| (store, folder))
        };
        let (store, folder) = open(&folders[0]).or_else(|error| open(&folders[1]).map_err(|_| error))?;
        Ok(Self::Bucket { store, address: address.to_string(), _folder: Some(folder) })
    }

    /// Returns the store, with what reading it needs.
    pub(crate) fn read(&self, needs: Needs) -> Result<&Store, StoreError> {
        match self {
            Self::Disk(store) => Ok(store),
            Self::Bucket { store, .. } => {
                store.bring(needs)?;
                Ok(store.store())
            }
        }
    }

    /// Lets `change` work on the store. If another writer of a bucket was first, it works again on what is there then.
    pub(crate) fn change<T, E: From<BucketStoreError>>(
        &self,
        needs: Needs,
        mut change: impl FnMut(&Store) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Disk(store) => change(store),
            Self::Bucket { store, .. } => store.change(needs, change),
        }
    }

    /// Gives an order that changes `control` alone, with what `current` says if `reads_current`.
    pub(crate) fn order<T>(
        &self,
        reads_current: bool,
        mut change: impl FnMut(&Store) -> Result<T, PublishError>,
    ) -> Result<T, StoreError> {
        let mut change = |store: &Store| change(store).map_err(StoreError::from);
        match self {
            Self::Disk(store) => change(store),
            Self::Bucket { store, .. } => store.order(reads_current, change),
        }
    }

    /// Checks that the keys that the limits of a store in a bucket name are files of this machine.
    pub(crate) fn check_keys(&self) -> Result<(), StoreError> {
        match self {
            Self::Disk(_) => Ok(()),
            Self::Bucket { store, .. } => Ok(store.check_keys()?),
        }
    }

    /// Changes the store by a function of the library.
    pub(crate) fn publish<T>(
        &self,
        needs: Needs,
        mut change: impl FnMut(&Store) -> Result<T, PublishError>,
    ) -> Result<T, StoreError> {
        self.change(needs, |store| change(store).map_err(StoreError::from))
    }

    /// Returns a text in which the path of the copy is the address of the store.
    pub(crate) fn named(&self, text: &str) -> String {
        match self {
            Self::Disk(_) => text.to_owned(),
            Self::Bucket { store, address, .. } => text.replace(&store.store().dir().display().to_string(), address),
        }
    }

    /// Prints the refusal and returns the failure, with the address of the store in place of the path of the copy.
    pub(crate) fn refuse(&self, error: StoreError, json: bool) -> Failure {
        self.refuse_about(None, error, json)
    }

    /// Like [`NamedStore::refuse`], about a file.
    pub(crate) fn refuse_about(&self, file: Option<&Path>, error: StoreError, json: bool) -> Failure {
        let refusal = Refusal::from(error).with_message(|message| self.named(message));
        match file {
            Some(file) => refusal.about(file.display()).report(json),
            None => refusal.report(json),
        }
    }
}

/// Removes folders that processes left which were killed.
fn remove_old_folders(folder: &Path) {
    const MAX_AGE: Duration = Duration::from_secs(86_400);
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        if modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > MAX_AGE) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The folder of this machine for what can be brought again: `OMOMI_CACHE`, or `omomi` in the user's cache.
fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("OMOMI_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("omomi")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/omomi")))
        .unwrap_or_else(|| std::env::temp_dir().join("omomi-cache"))
}
