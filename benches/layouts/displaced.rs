//! Layout (b): hash and displace.
//!
//! Keys are hashed into groups of about five. Each group has one byte, its pilot, which moves all keys of the group
//! together. The builder searches for a pilot that gives every key of the group a line with room. A lookup reads the
//! pilot, then exactly one line. This is only what the comparison needs: no file, no exceptions, f32 only.

use super::support::look_ups::prefetch;

/// Mean number of keys in a group.
const GROUP_LEN: usize = 5;
/// Share of the slots that are filled.
const LOAD: f64 = 0.95;
const SLOT_COUNT: usize = 8;
/// Number of keys that are compared together.
const TOGETHER: usize = 8;
/// How far ahead pilots are prefetched, in groups of eight keys.
const PILOTS_AHEAD: usize = 16;
/// How far ahead lines are prefetched, in groups of eight keys.
const LINES_AHEAD: usize = 8;
const RING: usize = 16;

/// Eight tags, then eight weights. There is no filter, so a tag has all 32 bits. 0 marks an empty slot.
pub type Line = [u8; 64];

/// A built table.
pub struct Displaced {
    pub pilots: Vec<u8>,
    pub lines: Vec<Line>,
    /// Number of keys that no pilot could place.
    pub unplaced_count: usize,
}

/// Reads a table from borrowed memory.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub pilots: &'a [u8],
    pub lines: &'a [Line],
}

#[inline(always)]
fn group_of(group_count: u64, key: u64) -> usize {
    (((key >> 32) * group_count) >> 32) as usize
}

/// Uses all bits of the key. Otherwise keys that share some bits and the pilot would share both line and tag.
#[inline(always)]
fn line_of(line_count: u64, key: u64, pilot: u8) -> usize {
    let moved = (key ^ u64::from(pilot).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (((moved >> 32) * line_count) >> 32) as usize
}

#[inline(always)]
fn tag_of(key: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are the tag")]
    let tag = key as u32;
    tag.max(1)
}

/// Builds a table from weights in ascending order of key. Places large groups first, because they are the hardest.
pub fn build(weights: &[(u64, f32)]) -> Displaced {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of lines")]
    let line_count = (weights.len() as f64 / (SLOT_COUNT as f64 * LOAD)).ceil().max(2.0) as usize;
    let group_count = weights.len().div_ceil(GROUP_LEN);
    let mut starts = vec![0; group_count + 1];
    for weight in weights {
        starts[group_of(group_count as u64, weight.0) + 1] += 1;
    }
    for group in 0..group_count {
        starts[group + 1] += starts[group];
    }
    let mut built = Displaced { pilots: vec![0; group_count], lines: vec![[0; 64]; line_count], unplaced_count: 0 };
    let mut filled = vec![0_u8; line_count];
    let max = starts.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
    for len in (1..=max).rev() {
        for group in (0..group_count).filter(|&group| starts[group + 1] - starts[group] == len) {
            let members = &weights[starts[group]..starts[group + 1]];
            match (0..=u8::MAX).find(|&pilot| built.place(members, pilot, &mut filled)) {
                Some(pilot) => built.pilots[group] = pilot,
                None => built.unplaced_count += members.len(),
            }
        }
    }
    built
}

impl Displaced {
    /// Places all members of a group and returns true, or places none and returns false.
    fn place(&mut self, members: &[(u64, f32)], pilot: u8, filled: &mut [u8]) -> bool {
        let line_count = self.lines.len() as u64;
        for (index, &(key, weight)) in members.iter().enumerate() {
            let line = line_of(line_count, key, pilot);
            let slot = filled[line] as usize;
            let tag = tag_of(key).to_le_bytes();
            if slot == SLOT_COUNT || self.lines[line][..4 * slot].chunks(4).any(|other| other == tag) {
                for &(key, _) in &members[..index] {
                    let line = line_of(line_count, key, pilot);
                    filled[line] -= 1;
                    let slot = filled[line] as usize;
                    self.lines[line][4 * slot..][..4].fill(0);
                    self.lines[line][32 + 4 * slot..][..4].fill(0);
                }
                return false;
            }
            self.lines[line][4 * slot..][..4].copy_from_slice(&tag);
            self.lines[line][32 + 4 * slot..][..4].copy_from_slice(&weight.to_le_bytes());
            filled[line] += 1;
        }
        true
    }
}

impl Reader<'_> {
    /// Returns the line of 64 pilots and the line of weights that a lookup of `key` touches.
    pub fn touched(&self, key: u64) -> (usize, usize) {
        let group = group_of(self.pilots.len() as u64, key);
        (group / 64, line_of(self.lines.len() as u64, key, self.pilots[group]))
    }

    /// Looks up `keys`, writes their weights or 0, and returns how many were found. Uses AVX2 if the processor has it.
    pub fn gather(&self, keys: &[u64], weights: &mut [f32]) -> usize {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi2") {
            // SAFETY: the processor has AVX2 and BMI2, as just detected.
            return unsafe { self.gather_avx2(keys, weights) };
        }
        self.gather_plain(keys, weights)
    }

    fn gather_plain(&self, keys: &[u64], weights: &mut [f32]) -> usize {
        let mut found_count = 0;
        for (&key, weight) in keys.iter().zip(weights) {
            let line = &self.lines[self.touched(key).1];
            let tag = tag_of(key).to_le_bytes();
            let slot = line[..32].chunks(4).position(|other| other == tag);
            *weight = slot.map_or(0.0, |slot| {
                f32::from_le_bytes(line[32 + 4 * slot..].first_chunk().copied().unwrap_or_default())
            });
            found_count += usize::from(slot.is_some());
        }
        found_count
    }

    /// Runs three stages in turns, on eight keys each: prefetch pilots; read pilots and prefetch lines; compare tags.
    ///
    /// # Safety
    ///
    /// The processor has AVX2 and BMI2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    unsafe fn gather_avx2(&self, keys: &[u64], weights: &mut [f32]) -> usize {
        use std::arch::x86_64::{
            __m256i, _mm256_and_si256, _mm256_cmpeq_epi32, _mm256_loadu_si256, _mm256_or_si256,
            _mm256_permute2x128_si256, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256, _mm256_sub_epi32,
            _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
        };
        let (group_count, line_count) = (self.pilots.len() as u64, self.lines.len() as u64);
        let (eights, rest) = keys.as_chunks::<TOGETHER>();
        let rest_at = keys.len() - rest.len();
        let mut ring = [[0_u32; TOGETHER]; RING];
        let mut tags = [[0_u32; TOGETHER]; RING];
        let mut found = _mm256_setzero_si256();
        for turn in 0..eights.len() + PILOTS_AHEAD {
            if let Some(eight) = eights.get(turn) {
                for &key in eight {
                    prefetch(self.pilots.as_ptr().wrapping_add(group_of(group_count, key)));
                }
            }
            let ahead = (turn + LINES_AHEAD).wrapping_sub(PILOTS_AHEAD);
            if let Some(eight) = eights.get(ahead) {
                for (index, &key) in eight.iter().enumerate() {
                    // SAFETY: `group_of` returns less than the number of groups.
                    let pilot = unsafe { *self.pilots.get_unchecked(group_of(group_count, key)) };
                    let line = line_of(line_count, key, pilot);
                    prefetch(self.lines.as_ptr().wrapping_add(line));
                    #[expect(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 lines")]
                    let line = line as u32;
                    ring[ahead % RING][index] = line;
                    tags[ahead % RING][index] = tag_of(key);
                }
            }
            let at = turn.wrapping_sub(PILOTS_AHEAD);
            if at < eights.len() {
                let mut ones = [_mm256_setzero_si256(); TOGETHER];
                for (index, one) in ones.iter_mut().enumerate() {
                    // SAFETY: `line_of` returned the index of a line, and a line has 64 bytes.
                    unsafe {
                        let line: *const __m256i =
                            self.lines.get_unchecked(ring[at % RING][index] as usize).as_ptr().cast();
                        let tag = _mm256_set1_epi32(tags[at % RING][index].cast_signed());
                        let equal = _mm256_cmpeq_epi32(_mm256_loadu_si256(line), tag);
                        found = _mm256_sub_epi32(found, equal);
                        *one = _mm256_and_si256(equal, _mm256_loadu_si256(line.add(1)));
                    }
                }
                let [a, b, c, d, e, f, g, h] = ones;
                let pair =
                    |one, other| _mm256_or_si256(_mm256_unpacklo_epi32(one, other), _mm256_unpackhi_epi32(one, other));
                let four =
                    |one, other| _mm256_or_si256(_mm256_unpacklo_epi64(one, other), _mm256_unpackhi_epi64(one, other));
                let low = four(pair(a, b), pair(c, d));
                let high = four(pair(e, f), pair(g, h));
                let all = _mm256_or_si256(
                    _mm256_permute2x128_si256::<0x20>(low, high),
                    _mm256_permute2x128_si256::<0x31>(low, high),
                );
                if let Some(weights) = weights[at * TOGETHER..].first_chunk_mut::<TOGETHER>() {
                    // SAFETY: the target has 32 writable bytes.
                    unsafe { _mm256_storeu_si256(weights.as_mut_ptr().cast(), all) };
                }
            }
        }
        let mut counts = [0_u32; TOGETHER];
        // SAFETY: the target has 32 writable bytes.
        unsafe { _mm256_storeu_si256(counts.as_mut_ptr().cast(), found) };
        counts.iter().sum::<u32>() as usize + self.gather_plain(rest, &mut weights[rest_at..])
    }
}
