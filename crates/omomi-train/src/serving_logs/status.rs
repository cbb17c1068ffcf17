//! The state of a serving log: what its writers report, and what its segments say. Reads no record.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use omomi::error::Owner;
use omomi::serving_log::{
    DropReason, MAX_PAYLOAD_LEN_BYTES, RingCounts, SealReason, SegmentFooter, SegmentHeader, SegmentReader,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::ServingLogError;
use crate::readable::grouped;

/// Age from which on a report says that its writer is dead, or hangs.
const MAX_REPORT_AGE_MS: i64 = 30_000;
/// Longest report that is read.
const MAX_REPORT_LEN_BYTES: u64 = 1 << 20;
const HEADER_LEN: usize = 256;
/// The length of the footer and a mark, with which a sealed segment ends.
const END_LEN: usize = 8;

/// The state of a serving log.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LogStatus {
    /// Sealed segments.
    pub sealed_count: u64,
    /// Segments that are still written, or that killed processes left.
    pub partial_count: u64,
    /// Length of all segments, in bytes.
    pub len_bytes: u64,
    /// Records in the sealed segments, as their footers say.
    pub sealed_record_count: u64,
    /// Files that cannot be read as segments or reports, and why.
    pub unreadable: Vec<String>,
    /// The writers: those that run first, then by the time of their last sign of life, latest first.
    pub writers: Vec<WriterStatus>,
}

/// Whether a writer still writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriterLife {
    /// It reported lately.
    Running,
    /// It has not reported for 30 seconds, and did not close its log: it was killed, hangs, or cannot write.
    Dead,
    /// It does not report. Its last segment is sealed, and it did not close its log.
    Unknown,
    /// Its process was killed; another one sealed its last segment.
    Killed,
    /// It closed its log.
    Closed,
}

/// What is known of one writer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WriterStatus {
    /// Id of the writer, 16 hexadecimal digits.
    pub writer: String,
    /// Name of the server.
    pub name: String,
    /// Its process.
    pub process_id: u64,
    /// Whether it still writes.
    pub life: WriterLife,
    /// When it reported, or its last footer was written, in Unix milliseconds.
    pub at_unix_ms: i64,
    /// How long ago that was; 0 if it is in the future.
    pub age_ms: i64,
    /// Totals of all its rings.
    pub counts: RingCounts,
    /// Bytes that it wrote, if it reports.
    pub written_bytes: Option<u64>,
    /// How long the oldest record waits for the disk, if one does and the writer runs: as reported, plus the age of the
    /// report.
    pub oldest_waiting_ms: Option<i64>,
    /// The last problem that it reported.
    pub problem: Option<String>,
}

/// A report. Keys of later versions are ignored.
#[derive(Debug, Deserialize)]
struct Report {
    writer: String,
    name: String,
    process_id: u64,
    at_unix_ms: i64,
    records: u64,
    sampled_out: u64,
    dropped: BTreeMap<String, u64>,
    written_bytes: u64,
    oldest_waiting_ms: Option<i64>,
    problem: Option<Problem>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    text: String,
}

/// What footers say of one writer.
#[derive(Debug, Default)]
struct Sealed {
    name: String,
    process_id: u64,
    at_unix_ms: i64,
    last_number: u64,
    life: Option<WriterLife>,
    rings: BTreeMap<u32, (u64, RingCounts)>,
}

impl WriterLife {
    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
            Self::Killed => "killed",
            Self::Closed => "closed",
        }
    }
}

impl LogStatus {
    /// Whether a folder looks like that of a serving log: it has a segment or a report.
    #[must_use]
    pub fn is_log(folder: &Path) -> bool {
        let Ok(entries) = fs::read_dir(folder) else { return false };
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
        names.into_iter().any(|name| {
            let name = name.to_string_lossy();
            [".omomilog", ".omomilog.partial", ".omomilog.status"].iter().any(|ending| name.ends_with(ending))
        })
    }

    /// Reads the reports, and header and footer of each sealed segment, of the log in `folder`.
    ///
    /// # Errors
    ///
    /// Returns [`ServingLogError`] if the folder cannot be listed.
    pub fn read(folder: &Path) -> Result<Self, ServingLogError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self::read_at(folder, i64::try_from(now).unwrap_or(i64::MAX))
    }

    fn read_at(folder: &Path, now_unix_ms: i64) -> Result<Self, ServingLogError> {
        let failed = |source| ServingLogError::File { action: "list the folder", path: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.sort();
        let mut status = Self::default();
        let mut sealed: BTreeMap<u64, Sealed> = BTreeMap::new();
        let mut reports = Vec::new();
        for path in &paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let note = |unreadable: &mut Vec<String>, problem: &dyn std::fmt::Display| {
                unreadable.push(format!("{}: {problem}", path.display()));
            };
            if name.ends_with(".omomilog.partial") {
                status.partial_count += 1;
                status.len_bytes += path.metadata().map_or(0, |metadata| metadata.len());
            } else if name.ends_with(".omomilog") {
                status.sealed_count += 1;
                status.len_bytes += path.metadata().map_or(0, |metadata| metadata.len());
                match ends_of(path) {
                    Ok(Some((header, footer))) => {
                        status.sealed_record_count += footer.record_count;
                        sealed.entry(header.writer_id).or_default().add(&header, &footer);
                    }
                    Ok(None) => note(&mut status.unreadable, &"expected a sealed segment, found something else"),
                    // The server deleted it to keep its limit.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => status.sealed_count -= 1,
                    Err(error) => note(&mut status.unreadable, &error),
                }
            } else if name.ends_with(".omomilog.status") && !name.starts_with('.') {
                match read_report(path) {
                    Ok(report) => reports.push(report),
                    // The log was closed just now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => note(&mut status.unreadable, &error),
                }
            }
        }
        for report in reports {
            let id = u64::from_str_radix(&report.writer, 16).unwrap_or(0);
            // What a report says is later than what footers say, unless somebody else sealed the last segment.
            let known = sealed.remove(&id).and_then(|sealed| sealed.life);
            status.writers.push(report.status(now_unix_ms, known));
        }
        status.writers.extend(sealed.into_iter().map(|(id, sealed)| sealed.status(id, now_unix_ms)));
        status.writers.sort_by_key(|writer| (writer.life != WriterLife::Running, -writer.at_unix_ms));
        Ok(status)
    }

    /// Returns what is wrong, each with who must act.
    #[must_use]
    pub fn problems(&self) -> Vec<(Owner, String)> {
        let mut problems: Vec<_> = self.unreadable.iter().map(|text| (Owner::Infra, text.clone())).collect();
        for writer in &self.writers {
            let name = if writer.name.is_empty() { &writer.writer } else { &writer.name };
            if writer.life == WriterLife::Dead {
                let message = format!(
                    "{name}: the writer, process {}, has not reported for {} s: it was killed, hangs, or cannot write; \
                     look at the process and its disk",
                    writer.process_id,
                    grouped(writer.age_ms.max(0).cast_unsigned() / 1_000)
                );
                problems.push((Owner::Infra, message));
            }
            if writer.life == WriterLife::Running {
                problems.extend(writer.problem.iter().map(|text| (Owner::Infra, format!("{name}: {text}"))));
            }
        }
        problems
    }

    /// Returns the status as a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "segments": { "sealed": self.sealed_count, "partial": self.partial_count, "bytes": self.len_bytes,
                "records": self.sealed_record_count },
            "unreadable": self.unreadable,
            "writers": self.writers.iter().map(WriterStatus::to_json).collect::<Vec<_>>(),
            "problems": self.problems().iter().map(|(owner, text)| json!({ "owner": owner.word(), "text": text }))
                .collect::<Vec<_>>(),
        })
    }
}

impl WriterStatus {
    /// Returns the records that were dropped, by the names of the reasons, without those that never were.
    #[must_use]
    pub fn dropped(&self) -> Vec<(&'static str, u64)> {
        let all = DropReason::ALL.iter().map(|reason| (reason.word(), self.counts.dropped_for(*reason)));
        all.filter(|(_, count)| *count > 0).collect()
    }

    fn to_json(&self) -> Value {
        let dropped: Map<_, _> =
            self.dropped().into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
        json!({
            "writer": self.writer,
            "name": self.name,
            "process_id": self.process_id,
            "life": self.life.word(),
            "at_unix_ms": self.at_unix_ms,
            "age_ms": self.age_ms,
            "records": self.counts.written,
            "sampled_out": self.counts.sampled_out,
            "dropped": dropped,
            "written_bytes": self.written_bytes,
            "oldest_waiting_ms": self.oldest_waiting_ms,
            "problem": self.problem,
        })
    }
}

impl Report {
    fn status(self, now_unix_ms: i64, known: Option<WriterLife>) -> WriterStatus {
        let age_ms = now_unix_ms.saturating_sub(self.at_unix_ms).max(0);
        let life = match known {
            Some(life @ (WriterLife::Killed | WriterLife::Closed)) => life,
            _ if age_ms > MAX_REPORT_AGE_MS => WriterLife::Dead,
            _ => WriterLife::Running,
        };
        let mut counts = RingCounts { written: self.records, sampled_out: self.sampled_out, ..RingCounts::default() };
        for reason in DropReason::ALL {
            counts.dropped[*reason as usize] = self.dropped.get(reason.word()).copied().unwrap_or(0);
        }
        let is_gone = matches!(life, WriterLife::Killed | WriterLife::Closed);
        WriterStatus {
            writer: self.writer,
            name: self.name,
            process_id: self.process_id,
            life,
            at_unix_ms: self.at_unix_ms,
            age_ms,
            counts,
            written_bytes: Some(self.written_bytes),
            oldest_waiting_ms: self.oldest_waiting_ms.filter(|_| !is_gone).map(|waited| waited.saturating_add(age_ms)),
            problem: self.problem.map(|problem| problem.text),
        }
    }
}

impl Sealed {
    fn add(&mut self, header: &SegmentHeader, footer: &SegmentFooter) {
        for ring in &footer.rings {
            let (next, counts) = self.rings.entry(ring.ring).or_default();
            if ring.next_sequence >= *next {
                (*next, *counts) = (ring.next_sequence, ring.counts);
            }
        }
        if self.life.is_some() && header.number < self.last_number {
            return;
        }
        self.last_number = header.number;
        (self.name, self.process_id) = (header.name.clone(), u64::from(header.process_id));
        self.at_unix_ms = footer.ended_unix_ms;
        self.life = Some(match footer.reason {
            SealReason::Closed => WriterLife::Closed,
            SealReason::Recovered => WriterLife::Killed,
            _ => WriterLife::Unknown,
        });
    }

    fn status(self, id: u64, now_unix_ms: i64) -> WriterStatus {
        let mut counts = RingCounts::default();
        for (_, ring) in self.rings.values() {
            counts.written += ring.written;
            counts.sampled_out += ring.sampled_out;
            counts.dropped.iter_mut().zip(ring.dropped).for_each(|(sum, count)| *sum += count);
        }
        WriterStatus {
            writer: format!("{id:016x}"),
            name: self.name,
            process_id: self.process_id,
            life: self.life.unwrap_or(WriterLife::Unknown),
            at_unix_ms: self.at_unix_ms,
            age_ms: now_unix_ms.saturating_sub(self.at_unix_ms).max(0),
            counts,
            written_bytes: None,
            oldest_waiting_ms: None,
            problem: None,
        }
    }
}

/// Reads the header and the footer of a sealed segment, and nothing between them. Returns nothing if it is none.
fn ends_of(path: &Path) -> io::Result<Option<(SegmentHeader, SegmentFooter)>> {
    let mut file = File::open(path)?;
    let len_bytes = file.metadata()?.len();
    if len_bytes < (HEADER_LEN + END_LEN) as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; HEADER_LEN];
    file.read_exact(&mut bytes)?;
    let mut end = [0; END_LEN];
    file.seek(SeekFrom::End(-8))?;
    file.read_exact(&mut end)?;
    let [first, second, third, fourth, ..] = end;
    let footer_len = u64::from(u32::from_le_bytes([first, second, third, fourth]));
    if footer_len > (MAX_PAYLOAD_LEN_BYTES as u64).min(len_bytes - HEADER_LEN as u64) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(len_bytes - footer_len))?;
    file.take(footer_len).read_to_end(&mut bytes)?;
    // To the reader, this is a segment without its blocks.
    let Ok(mut reader) = SegmentReader::new(&bytes) else { return Ok(None) };
    while reader.next_block().is_some() {}
    let header = reader.header().clone();
    Ok(reader.footer().cloned().map(|footer| (header, footer)))
}

fn read_report(path: &Path) -> io::Result<Report> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_REPORT_LEN_BYTES).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}
