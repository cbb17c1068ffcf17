//! Objects in buckets: S3, Google Cloud Storage, Azure Blob Storage, and what has their interfaces.
//!
//! A [`Place`] is a path or an [`Address`]. [`Source`], [`Stream`], [`read`] and [`NewFile`] take either, so that every
//! step of this crate reads and writes both. A [`Bucket`] reads and writes what is below an address. Calls wait for the
//! service, and repeat what failed for a moment. Objects are never changed in place: [`Bucket::create`] gives a name to
//! new bytes unless it is taken, and [`Bucket::replace`] replaces exactly the version that was read. Both are refused
//! if another writer was first. A service that ignores these conditions is found by [`Bucket::check_conditions`].
//!
//! Credentials, region, endpoint and style of addresses come from the variables that the service's own tools read:
//! `AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`,
//! `AZURE_STORAGE_ACCOUNT_NAME` and so on. An endpoint that begins with `http://` is not encrypted.

mod address;
mod error;
#[cfg(test)]
pub(crate) mod made_up;
mod new_file;
mod object_file;
mod read;
mod source;

use std::io::Read;
use std::path::Path as FilePath;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
    UpdateVersion,
};
use omomi::weight_file::map::{FileBytes, LoadMode};
use tokio::runtime::Runtime;

pub use address::{Address, Place, Service};
pub use error::BucketError;
pub use new_file::{NewFile, refuse_to_replace, remove};
pub use object_file::ObjectFile;
pub use read::{ObjectReader, Pace};
#[cfg(test)]
pub(crate) use source::take_for_opened;
pub use source::{
    LocalCopy, Source, SourceReader, Stream, digest_of, len_of, load_bytes, load_model, read, read_to_string,
};
pub(crate) use source::{beside, bucket_of, place_of, stamp_of};

/// Longest object that is written by one request. No service accepts more.
const MAX_OBJECT_LEN: u64 = 5 << 30;
/// How long requests are repeated after failures of the service or of the network.
const RETRY_TIME: Duration = Duration::from_secs(60);
/// Longest body that is sent with the time limits of an answer.
const MAX_SHORT_LEN: u64 = 64 << 10;
/// Slowest connection that an upload may have, in bytes per second.
const MIN_UPLOAD_BYTES_PER_SECOND: u64 = 100_000;
/// The folder of the objects that [`Bucket::check_conditions`] writes.
const PROBES: &str = ".omomi-probe";
/// Age from which a probe belongs to a process that died.
const MAX_PROBE_AGE_SECONDS: i64 = 3_600;
/// How often a probe begins again because a write was refused that should not be.
const MAX_PROBE_COUNT: u32 = 4;

/// What is below an address.
#[derive(Debug, Clone)]
pub struct Bucket {
    address: Address,
    objects: Arc<dyn ObjectStore>,
    /// Whether long bodies are sent by a client of their own. Objects in memory have none.
    has_uploader: bool,
}

/// An object as it was read or written: its length, and what tells its versions apart. No digest of the bytes can be
/// taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Number of bytes.
    pub len_bytes: u64,
    update: UpdateVersion,
}

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name below the address.
    pub name: String,
    /// Number of bytes.
    pub len_bytes: u64,
}

/// What a write under a condition came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It is done, and the object has this version.
    Done(Version),
    /// Another writer was first: the name is taken, or the version that was to be replaced is gone. Nothing changed.
    OtherWasFirst,
}

impl Written {
    /// Whether it is done.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// How long a request may take that sends so many bytes.
const fn upload_time(len_bytes: u64) -> Duration {
    Duration::from_secs(60 + len_bytes / MIN_UPLOAD_BYTES_PER_SECOND)
}

/// The threads that wait for services.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        // Fails only if another provider was chosen before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("omomi-bucket").enable_all().build().expect("threads can be started")
    })
}

/// Whether one of these variables names an endpoint without encryption.
fn is_plain(variables: &[&str]) -> bool {
    variables.iter().any(|name| std::env::var(name).is_ok_and(|url| url.starts_with("http://")))
}

/// Prepares access to a bucket. Sends no request.
fn objects_of(
    address: &Address,
    client: ClientOptions,
    retry_timeout: Duration,
) -> Result<Arc<dyn ObjectStore>, BucketError> {
    let _entered = runtime().enter();
    let url = format!("{}://{}", address.service().scheme(), address.bucket());
    let retry = RetryConfig { max_retries: 8, retry_timeout, ..RetryConfig::default() };
    let client = client.with_allow_http(is_plain(address.service().endpoint_variables()));
    let objects: Result<Arc<dyn ObjectStore>, Error> = match address.service() {
        Service::S3 => {
            let builder = AmazonS3Builder::from_env().with_url(url).with_retry(retry);
            builder.with_client_options(client).build().map(|it| Arc::new(it) as _)
        }
        Service::Gcs => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url).with_retry(retry);
            builder.with_client_options(client).build().map(|it| Arc::new(it) as _)
        }
        Service::Azure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url).with_retry(retry);
            builder.with_client_options(client).build().map(|it| Arc::new(it) as _)
        }
    };
    objects.map_err(|error| BucketError::Settings { address: address.to_string(), problem: one_line(&error) })
}

impl Bucket {
    /// Prepares access to what is below `address`. Sends no request.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::Settings`] if the environment lacks what the service needs.
    pub fn open(address: &Address) -> Result<Self, BucketError> {
        // A large object takes as long as it takes; a connection that is silent is given up.
        let client = ClientOptions::new()
            .with_timeout_disabled()
            .with_read_timeout(Duration::from_secs(30))
            .with_connect_timeout(Duration::from_secs(5));
        let objects = objects_of(address, client, RETRY_TIME)?;
        Ok(Self { address: address.clone(), objects, has_uploader: true })
    }

    /// What sends a body of this length. The time limit of an answer also runs while a body is sent, so a long body
    /// needs another client.
    fn uploader(&self, len_bytes: u64) -> Result<Arc<dyn ObjectStore>, BucketError> {
        if !self.has_uploader || len_bytes <= MAX_SHORT_LEN {
            return Ok(Arc::clone(&self.objects));
        }
        let time = upload_time(len_bytes);
        let client = ClientOptions::new()
            .with_timeout(time)
            .with_read_timeout_disabled()
            .with_connect_timeout(Duration::from_secs(5));
        objects_of(&self.address, client, time + RETRY_TIME)
    }

    /// Access to what is below another address of the same bucket.
    pub(crate) fn at(&self, address: &Address) -> Self {
        Self { address: address.clone(), ..self.clone() }
    }

    /// The address that names are below.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    fn path(&self, name: &str) -> Result<Path, BucketError> {
        let key =
            if name.is_empty() { self.address.key().to_owned() } else { self.address.join(name).key().to_owned() };
        Path::parse(&key)
            .map_err(|_| BucketError::NoAddress { found: self.named(name), expected: "a key that a bucket can have" })
    }

    fn named(&self, name: &str) -> String {
        if name.is_empty() { self.address.to_string() } else { self.address.join(name).to_string() }
    }

    /// Says what failed. The answer that there is no such object is an error here.
    fn failed(&self, action: &'static str, name: &str) -> impl Fn(Error) -> BucketError {
        let address = self.named(name);
        move |error| {
            let problem = one_line(&error);
            let address = address.clone();
            match error {
                // The client does not tell the reasons of listings apart.
                _ if is_no_bucket(&problem) => BucketError::NoBucket { address },
                Error::NotFound { .. } => BucketError::Missing { address },
                Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                    BucketError::Denied { action, address, problem }
                }
                _ if is_denied(&layers(&error)) => BucketError::Denied { action, address, problem },
                _ => BucketError::Failed { action, address, problem },
            }
        }
    }

    /// Reads a short object whole. Returns nothing if it does not exist.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::TooLong`] for an object of more than `max_len` bytes, and other errors of the service.
    pub fn read(&self, name: &str, max_len: u64) -> Result<Option<(Bytes, Version)>, BucketError> {
        let path = self.path(name)?;
        let failed = self.failed("read", name);
        let result = match runtime().block_on(self.objects.get_opts(&path, GetOptions::default())) {
            Err(error) => {
                let error = failed(error);
                return if matches!(error, BucketError::Missing { .. }) { Ok(None) } else { Err(error) };
            }
            Ok(result) => result,
        };
        let version = Version::of(&result.meta);
        if version.len_bytes > max_len {
            let found = version.len_bytes;
            return Err(BucketError::TooLong { address: self.named(name), expected: max_len, found });
        }
        let bytes = runtime().block_on(result.bytes()).map_err(failed)?;
        Ok(Some((bytes, version)))
    }

    /// Returns the present version of an object, if there is one.
    ///
    /// # Errors
    ///
    /// Returns an error of the service.
    pub fn look_at(&self, name: &str) -> Result<Option<Version>, BucketError> {
        let path = self.path(name)?;
        match runtime().block_on(self.objects.head(&path)).map_err(self.failed("look at", name)) {
            Err(BucketError::Missing { .. }) => Ok(None),
            found => Ok(Some(Version::of(&found?))),
        }
    }

    /// Lists the objects whose names begin with `folder` and a slash, sorted by name. What was written a moment ago may
    /// be absent.
    ///
    /// # Errors
    ///
    /// Returns an error of the service.
    pub fn list(&self, folder: &str) -> Result<Vec<Listed>, BucketError> {
        let path = self.path(folder)?;
        let found: Vec<ObjectMeta> =
            runtime().block_on(self.objects.list(Some(&path)).try_collect()).map_err(self.failed("list", folder))?;
        let before = if self.address.key().is_empty() { 0 } else { self.address.key().len() + 1 };
        let named = found.iter().filter_map(|meta| {
            let name = meta.location.as_ref().get(before..)?;
            Some(Listed { name: name.to_owned(), len_bytes: meta.size })
        });
        let mut listed: Vec<Listed> = named.collect();
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    /// Gives a name to new bytes, unless it is taken.
    ///
    /// # Errors
    ///
    /// Returns an error of the service. Whether the object was made is then not known.
    pub fn create(&self, name: &str, bytes: Bytes) -> Result<Written, BucketError> {
        self.put(name, bytes, PutMode::Create)
    }

    /// Replaces the version of an object that was read.
    ///
    /// # Errors
    ///
    /// Returns an error of the service. Whether the object was replaced is then not known.
    pub fn replace(&self, name: &str, bytes: Bytes, version: &Version) -> Result<Written, BucketError> {
        self.put(name, bytes, PutMode::Update(version.update.clone()))
    }

    /// Writes an object, and replaces one that is there.
    ///
    /// # Errors
    ///
    /// Returns an error of the service.
    pub fn overwrite(&self, name: &str, bytes: Bytes) -> Result<(), BucketError> {
        self.put(name, bytes, PutMode::Overwrite).map(|_| ())
    }

    fn put(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<Written, BucketError> {
        let path = self.path(name)?;
        let found = bytes.len() as u64;
        if found > MAX_OBJECT_LEN {
            return Err(BucketError::TooLong { address: self.named(name), expected: MAX_OBJECT_LEN, found });
        }
        let is_update = matches!(mode, PutMode::Update(_));
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = runtime().block_on(self.uploader(found)?.put_opts(&path, bytes.clone().into(), options));
        match put {
            Ok(put) => {
                let update = UpdateVersion { e_tag: put.e_tag, version: put.version };
                return Ok(Written::Done(Version { len_bytes: found, update }));
            }
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => {}
            // The version to replace is gone.
            Err(error @ Error::NotFound { .. }) if is_update && !is_no_bucket(&one_line(&error)) => {}
            // The answer may have been lost after the work was done.
            Err(error) => {
                return match self.find(name, &bytes) {
                    Ok(Some(version)) => Ok(Written::Done(version)),
                    _ => Err(self.failed("write", name)(error)),
                };
            }
        }
        // A request whose answer was lost is repeated, and then finds its own work.
        Ok(self.find(name, &bytes)?.map_or(Written::OtherWasFirst, Written::Done))
    }

    /// The version of an object, if it has exactly these bytes.
    fn find(&self, name: &str, bytes: &[u8]) -> Result<Option<Version>, BucketError> {
        let Some(version) = self.look_at(name)? else { return Ok(None) };
        if version.len_bytes != bytes.len() as u64 {
            return Ok(None);
        }
        let mut reader = self.reader(name, &version, 0, Pace::default())?;
        for expected in bytes.chunks(1 << 20) {
            let mut found = vec![0; expected.len()];
            match reader.read_exact(&mut found) {
                Ok(()) if found == expected => {}
                Ok(()) => return Ok(None),
                Err(error) => return Err(BucketError::of(error, self.named(name))),
            }
        }
        Ok(Some(version))
    }

    /// Gives a name to the bytes of a file, unless it is taken. The file must not be written meanwhile.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::File`] if the file cannot be read, and errors of the service like [`Bucket::create`].
    pub fn create_from(&self, name: &str, path: &FilePath) -> Result<Written, BucketError> {
        self.create(name, file_bytes(path)?)
    }

    /// Writes the bytes of a file, and replaces an object that is there.
    ///
    /// # Errors
    ///
    /// Fails like [`Bucket::create_from`].
    pub fn overwrite_from(&self, name: &str, path: &FilePath) -> Result<(), BucketError> {
        self.overwrite(name, file_bytes(path)?)
    }

    /// Checks that an object has the bytes of a file.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::OtherBytes`] if it does not, and errors of the service.
    pub fn check_written(&self, name: &str, path: &FilePath) -> Result<(), BucketError> {
        let found = self.find(name, &file_bytes(path)?)?;
        found.map(|_| ()).ok_or_else(|| BucketError::OtherBytes { address: self.named(name) })
    }

    /// Removes an object. It is no error if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error of the service.
    pub fn remove(&self, name: &str) -> Result<(), BucketError> {
        let path = self.path(name)?;
        match runtime().block_on(self.objects.delete(&path)).map_err(self.failed("remove", name)) {
            Err(BucketError::Missing { .. }) => Ok(()),
            removed => removed,
        }
    }

    /// Checks that the service refuses to give one name twice, and to replace a version that is gone. Writes an object
    /// below `.omomi-probe/` for that, and removes it. Those of processes that died are removed too, where that is
    /// possible.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::IgnoresConditions`] if it does not refuse, [`BucketError::NoVersions`] if it does not
    /// tell versions apart, and other errors of the service.
    pub fn check_conditions(&self) -> Result<(), BucketError> {
        let mut outcome = Ok(false);
        for _ in 0..MAX_PROBE_COUNT {
            let name = format!("{PROBES}/{:032x}", rand::random::<u128>());
            outcome = self.try_conditions(&name);
            // A probe that cannot be removed does no harm.
            let _ = self.remove(&name);
            match outcome {
                Ok(true) => {
                    self.remove_probes_before(unix_seconds() - MAX_PROBE_AGE_SECONDS);
                    return Ok(());
                }
                Ok(false) => {}
                Err(_) => break,
            }
        }
        outcome.and_then(|_| {
            let problem =
                format!("each of {MAX_PROBE_COUNT} writes was refused although nothing else wrote to the same name");
            Err(BucketError::Failed { action: "write", address: self.named(PROBES), problem })
        })
    }

    /// Tries the conditions with an object of a name that nobody else has. Returns whether a conclusion was possible:
    /// a write that should succeed may be refused because of other requests.
    fn try_conditions(&self, name: &str) -> Result<bool, BucketError> {
        let ignores = |what| Err(BucketError::IgnoresConditions { address: self.address.to_string(), what });
        if !self.create(name, Bytes::from_static(b"first"))?.is_done() {
            return Ok(false);
        }
        if self.create(name, Bytes::from_static(b"second"))?.is_done() {
            return ignores("a second object under one name (If-None-Match)");
        }
        let Some((_, first)) = self.read(name, 64)? else {
            return ignores("to hide what was just written");
        };
        if first.identity().is_none() {
            let found = first.update.e_tag.unwrap_or_else(|| "none".to_owned());
            return Err(BucketError::NoVersions { address: self.address.to_string(), found });
        }
        if !self.replace(name, Bytes::from_static(b"third"), &first)?.is_done() {
            return Ok(false);
        }
        if self.replace(name, Bytes::from_static(b"fourth"), &first)?.is_done() {
            return ignores("to replace a version that is gone (If-Match)");
        }
        Ok(true)
    }

    /// Removes the probes that were written before a time, in seconds since 1970. They do no harm, so no failure
    /// matters.
    fn remove_probes_before(&self, unix_seconds: i64) {
        let Ok(path) = self.path(PROBES) else { return };
        let found: Result<Vec<ObjectMeta>, Error> = runtime().block_on(self.objects.list(Some(&path)).try_collect());
        for meta in found.unwrap_or_default() {
            if meta.last_modified.timestamp() < unix_seconds {
                let _ = runtime().block_on(self.objects.delete(&meta.location));
            }
        }
    }
}

/// The present time, in seconds since 1970.
fn unix_seconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

impl Version {
    /// What tells this version from all others of the object, if the service says it: the ETag, unless it is weak, or
    /// else the number of the version.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        let tag = self.strong_tag().map(|tag| format!("etag {}", tag.trim_matches('"')));
        tag.or_else(|| self.update.version.as_ref().map(|version| format!("version {version}")))
    }

    /// The ETag, if it can be a condition.
    fn strong_tag(&self) -> Option<&str> {
        self.update.e_tag.as_deref().filter(|tag| !tag.is_empty() && !tag.starts_with("W/"))
    }

    fn of(meta: &ObjectMeta) -> Self {
        Self {
            len_bytes: meta.size,
            update: UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() },
        }
    }
}

/// The bytes of a file, mapped.
pub(crate) fn file_bytes(path: &FilePath) -> Result<Bytes, BucketError> {
    let failed =
        |source| BucketError::File { action: "read", path: path.display().to_string(), source: Arc::new(source) };
    let file = std::fs::File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    if len == 0 {
        return Ok(Bytes::new());
    }
    Ok(Bytes::from_owner(FileBytes::load(path, LoadMode::Map).map_err(|error| failed(std::io::Error::other(error)))?))
}

/// Whether a service says that there is no such bucket, or no such container.
fn is_no_bucket(problem: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "specified bucket does not exist"].iter().any(|code| problem.contains(code))
}

/// The texts of an error and of all its causes.
fn layers(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut layer = error;
    while let Some(source) = layer.source() {
        layer = source;
        text.push('\n');
        text.push_str(&layer.to_string());
    }
    text
}

/// Whether the layers of an error say that the credentials do not allow something.
fn is_denied(layers: &str) -> bool {
    const SAID: [&str; 6] = [
        "status code: 401",
        "status code: 403",
        "<Code>AccessDenied</Code>",
        "<Code>SignatureDoesNotMatch</Code>",
        "<Code>InvalidAccessKeyId</Code>",
        "<Code>RequestTimeTooSkewed</Code>",
    ];
    SAID.iter().any(|words| layers.contains(words))
}

/// What the service said, without the layers of the client and the lines of its documents.
fn one_line(error: &dyn std::error::Error) -> String {
    const MAX_CHARS: usize = 400;
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    let text = if text.is_empty() { error.to_string() } else { text };
    let within = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(content, _)| content.to_owned())
    };
    let text = match (within("Code"), within("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => text,
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::made_up::{Fault, Service};
    use super::*;

    #[test]
    fn an_upload_has_the_time_that_a_slow_connection_needs() {
        assert_eq!(upload_time(0), Duration::from_secs(60));
        assert_eq!(upload_time(1_000_000_000), Duration::from_secs(10_060));
    }

    #[test]
    fn what_a_service_refuses_for_want_of_permission_is_told_from_other_failures() {
        let denied = "Error performing list\nServer returned non-2xx status code: 403 Forbidden: <Error/>";
        assert!(is_denied(denied));
        assert!(is_denied("<Error><Code>AccessDenied</Code></Error>"));
        assert!(!is_denied("Server returned non-2xx status code: 503 Slow Down"));
        let bucket = Service::default().bucket(Fault::Denies("list"));
        assert_eq!(bucket.list("generations").unwrap_err().name(), "bucket_denied");
    }

    #[test]
    fn weak_or_absent_tags_are_no_versions() {
        let version = |e_tag: Option<&str>, version: Option<&str>| Version {
            len_bytes: 1,
            update: UpdateVersion { e_tag: e_tag.map(str::to_owned), version: version.map(str::to_owned) },
        };
        assert_eq!(version(Some("\"a\""), None).identity(), Some("etag a".to_owned()));
        assert_eq!(version(Some("W/\"a\""), None).identity(), None);
        assert_eq!(version(Some(""), None).identity(), None);
        assert_eq!(version(None, None).identity(), None);
        assert_eq!(version(None, Some("7")).identity(), Some("version 7".to_owned()));
        for (fault, found) in [(Fault::NoTags, "none"), (Fault::WeakTags, "W/")] {
            let error = Service::default().bucket(fault).check_conditions().unwrap_err();
            assert_eq!((error.name(), error.owner().word()), ("bucket_has_no_versions", "infra"), "{error}");
            assert!(error.to_string().contains(found), "{error}");
        }
    }

    #[test]
    fn a_refusal_for_other_reasons_is_not_taken_for_a_fault_of_the_service() {
        for request in 0..8 {
            let service = Service::default();
            service.bucket(Fault::ConflictsAt(request)).check_conditions().unwrap();
            assert_eq!(service.bucket(Fault::None).list("").unwrap(), []);
        }
        let error = Service::default().bucket(Fault::Conflicts).check_conditions().unwrap_err();
        assert_eq!(error.name(), "bucket_failed", "{error}");
    }

    #[test]
    fn probes_of_processes_that_died_are_removed_when_they_are_old() {
        let bucket = Service::default().bucket(Fault::None);
        bucket.create(&format!("{PROBES}/left"), Bytes::from_static(b"first")).unwrap();
        bucket.create("current", Bytes::from_static(b"a")).unwrap();
        let names = || bucket.list("").unwrap().into_iter().map(|listed| listed.name).collect::<Vec<String>>();
        bucket.check_conditions().unwrap();
        assert_eq!(names(), [".omomi-probe/left", "current"], "its process may still run");
        bucket.remove_probes_before(unix_seconds() + 60);
        assert_eq!(names(), ["current"]);
    }
}
