use crate::instructions::Instructions;
use proptest::prelude::*;

use super::*;
use crate::feature::{feature_key, field_seed};

fn table(built: &BuiltTable) -> Table<'_> {
    Table::new(&built.weights, &built.exceptions, built.geometry).unwrap()
}

/// Weights that tell which key they belong to.
fn entries(seed_name: &str, count: u64) -> Vec<(u64, f32)> {
    let seed = field_seed(seed_name);
    #[expect(clippy::cast_precision_loss, reason = "any distinct weights will do")]
    let mut entries: Vec<_> = (0..count).map(|id| (feature_key(seed, id), id as f32 + 0.5)).collect();
    entries.sort_by_key(|entry| entry.0);
    entries
}

#[test]
fn every_key_gives_its_own_weight_from_no_key_to_three_shards() {
    for count in [0, 1, 7, 8, 9, 100, 10_000, 1_100_000] {
        let entries = entries("creative_id", count);
        let built = build(&entries).unwrap();
        let table = table(&built);
        assert_eq!(table.validate().unwrap() + table.exception_count(), count);
        for &(key, weight) in &entries {
            assert_eq!(table.get(key), Some(weight), "key {key:#x} of {count}");
        }
    }
}

#[test]
fn a_weight_takes_less_than_8_6_bytes_a_hit_1_15_lines_and_a_miss_1_1() {
    let entries = entries("creative_id", 1_000_000);
    let built = build(&entries).unwrap();
    let table = table(&built);
    let bytes_per_weight = built.weights.len() as f64 / 1e6;
    assert!(bytes_per_weight < 8.6, "{bytes_per_weight}");
    let lines_per_hit = entries.iter().map(|entry| table.lines_touched(entry.0)).sum::<usize>() as f64 / 1e6;
    assert!(lines_per_hit < 1.15, "{lines_per_hit}");
    let seed = field_seed("other");
    let misses = 1_000_000_u64;
    let lines_per_miss =
        (0..misses).map(|id| table.lines_touched(feature_key(seed, id))).sum::<usize>() as f64 / misses as f64;
    assert!(lines_per_miss < 1.1, "{lines_per_miss}");
}

/// With 30-bit tags in lines that are 95 % full the rate is 7.6 / 2^30 = 7.1e-9, so 20 million misses give 0.14 on average;
/// four or more have a probability of 1e-5.
#[test]
fn unseen_keys_are_hardly_ever_taken_for_others() {
    let built = build(&entries("creative_id", 200_000)).unwrap();
    let table = table(&built);
    let seed = field_seed("unseen");
    let false_positive_count = (0..20_000_000).filter(|&id| table.get(feature_key(seed, id)).is_some()).count();
    assert!(false_positive_count < 4, "{false_positive_count}");
}

#[test]
fn keys_with_one_tag_and_one_line_become_exceptions_and_keep_their_weights() {
    let mut entries = entries("creative_id", 10_000);
    // The same line (high bits) and the same low 30 bits, so no line can tell them apart.
    let twin = entries[5_000].0;
    entries.push((twin ^ (1 << 30), -1.0));
    entries.push((twin ^ (1 << 31), -2.0));
    entries.sort_by_key(|entry| entry.0);
    let built = build(&entries).unwrap();
    assert!(built.exceptions.len() >= EXCEPTION_LEN);
    let table = table(&built);
    table.validate().unwrap();
    assert_all_are_gathered(&entries, table);
}

fn assert_all_are_gathered(entries: &[(u64, f32)], table: Table<'_>) {
    let mut weights = vec![0.0; entries.len()];
    let keys: Vec<u64> = entries.iter().map(|entry| entry.0).collect();
    for instructions in Instructions::all() {
        assert_eq!(table.gather(instructions, &keys, &mut weights), entries.len());
        assert!(entries.iter().zip(&weights).all(|(entry, &weight)| entry.1 == weight));
    }
}

#[test]
fn hundreds_of_exceptions_are_found_too() {
    let mut entries = entries("creative_id", 10_000);
    for index in 0..300 {
        entries.push((entries[index * 30].0 ^ (1 << 30), -1.0));
    }
    entries.sort_by_key(|entry| entry.0);
    let built = build(&entries).unwrap();
    assert!(built.exceptions.len() >= 200 * EXCEPTION_LEN, "{}", built.exceptions.len() / EXCEPTION_LEN);
    assert_all_are_gathered(&entries, table(&built));
}

#[test]
fn the_same_weights_give_the_same_bytes() {
    let entries = entries("creative_id", 700_000);
    assert_eq!(build(&entries).unwrap(), build(&entries).unwrap());
}

#[test]
fn keys_that_are_no_hashes_are_refused_and_not_searched_for_ever() {
    let entries: Vec<_> = (1..3_000_u64).map(|key| (key, 1.0)).collect();
    assert_eq!(build(&entries), Err(TableFull { key_count: 2_999 }));
}

#[test]
fn no_number_of_keys_is_too_short_or_too_odd_to_gather() {
    let entries = entries("creative_id", 1_000);
    let built = build(&entries).unwrap();
    let table = table(&built);
    let keys: Vec<u64> = entries.iter().map(|entry| entry.0).collect();
    for instructions in Instructions::all() {
        for len in (0..100).chain(250..270).chain(500..530) {
            // One weight more than keys: it must be left alone.
            let mut weights = vec![f32::NAN; len + 1];
            assert_eq!(table.gather(instructions, &keys[..len], &mut weights), len);
            assert!(entries.iter().zip(&weights[..len]).all(|(entry, &weight)| entry.1 == weight), "{len}");
            assert!(weights[len].is_nan());
        }
    }
}

proptest! {
    #[test]
    fn every_set_of_instructions_gathers_what_the_plain_look_up_gives(
        count in 0_u64..3_000, zero_every in 1_usize..10, query_count in 0_usize..1_500, seed in any::<u64>()
    ) {
        let mut entries = entries("creative_id", count);
        for (index, entry) in entries.iter_mut().step_by(zero_every).enumerate() {
            entry.1 = if index % 2 == 0 { 0.0 } else { -0.0 };
        }
        let built = build(&entries).unwrap();
        let table = table(&built);
        let keys: Vec<u64> = (0..query_count as u64).map(|index| {
            let number = feature_key(seed, index);
            // Three of four are known.
            let index = usize::try_from(number % (count * 4 / 3 + 1)).unwrap();
            entries.get(index).map_or(number, |entry| entry.0)
        }).collect();
        let expected: Vec<Option<f32>> = keys.iter().map(|&key| table.get(key)).collect();
        for instructions in Instructions::all() {
            let mut weights = vec![f32::NAN; keys.len()];
            let found_count = table.gather(instructions, &keys, &mut weights);
            prop_assert_eq!(found_count, expected.iter().flatten().count(), "{}", instructions.name());
            for (weight, expected) in weights.iter().zip(&expected) {
                prop_assert_eq!(weight.to_bits(), expected.unwrap_or(0.0).to_bits(), "{}", instructions.name());
            }
        }
    }
}
