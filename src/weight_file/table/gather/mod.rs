//! Many look-ups at once, at the speed at which memory hands over lines.
//!
//! A look-up on its own mispredicts a branch where a key is unseen or lies in its second line, and each costs more than the
//! rest of the work. So keys go through in two passes, neither of which branches on what it finds:
//!
//! 1. Eight keys at a time, each in its first line: the weight of the slot that has the tag, or 0. Meanwhile the lines of
//!    keys further on are prefetched.
//! 2. Of the keys that got 0, those whose overflow filter bit is set are looked up in their second lines, which have been
//!    prefetched while the next chunk went through the first pass.
//!
//! What differs between formats of lines and sets of instructions is a [`LineReader`]; the two passes are written once.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_small;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use super::line::{F32Line, Line, LineFormat};
use super::{Encoding, Table, first_line, second_line};
use crate::instructions::{Instructions, Set};
use crate::prefetch::prefetch;

// The vector paths of f32 lines are written with these.
const SLOT_COUNT: usize = F32Line::SLOT_COUNT;
const TAG_MASK: u32 = F32Line::TAG_MASK;
const WEIGHTS_OFFSET: usize = F32Line::WEIGHTS_OFFSET;

/// Keys that go through the first pass together.
const GROUP: usize = 8;
/// How many groups ahead lines are asked for. Memory answers in about 100 ns and a group takes 15: more than the core's miss
/// buffers hold gains nothing, fewer leave it waiting.
const GROUPS_AHEAD: usize = 8;
/// Groups whose lines and tags are kept: those ahead, the current one, and the one that is being located.
const RING: usize = 16;
/// Keys of which the second lines are looked up together, a chunk later.
const CHUNK: usize = 128;
/// How many keys ahead the plain loop asks for a line.
const PLAIN_KEYS_AHEAD: usize = 24;

const _: () = assert!(RING >= GROUPS_AHEAD + 2 && RING.is_power_of_two() && CHUNK.is_multiple_of(GROUP));

/// A format of lines as a set of instructions reads it.
///
/// Its `unsafe` methods ask for a processor that has the instructions. They are inlined into a function that enables these, so
/// `#[inline(always)]` stands at each, and none holds a closure, which would be a function without them.
trait LineReader {
    /// The bits of a key that are its tag; where they are 0, the tag is 1.
    const TAG_MASK: u32;

    /// Writes to `weights[i]` the weight that the line `located.lines[i]` has for `located.tags[i]`, or 0. Returns a mask
    /// of the weights that are +0.0, bit `i` for `weights[i]`.
    ///
    /// # Safety
    ///
    /// The processor has the instructions, and each of `located.lines` is an index into `lines`.
    unsafe fn weights_of_group(lines: &[Line], located: &Located, weights: &mut [f32; GROUP]) -> u8;

    /// The weight that `line` has for `tag`, or 0, and whether it has one: 1 or 0.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    unsafe fn find(line: &Line, tag: u32) -> (f32, usize);

    /// Whether the filter bit of `key` is set in its first line: a key with the same bit lies in its second line.
    fn overflows(line: &Line, key: u64) -> bool;
}

/// First lines and tags of a group of keys.
#[derive(Clone, Copy)]
struct Located {
    lines: [u32; GROUP],
    tags: [u32; GROUP],
}

impl Located {
    const NONE: Self = Self { lines: [0; GROUP], tags: [0; GROUP] };

    #[inline(always)]
    fn locate(&mut self, table: &Table<'_>, tag_mask: u32, keys: &[u64; GROUP]) {
        for (index, &key) in keys.iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 lines")]
            let line = first_line(table.line_count, key) as u32;
            self.lines[index] = line;
            self.tags[index] = masked_tag(tag_mask, key);
        }
    }

    #[inline(always)]
    fn prefetch(&self, lines: &[Line]) {
        for &line in &self.lines {
            prefetch(line_at(lines, line as usize));
        }
    }
}

impl Table<'_> {
    /// Writes the weight of `keys[i]`, or 0 if the table has none, to `weights[i]`, and returns how many keys have a weight.
    ///
    /// # Panics
    ///
    /// If `weights` is shorter than `keys`.
    pub fn gather(&self, instructions: Instructions, keys: &[u64], weights: &mut [f32]) -> usize {
        #[cfg(all(test, feature = "train"))]
        crate::work::note_look_ups(keys.len());
        let weights = &mut weights[..keys.len()];
        let found_count = match instructions.set() {
            Set::Plain => self.gather_plain(keys, weights),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `detect` makes this value, and only where the processor has these instructions.
            Set::Avx2 => unsafe { avx2::gather(self, keys, weights) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx512 => unsafe {
                match self.encoding() {
                    Encoding::F32 => avx512::gather(self, keys, weights),
                    Encoding::F16 | Encoding::I8 => avx2::gather(self, keys, weights),
                }
            },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Set::Neon if self.encoding() == Encoding::F32 => unsafe { neon::gather(self, keys, weights) },
            #[cfg(target_arch = "aarch64")]
            Set::Neon => self.gather_plain(keys, weights),
        };
        // One branch a batch instead of one a key for what hardly any file has.
        if self.exceptions.is_empty() { found_count } else { found_count + self.gather_exceptions(keys, weights) }
    }

    /// The twin that all others are held against: one key after the other.
    fn gather_plain(&self, keys: &[u64], weights: &mut [f32]) -> usize {
        for &key in &keys[..keys.len().min(PLAIN_KEYS_AHEAD)] {
            prefetch(line_at(self.lines, first_line(self.line_count, key)));
        }
        let mut found_count = 0;
        for (index, (&key, weight)) in keys.iter().zip(weights).enumerate() {
            if let Some(&later) = keys.get(index + PLAIN_KEYS_AHEAD) {
                prefetch(line_at(self.lines, first_line(self.line_count, later)));
            }
            let found = self.get_from_lines(key);
            *weight = found.unwrap_or(0.0);
            found_count += usize::from(found.is_some());
        }
        found_count
    }

    /// Corrects the weights of keys that the lines answer wrongly. Returns how many of them the lines did not have at all.
    fn gather_exceptions(&self, keys: &[u64], weights: &mut [f32]) -> usize {
        let mut found_count = 0;
        for (&key, weight) in keys.iter().zip(weights) {
            if let Some(exception) = self.exception(key) {
                *weight = exception;
                found_count += usize::from(self.get_from_lines(key).is_none());
            }
        }
        found_count
    }
}

/// The two passes.
///
/// # Safety
///
/// The processor has the instructions of `R`, and the caller enables them.
#[inline(always)]
unsafe fn gather_with<R: LineReader>(table: &Table<'_>, keys: &[u64], weights: &mut [f32]) -> usize {
    let lines = table.lines;
    let (groups, rest) = keys.as_chunks::<GROUP>();
    let rest_at = keys.len() - rest.len();
    for &key in rest {
        prefetch(line_at(lines, first_line(table.line_count, key)));
    }
    let mut ring = [Located::NONE; RING];
    for (index, group) in groups.iter().take(GROUPS_AHEAD + 1).enumerate() {
        ring[index].locate(table, R::TAG_MASK, group);
    }
    for located in &ring[..groups.len().min(GROUPS_AHEAD)] {
        located.prefetch(lines);
    }
    let mut found_count = 0;
    let mut zeros = Places::new();
    let mut seconds = Seconds::new();
    let mut at = 0;
    while at < groups.len() {
        let chunk_at = at * GROUP;
        let chunk_end = groups.len().min(at + CHUNK / GROUP);
        zeros.count = 0;
        while at < chunk_end {
            // What was located a turn ago is prefetched now: read back from memory, it need not be taken out of vectors.
            ring[(at + GROUPS_AHEAD) % RING].prefetch(lines);
            if let Some(group) = groups.get(at + GROUPS_AHEAD + 1) {
                ring[(at + GROUPS_AHEAD + 1) % RING].locate(table, R::TAG_MASK, group);
            }
            let group_at = at * GROUP;
            if let Some(weights) = weights[group_at..].first_chunk_mut() {
                // SAFETY: the caller promises the instructions; `locate` made the indices, for this table.
                let mask = unsafe { R::weights_of_group(lines, &ring[at % RING], weights) };
                zeros.push_all(mask, group_at - chunk_at);
            }
            at += 1;
        }
        found_count += at * GROUP - chunk_at - zeros.count;
        // SAFETY: the caller promises the instructions.
        unsafe {
            found_count += seconds.look_up::<R>(table, keys, weights);
            found_count += seconds.choose::<R>(table, keys, chunk_at, &zeros);
        }
        seconds.prefetch(table, keys);
    }
    // SAFETY: as above.
    found_count += unsafe { seconds.look_up::<R>(table, keys, weights) };
    for (&key, weight) in rest.iter().zip(&mut weights[rest_at..]) {
        let found = table.get_from_lines(key);
        *weight = found.unwrap_or(0.0);
        found_count += usize::from(found.is_some());
    }
    found_count
}

/// Places in a chunk, in ascending order.
struct Places {
    count: usize,
    /// A group is written at once, so there is room for one more.
    places: [u16; CHUNK + GROUP],
}

impl Places {
    const fn new() -> Self {
        Self { count: 0, places: [0; CHUNK + GROUP] }
    }

    /// Adds the places `from + i` for each bit `i` of `mask`, without a branch.
    #[inline(always)]
    fn push_all(&mut self, mask: u8, from: usize) {
        if let Some(places) = self.places[self.count..].first_chunk_mut::<GROUP>() {
            #[expect(clippy::cast_possible_truncation, reason = "a place in a chunk")]
            let from = from as u16;
            for (place, bit) in places.iter_mut().zip(SET_BITS[mask as usize]) {
                *place = from + u16::from(bit);
            }
        }
        self.count += mask.count_ones() as usize;
    }
}

/// For each mask the indices of the bits that are set, in ascending order, then zeros.
static SET_BITS: [[u8; 8]; 256] = {
    let mut all = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut count, mut bit) = (0, 0_u8);
        while bit < 8 {
            if mask >> bit & 1 == 1 {
                all[mask][count] = bit;
                count += 1;
            }
            bit += 1;
        }
        mask += 1;
    }
    all
};

/// Keys of a chunk whose second lines have to be looked up.
struct Seconds {
    /// Where the chunk begins among all keys.
    chunk_at: usize,
    count: usize,
    /// Where each stands in the chunk.
    places: [u16; CHUNK],
    /// Its first line, then its second.
    lines: [u32; CHUNK],
}

impl Seconds {
    const fn new() -> Self {
        Self { chunk_at: 0, count: 0, places: [0; CHUNK], lines: [0; CHUNK] }
    }

    /// Takes those of the keys that got 0 whose filter bit is set, and returns how many have the weight 0 in their first
    /// line.
    ///
    /// # Safety
    ///
    /// The processor has the instructions of `R`.
    #[inline(always)]
    unsafe fn choose<R: LineReader>(
        &mut self,
        table: &Table<'_>,
        keys: &[u64],
        chunk_at: usize,
        zeros: &Places,
    ) -> usize {
        let mut found_count = 0;
        let mut count = 0;
        for &place in &zeros.places[..zeros.count] {
            let key = keys[chunk_at + place as usize];
            let first = first_line(table.line_count, key);
            let line = &table.lines[first];
            // SAFETY: the caller promises the instructions.
            let (_, found) = unsafe { R::find(line, masked_tag(R::TAG_MASK, key)) };
            found_count += found;
            self.places[count] = place;
            #[expect(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 lines")]
            let first = first as u32;
            self.lines[count] = first;
            count += usize::from(R::overflows(line, key)) & (found ^ 1);
        }
        self.chunk_at = chunk_at;
        self.count = count;
        found_count
    }

    #[inline(always)]
    fn prefetch(&mut self, table: &Table<'_>, keys: &[u64]) {
        for (line, &place) in self.lines.iter_mut().zip(&self.places[..self.count]) {
            let second = second_line(table.geometry, *line as usize, keys[self.chunk_at + place as usize]);
            prefetch(line_at(table.lines, second));
            #[expect(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 lines")]
            let second = second as u32;
            *line = second;
        }
    }

    /// Looks them up, and returns how many have a weight.
    ///
    /// # Safety
    ///
    /// The processor has the instructions of `R`.
    #[inline(always)]
    unsafe fn look_up<R: LineReader>(&self, table: &Table<'_>, keys: &[u64], weights: &mut [f32]) -> usize {
        let mut found_count = 0;
        for (&line, &place) in self.lines.iter().zip(&self.places[..self.count]) {
            let place = self.chunk_at + place as usize;
            let tag = masked_tag(R::TAG_MASK, keys[place]);
            // SAFETY: the caller promises the instructions.
            let (weight, found) = unsafe { R::find(&table.lines[line as usize], tag) };
            weights[place] = weight;
            found_count += found;
        }
        found_count
    }
}

/// The tag of a key under a format's mask, without a branch.
#[inline(always)]
fn masked_tag(tag_mask: u32, key: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are the tag")]
    let low = key as u32;
    (low & tag_mask).max(1)
}

/// The weight of the slot of an f32 line whose bit `equal` has, or 0, and whether there is one; without a branch.
#[inline(always)]
fn weight_or_zero(line: &Line, equal: u8) -> (f32, usize) {
    // Without a slot the weight of some other is read, and masked.
    let weight = F32Line::weight(line, equal.trailing_zeros() as usize & (SLOT_COUNT - 1));
    (f32::from_bits(weight.to_bits() & u32::from(equal != 0).wrapping_neg()), usize::from(equal != 0))
}

/// Where a line is, for a prefetch: nothing checks that there is one.
#[inline(always)]
fn line_at(lines: &[Line], index: usize) -> *const Line {
    lines.as_ptr().wrapping_add(index)
}
