//! What of a log can be read, and what was lost: compares the sequence numbers that were read with those that were used
//! up. Segments may come in any order.

use std::collections::BTreeMap;

use super::format::SealReason;
use super::read::{Block, Record, SegmentFooter, SegmentHeader, SegmentProblem, SegmentReader};
use super::segment::RingCounts;

/// Names a ring of one of several writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingKey {
    /// Id of the writer.
    pub writer_id: u64,
    /// Number of the ring.
    pub ring: u32,
}

/// Adds up what several segments have.
#[derive(Debug, Clone, Default)]
pub struct Account {
    writers: BTreeMap<u64, WriterAccount>,
    rings: BTreeMap<RingKey, RingBook>,
}

/// What is known of one writer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriterAccount {
    /// Segments that were read.
    pub segment_count: u64,
    /// Numbers of segments below the highest one that were not read: deleted, or not among those passed.
    pub missing_segment_count: u64,
    /// Whether the log was closed in an orderly way. Otherwise its process was killed, or it still runs.
    pub is_closed: bool,
    /// Whether its last segment was sealed by another process.
    pub is_recovered: bool,
    /// Bytes that no good frame has.
    pub skipped_bytes: u64,
    /// Blocks with a good checksum that contradict the format.
    pub malformed_count: u64,
    next_number: u64,
}

/// What is known of one ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingAccount {
    /// The ring.
    pub key: RingKey,
    /// Records that were read, each once.
    pub read: u64,
    /// Records that were read again.
    pub duplicates: u64,
    /// All lower sequence numbers are used up, as far as the segments say.
    pub next_sequence: u64,
    /// Sequence numbers that were used up and not read.
    pub missing: u64,
    /// Missing numbers that the drops do not explain: their segments or blocks are damaged, deleted, or not yet there.
    pub unexplained: u64,
    /// The latest counts of the ring.
    pub counts: RingCounts,
    /// Whether the ring was closed, so that the counts are final.
    pub is_closed: bool,
}

#[derive(Debug, Clone, Default)]
struct RingBook {
    /// Ranges of numbers that were read: from the start to below the end.
    read: BTreeMap<u64, u64>,
    read_count: u64,
    duplicates: u64,
    next_sequence: u64,
    counts: RingCounts,
    is_closed: bool,
}

impl RingBook {
    fn note(&mut self, sequence: u64) {
        let before = self.read.range_mut(..=sequence).next_back();
        match before {
            Some((_, end)) if *end > sequence => {
                self.duplicates += 1;
                return;
            }
            Some((_, end)) if *end == sequence => *end += 1,
            _ => {
                self.read.insert(sequence, sequence + 1);
            }
        }
        self.read_count += 1;
        // The next range may begin where this one ends now.
        if let Some(end) = self.read.remove(&(sequence + 1))
            && let Some((_, own_end)) = self.read.range_mut(..=sequence).next_back()
        {
            *own_end = end;
        }
    }

    /// Takes counts if they are later than those known.
    fn counted(&mut self, next_sequence: u64, counts: &RingCounts, is_closed: bool) {
        if next_sequence >= self.next_sequence {
            self.next_sequence = next_sequence;
            self.counts = *counts;
        }
        self.is_closed |= is_closed;
    }
}

impl Account {
    /// Creates an account of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a segment, passes each record to `visit`, and adds it to the account. Returns its header and its footer.
    ///
    /// # Errors
    ///
    /// Returns why the bytes are no segment. Damage inside it is counted.
    pub fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        visit: &mut dyn FnMut(&SegmentHeader, &Block<'a>, &Record<'a>),
    ) -> Result<(SegmentHeader, Option<SegmentFooter>), SegmentProblem> {
        let mut reader = SegmentReader::new(bytes)?;
        let header = reader.header().clone();
        let writer_id = header.writer_id;
        let mut malformed_count = 0;
        while let Some(block) = reader.next_block() {
            let Ok(block) = block else {
                malformed_count += 1;
                continue;
            };
            let book = self.rings.entry(RingKey { writer_id, ring: block.ring }).or_default();
            book.counted(block.next_sequence, &block.counts, false);
            for record in block.records() {
                match record {
                    Ok(record) => {
                        book.note(record.head.sequence);
                        visit(&header, &block, &record);
                    }
                    Err(_) => malformed_count += 1,
                }
            }
        }
        let writer = self.writers.entry(writer_id).or_default();
        writer.segment_count += 1;
        writer.skipped_bytes += reader.skipped_bytes();
        writer.malformed_count += malformed_count;
        let is_last = header.number >= writer.next_number;
        writer.next_number = writer.next_number.max(header.number.saturating_add(1));
        writer.missing_segment_count = writer.next_number.saturating_sub(writer.segment_count);
        let footer = reader.footer().cloned();
        if let Some(footer) = &footer {
            writer.is_closed |= footer.reason == SealReason::Closed;
            for ring in &footer.rings {
                let book = self.rings.entry(RingKey { writer_id, ring: ring.ring }).or_default();
                book.counted(ring.next_sequence, &ring.counts, ring.is_closed);
            }
        }
        if is_last {
            writer.is_recovered = footer.as_ref().is_some_and(|footer| footer.reason == SealReason::Recovered);
        }
        Ok((header, footer))
    }

    /// Returns the writers, by ascending id.
    pub fn writers(&self) -> impl Iterator<Item = (u64, &WriterAccount)> {
        self.writers.iter().map(|(id, writer)| (*id, writer))
    }

    /// Returns the rings, by ascending writer and number.
    pub fn rings(&self) -> impl Iterator<Item = RingAccount> + '_ {
        self.rings.iter().map(|(key, book)| {
            let missing = book.next_sequence.saturating_sub(book.read_count);
            RingAccount {
                key: *key,
                read: book.read_count,
                duplicates: book.duplicates,
                next_sequence: book.next_sequence,
                missing,
                unexplained: missing.saturating_sub(book.counts.dropped_total()),
                counts: book.counts,
                is_closed: book.is_closed,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_in_any_order_are_counted_once(sequences in prop::collection::vec(0_u64..200, 0..400)) {
            let mut book = RingBook::default();
            sequences.iter().for_each(|sequence| book.note(*sequence));
            let unique: BTreeSet<u64> = sequences.iter().copied().collect();
            prop_assert_eq!(book.read_count, unique.len() as u64);
            prop_assert_eq!(book.duplicates, (sequences.len() - unique.len()) as u64);
            let listed: BTreeSet<u64> = book.read.iter().flat_map(|(start, end)| *start..*end).collect();
            prop_assert_eq!(listed, unique);
            let apart = book.read.iter().zip(book.read.iter().skip(1)).all(|(one, two)| one.1 < two.0);
            prop_assert!(apart, "ranges that touch are one range");
        }
    }
}
