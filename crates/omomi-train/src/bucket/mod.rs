//! Objects in buckets: S3, Google Cloud Storage, Azure Blob Storage, and what has their interfaces.
//!
//! A [`Place`] is a path or an [`Address`]; a [`Bucket`] reads and writes what is below an address. Calls wait for the
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
mod read;

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
pub use read::{ObjectReader, Pace};

/// Longest object that is written by one request. No service accepts more.
const MAX_OBJECT_LEN: u64 = 5 << 30;
/// How long requests are repeated after failures of the service or of the network.
const RETRY_TIME: Duration = Duration::from_secs(60);

/// What is below an address.
#[derive(Debug, Clone)]
pub struct Bucket {
    address: Address,
    objects: Arc<dyn ObjectStore>,
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
    /// It is done.
    Done,
    /// Another writer was first: the name is taken, or the version that was to be replaced is gone. Nothing changed.
    OtherWasFirst,
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

impl Bucket {
    /// Prepares access to what is below `address`. Sends no request.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::Settings`] if the environment lacks what the service needs.
    pub fn open(address: &Address) -> Result<Self, BucketError> {
        let _entered = runtime().enter();
        let url = format!("{}://{}", address.service().scheme(), address.bucket());
        // A large object takes as long as it takes; a connection that is silent is given up.
        let client = ClientOptions::new()
            .with_timeout_disabled()
            .with_read_timeout(Duration::from_secs(30))
            .with_connect_timeout(Duration::from_secs(5));
        let retry = RetryConfig { max_retries: 8, retry_timeout: RETRY_TIME, ..RetryConfig::default() };
        let objects: Result<Arc<dyn ObjectStore>, Error> = match address.service() {
            Service::S3 => {
                let is_plain = is_plain(&["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"]);
                let builder = AmazonS3Builder::from_env().with_url(url).with_retry(retry);
                builder.with_client_options(client.with_allow_http(is_plain)).build().map(|it| Arc::new(it) as _)
            }
            Service::Gcs => {
                let builder = GoogleCloudStorageBuilder::from_env().with_url(url).with_retry(retry);
                let is_plain = is_plain(&["GOOGLE_BASE_URL"]);
                builder.with_client_options(client.with_allow_http(is_plain)).build().map(|it| Arc::new(it) as _)
            }
            Service::Azure => {
                let builder = MicrosoftAzureBuilder::from_env().with_url(url).with_retry(retry);
                let is_plain = is_plain(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"]);
                builder.with_client_options(client.with_allow_http(is_plain)).build().map(|it| Arc::new(it) as _)
            }
        };
        let objects = objects
            .map_err(|error| BucketError::Settings { address: address.to_string(), problem: one_line(&error) })?;
        Ok(Self { address: address.clone(), objects })
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
                Error::NotFound { .. } if is_no_bucket(&problem) => BucketError::NoBucket { address },
                Error::NotFound { .. } => BucketError::Missing { address },
                Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                    BucketError::Denied { action, address, problem }
                }
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

    /// Writes an object, whatever is there.
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
        let put = runtime().block_on(self.objects.put_opts(&path, bytes.clone().into(), options));
        match put {
            Ok(_) => return Ok(Written::Done),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => {}
            // The version to replace is gone.
            Err(error @ Error::NotFound { .. }) if is_update && !is_no_bucket(&one_line(&error)) => {}
            // The answer may have been lost after the work was done.
            Err(error) => {
                return match self.has(name, &bytes) {
                    Ok(true) => Ok(Written::Done),
                    _ => Err(self.failed("write", name)(error)),
                };
            }
        }
        // A request whose answer was lost is repeated, and then finds its own work.
        Ok(if self.has(name, &bytes)? { Written::Done } else { Written::OtherWasFirst })
    }

    /// Whether an object has exactly these bytes.
    fn has(&self, name: &str, bytes: &[u8]) -> Result<bool, BucketError> {
        let Some(version) = self.look_at(name)? else { return Ok(false) };
        if version.len_bytes != bytes.len() as u64 {
            return Ok(false);
        }
        let mut reader = self.reader(name, &version, 0, Pace::default())?;
        for expected in bytes.chunks(1 << 20) {
            let mut found = vec![0; expected.len()];
            match reader.read_exact(&mut found) {
                Ok(()) if found == expected => {}
                Ok(()) => return Ok(false),
                Err(error) => return Err(BucketError::of(error, self.named(name))),
            }
        }
        Ok(true)
    }

    /// Gives a name to the bytes of a file, unless it is taken. The file must not be written meanwhile.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::File`] if the file cannot be read, and errors of the service like [`Bucket::create`].
    pub fn create_from(&self, name: &str, path: &FilePath) -> Result<Written, BucketError> {
        self.create(name, file_bytes(path)?)
    }

    /// Writes the bytes of a file, whatever is at the name.
    ///
    /// # Errors
    ///
    /// Fails like [`Bucket::create_from`].
    pub fn overwrite_from(&self, name: &str, path: &FilePath) -> Result<(), BucketError> {
        self.overwrite(name, file_bytes(path)?)
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

    /// Checks that the service refuses to give one name twice, and to replace a version that is gone.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::IgnoresConditions`] if it does not refuse, and other errors of the service.
    pub fn check_conditions(&self) -> Result<(), BucketError> {
        let name = format!(".omomi-probe-{:032x}", rand::random::<u128>());
        let checked = self.try_conditions(&name);
        let removed = self.remove(&name);
        checked.and(removed)
    }

    fn try_conditions(&self, name: &str) -> Result<(), BucketError> {
        let ignores = |what| Err(BucketError::IgnoresConditions { address: self.address.to_string(), what });
        self.create(name, Bytes::from_static(b"first"))?;
        if self.create(name, Bytes::from_static(b"second"))? == Written::Done {
            return ignores("a second object under one name (If-None-Match)");
        }
        let Some((_, first)) = self.read(name, 64)? else {
            return ignores("to hide what was just written");
        };
        if self.replace(name, Bytes::from_static(b"third"), &first)? != Written::Done {
            return ignores("nothing when the version is the present one (If-Match)");
        }
        if self.replace(name, Bytes::from_static(b"fourth"), &first)? == Written::Done {
            return ignores("to replace a version that is gone (If-Match)");
        }
        Ok(())
    }
}

impl Version {
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            len_bytes: meta.size,
            update: UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() },
        }
    }
}

/// The bytes of a file, mapped.
fn file_bytes(path: &FilePath) -> Result<Bytes, BucketError> {
    let failed = |source| BucketError::File { action: "read", path: path.display().to_string(), source };
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
