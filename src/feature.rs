//! Turns a field and a category into a feature key: 64 bits, equal in training and in serving, on every platform.
//!
//! This is one of the two places where training and scoring meet (the other is the layout of the weight file).
//! `src/weight_file/FORMAT.md` specifies the steps and the byte order. `tests/feature_keys.tsv` has test vectors, which
//! the Rust, C, Java and Python tests all read.
//!
//! ```
//! use omomi::feature;
//!
//! let seed = feature::field_seed("creative_id");
//! let key = feature::feature_key(seed, feature::id_value(42));
//! assert_eq!(key, feature::feature_key(seed, 42));
//! ```

use xxhash_rust::xxh3::xxh3_64;

/// Joins the names of a cross's members to the name of the cross. The name of a field cannot contain it.
pub const CROSS_JOINER: &str = "*";

/// Returns the value of a category of an `id` field: its two's complement bits.
#[inline]
#[must_use]
pub const fn id_value(category: i64) -> u64 {
    category.cast_unsigned()
}

/// Returns the value of a category of a `text` field: XXH3-64 (seed 0) of its UTF-8 bytes. For a text that recurs, a
/// server may compute the value once and pass it instead of the text.
#[inline]
#[must_use]
pub fn text_value(category: &[u8]) -> u64 {
    #[cfg(test)]
    crate::work_counter::note_hashed_text();
    xxh3_64(category)
}

/// Returns the seed of a field or of a cross: XXH3-64 of the UTF-8 bytes of its name. The name of a cross is its
/// members' names in contract order, joined by [`CROSS_JOINER`].
#[must_use]
pub fn field_seed(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// Returns the feature key of `value` in the field with `seed`.
///
/// For one seed this is a bijection, so two categories of one `id` field never share a key.
#[inline]
#[must_use]
pub const fn feature_key(seed: u64, value: u64) -> u64 {
    mix(seed ^ value)
}

/// Computes one step of a cross. The first step starts from the cross's seed; each step adds the next member's feature
/// key, in contract order. The result of the last step is the feature key of the crossed categories.
#[inline]
#[must_use]
pub const fn cross_step(state: u64, member_key: u64) -> u64 {
    mix(state.rotate_left(23) ^ member_key)
}

/// The finalizer of SplitMix64 (Stafford's variant 13 of the MurmurHash3 finalizer). It is a bijection, and every input
/// bit affects every output bit. Therefore any bits of a key may choose the line and the tag in the weight table.
#[inline]
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighboring_ids_of_one_field_have_keys_that_differ_in_many_bits() {
        let seed = field_seed("creative_id");
        let mut flipped_bit_count = 0;
        for id in 0..1_000_u64 {
            let (key, next) = (feature_key(seed, id), feature_key(seed, id + 1));
            assert_ne!(key, next);
            flipped_bit_count += (key ^ next).count_ones();
        }
        assert!((30_000..34_000).contains(&flipped_bit_count), "{flipped_bit_count} of 64,000 bits flipped");
    }

    #[test]
    fn members_of_a_cross_do_not_commute() {
        let seed = field_seed("a*b");
        assert_ne!(cross_step(cross_step(seed, 1), 2), cross_step(cross_step(seed, 2), 1));
    }
}
