//! Feature keys in place of categories: what a log has of a field that the contract says to log `hashed`.
//!
//! [`feature_key`](omomi::feature::feature_key) is a bijection of 64 bits, so the value of a key is exact: the id of an
//! id, the hash of a text, the bucket of a number. It is what makes a hashed row as good as a plain one, and why a key
//! is a pseudonym only. Values are for computing: what is written for people names such a category by its key, because
//! the contract says that its plain form is not to be written down.

use std::fmt::Write as _;

use omomi::contract::{Buckets, Field, FieldKind};
use omomi::feature::{feature_key, id_value, text_value};

/// Returns the value whose feature key in the field with `seed` is `key`.
pub(crate) const fn value_of_key(seed: u64, key: u64) -> u64 {
    unmix(key) ^ seed
}

/// The inverse of the finalizer that makes a key: the inverse steps in reverse order.
const fn unmix(mut x: u64) -> u64 {
    // The inverses of the two odd factors, modulo 2^64.
    x ^= (x >> 31) ^ (x >> 62);
    x = x.wrapping_mul(inverse(0x94d0_49bb_1331_11eb));
    x ^= (x >> 27) ^ (x >> 54);
    x = x.wrapping_mul(inverse(0xbf58_476d_1ce4_e5b9));
    x ^ (x >> 30) ^ (x >> 60)
}

/// Returns the inverse of an odd number modulo 2^64, by Newton's method: each step doubles the number of right bits.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 6 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

/// The end of the name of a column with the feature keys of a field: another name than that of the field, because
/// training would take keys for ids.
pub(crate) const KEY_ENDING: &str = "_key";

/// Appends the name of a category of which only the feature key is known.
pub(crate) fn write_key_name(key: u64, text: &mut String) {
    // Writing to a text cannot fail.
    let _ = write!(text, "(key {key:016x})");
}

/// Returns the feature key that a category names, if it is written like one.
pub(crate) fn key_of_name(category: &str) -> Option<u64> {
    let digits = category.strip_prefix("(key ")?.strip_suffix(')')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.len() == 16 && digits.bytes().all(is_digit)).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Returns the feature key of a category of an id or a text, as a training state writes it: plain, or named by its key.
pub(crate) fn key_of_category(field: &Field, category: &str) -> Option<u64> {
    let value = match &field.kind {
        _ if key_of_name(category).is_some() => return key_of_name(category),
        FieldKind::Id => id_value(category.parse().ok()?),
        FieldKind::Text => text_value(category.as_bytes()),
        FieldKind::Number { .. } => return None,
    };
    Some(feature_key(field.seed(), value))
}

/// Returns a number in bucket `bucket`, or nothing if there is no such bucket.
pub(crate) fn number_in(buckets: &Buckets, range: [f64; 2], bucket: u64) -> Option<f64> {
    let lowest = match buckets {
        Buckets::Edges(edges) => match usize::try_from(bucket).ok()? {
            0 => range[0],
            index => *edges.get(index - 1)?,
        },
        Buckets::Log2 if bucket <= 0x7ff => f64::from_bits(bucket << 52),
        Buckets::Log2 => return None,
    };
    let number = lowest.max(range[0]);
    (buckets.index(range, number) == Some(bucket)).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_value_of_a_key_is_exact(seed in any::<u64>(), value in any::<u64>()) {
            prop_assert_eq!(value_of_key(seed, feature_key(seed, value)), value);
        }

        #[test]
        fn each_bucket_that_a_number_has_gives_a_number_of_that_bucket(
            number in -10.0_f64..2e3,
            mut edges in prop::collection::vec(0.0_f64..1e3, 1..6),
            low in 0.0_f64..50.0,
        ) {
            edges.sort_by(f64::total_cmp);
            edges.dedup();
            let range = [low, 1e3];
            for buckets in [Buckets::Edges(edges), Buckets::Log2] {
                if let Some(bucket) = buckets.index(range, number) {
                    let found = number_in(&buckets, range, bucket);
                    prop_assert!(found.is_some_and(|found| buckets.index(range, found) == Some(bucket)), "{:?}", found);
                }
            }
        }
    }

    #[test]
    fn a_key_is_named_in_one_way() {
        let mut name = String::new();
        write_key_name(0xab, &mut name);
        assert_eq!((name.as_str(), key_of_name(&name)), ("(key 00000000000000ab)", Some(0xab)));
        for other in ["(key ab)", "(key 00000000000000AB)", "(key +0000000000000ab)", "key 00000000000000ab", ""] {
            assert_eq!(key_of_name(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_bucket_gives_no_number() {
        assert_eq!(number_in(&Buckets::Edges(vec![1.0]), [0.0, 9.0], 2), None);
        assert_eq!(number_in(&Buckets::Log2, [0.0, 9.0], u64::MAX), None);
        assert_eq!(number_in(&Buckets::Log2, [0.0, 9.0], 0x7ff), None, "infinite");
    }
}
