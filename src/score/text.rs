//! Turns a text whose bytes are in a request into its value: checks and hashes it in one pass.
//!
//! Nearly every category is ASCII and at most 128 bytes long. Such a text is read as words, which overlap if its length
//! is not a multiple of theirs. Each word is read once: the bytes that were found to be ASCII are the bytes that are
//! hashed, even if another thread writes the block in the meantime. The hash is that of [`text_value`]: XXH3-64 with
//! seed 0. It is implemented here a second time because it is only a few products; checking the bytes and then reading
//! them again to hash them would take several times as long.

use std::marker::PhantomData;

use crate::error::RowProblem;
use crate::feature::text_value;

/// The first words of XXH3's default secret.
const SECRET: [u64; 16] = [
    0xbe4b_a423_396c_feb8,
    0x1cad_21f7_2c81_017c,
    0xdb97_9083_e96d_d4de,
    0x1f67_b3b7_a4a4_4072,
    0x78e5_c0cc_4ee6_79cb,
    0x2172_ffcc_7dd0_5a82,
    0x8e24_43f7_7446_08b8,
    0x4c26_3a81_e690_35e0,
    0xcb00_c391_bb52_283c,
    0xa32e_531b_8b65_d088,
    0x4ef9_0da2_9748_6471,
    0xd8ac_dea9_46ef_1938,
    0x3f34_9ce3_3f76_faa8,
    0x1d4f_0bc7_c7bb_dcf9,
    0x3159_b4cd_4be0_518a,
    0x6473_78d9_c97e_9fc8,
];

/// Primes of XXH64.
const PRIME_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME_3: u64 = 0x1656_67b1_9e37_79f9;
/// Factors of XXH3. The first looks like the third prime, but is a different number.
const FACTOR_OF_LONGER: u64 = 0x1656_6791_9e37_79f9;
const FACTOR_OF_4_TO_8: u64 = 0x9fb2_1c65_1e98_df25;

/// The bits that no ASCII byte has.
const BEYOND_ASCII: u64 = 0x8080_8080_8080_8080;

/// The bytes of a text that another thread may write while they are read.
#[derive(Clone, Copy)]
pub(super) struct SharedText<'a> {
    start: *const u8,
    len: usize,
    lifetime: PhantomData<&'a [u8]>,
}

/// A word that may begin at any byte.
#[repr(C, packed)]
struct Unaligned<T>(T);

impl SharedText<'_> {
    /// # Safety
    ///
    /// `len` bytes from `start` on can be read for the lifetime of the text.
    #[inline(always)]
    pub(super) const unsafe fn new(start: *const u8, len: usize) -> Self {
        Self { start, len, lifetime: PhantomData }
    }

    /// Returns the length in bytes.
    pub(super) const fn len(self) -> usize {
        self.len
    }

    /// Copies the bytes to the front of `to`, which has room for them, and zeros after them. Each byte is read once.
    pub(super) fn copy_to(self, to: &mut [u64]) {
        for (index, to) in to.iter_mut().enumerate() {
            let start = index * size_of::<u64>();
            *to = match self.len.saturating_sub(start) {
                8.. => self.word(start).to_le(),
                rest => {
                    let bytes = (0..rest).map(|byte| self.byte(start + byte) << (8 * byte));
                    bytes.fold(0, |word, byte| word | byte).to_le()
                }
            };
        }
    }

    /// Returns the value of the text, which must be UTF-8.
    #[inline(always)]
    pub(super) fn value(self) -> Result<u64, RowProblem> {
        self.value_of_short_ascii().map_or_else(|| self.value_of_any(), Ok)
    }

    /// Returns the value of the text if it is ASCII and 1 to 128 bytes long, as nearly all texts are.
    #[inline(always)]
    pub(super) fn value_of_short_ascii(self) -> Option<u64> {
        let (value, seen) = match self.len {
            9..=16 => self.hash_9_to_16(),
            4..=8 => self.hash_4_to_8(),
            17..=128 => self.hash_17_to_128(),
            1..=3 => self.hash_1_to_3(),
            _ => return None,
        };
        if seen & BEYOND_ASCII != 0 {
            return None;
        }
        #[cfg(test)]
        crate::work_counter::note_hashed_text();
        Some(value)
    }

    /// Returns the value of any text, which is read twice and must be UTF-8.
    #[inline(never)]
    pub(super) fn value_of_any(self) -> Result<u64, RowProblem> {
        // SAFETY: the caller of `new` promised that the bytes can be read.
        let text = unsafe { std::slice::from_raw_parts(self.start, self.len) };
        if !text.is_ascii() && std::str::from_utf8(text).is_err() {
            return Err(RowProblem::NotUtf8);
        }
        Ok(text_value(text))
    }

    /// Returns the hash of a text of 1 to 3 bytes, and the bits that show whether it is ASCII. There is one such
    /// function for each range of lengths.
    #[inline(always)]
    fn hash_1_to_3(self) -> (u64, u64) {
        let [first, middle, last] = [0, self.len / 2, self.len - 1].map(|at| self.byte(at));
        let combined = first << 16 | middle << 24 | last | (self.len as u64) << 8;
        let mut hash = combined ^ (SECRET[0] ^ SECRET[0] >> 32) & 0xffff_ffff;
        hash = (hash ^ hash >> 33).wrapping_mul(PRIME_2);
        hash = (hash ^ hash >> 29).wrapping_mul(PRIME_3);
        (hash ^ hash >> 32, first | middle | last)
    }

    #[inline(always)]
    fn hash_4_to_8(self) -> (u64, u64) {
        let [first, last] = [0, self.len - 4].map(|at| self.half_word(at));
        let mut hash = (first << 32 | last) ^ (SECRET[1] ^ SECRET[2]);
        hash = (hash ^ hash.rotate_left(49) ^ hash.rotate_left(24)).wrapping_mul(FACTOR_OF_4_TO_8);
        hash = (hash ^ (hash >> 35).wrapping_add(self.len as u64)).wrapping_mul(FACTOR_OF_4_TO_8);
        (hash ^ hash >> 28, first | last)
    }

    #[inline(always)]
    fn hash_9_to_16(self) -> (u64, u64) {
        let [first, last] = [0, self.len - 8].map(|at| self.word(at));
        let (low, high) = (first ^ SECRET[3] ^ SECRET[4], last ^ SECRET[5] ^ SECRET[6]);
        let hash = (self.len as u64).wrapping_add(low.swap_bytes()).wrapping_add(high);
        (avalanche(hash.wrapping_add(folded_product(low, high))), first | last)
    }

    #[inline(always)]
    fn hash_17_to_128(self) -> (u64, u64) {
        let (mut hash, mut seen) = ((self.len as u64).wrapping_mul(PRIME_1), 0);
        // Reads sixteen bytes from the front and sixteen from the back, until they meet.
        for step in (0..4).take_while(|step| 32 * step < self.len) {
            for (at, secret) in [(16 * step, 4 * step), (self.len - 16 * (step + 1), 4 * step + 2)] {
                let (first, last) = (self.word(at), self.word(at + 8));
                hash = hash.wrapping_add(folded_product(first ^ SECRET[secret], last ^ SECRET[secret + 1]));
                seen |= first | last;
            }
        }
        (avalanche(hash), seen)
    }

    #[inline(always)]
    fn byte(self, at: usize) -> u64 {
        // SAFETY: inside the text.
        u64::from(unsafe { self.address::<u8>(at).read_volatile() }.0)
    }

    #[inline(always)]
    fn half_word(self, at: usize) -> u64 {
        // SAFETY: inside the text.
        u64::from(u32::from_le(unsafe { self.address::<u32>(at).read_volatile() }.0))
    }

    #[inline(always)]
    fn word(self, at: usize) -> u64 {
        // SAFETY: inside the text.
        u64::from_le(unsafe { self.address::<u64>(at).read_volatile() }.0)
    }

    /// Returns the address of a `T` at byte `at`, which must be inside the text. Atomic loads need alignment. A
    /// volatile load happens exactly once, and the compiler assumes nothing about its result.
    #[inline(always)]
    fn address<T>(self, at: usize) -> *const Unaligned<T> {
        assert!(at + size_of::<T>() <= self.len);
        // SAFETY: the range is inside the text by the assertion.
        unsafe { self.start.add(at).cast() }
    }
}

/// Returns the exclusive or of the two halves of the 128-bit product.
#[inline(always)]
fn folded_product(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    #[expect(clippy::cast_possible_truncation, reason = "the halves")]
    let halves = (product as u64, (product >> 64) as u64);
    halves.0 ^ halves.1
}

#[inline(always)]
const fn avalanche(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 37).wrapping_mul(FACTOR_OF_LONGER);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(text: &[u8]) -> Result<u64, RowProblem> {
        // SAFETY: the bytes of a slice.
        unsafe { SharedText::new(text.as_ptr(), text.len()) }.value()
    }

    /// Returns pseudorandom numbers.
    fn random(state: &mut u64) -> u64 {
        *state = crate::feature::feature_key(*state, 0x9e37_79b9_7f4a_7c15);
        *state
    }

    #[test]
    fn texts_of_every_length_have_the_value_of_xxh3_at_any_alignment() {
        let mut state = 1;
        for len in 0..300 {
            for start in 0..16 {
                let bytes: Vec<u8> = (0..start + len).map(|_| random(&mut state).to_le_bytes()[0] & 0x7f).collect();
                let text = &bytes[start..];
                assert_eq!(
                    value_of(text),
                    Ok(xxhash_rust::xxh3::xxh3_64(text)),
                    "{len} bytes from {start} on: {text:?}"
                );
            }
        }
    }

    #[test]
    fn texts_that_are_not_ascii_have_the_value_of_xxh3() {
        for count in 0..100 {
            for text in ["旅", "é", "🗻", "a旅", "aaaaaaaé"].map(|part| part.repeat(count)) {
                assert_eq!(value_of(text.as_bytes()), Ok(xxhash_rust::xxh3::xxh3_64(text.as_bytes())), "{text}");
            }
        }
    }

    #[test]
    fn one_byte_that_is_not_utf8_is_found_at_every_place_of_every_length() {
        for len in 1..300 {
            for place in 0..len {
                let mut text = vec![b'a'; len];
                text[place] = 0x80;
                assert_eq!(value_of(&text), Err(RowProblem::NotUtf8), "byte {place} of {len}");
            }
        }
    }
}
