//! Records that one writer replaces while any number of threads read them, without a lock on the reading side.
//!
//! A record has a version and a content, and all records together have one spare content. The writer puts the new content into the spare
//! one and makes the record's version odd, which sends readers there; then it replaces the record's own content, and makes the version
//! even again. So there is always one content that nobody writes, and between two replacements a reader needs the record's own memory
//! alone: one line of the cache, if the content is short. A reader that finds the version unchanged behind its reading has read one
//! content throughout. It reads again only if the very same record was replaced meanwhile.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::prefetch::prefetch_far;

const CACHE_LINE_WORDS: usize = 8;

/// Groups of words that are 0, in memory that is taken from the system only as it is used.
pub(super) fn zeroed<const LEN: usize>(count: usize) -> Box<[[AtomicU64; LEN]]> {
    // Zeroed memory comes from the allocator untouched; a loop over atomics would touch all of it.
    let words = Box::into_raw(vec![[0_u64; LEN]; count].into_boxed_slice());
    // SAFETY: the box was just made, and an `AtomicU64` has the size, alignment and bit patterns of a `u64`.
    unsafe { Box::from_raw(words as *mut [[AtomicU64; LEN]]) }
}

/// A fixed number of records of a fixed length. All words are 0 until a record is first written; memory is taken as it is used.
#[derive(Debug)]
pub(in crate::score) struct Records {
    words: Box<[[AtomicU64; 1]]>,
    /// The word at which the first record starts, and a line of the cache.
    start: usize,
    count: usize,
    /// From one record to the next.
    stride: usize,
    spare: Box<[AtomicU64]>,
}

/// In a record: its version. The content follows.
const VERSION_WORD: usize = 0;
const CONTENT_WORD: usize = 1;

impl Records {
    pub(super) fn new(count: usize, content_len: usize) -> Self {
        let len = CONTENT_WORD + content_len;
        // Short records never lie across two lines of the cache.
        let stride = if len <= CACHE_LINE_WORDS { len.next_power_of_two() } else { len };
        let words: Box<[[AtomicU64; 1]]> = zeroed(count * stride + CACHE_LINE_WORDS);
        // Where the allocator cannot tell, 0 is as right as any other start.
        let start = words.as_ptr().align_offset(CACHE_LINE_WORDS * size_of::<AtomicU64>()).min(CACHE_LINE_WORDS);
        let spare = (0..content_len).map(|_| AtomicU64::new(0)).collect();
        Self { words, start, count, stride, spare }
    }

    /// Replaces record `index`.
    ///
    /// One caller at a time, which must not be waited for by a reader: [`CandidateSet`](super::CandidateSet) calls it under its lock.
    /// (A second caller meanwhile would mix two contents, but touch no memory that is not the records'.)
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

    /// The records, version and content, where each is one line of the cache.
    #[inline(always)]
    pub(in crate::score) fn lines(&self) -> Option<&[[AtomicU64; CACHE_LINE_WORDS]]> {
        let words = self.words.as_flattened().get(self.start..)?.get(..self.count * self.stride)?;
        (self.stride == CACHE_LINE_WORDS).then_some(words.as_chunks().0)
    }

    /// What `take` makes of the content of record `index`; nothing if there is no such record. `take` is called again if the
    /// record was replaced meanwhile, and only its last answer counts.
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

    /// Asks memory for record `index`, which need not be there.
    #[inline(always)]
    pub(in crate::score) fn prefetch(&self, index: usize) {
        let record = self.words.as_ptr().wrapping_add(self.start).wrapping_add(index.wrapping_mul(self.stride));
        prefetch_far(record);
        if self.stride > CACHE_LINE_WORDS {
            prefetch_far(record.wrapping_add(CACHE_LINE_WORDS));
        }
    }
}

/// Writes a content that readers may still be reading: whoever sees one of its words then finds that the version which sent it there has
/// changed.
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
    fn a_record_that_was_never_written_is_all_zeros_and_one_outside_is_nothing() {
        let records = Records::new(3, 2);
        let sum = |content: &[AtomicU64]| content.iter().map(|word| word.load(Ordering::Relaxed)).sum::<u64>();
        assert_eq!(records.read(2, sum), Some(0));
        assert_eq!(records.read(3, sum), None);
        assert_eq!(records.read(usize::MAX, sum), None);
    }

    /// All words of a content are equal here, so a mixture of two contents would show.
    #[test]
    fn readers_never_see_a_mixture_while_a_writer_replaces_without_pause() {
        let records = Records::new(2, 5);
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
