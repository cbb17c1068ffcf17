//! Finds the segments of a log and reads them, one at a time.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use omomi::serving_log::{Account, Block, Record, SegmentHeader, SegmentProblem};

use super::error::ServingLogError;
use super::losses::Losses;
use crate::bucket::{Address, Place, bucket_of, len_of, place_of, read};

/// The end of the name of a sealed segment.
const ENDING: &str = ".omomilog";
/// The end of the name of a segment that is still written, or that a killed process left.
const PARTIAL_ENDING: &str = ".omomilog.partial";
/// Longest segment: a server seals at 1 GiB, after a block of at most 64 MiB. Twice that, for other writers.
const MAX_LEN_BYTES: u64 = (1 << 30) + (128 << 20);

/// The segments of a log: files by name, and those in folders.
#[derive(Debug, Clone)]
pub struct Segments {
    files: Vec<PathBuf>,
    len_bytes: u64,
}

/// Is called for each record, and says whether to go on.
pub type Visit<'v> = dyn FnMut(&SegmentHeader, &Block<'_>, &Record<'_>) -> ControlFlow<()> + 'v;

impl Segments {
    /// Finds the segments that `paths` name: files of any name, and in folders those that end in `.omomilog` or
    /// `.omomilog.partial`. Each file counts once. They are read in the order of their names, so in the order of time.
    ///
    /// # Errors
    ///
    /// Returns [`ServingLogError`] if a path does not exist, or a folder has no segments.
    pub fn find(paths: &[impl AsRef<Path>]) -> Result<Self, ServingLogError> {
        let mut files = BTreeSet::new();
        for path in paths {
            let place = place_of(path.as_ref()).map_err(failed("look at the file", path.as_ref()))?;
            let path = match &place {
                Place::Disk(path) => path.as_path(),
                Place::Bucket(address) => {
                    let found = objects_at(address).map_err(failed("list the objects of", path.as_ref()))?;
                    let found = found.ok_or_else(|| ServingLogError::NotFound { path: path.as_ref().to_owned() })?;
                    if found.is_empty() {
                        return Err(ServingLogError::NoSegments { path: path.as_ref().to_owned() });
                    }
                    files.extend(found.iter().map(|path| key_of(path)));
                    continue;
                }
            };
            let metadata = path.metadata().map_err(|source| match source.kind() {
                std::io::ErrorKind::NotFound => ServingLogError::NotFound { path: path.to_owned() },
                _ => failed("look at the file", path)(source),
            })?;
            if !metadata.is_dir() {
                files.insert(key_of(path));
                continue;
            }
            let before = files.len();
            for entry in fs::read_dir(path).map_err(failed("list the folder", path))? {
                let path = entry.map_err(failed("list the folder", path))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.ends_with(ENDING) || name.ends_with(PARTIAL_ENDING) {
                    files.insert(key_of(&path));
                }
            }
            if files.len() == before {
                return Err(ServingLogError::NoSegments { path: path.to_owned() });
            }
        }
        // A segment that is just being sealed has both names.
        let names = |path: &Path| path.to_string_lossy().into_owned();
        let all: BTreeSet<String> = files.iter().map(|(_, path)| names(path)).collect();
        let is_sealed = |path: &Path| {
            let name = names(path);
            name.strip_suffix(".partial").is_some_and(|sealed| sealed.ends_with(ENDING) && all.contains(sealed))
        };
        let files: Vec<PathBuf> = files.into_iter().map(|(_, path)| path).filter(|path| !is_sealed(path)).collect();
        // Only a hint. What cannot be looked at now says why when it is read.
        let len_bytes = files.iter().filter_map(|path| len_of(path).ok().flatten()).sum();
        Ok(Self { files, len_bytes })
    }

    /// Returns each sealed segment by itself, and the number of those that are still written.
    pub(super) fn sealed(&self) -> (Vec<Self>, u64) {
        let is_partial = |path: &&PathBuf| path.to_string_lossy().ends_with(PARTIAL_ENDING);
        let partial = self.files.iter().filter(is_partial).count() as u64;
        let sealed = self.files.iter().filter(|path| !is_partial(path));
        (sealed.map(|path| Self { files: vec![path.clone()], len_bytes: 0 }).collect(), partial)
    }

    /// Returns the files, in the order in which they are read.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Returns the length of all files together, in bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Reads every segment, passes each record to `visit`, and returns what was lost. Holds one segment in memory.
    /// Stops as soon as `visit` says so; then what comes later counts neither as read nor as lost.
    ///
    /// # Errors
    ///
    /// Returns [`ServingLogError`] if a file cannot be read. Bytes that are no segment, and damage within one, are no
    /// error: the [losses](Losses) tell them.
    pub fn read(&self, visit: &mut Visit<'_>) -> Result<Losses, ServingLogError> {
        let mut account = Account::new();
        let mut unreadable: Vec<(PathBuf, SegmentProblem)> = Vec::new();
        let mut flow = ControlFlow::Continue(());
        let mut unfinished_bytes = 0;
        let skipped = |account: &Account| account.writers().map(|(_, writer)| writer.skipped_bytes).sum::<u64>();
        for path in &self.files {
            let skipped_before = skipped(&account);
            let bytes = match read_file(path) {
                // The server deleted its oldest segment, or sealed a partial one: it has its other name now.
                Err(ServingLogError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    let name = path.to_string_lossy();
                    match name.strip_suffix(".partial").map(|sealed| read_file(Path::new(sealed))) {
                        Some(Ok(bytes)) => bytes,
                        _ => continue,
                    }
                }
                bytes => bytes?,
            };
            let read = account.read(&bytes, &mut |header, block, record| {
                if flow.is_continue() {
                    flow = visit(header, block, record);
                }
            });
            if let Err(problem) = read {
                unreadable.push((path.clone(), problem));
            }
            if path.to_string_lossy().ends_with(PARTIAL_ENDING) {
                // Its writer may be in the middle of a frame.
                unfinished_bytes += skipped(&account) - skipped_before;
            }
            if flow.is_break() {
                break;
            }
        }
        Ok(Losses::new(&account, unfinished_bytes, unreadable))
    }
}

/// The object at an address, or the segments in the folder that it is. Nothing if there is no object.
fn objects_at(address: &Address) -> std::io::Result<Option<Vec<PathBuf>>> {
    let bucket = bucket_of(address)?;
    if !address.key().is_empty() && bucket.look_at("").map_err(std::io::Error::other)?.is_some() {
        return Ok(Some(vec![address.to_string().into()]));
    }
    let listed = bucket.list("").map_err(std::io::Error::other)?;
    if listed.is_empty() {
        return Ok(None);
    }
    // What is in folders of a folder does not count, as on a disk.
    let is_segment = |name: &str| !name.contains('/') && (name.ends_with(ENDING) || name.ends_with(PARTIAL_ENDING));
    let segments = listed.iter().filter(|listed| is_segment(&listed.name));
    Ok(Some(segments.map(|listed| address.join(&listed.name).to_string().into()).collect()))
}

/// Sorts by the name of the file first, which begins with the time of the segment.
fn key_of(path: &Path) -> (String, PathBuf) {
    (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path.to_owned())
}

fn read_file(path: &Path) -> Result<Vec<u8>, ServingLogError> {
    let found = len_of(path).map_err(failed("look at the file", path))?;
    let found = found.ok_or(std::io::ErrorKind::NotFound.into()).map_err(failed("look at the file", path))?;
    if found > MAX_LEN_BYTES {
        return Err(ServingLogError::TooLong { path: path.to_owned(), max: MAX_LEN_BYTES, found });
    }
    read(path).map_err(failed("read the file", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ServingLogError {
    let path = path.to_owned();
    move |source| ServingLogError::File { action, path, source }
}
