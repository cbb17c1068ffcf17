//! A ring: the memory through which one thread hands its records to the writer. Neither side ever waits for the other,
//! allocates or makes a system call.
//!
//! Positions count words, and only increase. The thread owns the words from its position on, up to what the writer has
//! read plus the length of the ring; it publishes them by its position. The writer owns what was published, and gives
//! it back by its own. A record is never split: where it does not fit before the end of the memory, the rest there is
//! skipped.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::served::{DROP_REASON_COUNT, DropReason};
use crate::error::Error;
use crate::memory::zeroed;

/// Keeps what two threads write on different lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Apart<T>(T);

/// The memory of a ring, and its counts.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) number: u32,
    words: Box<[UnsafeCell<u64>]>,
    /// Written by the thread that records.
    written: Apart<AtomicU64>,
    /// Written by the writer.
    read: Apart<AtomicU64>,
    pub(super) asked: Apart<Asked>,
    pub(super) done: Apart<Done>,
    /// Whether the thread's side is closed: nothing is recorded any more.
    is_closed: AtomicBool,
}

impl<T> std::ops::Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Counts that only the thread that records writes.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) next_sequence: AtomicU64,
    pub(super) sampled_out: AtomicU64,
    dropped: [AtomicU64; DROP_REASON_COUNT],
}

/// Counts that only the writer writes.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) written: AtomicU64,
    dropped: [AtomicU64; DROP_REASON_COUNT],
}

// SAFETY: the words are the only part that is not `Sync`. Each word has one owner at a time, by the two positions.
unsafe impl Sync for Ring {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Ring {}

/// The thread's side of a ring. There is one for each ring.
#[derive(Debug)]
pub(super) struct Producer {
    ring: Arc<Ring>,
    position: u64,
    /// What the writer had read when this was last looked at.
    seen_read: u64,
}

/// Why a record is not in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotPushed {
    /// The ring has no room for it now.
    Full,
    /// It is larger than half of the ring.
    TooLarge,
}

/// The first word of what is skipped: a record has another kind.
const SKIPPED: u64 = 0xff << 56;

/// The first word of a record: its number of words, and in the highest byte its kind.
pub(super) const fn head_of(kind: u8, len: usize) -> u64 {
    (kind as u64) << 56 | len as u64
}

/// The kind and the number of words of a record that begins with `head`.
pub(super) const fn parts_of(head: u64) -> (u8, usize) {
    ((head >> 56) as u8, (head & 0xff_ffff_ffff) as usize)
}

/// Adds without an atomic read-modify-write: each count has one writer.
#[inline]
fn add(count: &AtomicU64, number: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
}

impl Asked {
    /// Takes the next sequence number.
    #[inline]
    pub(super) fn take_sequence(&self) -> u64 {
        let sequence = self.next_sequence.load(Ordering::Relaxed);
        self.next_sequence.store(sequence + 1, Ordering::Relaxed);
        sequence
    }

    #[inline]
    pub(super) fn sampled_out(&self) {
        add(&self.sampled_out, 1);
    }

    #[cold]
    pub(super) fn dropped(&self, reason: DropReason) {
        add(&self.dropped[reason as usize], 1);
    }
}

impl Done {
    pub(super) fn written(&self, count: u64) {
        add(&self.written, count);
    }

    pub(super) fn dropped(&self, reason: DropReason, count: u64) {
        add(&self.dropped[reason as usize], count);
    }

    /// Turns records that were written into records that were lost.
    pub(super) fn lost(&self, reason: DropReason, count: u64) {
        add(&self.written, count.wrapping_neg());
        add(&self.dropped[reason as usize], count);
    }
}

impl Ring {
    /// Allocates a ring of at least `len_bytes`, and returns the thread's side of it.
    pub(super) fn create(number: u32, len_bytes: usize) -> Result<(Arc<Self>, Producer), Error> {
        let words = zeroed::<1>((len_bytes / size_of::<u64>()).next_power_of_two(), "the ring of a serving log")?;
        // SAFETY: an array of one word, and a cell of a word, have the layout of the word.
        let words = unsafe { Box::from_raw(Box::into_raw(words) as *mut [UnsafeCell<u64>]) };
        let ring = Arc::new(Self {
            number,
            words,
            written: Apart::default(),
            read: Apart::default(),
            asked: Apart::default(),
            done: Apart::default(),
            is_closed: AtomicBool::new(false),
        });
        let producer = Producer { ring: Arc::clone(&ring), position: 0, seen_read: 0 };
        Ok((ring, producer))
    }

    /// Whether the thread's side is closed. If so, all counts of the thread are final.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Whether the writer has read everything.
    pub(super) fn is_empty(&self) -> bool {
        self.read.load(Ordering::Relaxed) == self.written.load(Ordering::Acquire)
    }

    /// The position up to which there are records now.
    pub(super) fn end(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Returns the drops of a reason, on both sides.
    pub(super) fn dropped(&self, reason: DropReason) -> u64 {
        let sides = [&self.asked.dropped, &self.done.dropped];
        sides.iter().map(|side| side[reason as usize].load(Ordering::Relaxed)).sum()
    }

    /// Passes the next record before `end` to `body`, and then frees it, even if `body` panics. Returns `None` if there
    /// is none. Only the writer calls this.
    pub(super) fn take<T>(&self, end: u64, body: impl FnOnce(&[u64]) -> T) -> Option<T> {
        loop {
            let position = self.read.load(Ordering::Relaxed);
            if position == end {
                return None;
            }
            let at = self.index(position);
            // SAFETY: the writer owns the words from its position to `end`, which the thread has published.
            let head = unsafe { *self.words[at].get() };
            let (_, len) = parts_of(head);
            // A ring whose memory was damaged by the process must not be followed into nowhere.
            let room = (end - position).min((self.words.len() - at) as u64);
            let len = if len == 0 || len as u64 > room { room } else { len as u64 };
            let freed = Freed { ring: self, position: position + len };
            if head & SKIPPED == SKIPPED {
                continue;
            }
            let len = usize::try_from(len).unwrap_or(0);
            // SAFETY: as above; the range is inside the memory, and cells have the layout of what they hold. Nothing
            // writes these words until the position is stored.
            let record = unsafe { std::slice::from_raw_parts(self.words[at].get().cast_const(), len) };
            let result = body(record);
            drop(freed);
            return Some(result);
        }
    }

    #[inline]
    fn index(&self, position: u64) -> usize {
        // The number of words is a power of two, and fits.
        usize::try_from(position & (self.words.len() as u64 - 1)).unwrap_or(0)
    }
}

/// Gives words back to the thread when it is dropped.
struct Freed<'a> {
    ring: &'a Ring,
    position: u64,
}

impl Drop for Freed<'_> {
    fn drop(&mut self) {
        self.ring.read.store(self.position, Ordering::Release);
    }
}

impl Producer {
    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Lets `fill` write a record into free memory, and publishes it. `fill` returns the number of words that it used,
    /// or as an error, how many it needs at least; then it may be called again with more.
    #[inline]
    pub(super) fn push(&mut self, mut fill: impl FnMut(&mut [u64]) -> Result<usize, usize>) -> Result<(), NotPushed> {
        let capacity = self.ring.words.len();
        let max = capacity / 2;
        loop {
            let used = usize::try_from(self.position - self.seen_read).unwrap_or(capacity);
            let free = capacity - used;
            let at = self.ring.index(self.position);
            let before_end = free.min(capacity - at);
            let Err(needed) = self.fill(at, before_end.min(max), 0, &mut fill) else { return Ok(()) };
            let after_start = free - before_end;
            if needed > max {
                return Err(NotPushed::TooLarge);
            }
            let Err(needed) = self.fill(0, after_start.min(max), before_end, &mut fill) else { return Ok(()) };
            if needed > max {
                return Err(NotPushed::TooLarge);
            }
            let read = self.ring.read.load(Ordering::Acquire);
            if read == self.seen_read {
                return Err(NotPushed::Full);
            }
            self.seen_read = read;
        }
    }

    /// Fills up to `room` words at `at`, after `skipped` words that no record uses.
    #[inline]
    fn fill(
        &mut self,
        at: usize,
        room: usize,
        skipped: usize,
        fill: &mut impl FnMut(&mut [u64]) -> Result<usize, usize>,
    ) -> Result<(), usize> {
        if room == 0 {
            return Err(1);
        }
        // SAFETY: the thread owns the words from its position up to what the writer has read plus the capacity, and
        // these are among them: inside the memory, and at most as many as are free. There is one producer, and it is
        // borrowed mutably.
        let words = unsafe { std::slice::from_raw_parts_mut(self.ring.words[at].get(), room) };
        let len = fill(words)?;
        if !(1..=room).contains(&len) {
            return Err(len);
        }
        if skipped > 0 {
            let first = self.ring.index(self.position);
            // SAFETY: as above: the words that are skipped are free, too.
            unsafe { *self.ring.words[first].get() = SKIPPED | skipped as u64 };
        }
        self.position += (skipped + len) as u64;
        self.ring.written.store(self.position, Ordering::Release);
        Ok(())
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.ring.is_closed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a record of `len` words that each hold `value`.
    fn push(producer: &mut Producer, len: usize, value: u64) -> Result<(), NotPushed> {
        producer.push(|words| {
            let words = words.get_mut(..len).ok_or(len)?;
            words.fill(value);
            words[0] = head_of(1, len);
            Ok(len)
        })
    }

    fn take(ring: &Ring) -> Option<Vec<u64>> {
        ring.take(ring.end(), <[u64]>::to_vec)
    }

    #[test]
    fn records_come_out_as_they_went_in_around_the_end_many_times() {
        let (ring, mut producer) = Ring::create(0, 4096).unwrap();
        let mut expected = std::collections::VecDeque::new();
        let mut state = 1_u64;
        let mut full_count = 0;
        for value in 0..100_000 {
            state = crate::feature::feature_key(state, 17);
            let len = 1 + usize::try_from(state % 90).unwrap();
            match push(&mut producer, len, value) {
                Ok(()) => expected.push_back((len, value)),
                Err(problem) => {
                    assert_eq!(problem, NotPushed::Full);
                    full_count += 1;
                }
            }
            while state >> 32 & 1 == 1 && expected.len() > 2 {
                let (len, value) = expected.pop_front().unwrap();
                let record = take(&ring).unwrap();
                assert_eq!((record.len(), record[0]), (len, head_of(1, len)));
                assert!(record[1..].iter().all(|word| *word == value));
            }
        }
        assert!(full_count > 100, "{full_count}");
    }

    #[test]
    fn a_record_of_half_the_ring_always_fits_an_empty_one_and_a_larger_one_is_too_large() {
        let (ring, mut producer) = Ring::create(0, 4096).unwrap();
        for shift in 0..600 {
            push(&mut producer, 1, shift).unwrap();
            take(&ring).unwrap();
            push(&mut producer, 256, shift).unwrap();
            assert_eq!(take(&ring).unwrap().len(), 256);
            assert_eq!(push(&mut producer, 257, shift), Err(NotPushed::TooLarge));
        }
        assert!(ring.is_empty() && !ring.is_closed());
        drop(producer);
        assert!(ring.is_closed());
    }

    #[test]
    fn a_panic_over_a_record_frees_it() {
        let (ring, mut producer) = Ring::create(0, 4096).unwrap();
        push(&mut producer, 3, 1).unwrap();
        push(&mut producer, 4, 2).unwrap();
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ring.take(ring.end(), |_| panic!("a defect"))));
        assert!(panicked.is_err());
        assert_eq!(take(&ring).unwrap().len(), 4);
    }

    #[test]
    fn two_threads_lose_and_mix_nothing() {
        let (ring, mut producer) = Ring::create(0, 1 << 14).unwrap();
        const COUNT: u64 = 200_000;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for value in 0..COUNT {
                    let len = 2 + usize::try_from(value % 61).unwrap();
                    while push(&mut producer, len, value).is_err() {
                        std::hint::spin_loop();
                    }
                }
            });
            let mut next = 0;
            while next < COUNT {
                let Some(record) = take(&ring) else { continue };
                assert_eq!(record.len(), 2 + usize::try_from(next % 61).unwrap());
                assert!(record[1..].iter().all(|word| *word == next));
                next += 1;
            }
        });
        assert!(ring.is_closed() && ring.is_empty());
    }
}
