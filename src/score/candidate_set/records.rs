//! Records that one writer replaces while any number of threads read them. Readers take no lock.
//!
//! A record has a version and a content, and all records share one spare content. To replace a record, the writer puts
//! the new content into the spare one and makes the record's version odd, which directs readers to the spare content.
//! Then it replaces the record's own content and makes the version even again. So there is always one content that is
//! not being written. Between two replacements, a reader needs only the record's own memory: one cache line, if the
//! content is short. If a reader finds the version unchanged after reading, it has read one content throughout. It
//! reads again only if this very record was replaced in the meantime.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::error::Error;
use crate::memory;
use crate::prefetch::prefetch_far;

const CACHE_LINE_WORDS: usize = 8;

/// Allocates groups of words that are 0. The system provides the memory only as it is used.
pub(super) fn zeroed<const LEN: usize>(count: usize) -> Result<Box<[[AtomicU64; LEN]]>, Error> {
    // The allocator returns zeroed memory untouched; a loop over atomics would touch all of it.
    let words = Box::into_raw(memory::zeroed::<LEN>(count, "the candidates of a set, prepared for a model")?);
    // SAFETY: the box was just made, and an `AtomicU64` has the size, alignment and bit patterns of a `u64`.
    Ok(unsafe { Box::from_raw(words as *mut [[AtomicU64; LEN]]) })
}

/// A fixed number of records of a fixed length. All words are 0 until a record is first written. The system provides
/// the memory only as it is used.
#[derive(Debug)]
pub(in crate::score) struct Records {
    words: Box<[[AtomicU64; 1]]>,
    /// Index of the word at which the first record starts, at the start of a cache line.
    start: usize,
    count: usize,
    /// Distance between two records, in words.
    stride: usize,
    spare: Box<[AtomicU64]>,
}

/// Index of the version in a record. The content follows.
const VERSION_WORD: usize = 0;
const CONTENT_WORD: usize = 1;

impl Records {
    pub(super) fn new(count: usize, content_len: usize) -> Result<Self, Error> {
        let len = CONTENT_WORD + content_len;
        // Short records never cross the boundary of a cache line.
        let stride = if len <= CACHE_LINE_WORDS { len.next_power_of_two() } else { len };
        let words: Box<[[AtomicU64; 1]]> = zeroed(count * stride + CACHE_LINE_WORDS)?;
        // If the allocator cannot tell, 0 is as good as any other start.
        let start = words.as_ptr().align_offset(CACHE_LINE_WORDS * size_of::<AtomicU64>()).min(CACHE_LINE_WORDS);
        let spare = (0..content_len).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { words, start, count, stride, spare })
    }

    /// Replaces record `index`.
    ///
    /// Only one thread may call this at a time, and readers must not wait for it: [`CandidateSet`](super::CandidateSet)
    /// calls it under its lock. (A second concurrent caller would mix two contents, but would touch only the memory of
    /// the records.)
    pub(super) fn write(&self, index: usize, content: &[u64]) {
        assert!(index < self.count);
        let record = &self.words.as_flattened()[self.start + index * self.stride..][..self.stride];
        let own = &record[CONTENT_WORD..];
        let version = record[VERSION_WORD].load(Ordering::Relaxed);
        replace(&self.spare, content);
        record[VERSION_WORD].store(version + 1, Ordering::Release);
        replace(own, content);
        record[VERSION_WORD].store(version + 2, Ordering::Release);
    }

    /// Returns the records, version and content, if each is one cache line.
    #[inline(always)]
    pub(in crate::score) fn lines(&self) -> Option<&[[AtomicU64; CACHE_LINE_WORDS]]> {
        let words = self.words.as_flattened().get(self.start..)?.get(..self.count * self.stride)?;
        (self.stride == CACHE_LINE_WORDS).then_some(words.as_chunks().0)
    }

    /// Returns the result of `take` for the content of record `index`, or nothing if there is no such record. If the
    /// record is replaced in the meantime, `take` is called again, and only its last result counts.
    #[inline(always)]
    pub(in crate::score) fn read<T>(&self, index: usize, mut take: impl FnMut(&[AtomicU64]) -> T) -> Option<T> {
        if index >= self.count {
            return None;
        }
        let record = self.words.as_flattened().get(self.start + index * self.stride..)?.get(..self.stride)?;
        let [version_word, own @ ..] = record else { return None };
        loop {
            let version = version_word.load(Ordering::Acquire);
            let taken = take(if version & 1 == 0 { own } else { &self.spare });
            fence(Ordering::Acquire);
            if version_word.load(Ordering::Relaxed) == version {
                return Some(taken);
            }
        }
    }

    /// Prefetches record `index`, which need not exist.
    #[inline(always)]
    pub(in crate::score) fn prefetch(&self, index: usize) {
        let record = self.words.as_ptr().wrapping_add(self.start).wrapping_add(index.wrapping_mul(self.stride));
        prefetch_far(record);
        if self.stride > CACHE_LINE_WORDS {
            prefetch_far(record.wrapping_add(CACHE_LINE_WORDS));
        }
    }
}

/// Writes a content that readers may still be reading. A reader that sees one of the new words then finds that the
/// version that directed it here has changed.
fn replace(words: &[AtomicU64], content: &[u64]) {
    fence(Ordering::Release);
    for (word, &value) in words.iter().zip(content) {
        word.store(value, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_was_never_written_is_all_zeros_and_an_index_out_of_range_has_none() {
        let records = Records::new(3, 2).unwrap();
        let sum = |content: &[AtomicU64]| content.iter().map(|word| word.load(Ordering::Relaxed)).sum::<u64>();
        assert_eq!(records.read(2, sum), Some(0));
        assert_eq!(records.read(3, sum), None);
        assert_eq!(records.read(usize::MAX, sum), None);
    }

    /// All words of a content are equal in this test, so a mixture of two contents would show.
    #[test]
    fn readers_never_see_a_mixture_while_a_writer_replaces_records_without_pause() {
        let records = Records::new(2, 5).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let (mut reading_count, mut last) = (0_u64, 0);
                        while !done.load(Ordering::Relaxed) || reading_count < 1_000 {
                            let words = records.read(1, |content| {
                                std::array::from_fn::<_, 5, _>(|index| content[index].load(Ordering::Relaxed))
                            });
                            let words = words.unwrap();
                            assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
                            assert!(words[0] >= last, "went back from {last} to {}", words[0]);
                            last = words[0];
                            reading_count += 1;
                        }
                    })
                })
                .collect();
            let count = if cfg!(miri) { 500 } else { 1_000_000 };
            (1..=count).for_each(|value| records.write(1, &[value; 5]));
            done.store(true, Ordering::Relaxed);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
    }
}
