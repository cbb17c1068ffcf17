//! Learning from a row cache gives the same state as learning from its log, to the byte.

use std::path::Path;

use crate::learn::row_cache::cache_of_batches;

use super::tests::{SETTINGS, batch, contract, random_rows, written};
use super::*;

/// Returns the bytes of two states after `passes` over the rows: one learned from batches, one from a cache of them.
fn states(sampling: Sampling, passes: u32, start: Option<&Path>) -> [Vec<u8>; 2] {
    let rows = random_rows(3_000, 9);
    let batches: Vec<RowBatch> = [0, 1_100, 2_200]
        .map(|first| {
            let end = rows.len().min(first + 1_100);
            let mut batch = batch(&rows[first..end], Some(i64::try_from(first).unwrap()));
            // Halves have exact sums in any order. The order matters: the counts of the start are added at another
            // time.
            batch.importance = Some((first..end).map(|row| if row % 3 == 0 { 0.5 } else { 1.0 }).collect());
            batch
        })
        .into();
    let trainer = || match start {
        Some(start) => Trainer::resume(&contract(), SETTINGS, sampling, start, 0.5, 1).unwrap(),
        None => Trainer::with_sampling(&contract(), SETTINGS, sampling).unwrap(),
    };
    let mut by_batches = trainer();
    for pass in 1..=passes {
        if pass > 1 {
            by_batches.begin_next_pass();
        }
        batches.iter().for_each(|batch| by_batches.learn(batch).unwrap());
    }

    let folder = tempfile::tempdir().unwrap();
    let mut cache = cache_of_batches(&contract(), sampling, &batches, &folder.path().join("log.rows"));
    let mut by_cache = trainer();
    let slots = by_cache.add_cached_features(&mut cache).unwrap();
    let mut row_count = 0;
    for pass in 1..=passes {
        if pass > 1 {
            by_cache.begin_next_pass();
        }
        by_cache.learn_cached(&mut cache, &slots, &mut |so_far, _| row_count = so_far).unwrap();
    }
    assert_eq!(row_count, cache.row_count());
    assert_eq!(by_cache.progressive_metrics(), by_batches.progressive_metrics());
    assert_eq!(by_cache.window_us(), by_batches.window_us());
    [by_batches, by_cache].map(|trainer| {
        let (_folder, path) = written(&trainer, "state.parquet");
        std::fs::read(path).unwrap()
    })
}

#[test]
fn a_cache_gives_the_same_state_as_its_log() {
    for (sampling, passes) in
        [(Sampling::default(), 1), (Sampling::default(), 3), (Sampling { negative_rate: 0.3, seed: 4 }, 2)]
    {
        let [by_batches, by_cache] = states(sampling, passes, None);
        assert!(by_batches == by_cache, "{sampling:?}, {passes} passes");
    }
}

#[test]
fn a_cache_continues_from_a_state_like_its_log() {
    let mut before = Trainer::new(&contract(), SETTINGS).unwrap();
    // Some features are in the state only, some in both, some in the cache only.
    before.learn(&batch(&random_rows(40, 10), Some(0))).unwrap();
    let (_folder, start) = written(&before, "start.parquet");
    let [by_batches, by_cache] = states(Sampling::default(), 2, Some(&start));
    assert!(by_batches == by_cache);
}
