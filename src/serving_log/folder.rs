//! The folder of a log: which segments it has, which of them nobody writes any more, and what is deleted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::decide::count_to_delete;
use super::format::{Bytes, FOOTER_END_LEN, HEADER_LEN, MAX_PAYLOAD_LEN_BYTES, SealReason};
use super::read::{SegmentProblem, SegmentReader};
use super::segment::{ENDING, FooterRing, PARTIAL_ENDING, RingCounts, Segment};

/// Longest segment that is recovered: longer ones are not of this library.
const MAX_RECOVERED_LEN_BYTES: u64 = (1 << 30) + (128 << 20);
/// How long a file without a whole header may belong to a process that is just creating it.
const MIN_AGE_OF_NOTHING: Duration = Duration::from_secs(60);

/// The segments of a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Sealed segments, oldest first, with their lengths.
    pub(super) sealed: Vec<(PathBuf, u64)>,
    /// Partial segments, with their lengths.
    pub(super) partial: Vec<(PathBuf, u64)>,
}

/// What making room did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deleted {
    pub(super) segments: u64,
    pub(super) records: u64,
}

impl Listing {
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name: OsString = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let list = if name.ends_with(PARTIAL_ENDING) {
                &mut listing.partial
            } else if name.ends_with(ENDING) {
                &mut listing.sealed
            } else {
                continue;
            };
            // A file that vanishes meanwhile was deleted by somebody else.
            if let Ok(metadata) = entry.metadata()
                && metadata.is_file()
            {
                list.push((entry.path(), metadata.len()));
            }
        }
        // Names begin with the time.
        listing.sealed.sort();
        Ok(listing)
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.sealed.iter().chain(&self.partial).map(|(_, len)| len).sum()
    }

    /// Deletes the oldest sealed segments until `needed` more bytes fit.
    pub(super) fn make_room(&mut self, needed: u64, max_bytes: u64) -> Deleted {
        let partial: u64 = self.partial.iter().map(|(_, len)| len).sum();
        let lens: Vec<u64> = self.sealed.iter().map(|(_, len)| *len).collect();
        let mut deleted = Deleted::default();
        for (path, _) in self.sealed.drain(..count_to_delete(&lens, partial, needed, max_bytes)) {
            let records = record_count(&path);
            // Another process may have deleted it first, and counts it.
            if fs::remove_file(&path).is_ok() {
                deleted.segments += 1;
                deleted.records += records.unwrap_or(0);
            }
        }
        deleted
    }
}

/// Returns the number of records that the footer of a segment names. Reads nothing between header and footer.
fn record_count(path: &Path) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let mut bytes = vec![0; HEADER_LEN];
    file.read_exact(&mut bytes).ok()?;
    let mut end = [0; FOOTER_END_LEN];
    file.seek(SeekFrom::End(-i64::try_from(FOOTER_END_LEN).ok()?)).ok()?;
    file.read_exact(&mut end).ok()?;
    let footer_len = Bytes(&end).get::<u32>()?;
    if usize::try_from(footer_len).ok()? > MAX_PAYLOAD_LEN_BYTES {
        return None;
    }
    file.seek(SeekFrom::End(-i64::from(footer_len))).ok()?;
    file.take(u64::from(footer_len)).read_to_end(&mut bytes).ok()?;
    // A segment without its blocks.
    let mut reader = SegmentReader::new(&bytes).ok()?;
    while reader.next_block().is_some() {}
    Some(reader.footer()?.record_count)
}

/// Seals the partial segments in the folder that no process writes any more. Returns their number.
pub(super) fn recover(folder: &Path, now_unix_ms: i64) -> u64 {
    let Ok(listing) = Listing::of(folder) else { return 0 };
    let recovered = listing.partial.into_iter().filter(|(path, len)| {
        // What cannot be recovered stays as it is, and can be read up to its last whole block.
        *len <= MAX_RECOVERED_LEN_BYTES && recover_one(path, now_unix_ms).is_ok_and(|is_sealed| is_sealed)
    });
    recovered.count() as u64
}

fn recover_one(path: &Path, now_unix_ms: i64) -> io::Result<bool> {
    let mut file = File::options().read(true).write(true).open(path)?;
    if file.try_lock().is_err() {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mut reader = match SegmentReader::new(&bytes) {
        Ok(reader) => reader,
        Err(SegmentProblem::CutInHeader { .. }) => {
            let modified = file.metadata()?.modified()?;
            if SystemTime::now().duration_since(modified).is_ok_and(|age| age > MIN_AGE_OF_NOTHING) {
                fs::remove_file(path)?;
            }
            return Ok(false);
        }
        Err(_) => return Ok(false),
    };
    let mut rings: BTreeMap<u32, FooterRing> = BTreeMap::new();
    let (mut block_count, mut record_count) = (0, 0);
    while let Some(block) = reader.next_block() {
        let Ok(block) = block else { continue };
        block_count += 1;
        record_count += u64::from(block.record_count());
        let ring = rings.entry(block.ring).or_insert(FooterRing {
            ring: block.ring,
            is_closed: false,
            first_sequence: block.first_sequence,
            next_sequence: 0,
            counts: RingCounts::default(),
            records_here: 0,
        });
        ring.next_sequence = block.next_sequence;
        ring.counts = block.counts;
        ring.records_here += u64::from(block.record_count());
    }
    let (len, frame_count) = reader.whole();
    let Some(mut segment) = Segment::adopt(file, path.to_owned(), reader.id(), len as u64, frame_count) else {
        return Ok(false);
    };
    if reader.footer().is_some() {
        segment.take_name()?;
        return Ok(true);
    }
    (segment.block_count, segment.record_count) = (block_count, record_count);
    let rings: Vec<_> = rings.into_values().collect();
    segment.seal(SealReason::Recovered, now_unix_ms, &rings, false)?;
    Ok(true)
}
