use proptest::prelude::*;

use super::super::metrics::logit_of;
use super::*;

fn histogram(rows: &[(f64, bool)]) -> Histogram {
    let mut histogram = Histogram::new();
    for &(probability, clicked) in rows {
        histogram.add(logit_of(probability), probability, clicked);
    }
    histogram
}

fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-12, "expected {expected}, found {found}");
}

/// Computes the AUC by looking at every pair.
fn plain_auc(rows: &[(f64, bool)]) -> Option<f64> {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for (clicked, _) in rows.iter().filter(|(_, clicked)| *clicked) {
        for (unclicked, _) in rows.iter().filter(|(_, clicked)| !*clicked) {
            pairs += 1.0;
            wins += if clicked > unclicked { 1.0 } else { 0.0 } + if clicked == unclicked { 0.5 } else { 0.0 };
        }
    }
    (pairs > 0.0).then(|| wins / pairs)
}

/// Computes the average precision by counting all rows again for every threshold.
fn plain_pr_auc(rows: &[(f64, bool)]) -> Option<f64> {
    let mut thresholds: Vec<f64> = rows.iter().map(|(probability, _)| *probability).collect();
    thresholds.sort_by(|one, other| other.total_cmp(one));
    thresholds.dedup();
    let clicks = rows.iter().filter(|(_, clicked)| *clicked).count() as f64;
    if clicks == 0.0 || clicks == rows.len() as f64 {
        return None;
    }
    let (mut area, mut recall_before) = (0.0, 0.0);
    for threshold in thresholds {
        let above: Vec<_> = rows.iter().filter(|(probability, _)| *probability >= threshold).collect();
        let hits = above.iter().filter(|(_, clicked)| *clicked).count() as f64;
        area += (hits / clicks - recall_before) * (hits / above.len() as f64);
        recall_before = hits / clicks;
    }
    Some(area)
}

#[test]
fn areas_agree_with_results_computed_by_hand() {
    // From the top: clicked; unclicked and clicked together; unclicked.
    let rows = [(0.9, true), (0.5, false), (0.5, true), (0.1, false)];
    // Pairs: 0.9 wins two; 0.5 ties one and wins one.
    assert_near(histogram(&rows).auc().unwrap(), 3.5 / 4.0);
    // Precision 1 for the first half of the recall, 2/3 for the second.
    assert_near(histogram(&rows).pr_auc().unwrap(), 0.5 + 0.5 * 2.0 / 3.0);
    assert_eq!(histogram(&[(0.5, true)]).pr_auc(), None);
    assert_eq!(histogram(&[(0.5, false)]).auc(), None);
}

#[test]
fn bins_hold_equally_many_rows_with_their_means_and_wilson_intervals() {
    let rows: Vec<(f64, bool)> = (1..=40).map(|step| (f64::from(step) / 100.0, step % 4 == 0)).collect();
    let bins = histogram(&rows).equal_mass(4);
    assert_eq!(bins.iter().map(|bin| bin.impressions).collect::<Vec<_>>(), [10; 4]);
    assert_eq!(bins.iter().map(|bin| bin.clicks).collect::<Vec<_>>(), [2, 3, 2, 3]);
    assert_near(bins[0].mean_probability, 0.055);
    assert_near(bins[0].observed_ctr, 0.2);
    // Wilson's interval for 2 of 10.
    assert!((bins[0].observed_ctr_low - 0.056_682).abs() < 1e-6, "{}", bins[0].observed_ctr_low);
    assert!((bins[0].observed_ctr_high - 0.509_838).abs() < 1e-6, "{}", bins[0].observed_ctr_high);
}

#[test]
fn rows_of_equal_rank_stay_together() {
    let mut rows = vec![(0.5, false); 90];
    rows.extend([(0.2, false); 5]);
    rows.extend([(0.7, true); 5]);
    let bins = histogram(&rows).equal_mass(20);
    assert_eq!(bins.iter().map(|bin| bin.impressions).collect::<Vec<_>>(), [5, 90, 5]);
    assert!(histogram(&[]).equal_mass(20).is_empty());
}

#[test]
fn a_shift_is_measured_over_the_bins_of_the_baseline() {
    let baseline = histogram(&[(0.1, false), (0.2, false), (0.3, false), (0.4, false)]);
    assert_near(baseline.population_stability_index(&baseline, 10), 0.0);
    // The baseline is cut in half after 0.2: from 2 and 2 rows to 1 and 3.
    let shifted = histogram(&[(0.1, false), (0.35, false), (0.36, false), (0.37, false)]);
    let expected = (0.25 - 0.5) * (0.25_f64 / 0.5).ln() + (0.75 - 0.5) * (0.75_f64 / 0.5).ln();
    assert_near(shifted.population_stability_index(&baseline, 2), expected);
    // All rows are above the cut: the empty half counts as half a row of four.
    let gone = histogram(&[(0.9, false); 4]);
    let expected = (0.125 - 0.5) * (0.125_f64 / 0.5).ln() + (1.0 - 0.5) * (1.0_f64 / 0.5).ln();
    assert_near(gone.population_stability_index(&baseline, 2), expected);
    assert_near(histogram(&[]).population_stability_index(&baseline, 2), 0.0);
}

#[test]
fn probabilities_beyond_the_bins_are_counted_in_the_last_ones() {
    let rows = [(1e-12, false), (1.0 - 1e-12, true), (1e-9, false)];
    let histogram = histogram(&rows);
    assert_eq!(histogram.auc(), Some(1.0));
    assert_eq!(histogram.equal_mass(2).iter().map(|bin| bin.impressions).sum::<u64>(), 3);
}

proptest! {
    /// Probabilities on a coarse grid, so that ties are common and distinct values are in distinct bins.
    #[test]
    fn areas_agree_with_those_of_every_pair_and_every_threshold(
        rows in prop::collection::vec((1_u32..50, any::<bool>()), 0..60)
    ) {
        let rows: Vec<(f64, bool)> = rows.iter().map(|&(step, clicked)| (f64::from(step) / 50.0, clicked)).collect();
        let found = histogram(&rows);
        match (found.auc(), plain_auc(&rows)) {
            (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-12),
            (found, expected) => prop_assert_eq!(found, expected),
        }
        match (found.pr_auc(), plain_pr_auc(&rows)) {
            (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-12),
            (found, expected) => prop_assert_eq!(found, expected),
        }
    }

    #[test]
    fn bins_lose_no_row_and_none_is_too_large_for_its_ties(
        rows in prop::collection::vec((1_u32..10_000, any::<bool>()), 1..500), count in 1_u64..30
    ) {
        let rows: Vec<(f64, bool)> =
            rows.iter().map(|&(step, clicked)| (f64::from(step) / 10_000.0, clicked)).collect();
        let bins = histogram(&rows).equal_mass(count);
        prop_assert!(bins.len() as u64 <= count);
        prop_assert_eq!(bins.iter().map(|bin| bin.impressions).sum::<u64>(), rows.len() as u64);
        prop_assert_eq!(bins.iter().map(|bin| bin.clicks).sum::<u64>(), rows.iter().filter(|row| row.1).count() as u64);
        prop_assert!(bins.windows(2).all(|pair| pair[0].mean_probability < pair[1].mean_probability));
        let mut ties = std::collections::BTreeMap::new();
        rows.iter().for_each(|(probability, _)| *ties.entry(probability.to_bits()).or_insert(0_u64) += 1);
        let max_ties = ties.values().max().copied().unwrap_or(0);
        // Neighboring steps near 1/2 may share a fine bin of the logit.
        let max = (rows.len() as u64).div_ceil(count) + 3 * max_ties;
        prop_assert!(bins.iter().all(|bin| bin.impressions <= max));
    }
}
