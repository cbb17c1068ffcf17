//! Finds the files of a log: named, matched by a pattern, or in a folder.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::LogError;
use super::addresses::Tree;
use super::skipped::{SkipReason, SkippedFile, reason_of_name, skipped_part};
use crate::bucket::{Address, BucketError, Place, bucket_of};

/// The name of standard input in place of a path.
const STANDARD_INPUT: &str = "-";
/// Most folders within each other.
const MAX_DEPTH: usize = 64;

/// A file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Path of the file, in the form in which the pattern gave it, or `-` for standard input.
    pub path: PathBuf,
    /// Size on disk, in bytes. This is the compressed size if the file is compressed. 0 for a pipe.
    pub len_bytes: u64,
    /// How many rows the file has, bad rows included. A Parquet file says so when it is opened; for the other formats
    /// this is `None` until the file has been read.
    pub row_count: Option<u64>,
    /// Whether this is a pipe, a device or standard input, which can be read only once.
    pub is_pipe: bool,
    /// Digest of the bytes of a pipe, once all were read: XXH3-128, as 32 hexadecimal digits.
    pub pipe_digest: Option<String>,
}

impl LogFile {
    /// Returns what identifies the file under all its names.
    pub(crate) fn id(&self) -> FileId {
        let metadata = if self.path == Path::new(STANDARD_INPUT) { None } else { self.path.metadata().ok() };
        // An address has one form only, so it identifies an object.
        metadata.map_or_else(|| FileId::Path(self.path.clone()), |metadata| FileId::of(&self.path, &metadata))
    }

    /// Whether `path` is a name of this file: writing to it would replace the log.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let is_object =
            matches!(Place::of(path), Ok(Place::Bucket(address)) if self.path == Path::new(&address.to_string()));
        is_object || (!self.is_pipe && path.metadata().is_ok_and(|metadata| FileId::of(path, &metadata) == self.id()))
    }
}

/// Identifies a file, whatever its name is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum FileId {
    /// Numbers of the device and of the file on it.
    #[cfg_attr(not(unix), expect(dead_code, reason = "other systems have no such numbers"))]
    Numbers(u64, u64),
    Path(PathBuf),
}

impl FileId {
    fn of(path: &Path, metadata: &Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let _ = path;
            Self::Numbers(metadata.dev(), metadata.ino())
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            Self::Path(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
        }
    }
}

/// The format of a file, told from the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    /// With the delimiter to use if the dialect names none.
    Csv(Compression, char),
    JsonLines(Compression),
    VowpalWabbit(Compression),
    /// A pipe whose name says nothing: its first bytes tell.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (stem, compression) = if let Some(stem) = name.strip_suffix(".gz") {
            (stem, Compression::Gzip)
        } else if let Some(stem) = name.strip_suffix(".zst") {
            (stem, Compression::Zstd)
        } else {
            (name.as_str(), Compression::None)
        };
        match stem.rsplit_once('.')?.1 {
            "parquet" | "parq" if compression == Compression::None => Some(Self::Parquet),
            "csv" => Some(Self::Csv(compression, ',')),
            "tsv" => Some(Self::Csv(compression, '\t')),
            "json" | "jsonl" | "ndjson" => Some(Self::JsonLines(compression)),
            "vw" => Some(Self::VowpalWabbit(compression)),
            _ => None,
        }
    }
}

/// Whether the name says that the file has the format of LIBSVM.
fn is_libsvm(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let stem = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    [".libsvm", ".svm", ".svmlight"].iter().any(|ending| stem.ends_with(ending))
}

/// The files of a log in reading order, and those that were left out.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: Vec<(LogFile, Format)>,
    pub(super) skipped: Vec<SkippedFile>,
    /// The files found so far, with the names under which they are read.
    seen: HashMap<FileId, PathBuf>,
}

/// Returns the files that `patterns` name, match or contain, in the order of the patterns; the files of one pattern are
/// sorted by path. A file that comes up again is left out, even if it has another name.
pub(super) fn expand(patterns: &[impl AsRef<str>]) -> Result<Found, LogError> {
    if patterns.is_empty() {
        return Err(LogError::NoPattern);
    }
    let mut found = Found::default();
    for pattern in patterns {
        found.add_pattern(pattern.as_ref())?;
    }
    Ok(found)
}

/// Whether the patterns name a pipe, which can be opened only once. Opens nothing.
pub(crate) fn has_pipe(patterns: &[impl AsRef<str>]) -> Result<bool, LogError> {
    Ok(expand(patterns)?.files.iter().any(|(file, _)| file.is_pipe))
}

impl Found {
    fn add_pattern(&mut self, pattern: &str) -> Result<(), LogError> {
        if pattern == STANDARD_INPUT {
            return self.add_file(Path::new(pattern), None);
        }
        let place = Place::parse(pattern);
        let on_disk;
        let (path, pattern) = match place {
            Ok(Place::Bucket(address)) => return self.add_address(pattern, &address),
            // `file:///path`
            Ok(Place::Disk(path)) if pattern.contains("://") => {
                on_disk = path;
                (on_disk.as_path(), on_disk.to_str().unwrap_or(pattern))
            }
            Ok(Place::Disk(_)) => (Path::new(pattern), pattern),
            Err(_) if !is_url(pattern) => (Path::new(pattern), pattern),
            Err(source) => return Err(LogError::Address { source }),
        };
        if let Ok(metadata) = path.metadata() {
            // If a file or folder has exactly this name, the name is not a pattern, even if it contains brackets.
            if metadata.is_dir() {
                return self.add_folder(path);
            }
            let reason = path.file_name().and_then(|name| reason_of_name(&name.to_string_lossy()));
            return match reason {
                // A log with such a name was asked for; anything else came from a pattern that the shell expanded.
                Some(reason) if Format::of(path).is_none() => {
                    self.skip(path, reason);
                    Ok(())
                }
                _ => self.add_file(path, Some(&metadata)),
            };
        }
        let (file_count, skipped_count) = (self.seen.len(), self.skipped.len());
        let mut paths: HashSet<PathBuf> = HashSet::new();
        let mut any = false;
        // On its own, `**` matches folders only, and not the files beside them.
        let all_below = format!("{pattern}/*");
        let pattern = if pattern == "**" || pattern.ends_with("/**") { &all_below } else { pattern };
        for path in matches(pattern)? {
            if let Some(skipped) = skipped_part(&path, pattern) {
                self.skip(&skipped.path, skipped.reason);
                continue;
            }
            let metadata = metadata_of(&path)?;
            let mut list = Vec::new();
            if metadata.is_dir() {
                self.list_folder(&path, &mut Vec::new(), &mut list)?;
            } else {
                list.push(path);
            }
            for path in list {
                // With `**`, a file is matched and is also in a folder that is matched.
                if paths.insert(path.clone()) {
                    any = true;
                    self.add_file(&path, None)?;
                }
            }
        }
        if !any && self.seen.len() == file_count {
            let skipped = self.skipped[skipped_count..].to_vec();
            return Err(LogError::NoMatch { pattern: pattern.to_owned(), skipped });
        }
        Ok(())
    }

    /// Adds the objects that an address names, matches, or is the folder of: what the same path would add.
    fn add_address(&mut self, pattern: &str, address: &Address) -> Result<(), LogError> {
        let unreadable = |source| LogError::Unreadable { file: pattern.into(), source };
        let failed = |error| unreadable(io::Error::other(error));
        let bucket = bucket_of(address).map_err(unreadable)?;
        let name = address.key().rsplit('/').next().unwrap_or_default();
        let found = if name.is_empty() { None } else { bucket.look_at("").map_err(failed)? };
        let path = PathBuf::from(address.to_string());
        if let Some(version) = found {
            return match reason_of_name(name) {
                Some(reason) if Format::of(&path).is_none() => {
                    self.skip(&path, reason);
                    Ok(())
                }
                _ => self.add_object(&path, version.len_bytes),
            };
        }
        let folder = Tree::of(bucket.address(), bucket.list("").map_err(failed)?);
        let skipped_count = self.skipped.len();
        if !folder.is_empty() {
            let mut paths = Vec::new();
            self.list_tree(&folder, &path, &mut paths);
            if paths.is_empty() {
                let skipped = self.skipped[skipped_count..].to_vec();
                return Err(LogError::NoLogs { folder: path, skipped });
            }
            return paths.iter().try_for_each(|(path, len)| self.add_object(path, *len));
        }
        let pattern_of_keys = Tree::pattern(address)
            .map_err(|error| LogError::BadPattern { pattern: pattern.to_owned(), message: error.to_string() })?;
        let literal = address.literal_folder();
        let bucket = bucket_of(&literal).map_err(unreadable)?;
        let tree = Tree::of(&literal, bucket.list("").map_err(failed)?);
        let mut matched = tree.matching(&pattern_of_keys);
        matched.sort_by(|one, other| by_natural_name(one, other));
        let (file_count, mut seen, mut any) = (self.seen.len(), HashSet::new(), false);
        for path in matched {
            if let Some(skipped) = skipped_part(&path, pattern) {
                // The parts of a path have one slash between them.
                self.skip(&in_bucket(&skipped.path), skipped.reason);
                continue;
            }
            let mut list = Vec::new();
            match tree.len_of(&path) {
                Some(len) => list.push((path, len)),
                None => self.list_tree(&tree, &path, &mut list),
            }
            for (path, len) in list {
                if seen.insert(path.clone()) {
                    any = true;
                    self.add_object(&path, len)?;
                }
            }
        }
        if !any && self.seen.len() == file_count {
            let skipped = self.skipped[skipped_count..].to_vec();
            return Err(LogError::NoMatch { pattern: pattern.to_owned(), skipped });
        }
        Ok(())
    }

    /// Lists the objects below a folder of a bucket, as [`list_folder`](Self::list_folder) does.
    fn list_tree(&mut self, tree: &Tree, folder: &Path, paths: &mut Vec<(PathBuf, u64)>) {
        let mut entries = tree.entries(folder);
        entries.sort_by(|one, other| by_natural_name(one, other));
        for path in entries {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(reason) = reason_of_name(&name) {
                self.skip(&path, reason);
            } else if let Some(len) = tree.len_of(&path) {
                paths.push((path, len));
            } else {
                self.list_tree(tree, &path, paths);
            }
        }
    }

    fn add_folder(&mut self, folder: &Path) -> Result<(), LogError> {
        let skipped_count = self.skipped.len();
        let mut paths = Vec::new();
        self.list_folder(folder, &mut Vec::new(), &mut paths)?;
        if paths.is_empty() {
            let skipped = self.skipped[skipped_count..].to_vec();
            return Err(LogError::NoLogs { folder: folder.to_owned(), skipped });
        }
        paths.iter().try_for_each(|path| self.add_file(path, None))
    }

    /// Lists the files below a folder, sorted by path, digits by their value. `outer` are the folders around it, each
    /// with its name.
    fn list_folder(
        &mut self,
        folder: &Path,
        outer: &mut Vec<(FileId, PathBuf)>,
        paths: &mut Vec<PathBuf>,
    ) -> Result<(), LogError> {
        let unreadable = |source| LogError::Unreadable { file: folder.to_owned(), source };
        if outer.len() > MAX_DEPTH {
            return Err(unreadable(io::Error::other(format!("more than {MAX_DEPTH} folders within each other"))));
        }
        let id = FileId::of(folder, &metadata_of(folder)?);
        if let Some((_, read_as)) = outer.iter().find(|(known, _)| *known == id) {
            // A link to a folder around it, which is being listed.
            let reason = SkipReason::SameFile { read_as: read_as.clone() };
            self.skip(folder, reason);
            return Ok(());
        }
        outer.push((id, folder.to_owned()));
        let entries = fs::read_dir(folder).map_err(unreadable)?;
        let mut entries = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
        let entries = entries.as_mut().map_err(|error| unreadable(io::Error::new(error.kind(), error.to_string())))?;
        entries.sort_by(|one, other| by_natural_name(one, other));
        for path in entries.iter() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(reason) = reason_of_name(&name) {
                self.skip(path, reason);
            } else if metadata_of(path)?.is_dir() {
                self.list_folder(path, outer, paths)?;
            } else {
                paths.push(path.clone());
            }
        }
        outer.pop();
        Ok(())
    }

    fn add_file(&mut self, path: &Path, metadata: Option<&Metadata>) -> Result<(), LogError> {
        if path == Path::new(STANDARD_INPUT) {
            return self.add(path, FileId::Path(path.to_owned()), 0, true);
        }
        let own;
        let metadata = match metadata {
            Some(metadata) => metadata,
            None => {
                own = metadata_of(path)?;
                &own
            }
        };
        let is_pipe = !metadata.is_file();
        self.add(path, FileId::of(path, metadata), if is_pipe { 0 } else { metadata.len() }, is_pipe)
    }

    fn add_object(&mut self, path: &Path, len_bytes: u64) -> Result<(), LogError> {
        self.add(path, FileId::Path(path.to_owned()), len_bytes, false)
    }

    fn add(&mut self, path: &Path, id: FileId, len_bytes: u64, is_pipe: bool) -> Result<(), LogError> {
        let format = Format::of(path).or(is_pipe.then_some(Format::Unknown));
        let format = format.ok_or_else(|| {
            let file = path.to_owned();
            if is_libsvm(path) { LogError::NoFieldNames { file } } else { LogError::UnknownFormat { file } }
        })?;
        if is_pipe && format == Format::Parquet {
            return Err(LogError::ParquetPipe { file: path.to_owned() });
        }
        if let Some(read_as) = self.seen.get(&id) {
            let reason = SkipReason::SameFile { read_as: read_as.clone() };
            self.skip(path, reason);
            return Ok(());
        }
        self.seen.insert(id, path.to_owned());
        if len_bytes == 0 && !is_pipe {
            self.skip(path, SkipReason::NoRows);
            return Ok(());
        }
        self.files
            .push((LogFile { path: path.to_owned(), len_bytes, row_count: None, is_pipe, pipe_digest: None }, format));
        Ok(())
    }

    fn skip(&mut self, path: &Path, reason: SkipReason) {
        let skipped = SkippedFile { path: path.to_owned(), reason };
        if !self.skipped.contains(&skipped) {
            self.skipped.push(skipped);
        }
    }
}

/// Returns an address whose parts were taken from a path, with both slashes after its scheme.
fn in_bucket(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    match text.split_once(":/") {
        Some((scheme, rest)) if !rest.starts_with('/') => format!("{scheme}://{rest}").into(),
        _ => path.to_owned(),
    }
}

fn metadata_of(path: &Path) -> Result<Metadata, LogError> {
    path.metadata().map_err(|source| LogError::Unreadable { file: path.to_owned(), source })
}

/// Whether a text begins with a scheme.
fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char))
    })
}

/// Compares two paths by name, and digits in them by their value: `day-2` comes before `day-10`, as its time does.
fn by_natural_name(one: &Path, other: &Path) -> Ordering {
    let (whole_one, whole_other) = (one, other);
    let (mut one, mut other) = (one.as_os_str().as_encoded_bytes(), other.as_os_str().as_encoded_bytes());
    while let (Some(&first), Some(&second)) = (one.first(), other.first()) {
        let order = if first.is_ascii_digit() && second.is_ascii_digit() {
            let [digits, other_digits] = [take_digits(&mut one), take_digits(&mut other)];
            digits.len().cmp(&other_digits.len()).then_with(|| digits.cmp(other_digits))
        } else {
            (one, other) = (&one[1..], &other[1..]);
            // A separator comes before every other character, so that the files of a folder stay together.
            (first != b'/').cmp(&(second != b'/')).then(first.cmp(&second))
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    // `1` and `01` have the same value: the names decide.
    one.len().cmp(&other.len()).then_with(|| whole_one.cmp(whole_other))
}

/// Takes the digits at the start of `text`, and returns them without leading zeros.
fn take_digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(len);
    *text = rest;
    let zeros = digits.iter().take_while(|&&byte| byte == b'0').count();
    &digits[zeros..]
}

/// Returns the files and folders that match a pattern, sorted by path; digits by their value.
fn matches(pattern: &str) -> Result<Vec<PathBuf>, LogError> {
    let found = glob::glob(pattern)
        .map_err(|error| LogError::BadPattern { pattern: pattern.to_owned(), message: error.to_string() })?;
    let mut paths = found
        .map(|path| path.map_err(|error| LogError::Unreadable { file: error.path().to_owned(), source: error.into() }))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort_by(|one, other| by_natural_name(one, other));
    Ok(paths)
}

/// Tells the two causes of a failed read apart: the operating system refused, or the decompressor found damage.
pub(super) fn read_failure(file: &Path, rows_before: u64, error: io::Error) -> LogError {
    if error.raw_os_error().is_some() || BucketError::within(&error).is_some() {
        return LogError::Unreadable { file: file.to_owned(), source: error };
    }
    let message = if error.kind() == io::ErrorKind::UnexpectedEof {
        format!("the compressed data is truncated ({error})")
    } else {
        error.to_string()
    };
    LogError::Damaged { file: file.to_owned(), rows_before, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_names_are_compared_by_value_and_the_files_of_a_folder_stay_together() {
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_by(|one, other| by_natural_name(Path::new(one), Path::new(other)));
            names
        };
        assert_eq!(sorted(vec!["n-1", "n-10", "n-2", "n-01"]), ["n-01", "n-1", "n-2", "n-10"]);
        assert_eq!(
            sorted(vec!["2026-10-1/b", "2026-9-30/a", "2026-10-1/a"]),
            ["2026-9-30/a", "2026-10-1/a", "2026-10-1/b"]
        );
        assert_eq!(sorted(vec!["a-b/1", "a/2", "a/10", "a"]), ["a", "a/2", "a/10", "a-b/1"]);
        let large = ["18446744073709551616", "9", "18446744073709551617"];
        assert_eq!(sorted(large.to_vec()), ["9", "18446744073709551616", "18446744073709551617"]);
        assert_eq!(sorted(vec!["part-001", "part-000"]), ["part-000", "part-001"]);
    }

    #[test]
    fn file_extension_decides_the_format_in_upper_or_lower_case() {
        let cases = [
            ("a.parquet", Some(Format::Parquet)),
            ("a.parq", Some(Format::Parquet)),
            ("a.b.csv", Some(Format::Csv(Compression::None, ','))),
            ("A.CSV.GZ", Some(Format::Csv(Compression::Gzip, ','))),
            ("a.csv.zst", Some(Format::Csv(Compression::Zstd, ','))),
            ("a.tsv.gz", Some(Format::Csv(Compression::Gzip, '\t'))),
            ("a.jsonl", Some(Format::JsonLines(Compression::None))),
            ("a.ndjson.gz", Some(Format::JsonLines(Compression::Gzip))),
            ("a.json", Some(Format::JsonLines(Compression::None))),
            ("a.vw", Some(Format::VowpalWabbit(Compression::None))),
            ("a.vw.gz", Some(Format::VowpalWabbit(Compression::Gzip))),
            ("a.parquet.gz", None),
            ("a.gz", None),
            ("csv", None),
            ("a.txt", None),
        ];
        for (name, format) in cases {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }
}
