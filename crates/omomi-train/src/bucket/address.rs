//! Addresses of objects: `s3://bucket/key`, `gs://bucket/key`, `az://container/key`.

use std::fmt;
use std::path::{Path, PathBuf};

use omomi::store::Digest;

use super::BucketError;

/// The service that keeps a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Amazon S3, or a store with its interface.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    const ALL: [(Self, &str); 3] = [(Self::S3, "s3"), (Self::Gcs, "gs"), (Self::Azure, "az")];

    /// Variables that name another endpoint than the usual one.
    pub(super) const fn endpoint_variables(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"],
            Self::Gcs => &["GOOGLE_BASE_URL"],
            Self::Azure => &["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"],
        }
    }

    /// Variables that decide which bucket a name means.
    const fn meaning_variables(self) -> &'static [&'static str] {
        match self {
            Self::S3 | Self::Gcs => &[],
            Self::Azure => &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_ACCOUNT_NAME"],
        }
    }

    /// The scheme of its addresses.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(service, scheme)| (service == self).then_some(scheme)).unwrap_or("s3")
    }
}

/// The address of an object, or of all objects whose keys begin with its key and a slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    service: Service,
    bucket: String,
    /// Without slashes at its ends.
    key: String,
}

/// Where something is: on a disk of this machine, or in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A path of the file system.
    Disk(PathBuf),
    /// In a bucket.
    Bucket(Address),
}

impl Place {
    /// Tells which of both `text` names. `file:///a/b` is the path `/a/b`.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::NoAddress`] for a scheme that is not known, and for an address without a bucket.
    pub fn parse(text: &str) -> Result<Self, BucketError> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Self::Disk(text.into())) };
        let no_address = |expected| Err(BucketError::NoAddress { found: text.to_owned(), expected });
        if scheme == "file" {
            return if rest.starts_with('/') {
                Ok(Self::Disk(rest.into()))
            } else {
                no_address("file:///path, with an absolute path")
            };
        }
        let Some((service, _)) = Service::ALL.into_iter().find(|(_, known)| *known == scheme) else {
            return no_address("a path, or s3://, gs://, az:// or file://");
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return no_address("the name of a bucket after ://");
        }
        let is_part_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !bucket.bytes().all(is_part_of_name) || !bucket.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return no_address("the name of a bucket after ://, of letters, digits, `.`, `-` and `_`");
        }
        let key = key.trim_matches('/');
        if key.split('/').any(|part| matches!(part, "." | "..")) || key.contains("//") {
            return no_address("a key without empty parts, `.` and `..`");
        }
        Ok(Self::Bucket(Address { service, bucket: bucket.to_owned(), key: key.to_owned() }))
    }

    /// Like [`Place::parse`], for a path as commands get it.
    ///
    /// # Errors
    ///
    /// Fails like [`Place::parse`].
    pub fn of(path: &Path) -> Result<Self, BucketError> {
        path.to_str().map_or_else(|| Ok(Self::Disk(path.to_owned())), Self::parse)
    }
}

impl Address {
    /// The service that keeps the bucket.
    #[must_use]
    pub const fn service(&self) -> Service {
        self.service
    }

    /// The name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key, without slashes at its ends. It is empty for the whole bucket.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The address of `name` below this one.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let key = if self.key.is_empty() { name.to_owned() } else { format!("{}/{name}", self.key) };
        Self { key, ..self.clone() }
    }

    /// The address of the folder that this is in.
    #[must_use]
    pub fn folder(&self) -> Self {
        let key = self.key.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// The address of the folders that a pattern spells out, up to the first part with `*`, `?` or `[`.
    #[must_use]
    pub(crate) fn literal_folder(&self) -> Self {
        let parts = self.key.split('/').take_while(|part| !part.contains(['*', '?', '[']));
        let literal = parts.collect::<Vec<_>>().join("/");
        if literal == self.key { self.folder() } else { Self { key: literal, ..self.clone() } }
    }

    /// Where copies of what is here are kept in `folder`: a path that no other address has. One address at two
    /// endpoints has two.
    #[must_use]
    pub fn path_in(&self, folder: &Path) -> PathBuf {
        let variables = self.service.endpoint_variables().iter().chain(self.service.meaning_variables());
        let values: Vec<(&str, String)> =
            variables.filter_map(|&name| Some((name, std::env::var(name).ok()?))).collect();
        self.path_with(folder, &values)
    }

    /// Like [`Address::path_in`], where variables have these values.
    fn path_with(&self, folder: &Path, variables: &[(&str, String)]) -> PathBuf {
        const MAX_NAME_CHARS: usize = 40;
        let lines = variables.iter().map(|(name, value)| format!("\n{name}={}", value.trim_end_matches('/')));
        let digest = Digest::of(format!("{self}{}", lines.collect::<String>()).as_bytes()).to_string();
        let name = self.key.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(&self.bucket);
        let is_kept = |char: char| char.is_ascii_alphanumeric() || "-_".contains(char);
        let name: String =
            name.chars().take(MAX_NAME_CHARS).map(|char| if is_kept(char) { char } else { '-' }).collect();
        folder.join(format!("{name}-{}", &digest[..16]))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}/{}", self.service.scheme(), self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(text: &str) -> Address {
        match Place::parse(text).unwrap() {
            Place::Bucket(address) => address,
            Place::Disk(path) => panic!("{text} is a path: {}", path.display()),
        }
    }

    #[test]
    fn an_address_is_told_from_a_path() {
        for path in ["logs", "./s3", "/a/b", "-", "s3:/a", "logs/*.csv"] {
            assert_eq!(Place::parse(path).unwrap(), Place::Disk(path.into()));
        }
        assert_eq!(Place::parse("file:///a/b").unwrap(), Place::Disk("/a/b".into()));
        let address = bucket("s3://ads/models/feed-ctr/");
        assert_eq!((address.service(), address.bucket(), address.key()), (Service::S3, "ads", "models/feed-ctr"));
        assert_eq!(address.to_string(), "s3://ads/models/feed-ctr");
        assert_eq!(address.join("current").to_string(), "s3://ads/models/feed-ctr/current");
        assert_eq!(bucket("gs://ads").join("current").to_string(), "gs://ads/current");
    }

    #[test]
    fn each_address_at_each_endpoint_has_a_path_of_its_own_and_none_is_in_another() {
        let at = |text: &str, url: &str| {
            let variables: Vec<(&str, String)> =
                if url.is_empty() { Vec::new() } else { vec![("AWS_ENDPOINT_URL", url.to_owned())] };
            bucket(text).path_with(Path::new("/cache"), &variables)
        };
        let paths = [
            at("s3://ads/a", ""),
            at("s3://ads/a", "https://one"),
            at("s3://ads/a", "https://two"),
            at("s3://ads/a/generations", ""),
            at("s3://ads/b/a", ""),
            at("s3://ads", ""),
            at("gs://ads/a", ""),
        ];
        for (index, path) in paths.iter().enumerate() {
            assert_eq!(path.parent(), Some(Path::new("/cache")), "{}", path.display());
            assert!(!paths[..index].contains(path), "{}", path.display());
        }
        assert_eq!(at("s3://ads/a", "https://one/"), paths[1]);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (text, words) in [
            ("s3://", "the name of a bucket"),
            ("s3:///key", "the name of a bucket"),
            ("s3://user:secret@ads/a", "letters, digits"),
            ("s3://ads:9000/a", "letters, digits"),
            ("s3://ads?region=eu/a", "letters, digits"),
            ("s3://../a", "letters, digits"),
            ("ftp://host/a", "s3://"),
            ("S3://ads/a", "s3://"),
            ("file://a/b", "absolute path"),
            ("s3://ads/a//b", "without empty parts"),
            ("s3://ads/../b", "without empty parts"),
        ] {
            let error = Place::parse(text).expect_err(text).to_string();
            assert!(error.contains(words) && error.contains(text), "{error}");
        }
    }
}
