//! Maps feature keys to numbers: an open-addressing hash index over keys that are already well mixed.

use omomi::prefetch::prefetch;

/// Largest number of keys in an index. One value of the 32-bit number is reserved for "empty".
pub(super) const MAX_KEYS: usize = u32::MAX as usize;

const EMPTY: u64 = u64::MAX;
const FIRST_CAPACITY: usize = 1 << 12;

/// Numbers keys from 0 in the order of their first insertion.
///
/// A slot of the index is one `u64`: the high half of a key, and the key's number. A probe starts at the slot that the
/// low half of the key gives, and walks to the right. The key itself is compared only if the high halves are equal. At
/// most 3/4 of the slots are used, so a key takes 11 to 21 bytes here and 8 in `keys`.
#[derive(Debug)]
pub(super) struct KeyIndex {
    slots: Vec<u64>,
    keys: Vec<u64>,
}

impl KeyIndex {
    pub(super) fn new() -> Self {
        Self { slots: vec![EMPTY; FIRST_CAPACITY], keys: Vec::new() }
    }

    /// Returns the keys, by number.
    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Prefetches the memory in which `key` will be looked up.
    #[inline]
    pub(super) fn fetch(&self, key: u64) {
        prefetch(self.slots.as_ptr().wrapping_add(home(key, self.slots.len() - 1)));
    }

    /// Returns the number of `key`, if the index has it.
    #[inline]
    pub(super) fn find(&self, key: u64) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut place = home(key, mask);
        loop {
            let slot = self.slots[place];
            if slot == EMPTY {
                return None;
            }
            if tag(slot) == tag(key) && self.keys[number(slot) as usize] == key {
                return Some(number(slot));
            }
            place = (place + 1) & mask;
        }
    }

    /// Adds `key`, which must not be in the index yet, and returns its number.
    ///
    /// # Panics
    ///
    /// Panics if the index already has [`MAX_KEYS`] keys.
    #[inline(never)]
    pub(super) fn insert(&mut self, key: u64) -> u32 {
        if (self.keys.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let number = u32::try_from(self.keys.len()).ok().filter(|&number| (number as usize) < MAX_KEYS);
        let number = number.expect("the caller keeps the count of keys below the limit");
        self.keys.push(key);
        place(&mut self.slots, key, number);
        number
    }

    fn grow(&mut self) {
        // Free the old slots first: `keys` has everything that is needed.
        let capacity = self.slots.len() * 2;
        self.slots = Vec::new();
        self.slots = vec![EMPTY; capacity];
        for (number, &key) in (0_u32..).zip(&self.keys) {
            place(&mut self.slots, key, number);
        }
    }
}

fn place(slots: &mut [u64], key: u64, number: u32) {
    let mask = slots.len() - 1;
    let mut place = home(key, mask);
    while slots[place] != EMPTY {
        place = (place + 1) & mask;
    }
    slots[place] = tag(key) << 32 | u64::from(number);
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "only the low bits count, and the mask keeps fewer of them")]
const fn home(key: u64, mask: usize) -> usize {
    key as usize & mask
}

/// Returns the high half of a key or of a slot.
#[inline]
const fn tag(bits: u64) -> u64 {
    bits >> 32
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low half of a slot is the number")]
const fn number(slot: u64) -> u32 {
    slot as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_numbers_while_the_index_grows() {
        let mut index = KeyIndex::new();
        let key = |i: u64| omomi::feature::feature_key(7, i);
        for i in 0..100_000_u32 {
            assert_eq!(index.find(key(u64::from(i))), None);
            assert_eq!(index.insert(key(u64::from(i))), i);
        }
        for i in 0..100_000_u32 {
            assert_eq!(index.find(key(u64::from(i))), Some(i));
        }
        assert_eq!(index.find(key(100_000)), None);
        assert_eq!(index.keys().len(), 100_000);
    }

    #[test]
    fn keys_that_share_home_or_high_half_stay_apart() {
        let mut index = KeyIndex::new();
        let keys = [0, u64::MAX, 1 << 32, 1 << 63, 0xffff_ffff, u64::MAX - 1, FIRST_CAPACITY as u64, u64::MAX << 32];
        for (number, &key) in (0..).zip(&keys) {
            assert_eq!(index.insert(key), number);
        }
        for (number, &key) in (0..).zip(&keys) {
            assert_eq!(index.find(key), Some(number));
        }
    }
}
