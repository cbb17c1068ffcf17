//! Looks up many keys together, at the speed at which memory delivers lines.
//!
//! A single look-up mispredicts a branch if its key is unseen or is in its second line, and each misprediction costs
//! more than the rest of the work. Therefore keys go through two passes, neither of which branches on what it finds:
//!
//! 1. Eight keys at a time are looked up in their first lines. The result is the weight of the slot that has the tag,
//!    or 0 and the information that there is none. Meanwhile, the lines of later keys are prefetched.
//! 2. Keys without a weight whose overflow filter bit is set are looked up in their second lines, again eight at a
//!    time. These lines were prefetched while the next chunk went through the first pass.
//!
//! A few keys, such as those of a context, are looked up one after the other instead: see [`gather_few`].
//!
//! A [`LineReader`] contains what differs between formats of lines and sets of instructions; the two passes are written
//! once. The readers for AVX2 and AVX-512 are tested and measured on processors that have them. Those for NEON are
//! tested under an emulator only (`.ci/aarch64`), which shows that they are correct but not how fast they are.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_small;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_small;

use std::hint::select_unpredictable;
use std::mem::MaybeUninit;

use super::line::{F32Line, Line, LineFormat};
use super::{LINE_LEN, Table, first_line, low_word, second_line};
use crate::instructions::{Instructions, Set};
use crate::prefetch::prefetch_far;

// Used by the vector paths of f32 lines.
const SLOT_COUNT: usize = F32Line::SLOT_COUNT;
const TAG_MASK: u32 = F32Line::TAG_MASK;
const WEIGHTS_OFFSET: usize = F32Line::WEIGHTS_OFFSET;

/// Number of keys that go through the first pass together.
const GROUP: usize = 8;
/// Number of groups by which prefetching runs ahead. A group takes 12 to 20 ns, and memory that others use too takes
/// some 150 ns. Of 5 to 30 groups, 14 to 20 were the best, the more so the busier the machine.
const GROUPS_AHEAD: usize = 20;
/// Number of groups whose lines and tags are kept: those ahead, the current one, and the one that is being located.
const RING: usize = 32;
/// Number of keys whose second lines are looked up together, one chunk later.
const CHUNK: usize = 256;
/// Largest number of keys that are looked up without the two passes, which are faster for more keys.
const FEW: usize = 24;
/// Number of keys by which prefetching runs ahead in the plain loop.
const PLAIN_KEYS_AHEAD: usize = 24;

const _: () = assert!(RING >= GROUPS_AHEAD + 2 && RING.is_power_of_two() && CHUNK.is_multiple_of(GROUP));

/// Reads a format of lines with a set of instructions.
///
/// Its `unsafe` methods require a processor that has the instructions. They are inlined into a function that enables
/// the instructions. Therefore each has `#[inline(always)]`, and none contains a closure, which would be a function
/// without them.
trait LineReader {
    type Format: LineFormat;

    /// Writes to `weights[i]` the weight that line `i` of `located` has for tag `i`, or 0, or NaN if `MARKED`. Returns
    /// a mask of the keys that have a weight, bit `i` for `weights[i]`, because a weight itself may be 0.
    ///
    /// # Safety
    ///
    /// The processor has the instructions, and the lines were located in the table of `lines`.
    unsafe fn weights_of_group<const MARKED: bool>(lines: &[Line], located: &Located, weights: &mut [f32; GROUP])
    -> u8;

    /// Returns a mask with the bit of the slot of `line` that has `tag`, the lowest bit for the first slot. At most one
    /// bit is set.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn slots_with(line: &Line, tag: u32) -> u32 {
        Self::Format::find_tag(line, tag).map_or(0, |slot| 1 << slot)
    }

    /// Returns the indices of the bits that are set in `mask`, one per byte, in ascending order from the lowest byte,
    /// followed by zeros.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn set_bits(mask: u8) -> u64 {
        SET_BITS[mask as usize]
    }
}

/// The pattern with which a register of weights is combined (exclusive or) before the weights of other slots are masked
/// out. No weight is NaN, so a lane with a weight is not 0 afterward, even if the weight is 0. A lane that is 0 has no
/// weight.
const NO_WEIGHT: u32 = f32::NAN.to_bits();

/// Returns the value that a key without a weight has in the answer.
#[inline(always)]
const fn no_weight<const MARKED: bool>() -> f32 {
    if MARKED { f32::from_bits(NO_WEIGHT) } else { 0.0 }
}

/// Writes NaN for each key that `found`, a mask, does not have. For readers whose weights are 0 there.
#[inline(always)]
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(dead_code, reason = "only vectors use it")
)]
fn mark(found: u8, weights: &mut [f32; GROUP]) {
    let mut index = 0;
    while index < GROUP {
        weights[index] = if found >> index & 1 == 1 { weights[index] } else { no_weight::<true>() };
        index += 1;
    }
}

/// The lines and tags of a group of keys.
#[derive(Clone, Copy)]
struct Located {
    /// Offset of each key's line from the start of the first line, in bytes.
    offsets: [usize; GROUP],
    tags: [u32; GROUP],
}

impl Located {
    const NONE: Self = Self { offsets: [0; GROUP], tags: [0; GROUP] };

    /// Memory for located groups. It is not cleared: in calls with a few keys, clearing would take longer than looking
    /// up the keys.
    #[inline(always)]
    const fn memory<const COUNT: usize>() -> [MaybeUninit<Self>; COUNT] {
        [const { MaybeUninit::uninit() }; COUNT]
    }

    /// Locates the first lines of `keys`.
    #[inline(always)]
    fn first_lines(table: &Table<'_>, tag_mask: u32, keys: [u64; GROUP]) -> Self {
        let mut located = Self::NONE;
        for (index, key) in keys.into_iter().enumerate() {
            located.offsets[index] = first_line(table.shape.line_count, key) * LINE_LEN;
            located.tags[index] = masked_tag(tag_mask, key);
        }
        located
    }

    /// Locates the second lines of `keys`.
    #[inline(always)]
    fn second_lines(table: &Table<'_>, tag_mask: u32, keys: [u64; GROUP]) -> Self {
        let mut located = Self::NONE;
        for (index, key) in keys.into_iter().enumerate() {
            let first = first_line(table.shape.line_count, key);
            located.offsets[index] = second_line(table.shape.geometry, first, key) * LINE_LEN;
            located.tags[index] = masked_tag(tag_mask, key);
        }
        located
    }

    #[inline(always)]
    fn prefetch(&self, lines: &[Line]) {
        for offset in self.offsets {
            prefetch_far(lines.as_ptr().wrapping_byte_add(offset));
        }
    }

    /// Returns the line of a key.
    ///
    /// # Safety
    ///
    /// The lines were located in the table of `lines`.
    #[inline(always)]
    unsafe fn line<'a>(&self, lines: &'a [Line], index: usize) -> &'a Line {
        // SAFETY: the offset is a multiple of the length of a line, and below the length of the table.
        unsafe { &*lines.as_ptr().byte_add(self.offsets[index]) }
    }
}

impl Table<'_> {
    /// Writes the weight of `keys[i]`, or 0 if the table has none, to `weights[i]`. Returns how many keys have a
    /// weight.
    ///
    /// # Panics
    ///
    /// If `weights` is shorter than `keys`.
    pub fn gather(&self, instructions: Instructions, keys: &[u64], weights: &mut [f32]) -> usize {
        self.gather_as::<false>(instructions, keys, weights)
    }

    /// Looks keys up like [`Table::gather`], but writes NaN, which no weight is, for a key without a weight.
    ///
    /// # Panics
    ///
    /// If `weights` is shorter than `keys`.
    pub fn gather_marked(&self, instructions: Instructions, keys: &[u64], weights: &mut [f32]) -> usize {
        self.gather_as::<true>(instructions, keys, weights)
    }

    #[inline(always)]
    fn gather_as<const MARKED: bool>(&self, instructions: Instructions, keys: &[u64], weights: &mut [f32]) -> usize {
        #[cfg(test)]
        crate::work_counter::note_look_ups(keys.len());
        let weights = &mut weights[..keys.len()];
        let found_count = match instructions.set() {
            Set::Plain => self.gather_plain::<MARKED>(keys, weights),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `detect` makes this value, and only if the processor has these instructions.
            Set::Avx2 => unsafe { avx2::gather::<MARKED>(self, keys, weights) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx512 => unsafe { avx512::gather::<MARKED>(self, keys, weights) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Set::Neon => unsafe { neon::gather::<MARKED>(self, keys, weights) },
        };
        // One branch per batch instead of one per key, for a case that hardly any file has.
        if self.exceptions.is_empty() { found_count } else { found_count + self.gather_exceptions(keys, weights) }
    }

    /// Asks memory for both lines of each key. For a few keys that are looked up after other work: [`Table::gather`]
    /// asks for second lines only when it knows which ones it needs, and with few keys it has no other work while it
    /// waits.
    #[inline(always)]
    pub(crate) fn prefetch(&self, keys: &[u64]) {
        let (groups, rest) = keys.as_chunks::<GROUP>();
        for &group in groups {
            Located::first_lines(self, 0, group).prefetch(self.lines);
            Located::second_lines(self, 0, group).prefetch(self.lines);
        }
        for &key in rest {
            let first = first_line(self.shape.line_count, key);
            prefetch_far(line_at(self.lines, first));
            prefetch_far(line_at(self.lines, second_line(self.shape.geometry, first, key)));
        }
    }

    /// Looks up one key after the other. This is the plain twin against which all other paths are checked.
    fn gather_plain<const MARKED: bool>(&self, keys: &[u64], weights: &mut [f32]) -> usize {
        for &key in &keys[..keys.len().min(PLAIN_KEYS_AHEAD)] {
            prefetch_far(line_at(self.lines, first_line(self.shape.line_count, key)));
        }
        let mut found_count = 0;
        for (index, (&key, weight)) in keys.iter().zip(weights).enumerate() {
            if let Some(&later) = keys.get(index + PLAIN_KEYS_AHEAD) {
                prefetch_far(line_at(self.lines, first_line(self.shape.line_count, later)));
            }
            let found = self.get_from_lines(key);
            *weight = found.unwrap_or(no_weight::<MARKED>());
            found_count += usize::from(found.is_some());
        }
        found_count
    }

    /// Corrects the weights of keys that are exceptions. Returns how many of them the lines did not have.
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

/// Looks up `keys` in two passes.
///
/// # Safety
///
/// The processor has the instructions of `R`, and the caller enables them.
#[inline(always)]
unsafe fn gather_with<R: LineReader, const MARKED: bool>(
    table: &Table<'_>,
    keys: &[u64],
    weights: &mut [f32],
) -> usize {
    if keys.len() <= FEW {
        // SAFETY: the caller promises the instructions.
        return unsafe { gather_few::<R, MARKED>(table, keys, weights) };
    }
    let lines = table.lines;
    let group_count = keys.len().div_ceil(GROUP);
    let mut ring = Located::memory::<RING>();
    for (at, located) in ring[..group_count.min(GROUPS_AHEAD + 1)].iter_mut().enumerate() {
        let located = located.write(Located::first_lines(table, R::Format::TAG_MASK, group_at(keys, at)));
        if at < GROUPS_AHEAD {
            located.prefetch(lines);
        }
    }
    let mut found_count = keys.len();
    let mut missing = Places::new();
    let mut seconds = Seconds::new();
    let mut at = 0;
    while at < group_count {
        let chunk_at = at * GROUP;
        let chunk_end = group_count.min(at + CHUNK / GROUP);
        missing.count = 0;
        while at < chunk_end {
            if at + GROUPS_AHEAD < group_count {
                // The group that was located in the previous iteration is prefetched now: its offsets are read back
                // from memory, so they need not be extracted from vectors.
                // SAFETY: each group below the count was located in the previous iteration or earlier.
                unsafe { ring[(at + GROUPS_AHEAD) % RING].assume_init_ref() }.prefetch(lines);
            }
            if at + GROUPS_AHEAD + 1 < group_count {
                let group = group_at(keys, at + GROUPS_AHEAD + 1);
                ring[(at + GROUPS_AHEAD + 1) % RING].write(Located::first_lines(table, R::Format::TAG_MASK, group));
            }
            let start = start_of_group(keys.len(), at);
            if let Some(weights) = weights[start..].first_chunk_mut() {
                // SAFETY: the caller promises the instructions; this group was located above, in this table.
                let found = unsafe { R::weights_of_group::<MARKED>(lines, ring[at % RING].assume_init_ref(), weights) };
                let missed = !found >> (at * GROUP - start);
                // SAFETY: as above.
                missing.push_all(missed, unsafe { R::set_bits(missed) }, at * GROUP - chunk_at);
            }
            at += 1;
        }
        found_count -= missing.count;
        // SAFETY: the caller promises the instructions.
        found_count += unsafe { seconds.look_up::<R, MARKED>(lines, weights) };
        seconds.choose::<R>(table, keys, chunk_at, &missing);
    }
    // SAFETY: as above.
    found_count + unsafe { seconds.look_up::<R, MARKED>(lines, weights) }
}

/// Looks up a few keys, such as those of a context, one after the other. They are finished before the two passes, whose
/// groups go through memory between steps, would pay off.
///
/// # Safety
///
/// The processor has the instructions of `R`, and the caller enables them.
#[inline(always)]
unsafe fn gather_few<R: LineReader, const MARKED: bool>(table: &Table<'_>, keys: &[u64], weights: &mut [f32]) -> usize {
    for &key in keys {
        prefetch_far(line_at(table.lines, first_line(table.shape.line_count, key)));
    }
    let mut found_count = 0;
    for (&key, weight) in keys.iter().zip(weights) {
        let tag = masked_tag(R::Format::TAG_MASK, key);
        let first = first_line(table.shape.line_count, key);
        let mut line = &table.lines[first];
        // SAFETY: the caller promises the instructions.
        let mut slots = unsafe { R::slots_with(line, tag) };
        if slots == 0 && R::Format::overflows(line, low_word(key)) {
            line = &table.lines[second_line(table.shape.geometry, first, key)];
            // SAFETY: as above.
            slots = unsafe { R::slots_with(line, tag) };
        }
        // Without a matching slot, the weight of some other slot is read and then discarded.
        let slot = slots.trailing_zeros() as usize % R::Format::SLOT_COUNT;
        *weight = select_unpredictable(slots != 0, R::Format::weight(line, slot), no_weight::<MARKED>());
        found_count += usize::from(slots != 0);
    }
    found_count
}

/// Returns where a group starts among `key_count` keys, which must be at least one group. If the last keys are fewer
/// than a group, the last group starts earlier: some keys are looked up twice, with the same result.
#[inline(always)]
fn start_of_group(key_count: usize, index: usize) -> usize {
    (index * GROUP).min(key_count - GROUP)
}

#[inline(always)]
fn group_at(keys: &[u64], index: usize) -> [u64; GROUP] {
    *keys[start_of_group(keys.len(), index)..].first_chunk().unwrap_or(&[0; GROUP])
}

/// Places in a chunk, in ascending order.
struct Places {
    count: usize,
    /// A whole group is written together, so there is room for one more.
    places: [u8; CHUNK + GROUP],
}

const _: () = assert!(CHUNK <= 1 << u8::BITS);

impl Places {
    #[inline(always)]
    const fn new() -> Self {
        Self { count: 0, places: [0; CHUNK + GROUP] }
    }

    /// Adds the place `from + i` for each bit `i` that is set in `mask`. `set_bits` lists those bits. Without a branch.
    #[inline(always)]
    fn push_all(&mut self, mask: u8, set_bits: u64, from: usize) {
        // The count never exceeds it, but the compiler cannot know that.
        let count = self.count.min(CHUNK);
        // Eight places are added in one word: none of them carries into the next.
        let places = set_bits + from as u64 * 0x0101_0101_0101_0101;
        self.places[count..count + GROUP].copy_from_slice(&places.to_le_bytes());
        self.count = count + mask.count_ones() as usize;
    }

    #[inline(always)]
    fn all(&self) -> &[u8] {
        &self.places[..self.count]
    }
}

/// For each mask, the indices of the bits that are set, one per byte, in ascending order from the lowest byte, followed
/// by zeros.
static SET_BITS: [u64; 256] = {
    let mut all = [0; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut count, mut bit) = (0, 0);
        while bit < 8 {
            if mask >> bit & 1 == 1 {
                all[mask] |= bit << (8 * count);
                count += 1;
            }
            bit += 1;
        }
        mask += 1;
    }
    all
};

/// The keys of a chunk whose second lines must be looked up, in groups.
struct Seconds {
    count: usize,
    /// Index of the chunk's first key among all keys.
    chunk_at: usize,
    /// Place of each key in the chunk. The last group is padded with its last key, which gets its weight again.
    places: [u8; CHUNK + GROUP],
    located: [MaybeUninit<Located>; CHUNK / GROUP],
}

impl Seconds {
    #[inline(always)]
    const fn new() -> Self {
        Self { count: 0, chunk_at: 0, places: [0; CHUNK + GROUP], located: Located::memory() }
    }

    /// Selects the keys without a weight whose filter bit is set, and prefetches their second lines.
    #[inline(always)]
    fn choose<R: LineReader>(&mut self, table: &Table<'_>, keys: &[u64], chunk_at: usize, missing: &Places) {
        let keys = &keys[chunk_at..];
        let mut chosen = [const { MaybeUninit::<u64>::uninit() }; CHUNK + GROUP];
        let mut count = 0;
        for &place in missing.all() {
            // SAFETY: each place is that of a key that went through the first pass in this chunk; at most as many keys
            // are chosen as the chunk has; and the first line of any key is below the number of lines. Checks would
            // take a third of this loop.
            unsafe {
                let key = *keys.get_unchecked(place as usize);
                *self.places.get_unchecked_mut(count) = place;
                chosen.get_unchecked_mut(count).write(key);
                let line = table.lines.get_unchecked(first_line(table.shape.line_count, key));
                count += usize::from(R::Format::overflows(line, low_word(key)));
            }
        }
        self.count = count;
        self.chunk_at = chunk_at;
        if count == 0 {
            return;
        }
        let last = self.places[count - 1];
        self.places[count..count + GROUP].fill(last);
        chosen[count..count + GROUP].fill(MaybeUninit::new(keys[last as usize]));
        let (groups, _) = chosen.as_chunks::<GROUP>();
        let group_count = count.div_ceil(GROUP);
        for (located, group) in self.located.iter_mut().zip(&groups[..group_count]) {
            // SAFETY: `count` keys were written above, and one group more.
            let group = group.map(|key| unsafe { key.assume_init() });
            located.write(Located::second_lines(table, R::Format::TAG_MASK, group));
        }
        // A separate loop: the offsets are read back from memory, so they need not be extracted from vectors.
        for located in &self.located[..group_count] {
            // SAFETY: written above.
            unsafe { located.assume_init_ref() }.prefetch(table.lines);
        }
    }

    /// Looks the selected keys up and returns how many have a weight.
    ///
    /// # Safety
    ///
    /// The processor has the instructions of `R`, and `lines` are those of the table that they were chosen for.
    #[inline(always)]
    unsafe fn look_up<R: LineReader, const MARKED: bool>(&self, lines: &[Line], weights: &mut [f32]) -> usize {
        let weights = &mut weights[self.chunk_at..];
        let (groups, _) = self.places.as_chunks::<GROUP>();
        let mut found_count = 0;
        let mut rest_count = self.count;
        for (located, places) in self.located.iter().zip(groups) {
            if rest_count == 0 {
                break;
            }
            let mut all = [0.0; GROUP];
            // SAFETY: the caller promises the instructions; one group was located for each group of keys, in this
            // table.
            let found = unsafe { R::weights_of_group::<MARKED>(lines, located.assume_init_ref(), &mut all) };
            for (&place, weight) in places.iter().zip(all) {
                weights[place as usize] = weight;
            }
            let asked_count = rest_count.min(GROUP);
            found_count += (found & u8::MAX >> (GROUP - asked_count)).count_ones() as usize;
            rest_count -= asked_count;
        }
        found_count
    }
}

/// Returns the tag of a key under a format's mask, without a branch.
#[inline(always)]
fn masked_tag(tag_mask: u32, key: u64) -> u32 {
    (low_word(key) & tag_mask).max(1)
}

/// Returns the address of a line, for a prefetch. The index is not checked.
#[inline(always)]
fn line_at(lines: &[Line], index: usize) -> *const Line {
    lines.as_ptr().wrapping_add(index)
}
