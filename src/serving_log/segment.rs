//! A segment that is being written: its file, its frames, and its name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::format::{
    BLOCK, END_MAGIC, FOOTER, FRAME_CHECKED_LEN, FRAME_HEADER_LEN, FRAME_MAGIC, HEADER_LEN, HEADER_ZEROS_LEN, MAGIC,
    MAX_NAME_LEN_BYTES, OLDEST_READER, Put, SEGMENT_ID, SealReason, VERSION, frame_checksum, header_checksum,
};
use super::options::LogOptions;
use super::served::{DROP_REASON_COUNT, DropReason};

/// The counts of a ring, as a block or a footer has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingCounts {
    /// Records written since the ring was opened.
    pub written: u64,
    /// Records left out because their requests are outside the sample.
    pub sampled_out: u64,
    /// Records dropped, by [`DropReason`].
    pub dropped: [u64; DROP_REASON_COUNT],
}

impl RingCounts {
    /// Returns the records dropped for one reason.
    #[must_use]
    pub const fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Returns the records dropped for all reasons together.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Turns records that were written into records that were lost.
    pub(super) fn lose(&mut self, reason: DropReason, count: u64) {
        self.written = self.written.saturating_sub(count);
        self.dropped[reason as usize] += count;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.written += other.written;
        self.sampled_out += other.sampled_out;
        for (sum, count) in self.dropped.iter_mut().zip(other.dropped) {
            *sum += count;
        }
    }

    pub(super) fn put(&self, to: &mut Vec<u8>) {
        to.put(self.written);
        to.put(self.sampled_out);
        self.dropped.iter().for_each(|count| to.put(*count));
    }
}

/// A ring in a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FooterRing {
    /// Its number.
    pub ring: u32,
    /// Whether nothing of it follows in later segments.
    pub is_closed: bool,
    /// Sequence number of its first record in the segment; without one, the next number.
    pub first_sequence: u64,
    /// All lower sequence numbers are used up.
    pub next_sequence: u64,
    /// Totals since it was opened.
    pub counts: RingCounts,
    /// Its records in the segment.
    pub records_here: u64,
}

/// A partial segment, open for writing.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    partial: PathBuf,
    name: PathBuf,
    id: [u8; 16],
    /// Length of what is whole.
    pub(super) len_bytes: u64,
    frame_count: u32,
    pub(super) block_count: u64,
    pub(super) record_count: u64,
    pub(super) began: Instant,
    /// Whether a failed write left bytes after what is whole.
    has_rest: bool,
}

/// Ends the name of a sealed segment.
pub(super) const ENDING: &str = ".omomilog";
/// Ends the name of a partial segment.
pub(super) const PARTIAL_ENDING: &str = ".omomilog.partial";

impl Segment {
    /// Creates a partial segment in `folder`, which must exist.
    pub(super) fn create(
        folder: &Path,
        options: &LogOptions,
        writer_id: u64,
        number: u64,
        started_unix_ms: i64,
    ) -> io::Result<Self> {
        let header = header(options, writer_id, number, started_unix_ms);
        let stem = format!("{:013}-{writer_id:016x}-{number:06}", started_unix_ms.max(0));
        let partial = folder.join(format!("{stem}{PARTIAL_ENDING}"));
        let mut open = File::options();
        open.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o644);
        let file = open.open(&partial)?;
        // Where there are no locks, nobody recovers what a killed process left; and nobody seals what is being written.
        let _ = file.try_lock();
        let mut id = [0; 16];
        id.copy_from_slice(&header[SEGMENT_ID]);
        let mut segment = Self {
            file,
            name: folder.join(format!("{stem}{ENDING}")),
            partial,
            id,
            len_bytes: 0,
            frame_count: 0,
            block_count: 0,
            record_count: 0,
            began: Instant::now(),
            has_rest: false,
        };
        if let Err(error) = segment.append(&[&header]) {
            let _ = fs::remove_file(&segment.partial);
            return Err(error);
        }
        Ok(segment)
    }

    /// Continues a partial segment that its writer left, of which `len_bytes` with `frame_count` frames are whole.
    pub(super) fn adopt(file: File, partial: PathBuf, id: [u8; 16], len_bytes: u64, frame_count: u32) -> Option<Self> {
        let name = partial.to_str()?.strip_suffix(PARTIAL_ENDING)?;
        Some(Self {
            file,
            name: PathBuf::from(format!("{name}{ENDING}")),
            partial,
            id,
            len_bytes,
            frame_count,
            block_count: 0,
            record_count: 0,
            began: Instant::now(),
            has_rest: true,
        })
    }

    /// Whether the file was removed, so that nobody will ever read it.
    pub(super) fn is_gone(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
        }
        #[cfg(not(unix))]
        {
            !self.partial.exists()
        }
    }

    /// Appends a block with `record_count` records. After an error, the segment is as before.
    pub(super) fn write_block(&mut self, payload: &[&[u8]], record_count: u64) -> io::Result<()> {
        self.write_frame(BLOCK, payload)?;
        self.block_count += 1;
        self.record_count += record_count;
        Ok(())
    }

    fn write_frame(&mut self, kind: u32, payload: &[&[u8]]) -> io::Result<()> {
        let mut head = Vec::with_capacity(FRAME_HEADER_LEN);
        let len: usize = payload.iter().map(|part| part.len()).sum();
        head.put_bytes(&FRAME_MAGIC);
        head.put(kind);
        head.put(self.frame_count);
        head.put(u32::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?);
        head.put(frame_checksum(&self.id, &head[..FRAME_CHECKED_LEN], payload));
        head.put(0_u32);
        let mut parts = vec![&*head];
        parts.extend_from_slice(payload);
        self.append(&parts)?;
        self.frame_count += 1;
        Ok(())
    }

    /// Writes at the end of what is whole.
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if self.has_rest {
            self.file.set_len(self.len_bytes)?;
            io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.len_bytes))?;
            self.has_rest = false;
        }
        for part in parts {
            if let Err(error) = self.file.write_all(part) {
                self.has_rest = true;
                // A part of a frame is in nobody's way, but the disk may be full because of it.
                let _ = self.file.set_len(self.len_bytes);
                return Err(error);
            }
        }
        self.len_bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Writes the footer, and gives the segment its final name. After an error, the segment is as before.
    pub(super) fn seal(
        &mut self,
        reason: SealReason,
        ended_unix_ms: i64,
        rings: &[FooterRing],
        sync: bool,
    ) -> io::Result<()> {
        let before = (self.len_bytes, self.frame_count);
        let sealed = self.try_seal(reason, ended_unix_ms, rings, sync);
        if sealed.is_err() {
            (self.len_bytes, self.frame_count) = before;
            self.has_rest = true;
        }
        sealed
    }

    fn try_seal(&mut self, reason: SealReason, ended_unix_ms: i64, rings: &[FooterRing], sync: bool) -> io::Result<()> {
        let payload = footer(reason, ended_unix_ms, rings, self.block_count, self.record_count);
        self.write_frame(FOOTER, &[&payload])?;
        if sync {
            self.file.sync_all()?;
        }
        self.take_name()?;
        if sync {
            crate::new_file::sync_folder_of(&self.name)?;
        }
        Ok(())
    }

    /// Whether the final name is that of this very file.
    fn has_name(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let files = [&self.partial, &self.name].map(|path| fs::metadata(path).map(|file| (file.dev(), file.ino())));
            matches!(files, [Ok(one), Ok(two)] if one == two)
        }
        #[cfg(not(unix))]
        {
            false
        }
    }

    /// Gives the segment its final name, which must be free.
    pub(super) fn take_name(&self) -> io::Result<()> {
        match fs::hard_link(&self.partial, &self.name) {
            Ok(()) => fs::remove_file(&self.partial),
            // A process was killed between the two steps.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.has_name() => {
                fs::remove_file(&self.partial)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Err(error),
            // Some file systems have no hard links. The name is the writer's own, so a rename replaces nothing.
            Err(_) => fs::rename(&self.partial, &self.name),
        }
    }
}

fn header(options: &LogOptions, writer_id: u64, number: u64, started_unix_ms: i64) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.put_bytes(&MAGIC);
    header.put(VERSION);
    header.put(OLDEST_READER);
    header.put(writer_id);
    header.put(number);
    header.put(started_unix_ms);
    header.put(options.salt);
    header.put(options.predictions_per_million);
    header.put(options.details_per_million);
    header.put(std::process::id());
    let name = &options.name.as_bytes()[..options.name.len().min(MAX_NAME_LEN_BYTES)];
    header.put(u32::try_from(name.len()).unwrap_or(0));
    header.put_bytes(name);
    header.resize(header.len() + MAX_NAME_LEN_BYTES - name.len() + HEADER_ZEROS_LEN, 0);
    header.put(header_checksum(&header));
    header
}

/// Returns the payload of a footer.
fn footer(
    reason: SealReason,
    ended_unix_ms: i64,
    rings: &[FooterRing],
    block_count: u64,
    record_count: u64,
) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.put(ended_unix_ms);
    payload.put(reason as u32);
    payload.put(u32::try_from(rings.len()).unwrap_or(0));
    payload.put(block_count);
    payload.put(record_count);
    for ring in rings {
        payload.put(ring.ring);
        payload.put(u32::from(ring.is_closed));
        payload.put(ring.first_sequence);
        payload.put(ring.next_sequence);
        ring.counts.put(&mut payload);
        payload.put(ring.records_here);
    }
    let frame_len = FRAME_HEADER_LEN + payload.len() + size_of::<u32>() + END_MAGIC.len();
    payload.put(u32::try_from(frame_len).unwrap_or(0));
    payload.put_bytes(&END_MAGIC);
    payload
}
