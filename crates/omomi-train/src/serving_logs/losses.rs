//! What of a log cannot be read, by reason.

use std::path::PathBuf;

use omomi::error::Owner;
use omomi::serving_log::{Account, DROP_REASON_COUNT, DropReason, SegmentProblem};

use super::error::ServingLogError;
use crate::readable::grouped;

/// What of a log was read, and what is lost: totals over all writers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Segments that were read.
    pub segment_count: u64,
    /// Records that were read, each once.
    pub record_count: u64,
    /// Records that were read again, because a segment was passed twice.
    pub repeated_count: u64,
    /// Records that servers dropped, by reason.
    pub dropped: [u64; DROP_REASON_COUNT],
    /// Predictions that servers left out because their requests are outside the sample. They are no loss.
    pub sampled_out: u64,
    /// Records that are missing although they were not dropped.
    pub unexplained: u64,
    /// Segments that are missing below the last of their writer.
    pub missing_segment_count: u64,
    /// Bytes that no good frame has, in sealed segments.
    pub skipped_bytes: u64,
    /// Bytes that no good frame has, in segments that are still written: most likely a frame that is not whole yet.
    pub unfinished_bytes: u64,
    /// Blocks with a good checksum that contradict the format.
    pub malformed_count: u64,
    /// Writers whose last segment another process sealed: what they had in memory is lost.
    pub killed_writer_count: u64,
    /// Writers that neither closed their log nor were killed for certain: most likely they still run.
    pub open_writer_count: u64,
    /// Files that are no segments that this version can read, and why.
    pub unreadable: Vec<(PathBuf, SegmentProblem)>,
}

impl Losses {
    pub(super) fn new(account: &Account, unfinished_bytes: u64, unreadable: Vec<(PathBuf, SegmentProblem)>) -> Self {
        let mut losses = Self { unfinished_bytes, unreadable, ..Self::default() };
        for (_, writer) in account.writers() {
            losses.segment_count += writer.segment_count;
            losses.missing_segment_count += writer.missing_segment_count;
            losses.skipped_bytes += writer.skipped_bytes;
            losses.malformed_count += writer.malformed_count;
            losses.killed_writer_count += u64::from(writer.is_recovered && !writer.is_closed);
            losses.open_writer_count += u64::from(!writer.is_recovered && !writer.is_closed);
        }
        losses.skipped_bytes = losses.skipped_bytes.saturating_sub(unfinished_bytes);
        for ring in account.rings() {
            losses.record_count += ring.read;
            losses.repeated_count += ring.duplicates;
            losses.sampled_out += ring.counts.sampled_out;
            losses.unexplained += ring.unexplained;
            for (sum, count) in losses.dropped.iter_mut().zip(ring.counts.dropped) {
                *sum += count;
            }
        }
        losses
    }

    /// Returns the first file that cannot be read as an error. A segment that a killed process only began is none.
    ///
    /// # Errors
    ///
    /// Returns [`ServingLogError::Unreadable`].
    pub fn check_readable(&self) -> Result<(), ServingLogError> {
        let is_begun = |problem: &SegmentProblem| matches!(problem, SegmentProblem::CutInHeader { .. });
        let mut bad = self.unreadable.iter().filter(|(_, problem)| !is_begun(problem));
        let Some((path, source)) = bad.next() else { return Ok(()) };
        Err(ServingLogError::Unreadable { count: 1 + bad.count(), path: path.clone(), source: source.clone() })
    }

    /// Returns what is lost, one line for each reason, with who must act. Empty if nothing is.
    #[must_use]
    pub fn lines(&self) -> Vec<(Owner, String)> {
        let mut lines = Vec::new();
        let mut say = |count: u64, owner, text: &str| {
            if count > 0 {
                lines.push((owner, format!("{} {text}", grouped(count))));
            }
        };
        for (reason, count) in DropReason::ALL.iter().zip(self.dropped) {
            let (owner, remedy) = remedy(*reason);
            say(count, owner, &format!("records were dropped: {}; {remedy}", reason.word()));
        }
        say(
            self.unexplained,
            Owner::Infra,
            "records are missing that no server dropped: their segments are damaged, deleted or not all passed; copy \
             the whole folder",
        );
        say(
            self.missing_segment_count,
            Owner::Infra,
            "segments are missing: deleted by the limit of the folder, or not passed; copy them sooner, or raise the \
             limit",
        );
        say(self.skipped_bytes, Owner::Infra, "bytes are damaged; take another copy");
        say(self.malformed_count, Owner::Ml, "blocks or records contradict the format; report the defect");
        say(
            self.killed_writer_count,
            Owner::Delivery,
            "writers were killed: what they had in memory is lost, and nobody knows how much; close the log before \
             the server ends",
        );
        for (path, problem) in &self.unreadable {
            lines.push((Owner::Infra, format!("{}: {problem}", path.display())));
        }
        lines
    }
}

/// Who must act on drops of a reason, and how.
const fn remedy(reason: DropReason) -> (Owner, &'static str) {
    match reason {
        DropReason::RingFull => (Owner::Delivery, "make the rings larger, or log to a faster disk"),
        DropReason::TooLarge => (Owner::Delivery, "make the rings larger, or log fewer details"),
        DropReason::RateLimited => {
            (Owner::Delivery, "find out why the model did not answer, or allow more such records per second")
        }
        DropReason::Invalid => (Owner::Delivery, "the calls failed; read their errors"),
        DropReason::DiskFull => (Owner::Infra, "make room on the disk"),
        DropReason::DiskFailed => (Owner::Infra, "repair the disk"),
        DropReason::FolderGone => (Owner::Infra, "leave the folder of the log where it is"),
        DropReason::ModelGone => (Owner::Delivery, "the details of the last requests of a model; nothing to do"),
        DropReason::Closed => (Owner::Delivery, "keep the log open while requests are served"),
        DropReason::Defect => (Owner::Ml, "report the defect"),
    }
}
