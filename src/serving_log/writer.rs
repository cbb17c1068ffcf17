//! The thread that empties the rings and writes the segments.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::clock::now_unix_ms;
use super::decide::{RETRY_INTERVAL, SealLimits, pause_after};
use super::encode::Encoder;
use super::folder::{Listing, recover};
use super::format::{BLOCK_HEAD_LEN, Put, SealReason};
use super::models::NamedModels;
use super::raw;
use super::report::{Report, remove_old};
use super::ring::Ring;
use super::segment::{FooterRing, Segment};
use super::served::DropReason;
use super::shared::{NewRing, Shared, counts_of};
use crate::live::signals_of_disks;

/// Length at which a block is written.
const BLOCK_LEN_BYTES: usize = 64 << 10;
/// Number of closed rings that are kept for the next footer.
const MAX_CLOSED: usize = 65_536;
/// How often the writer looks whether its segment is still there.
const LOOK_INTERVAL: std::time::Duration = std::time::Duration::from_millis(200);

/// Empties the rings of a log.
pub(super) struct Writer {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    /// Rings that are closed and empty, for the next footer.
    closed: Vec<FooterRing>,
    segment: Option<Segment>,
    next_number: u64,
    /// After a failure: when to try again, and what failed.
    failed: Option<(Instant, DropReason)>,
    looked_at: Instant,
}

/// A ring, and what was taken from it.
struct Lane {
    ring: Arc<Ring>,
    encoder: Encoder,
    pending: Pending,
    /// Records of the ring in the current segment, and the sequence number of the first.
    here: u64,
    first_here: Option<u64>,
    /// All lower sequence numbers are those of records that were written or dropped.
    settled: u64,
    /// Sequence numbers and left out records that a footer has named.
    reported: (u64, u64),
}

/// Records that become a block.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    count: u32,
    first: u64,
    last: u64,
    models: NamedModels,
    since: Option<Instant>,
}

impl Pending {
    fn add(&mut self, encoder: &mut Encoder, words: &[u64]) -> Result<(), DropReason> {
        let record = raw::read(words).ok_or(DropReason::Defect)?;
        encoder.encode(&record, &mut self.models, &mut self.bytes)?;
        let sequence = record.sequence();
        if self.count == 0 {
            self.first = sequence;
            self.since = Some(Instant::now());
        }
        self.last = sequence;
        self.count += 1;
        Ok(())
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.models.clear();
        (self.count, self.since) = (0, None);
    }
}

impl Lane {
    fn new(new: NewRing) -> Self {
        Self {
            ring: new.ring,
            encoder: new.encoder,
            pending: Pending::default(),
            here: 0,
            first_here: None,
            settled: 0,
            reported: (0, 0),
        }
    }

    /// Takes records until there are enough for a block, or none before `end`. Returns whether it took any.
    fn drain(&mut self, end: u64) -> bool {
        let mut has_taken = false;
        while self.pending.bytes.len() < BLOCK_LEN_BYTES {
            let Self { ring, encoder, pending, .. } = self;
            let len = pending.bytes.len();
            let taken = catch_unwind(AssertUnwindSafe(|| ring.take(end, |words| pending.add(encoder, words))));
            let reason = match taken {
                Ok(None) => break,
                Ok(Some(Ok(()))) => {
                    has_taken = true;
                    continue;
                }
                Ok(Some(Err(reason))) => reason,
                Err(_) => DropReason::Defect,
            };
            has_taken = true;
            pending.bytes.truncate(len);
            ring.done.dropped(reason, 1);
        }
        has_taken
    }

    fn is_finished(&self) -> bool {
        // The thread's side is looked at first: nothing comes after it.
        self.ring.is_closed() && self.ring.is_empty() && self.pending.count == 0
    }

    fn counted(&self) -> (u64, u64) {
        let asked = &self.ring.asked;
        (asked.next_sequence.load(Ordering::Relaxed), asked.sampled_out.load(Ordering::Relaxed))
    }

    fn in_footer(&self, is_last: bool) -> FooterRing {
        let is_closed = self.is_finished() || is_last;
        // What is still in the ring, or not yet in a block, belongs to the next segment.
        let next_sequence =
            if is_closed { self.ring.asked.next_sequence.load(Ordering::Acquire) } else { self.settled };
        FooterRing {
            ring: self.ring.number,
            is_closed,
            first_sequence: self.first_here.unwrap_or(next_sequence),
            next_sequence,
            counts: counts_of(&self.ring),
            records_here: self.here,
        }
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let looked_at = Instant::now();
        Self { shared, lanes: Vec::new(), closed: Vec::new(), segment: None, next_number: 0, failed: None, looked_at }
    }

    /// Runs until the log is closed.
    pub(super) fn run(mut self) {
        signals_of_disks::block();
        let recovered = recover(&self.shared.folder, now_unix_ms());
        self.shared.gauges.recovered.fetch_add(recovered, Ordering::Relaxed);
        remove_old(&self.shared.folder);
        let mut report = Report::new(&self.shared);
        loop {
            let order = self.shared.order();
            let is_forced = order.is_stopped || order.flushes_asked > order.flushes_done;
            // A defect must not end the log: the records that it touched are in the counts, or stay in their rings.
            let was_busy = catch_unwind(AssertUnwindSafe(|| self.pass(is_forced))).unwrap_or(false);
            if order.is_stopped {
                let _ = catch_unwind(AssertUnwindSafe(|| self.finish()));
                report.remove();
                self.shared.finished();
                return;
            }
            let _ = catch_unwind(AssertUnwindSafe(|| report.write(&self.shared, is_forced)));
            self.shared.flushed(order.flushes_asked);
            self.shared.wait_for_order(pause_after(was_busy));
        }
    }

    /// Takes what the rings have, writes what is due, and seals the segment if it is due. Returns whether there was
    /// anything in the rings.
    fn pass(&mut self, is_forced: bool) -> bool {
        let began = Instant::now();
        self.lanes.extend(self.shared.take_new_rings().into_iter().map(Lane::new));
        let mut was_busy = false;
        for index in 0..self.lanes.len() {
            let end = self.lanes[index].ring.end();
            loop {
                let has_taken = self.lanes[index].drain(end);
                was_busy |= has_taken;
                if has_taken {
                    self.shared.gauges.began_to_wait(began);
                }
                if self.lanes[index].pending.bytes.len() < BLOCK_LEN_BYTES {
                    break;
                }
                self.write_block(index);
            }
            self.lanes[index].encoder.let_go();
        }
        for index in 0..self.lanes.len() {
            let since = self.lanes[index].pending.since;
            let interval = self.shared.options.flush_interval;
            let is_due = since.is_some_and(|since| is_forced || since.elapsed() >= interval);
            if is_due || self.lanes[index].pending.count > 0 && self.lanes[index].ring.is_closed() {
                self.write_block(index);
            }
        }
        if self.lanes.iter().all(|lane| lane.pending.count == 0) {
            self.shared.gauges.nothing_waits();
        }
        self.let_go_of_closed();
        self.look_after_segment();
        was_busy
    }

    /// Frees rings that are closed and empty. Their counts are kept for the next footer.
    fn let_go_of_closed(&mut self) {
        let (shared, closed) = (&self.shared, &mut self.closed);
        self.lanes.retain(|lane| {
            if !lane.is_finished() {
                return true;
            }
            let ring = lane.in_footer(false);
            shared.forget(&lane.ring);
            // A ring that was never used has nothing to say.
            if ring.next_sequence > 0 || ring.counts.sampled_out > 0 {
                closed.push(ring);
            }
            false
        });
        // Where nothing can be written for long, the metrics still have their counts.
        self.closed.drain(..self.closed.len().saturating_sub(MAX_CLOSED));
    }

    /// Writes the block of a lane, or counts its records as lost.
    fn write_block(&mut self, index: usize) {
        let written = self.try_write_block(index);
        let lane = &mut self.lanes[index];
        let count = u64::from(lane.pending.count);
        match written {
            Ok(len_bytes) => {
                self.shared.gauges.bytes_written.fetch_add(len_bytes, Ordering::Relaxed);
                lane.ring.done.written(count);
                lane.here += count;
                lane.first_here.get_or_insert(lane.pending.first);
            }
            Err(reason) => lane.ring.done.dropped(reason, count),
        }
        lane.settled = lane.pending.last + 1;
        lane.pending.clear();
    }

    fn try_write_block(&mut self, index: usize) -> Result<u64, DropReason> {
        self.open_segment()?;
        let lane = &self.lanes[index];
        let pending = &lane.pending;
        let mut counts = counts_of(&lane.ring);
        counts.written += u64::from(pending.count);
        let mut head = Vec::with_capacity(BLOCK_HEAD_LEN);
        head.put(lane.ring.number);
        head.put(pending.count);
        head.put(pending.first);
        head.put(pending.last + 1);
        counts.put(&mut head);
        head.put(u32::try_from(pending.models.len()).unwrap_or(u32::MAX));
        head.put(0_u32);
        pending.models.put(&mut head);
        let Some(segment) = &mut self.segment else { return Err(DropReason::Defect) };
        let before = segment.len_bytes;
        match segment.write_block(&[&head, &pending.bytes], u64::from(pending.count)) {
            Ok(()) => Ok(segment.len_bytes - before),
            Err(error) => Err(self.note_failure(&error)),
        }
    }

    /// Makes sure that there is a segment to write to.
    fn open_segment(&mut self) -> Result<(), DropReason> {
        if let Some((until, reason)) = self.failed {
            if Instant::now() < until {
                return Err(reason);
            }
            self.failed = None;
        }
        if self.segment.as_ref().is_some_and(Segment::is_gone) {
            self.lose_segment();
        }
        if self.segment.is_some() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let options = &shared.options;
        let created = Listing::of(&shared.folder).and_then(|mut listing| {
            let deleted = listing.make_room(options.max_segment_len_bytes, options.max_total_len_bytes);
            shared.gauges.deleted(deleted);
            shared.gauges.folder_len_bytes.store(listing.len_bytes(), Ordering::Relaxed);
            Segment::create(&shared.folder, options, shared.writer_id, self.next_number, now_unix_ms())
        });
        match created {
            Ok(segment) => {
                self.next_number += 1;
                shared.gauges.bytes_written.fetch_add(segment.len_bytes, Ordering::Relaxed);
                self.segment = Some(segment);
                Ok(())
            }
            Err(error) => Err(self.note_failure(&error)),
        }
    }

    fn note_failure(&mut self, error: &io::Error) -> DropReason {
        let reason = reason_of(error);
        self.failed = Some((Instant::now() + RETRY_INTERVAL, reason));
        self.shared.note_problem(reason, error);
        reason
    }

    /// Counts the records of a segment that nobody will ever read.
    fn lose_segment(&mut self) {
        self.segment = None;
        for lane in &mut self.lanes {
            lane.ring.done.lost(DropReason::FolderGone, lane.here);
            (lane.here, lane.first_here) = (0, None);
        }
        for ring in &mut self.closed {
            let lost = std::mem::take(&mut ring.records_here);
            ring.counts.lose(DropReason::FolderGone, lost);
            ring.first_sequence = ring.next_sequence;
            self.shared.lost_in_past(DropReason::FolderGone, lost);
        }
        self.shared.note_problem(DropReason::FolderGone, &io::ErrorKind::NotFound.into());
    }

    /// Notices that the segment has vanished, or must be sealed.
    fn look_after_segment(&mut self) {
        let Some(segment) = &self.segment else { return };
        if self.looked_at.elapsed() >= LOOK_INTERVAL {
            self.looked_at = Instant::now();
            if segment.is_gone() {
                return self.lose_segment();
            }
        }
        if self.failed.is_some_and(|(until, _)| Instant::now() < until) {
            return;
        }
        let options = &self.shared.options;
        let limits = SealLimits { max_len_bytes: options.max_segment_len_bytes, max_age: options.max_segment_age };
        if let Some(reason) = limits.check(segment.len_bytes, segment.began.elapsed(), segment.record_count) {
            self.seal(reason);
        }
    }

    fn seal(&mut self, reason: SealReason) {
        let is_last = reason == SealReason::Closed;
        let mut rings: Vec<_> = self.lanes.iter().map(|lane| lane.in_footer(is_last)).collect();
        rings.extend_from_slice(&self.closed);
        rings.sort_by_key(|ring| ring.ring);
        let Some(segment) = &mut self.segment else { return };
        if segment.is_gone() {
            return self.lose_segment();
        }
        let before = segment.len_bytes;
        match segment.seal(reason, now_unix_ms(), &rings, self.shared.options.sync) {
            Ok(()) => {
                let gauges = &self.shared.gauges;
                gauges.bytes_written.fetch_add(segment.len_bytes - before, Ordering::Relaxed);
                gauges.sealed.fetch_add(1, Ordering::Relaxed);
                self.segment = None;
                self.closed.clear();
                for lane in &mut self.lanes {
                    (lane.here, lane.first_here) = (0, None);
                    lane.reported = lane.counted();
                }
            }
            // It may have vanished a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.lose_segment(),
            Err(error) => {
                self.note_failure(&error);
            }
        }
    }

    /// Writes everything, and seals the last segment.
    fn finish(&mut self) {
        // Try once more, however short the time since the last failure.
        self.failed = None;
        self.pass(true);
        // A thread that was recording as the log was closed may be done only now.
        std::thread::sleep(pause_after(true));
        self.pass(true);
        let is_unreported = !self.closed.is_empty() || self.lanes.iter().any(|lane| lane.counted() != lane.reported);
        if self.segment.is_none() && is_unreported {
            // Nothing was written since the last footer, but something was dropped.
            let _ = self.open_segment();
        }
        self.seal(SealReason::Closed);
    }
}

/// Returns what an error of the system means for records.
fn reason_of(error: &io::Error) -> DropReason {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WriteZero => DropReason::DiskFull,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => DropReason::FolderGone,
        _ => DropReason::DiskFailed,
    }
}
