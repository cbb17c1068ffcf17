//! Buckets for tests: in the memory of this process, and with the faults of real services.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Address, Bucket, Place};

/// The key of `control` in the store of [`Service::bucket`].
const CONTROL: &str = "models/feed-ctr/control";

/// What is wrong with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Writes even against the condition.
    IgnoresConditions,
    /// Fails the request of this number, and all later ones.
    FailsFrom(u64),
    /// Does what the request of this number asks, but its answer is lost.
    LosesAnswer(u64),
    /// Lets nobody write.
    ReadOnly,
    /// Does not allow an action: `list`, `remove`, or to read objects whose keys end with these words.
    Denies(&'static str),
    /// Allows to read and write `control`, and nothing else.
    OnlyControl,
    /// Says that the write of the request of this number was not the first, although it was.
    ConflictsAt(u64),
    /// Says so of all writes.
    Conflicts,
    /// Has no ETags.
    NoTags,
    /// Has weak ETags.
    WeakTags,
    /// Gives this order when it removes an object.
    OrdersAtRemoval(&'static str),
    /// Lists nothing.
    ListsNothing,
}

/// Objects in memory, with a fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    objects: Arc<InMemory>,
    fault: Fault,
    request_count: AtomicU64,
}

/// Objects that several buckets share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Service(Arc<InMemory>);

impl Service {
    /// A bucket of these objects, as a process of its own sees it.
    pub(crate) fn bucket(&self, fault: Fault) -> Bucket {
        let address: Address = match Place::parse("s3://ads/models/feed-ctr").unwrap() {
            Place::Bucket(address) => address,
            Place::Disk(_) => panic!("an address"),
        };
        let objects = Faulty { objects: Arc::clone(&self.0), fault, request_count: AtomicU64::new(0) };
        Bucket { address, objects: Arc::new(objects), has_uploader: false }
    }
}

impl Bucket {
    pub(crate) fn move_to(&mut self, address: &str) {
        if let Ok(Place::Bucket(address)) = Place::parse(address) {
            self.address = address;
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("objects in memory")
    }
}

fn lost() -> Error {
    Error::Generic { store: "made up", source: "the connection was closed".into() }
}

fn denied(path: Option<&Path>) -> Error {
    Error::PermissionDenied { path: path.map(ToString::to_string).unwrap_or_default(), source: "AccessDenied".into() }
}

impl Faulty {
    /// Whether the service does not allow an action.
    fn check(&self, action: &str, path: Option<&Path>) -> Result<()> {
        let is_denied = match self.fault {
            Fault::Denies(what @ ("list" | "remove")) => what == action,
            Fault::Denies(words) => action == "read" && path.is_some_and(|path| path.as_ref().ends_with(words)),
            Fault::OnlyControl => {
                !(matches!(action, "read" | "write") && path.is_some_and(|path| path.as_ref().ends_with("/control")))
            }
            Fault::ReadOnly => action == "write",
            _ => false,
        };
        if is_denied { Err(denied(path)) } else { Ok(()) }
    }

    /// Counts a request. Returns its number, or its failure.
    fn request(&self) -> Result<u64> {
        let number = self.request_count.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::FailsFrom(first) if number >= first => Err(lost()),
            _ => Ok(number),
        }
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let number = self.request()?;
        self.check("write", Some(path))?;
        match self.fault {
            Fault::IgnoresConditions => options.mode = PutMode::Overwrite,
            Fault::ConflictsAt(conflict) if number != conflict => {}
            Fault::ConflictsAt(_) | Fault::Conflicts => {
                return Err(Error::AlreadyExists { path: path.to_string(), source: "409 Conflict".into() });
            }
            // A service that gives no strong tags takes what it gave for a condition.
            Fault::NoTags | Fault::WeakTags if matches!(options.mode, PutMode::Update(_)) => {
                options.mode = PutMode::Overwrite;
            }
            _ => {}
        }
        let put = self.objects.put_opts(path, payload, options).await?;
        if self.fault == Fault::LosesAnswer(number) { Err(lost()) } else { Ok(put) }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.request()?;
        self.check("read", Some(path))?;
        let mut got = self.objects.get_opts(path, options).await?;
        match self.fault {
            Fault::NoTags => got.meta.e_tag = None,
            Fault::WeakTags => got.meta.e_tag = got.meta.e_tag.map(|tag| format!("W/{tag}")),
            _ => {}
        }
        Ok(got)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.check("remove", None) {
            Ok(()) => {
                if let Fault::OrdersAtRemoval(text) = self.fault {
                    let path = Path::from(CONTROL);
                    let put = self.objects.put_opts(&path, text.into(), PutOptions::default());
                    // Objects in memory never wait.
                    let _ = put.now_or_never();
                }
                self.objects.delete_stream(paths)
            }
            Err(error) => futures_util::stream::once(futures_util::future::ready(Err(error))).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check("list", prefix) {
            Ok(()) if self.fault == Fault::ListsNothing => futures_util::stream::empty().boxed(),
            Ok(()) => self.objects.list(prefix),
            Err(error) => futures_util::stream::once(futures_util::future::ready(Err(error))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
