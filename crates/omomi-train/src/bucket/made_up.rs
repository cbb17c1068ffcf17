//! Buckets for tests: in the memory of this process, and with the faults of real services.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Address, Bucket, Place};

/// What is wrong with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Writes whatever the condition says.
    IgnoresConditions,
    /// Fails the request of this number, and all later ones.
    FailsFrom(u64),
    /// Does what the request of this number asks, but its answer is lost.
    LosesAnswer(u64),
    /// Lets nobody write.
    ReadOnly,
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
        Bucket { address, objects: Arc::new(objects) }
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

impl Faulty {
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
        match self.fault {
            Fault::IgnoresConditions => options.mode = PutMode::Overwrite,
            Fault::ReadOnly => {
                return Err(Error::PermissionDenied { path: path.to_string(), source: "AccessDenied".into() });
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
        self.objects.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
