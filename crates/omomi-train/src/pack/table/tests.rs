use omomi::Instructions;
use proptest::prelude::*;

use super::build::LineWriter;
use super::*;
use omomi::feature::{feature_key, field_seed};
use omomi::weight_file::layout::EXCEPTION_LEN;
use omomi::weight_file::table::line::{F16Line, F32Line, I8Line, Line, LineFormat};
use omomi::weight_file::table::{Encoding, Geometry, LINE_LEN, Table, f16_value};

/// Entries with weights that differ for most keys, in ascending order of key.
fn entries(seed_name: &str, count: u64) -> Vec<Entry> {
    let seed = field_seed(seed_name);
    #[expect(clippy::cast_precision_loss, reason = "any weights will do")]
    let entry = |id| Entry::from((feature_key(seed, id), ((id % 9_001) as f32 + 0.5) / 16.0));
    let mut entries: Vec<_> = (0..count).map(entry).collect();
    entries.sort_by_key(|entry| entry.key);
    entries
}

fn encoded(entries: &[Entry], encoding: Encoding) -> EncodedWeights {
    EncodedWeights::encode(entries.to_vec(), encoding, 1).unwrap()
}

#[test]
fn every_key_gives_its_own_weight_from_no_key_to_three_shards() {
    for encoding in Encoding::ALL {
        for count in [0, 1, 7, 8, 9, 15, 16, 100, 10_000, 1_100_000] {
            let weights = encoded(&entries("creative_id", count), encoding);
            let built = build(&weights).unwrap();
            let table = built.table();
            let placed_count = table.validate(1).unwrap() + table.exception_count();
            assert_eq!(placed_count, weights.entries().len() as u64);
            for entry in weights.entries() {
                let (name, key) = (encoding.name(), entry.key);
                assert_eq!(table.get(key), Some(entry.weight), "key {key:#x} of {count} in {name}");
            }
        }
    }
}

#[test]
fn tables_have_the_documented_size_and_look_ups_rarely_touch_a_second_line() {
    for (encoding, max_bytes, max_lines_per_hit, max_lines_per_miss) in
        [(Encoding::F32, 8.5, 1.15, 1.1), (Encoding::F16, 5.4, 1.2, 1.1), (Encoding::I8, 4.4, 1.15, 1.1)]
    {
        // No weight here rounds to 0, so there are as many weights as keys.
        let mut entries = entries("creative_id", 1_000_000);
        entries.iter_mut().for_each(|entry| entry.weight = entry.weight.max(6.25));
        let built = build(&encoded(&entries, encoding)).unwrap();
        let table = built.table();
        let bytes_per_weight = built.weights.len() as f64 / 1e6;
        assert!(bytes_per_weight < max_bytes, "{}: {bytes_per_weight}", encoding.name());
        let lines_per_hit = entries.iter().map(|entry| table.lines_touched(entry.key)).sum::<usize>() as f64 / 1e6;
        let seed = field_seed("other");
        let misses = 1_000_000_u64;
        let lines_per_miss =
            (0..misses).map(|id| table.lines_touched(feature_key(seed, id))).sum::<usize>() as f64 / misses as f64;
        println!("{}: {bytes_per_weight} bytes, lines {lines_per_hit} a hit, {lines_per_miss} a miss", encoding.name());
        assert!(lines_per_hit < max_lines_per_hit, "{}: {lines_per_hit}", encoding.name());
        assert!(lines_per_miss < max_lines_per_miss, "{}: {lines_per_miss}", encoding.name());
    }
}

#[test]
fn popular_keys_take_one_line_to_look_up() {
    for encoding in Encoding::ALL {
        let mut entries = entries("creative_id", 300_000);
        // Impressions follow a Zipf distribution with exponent 1, with ranks in random order over the keys.
        for (rank, entry) in (1..).zip(&mut entries) {
            entry.popularity = popularity_of(1_000_000_000 / ((rank * 7_919) % 300_007));
        }
        let lines_per_look_up = |entries: &[Entry]| {
            let built = build(&encoded(entries, encoding)).unwrap();
            let (mut lines, mut impressions) = (0, 0);
            for (rank, entry) in (1_usize..).zip(entries) {
                let own = 1_000_000_000 / ((rank * 7_919) % 300_007);
                lines += own * built.table().lines_touched(entry.key);
                impressions += own;
            }
            lines as f64 / impressions as f64
        };
        let with = lines_per_look_up(&entries);
        entries.iter_mut().for_each(|entry| entry.popularity = 0);
        let without = lines_per_look_up(&entries);
        println!("{}: {with} lines a look-up, {without} without popularity", encoding.name());
        assert!(with < 1.06 && without > 1.08, "{}: {with}, {without}", encoding.name());
    }
}

/// The probability that a key without a weight gets one. Each tag that it is compared with matches with a probability
/// of one in 2^30 or 2^24. A second line is searched if the key's bit of the filter is set.
fn false_positive_rate<F: LineFormat>(table: &Table<'_>, filter_bits: u32) -> f64 {
    let tags = |line: &Line| (0..F::SLOT_COUNT).filter(|&slot| F::tag(line, slot) != 0).count() as f64;
    let line_count = table.lines().len() as f64;
    let tags_per_line = table.lines().iter().map(tags).sum::<f64>() / line_count;
    // Position of the filter's bits in a low word.
    let shift = if F::ENCODING == Encoding::F32 { 28 } else { 24 };
    let set = |line: &Line| (0..filter_bits).filter(|bit| F::overflows(line, bit << shift)).count() as f64;
    let filter_share = table.lines().iter().map(set).sum::<f64>() / line_count / f64::from(filter_bits);
    tags_per_line * (1.0 + filter_share) / f64::from(F::TAG_MASK + 1)
}

/// Computes the rate of false positives from the bytes, and checks the computation with random keys. The number of
/// false positives must be within a margin that a Poisson distribution with this rate exceeds once in a million times.
/// (f32 has too few to tell them from none.)
#[test]
fn rate_of_false_positives_for_unseen_keys_is_as_documented() {
    const DRAWN_COUNT: u64 = 20_000_000;
    for (encoding, max) in [(Encoding::F32, 1e-8), (Encoding::F16, 1e-6), (Encoding::I8, 1e-6)] {
        let weights = encoded(&entries("creative_id", 200_000), encoding);
        let built = build(&weights).unwrap();
        let table = built.table();
        let rate = match encoding {
            Encoding::F32 => false_positive_rate::<F32Line>(&table, 16),
            Encoding::F16 => false_positive_rate::<F16Line>(&table, 32),
            Encoding::I8 => false_positive_rate::<I8Line>(&table, 32),
        };
        assert!(rate <= max, "{}: {rate:e}", encoding.name());
        let seed = field_seed("unseen");
        let mut weights = vec![0.0; 1_000];
        let mut found_count = 0;
        for first in (0..DRAWN_COUNT).step_by(weights.len()) {
            let keys: Vec<u64> = (first..first + 1_000).map(|id| feature_key(seed, id)).collect();
            found_count += table.gather(Instructions::detect(), &keys, &mut weights);
        }
        let expected = rate * DRAWN_COUNT as f64;
        println!("{}: rate {rate:.2e}, expected {expected:.2}, found {found_count}", encoding.name());
        let margin = 5.0 * expected.sqrt() + 3.0;
        assert!((found_count as f64 - expected).abs() <= margin, "{}: {found_count}, {expected}", encoding.name());
    }
}

#[test]
fn keys_with_one_tag_and_one_first_line_all_move_to_their_second_lines() {
    for encoding in Encoding::ALL {
        let mut entries = entries("creative_id", 10_000);
        entries.retain(|entry| entry.weight > 6.25);
        // Same first line (high bits) and same tag (low bits), but different second lines (bits between).
        let twin = entries[5_000].key;
        entries.extend([(twin ^ (1 << 30), -62.5), (twin ^ (1 << 31), -125.0)].map(Entry::from));
        entries.sort_by_key(|entry| entry.key);
        let weights = encoded(&entries, encoding);
        let built = build(&weights).unwrap();
        assert!(built.exceptions.is_empty());
        let table = built.table();
        assert_eq!(table.validate(1).unwrap(), entries.len() as u64);
        assert!(weights.entries().iter().all(|entry| table.get(entry.key) == Some(entry.weight)));
    }
}

#[test]
fn keys_with_one_tag_and_both_lines_become_exceptions_and_keep_their_weights() {
    for encoding in Encoding::ALL {
        let mut entries = entries("creative_id", 10_000);
        entries.retain(|entry| entry.weight > 6.25);
        let twin = entries[5_000].key;
        // Flip the lowest of the bits that choose the first line, which does not change the line.
        entries.extend([(twin ^ (1 << 32), -62.5), (twin ^ (1 << 33), -125.0)].map(Entry::from));
        entries.sort_by_key(|entry| entry.key);
        let weights = encoded(&entries, encoding);
        let built = build(&weights).unwrap();
        // One of the three keys is in their common second line.
        assert_eq!(built.exceptions.len(), 2 * EXCEPTION_LEN);
        built.table().validate(1).unwrap();
        assert_all_are_gathered(weights.entries(), built.table());
    }
}

fn assert_all_are_gathered(entries: &[Entry], table: Table<'_>) {
    let mut weights = vec![0.0; entries.len()];
    let keys: Vec<u64> = entries.iter().map(|entry| entry.key).collect();
    for instructions in Instructions::all() {
        assert_eq!(table.gather(instructions, &keys, &mut weights), entries.len());
        for (entry, weight) in entries.iter().zip(&weights) {
            let (expected, name) = (entry.weight, instructions.name());
            assert_eq!(weight.to_bits(), expected.to_bits(), "{name}: expected {expected:e}, found {weight:e}");
        }
    }
}

#[test]
fn every_weight_that_a_small_encoding_can_hold_is_gathered_bit_for_bit() {
    let every_f16: Vec<f32> = (0..=u16::MAX).map(f16_value).filter(|weight| weight.is_finite()).collect();
    let every_i8: Vec<f32> = (-127..=127_i8).map(f32::from).collect();
    for (encoding, every_weight) in [(Encoding::F16, every_f16), (Encoding::I8, every_i8)] {
        let mut weights = encoded(&entries("creative_id", 200_000), encoding);
        let mut entries = weights.entries().to_vec();
        assert!(entries.len() > every_weight.len());
        for (entry, &weight) in entries.iter_mut().zip(every_weight.iter().cycle()) {
            entry.weight = weight;
        }
        weights.replace_entries(entries);
        let built = build(&weights).unwrap();
        let table = built.table();
        let second_count = weights.entries().iter().filter(|entry| table.lines_touched(entry.key) == 2).count();
        assert!(second_count > 1_000, "{}: {second_count}", encoding.name());
        assert_all_are_gathered(weights.entries(), table);
    }
}

#[test]
fn hundreds_of_exceptions_are_found() {
    for encoding in Encoding::ALL {
        let mut entries = entries("creative_id", 10_000);
        entries.retain(|entry| entry.weight > 6.25);
        for index in 0..300 {
            entries.push((entries[index * 30].key ^ (1 << 32), -62.5).into());
        }
        entries.sort_by_key(|entry| entry.key);
        let weights = encoded(&entries, encoding);
        let built = build(&weights).unwrap();
        assert!(built.exceptions.len() >= 200 * EXCEPTION_LEN, "{}", built.exceptions.len() / EXCEPTION_LEN);
        assert_all_are_gathered(weights.entries(), built.table());
    }
}

#[test]
fn same_weights_give_the_same_bytes_for_any_number_of_threads() {
    for encoding in Encoding::ALL {
        let mut entries = entries("creative_id", 1_200_000);
        entries.iter_mut().for_each(|entry| entry.popularity = popularity_of(entry.key % 1_000));
        let weights = encoded(&entries, encoding);
        let build = |thread_count| {
            let mut seen = Vec::new();
            let mut watch = |done_count, shard_count| seen.push((done_count, shard_count));
            let built = build_with(&weights, &mut BuildOptions { thread_count, watch: &mut watch }).unwrap();
            assert_eq!(seen.len(), built.geometry.shard_count as usize);
            assert!(seen.iter().zip(1..).all(|(seen, done_count)| *seen == (done_count, seen.1)));
            built
        };
        let built = build(1);
        assert!(built.geometry.shard_count >= 2);
        for thread_count in [2, 100] {
            assert_eq!(build(thread_count), built, "{} with {thread_count} threads", encoding.name());
        }
    }
}

#[test]
fn keys_that_are_not_hashes_are_rejected_in_finite_time() {
    for encoding in Encoding::ALL {
        let weights = encoded(&(1..200_000_u64).map(|key| Entry::from((key, 1.0))).collect::<Vec<_>>(), encoding);
        assert_eq!(build(&weights), Err(TableFull { key_count: 199_999 }));
    }
}

#[test]
fn any_number_of_keys_can_be_gathered() {
    for encoding in Encoding::ALL {
        let weights = encoded(&entries("creative_id", 1_000), encoding);
        let entries = weights.entries();
        let built = build(&weights).unwrap();
        let table = built.table();
        let keys: Vec<u64> = entries.iter().map(|entry| entry.key).collect();
        for instructions in Instructions::all() {
            for len in (0..100).chain(250..270).chain(500..530) {
                // There is one more weight than keys. It must not be written.
                let mut weights = vec![f32::NAN; len + 1];
                assert_eq!(table.gather(instructions, &keys[..len], &mut weights), len);
                assert!(entries.iter().zip(&weights[..len]).all(|(entry, &weight)| entry.weight == weight), "{len}");
                assert!(weights[len].is_nan());
            }
        }
    }
}

/// Vector registers have 16 lanes, but lines of small encodings have fewer slots than that.
#[test]
fn bytes_after_the_tags_of_a_line_never_match_as_a_tag() {
    assert_no_byte_after_the_tags_matches::<F16Line>();
    assert_no_byte_after_the_tags_matches::<I8Line>();
}

fn assert_no_byte_after_the_tags_matches<F: LineWriter>() {
    let mut line = [0; LINE_LEN];
    for (slot, number) in (1_u8..).enumerate().take(F::SLOT_COUNT) {
        F::fill(&mut line, slot, u32::from(number) * 0x0010_2030, f32::from(number));
    }
    let lines = [line; 2].concat();
    let table =
        Table::new(&lines, &[], &[], Geometry { encoding: F::ENCODING, shard_count: 1, shard_lines: 2 }).unwrap();
    // Keys whose tags match the bytes that lanes without a slot compare.
    let key =
        |lane| u64::from_le_bytes([line[2 * lane], line[2 * lane + 1], line[2 * F::SLOT_COUNT + lane], 0, 0, 0, 0, 0]);
    let keys: Vec<u64> = (F::SLOT_COUNT..16).map(key).cycle().take(16).collect();
    assert!(keys.iter().all(|&key| table.get(key).is_none()));
    for instructions in Instructions::all() {
        let mut weights = vec![f32::NAN; keys.len()];
        assert_eq!(table.gather(instructions, &keys, &mut weights), 0, "{}", instructions.name());
        assert!(weights.iter().all(|weight| weight.to_bits() == 0), "{}", instructions.name());
    }
}

proptest! {
    #[test]
    fn every_set_of_instructions_gathers_what_the_plain_look_up_gives(
        count in 0_u64..3_000,
        encoding in prop::sample::select(&Encoding::ALL[..]),
        zero_every in 1_usize..10,
        query_count in 0_usize..1_500,
        seed in any::<u64>(),
    ) {
        let mut weights = encoded(&entries("creative_id", count), encoding);
        let mut entries = weights.entries().to_vec();
        for (index, entry) in entries.iter_mut().step_by(zero_every).enumerate() {
            // An i8 cannot be -0.0.
            entry.weight = if index % 2 == 0 || encoding == Encoding::I8 { 0.0 } else { -0.0 };
        }
        weights.replace_entries(entries.clone());
        let built = build(&weights).unwrap();
        let table = built.table();
        let keys: Vec<u64> = (0..query_count as u64).map(|index| {
            let number = feature_key(seed, index);
            // Three of four keys are known.
            let index = usize::try_from(number % (entries.len() as u64 * 4 / 3 + 1)).unwrap();
            entries.get(index).map_or(number, |entry| entry.key)
        }).collect();
        let expected: Vec<Option<f32>> = keys.iter().map(|&key| table.get(key)).collect();
        for instructions in Instructions::all() {
            let mut weights = vec![f32::NAN; keys.len()];
            let found_count = table.gather(instructions, &keys, &mut weights);
            prop_assert_eq!(found_count, expected.iter().flatten().count(), "{}", instructions.name());
            for (weight, expected) in weights.iter().zip(&expected) {
                prop_assert_eq!(weight.to_bits(), expected.unwrap_or(0.0).to_bits(), "{}", instructions.name());
            }
            let found_count = table.gather_marked(instructions, &keys, &mut weights);
            prop_assert_eq!(found_count, expected.iter().flatten().count(), "{}", instructions.name());
            for (weight, expected) in weights.iter().zip(&expected) {
                match expected {
                    Some(expected) => prop_assert_eq!(weight.to_bits(), expected.to_bits()),
                    None => prop_assert!(weight.is_nan(), "{} instead of NaN with {}", weight, instructions.name()),
                }
            }
        }
    }
}
