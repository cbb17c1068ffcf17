//! The paired bootstrap: estimates how much of the difference between two models on the same rows may be chance, and
//! how much of the normalized entropy of one.
//!
//! Rows are drawn in groups, because rows of one user, or of one moment, are not independent. A group has all rows of
//! some users, or consecutive rows. The number of groups is bounded, and only their sums are kept.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::evaluation::{Bootstrap, Difference, GroupsOf};
use super::metrics::entropy;

/// Number of resamples.
pub(super) const RESAMPLE_COUNT: usize = 1_000;
/// Number of groups of users. The hash of a user determines its group.
const USER_GROUP_COUNT: usize = 1 << 10;
/// Maximum number of groups of consecutive rows. When it is reached, neighboring groups are merged in pairs.
const MAX_ROW_GROUPS: usize = 1 << 11;
/// Initial number of consecutive rows per group.
const FIRST_ROWS_PER_GROUP: u64 = 64;
/// Number of resamples below the 95 % interval, and above it.
const TAIL_COUNT: usize = RESAMPLE_COUNT / 40;

/// Sums per group.
#[derive(Debug)]
pub(super) struct Groups {
    groups_of: GroupsOf,
    rows_per_group: u64,
    row_count: u64,
    /// Sum of the log losses, by weight file and by group.
    losses: Vec<Vec<f64>>,
    /// Number of rows and clicks, by group.
    counts: Vec<GroupCounts>,
}

/// The importance of the rows and of the clicked rows of a group: their numbers, if each row counts once.
#[derive(Debug, Clone, Copy, Default)]
struct GroupCounts {
    impressions: f64,
    clicks: f64,
}

impl Groups {
    pub(super) fn new(groups_of: GroupsOf, model_count: usize) -> Self {
        let mut groups = Self {
            groups_of,
            rows_per_group: FIRST_ROWS_PER_GROUP,
            row_count: 0,
            losses: vec![Vec::new(); model_count],
            counts: Vec::new(),
        };
        if groups_of == GroupsOf::Users {
            groups.grow(USER_GROUP_COUNT);
        }
        groups
    }

    fn grow(&mut self, group_count: usize) {
        self.counts.resize(group_count, GroupCounts::default());
        self.losses.iter_mut().for_each(|losses| losses.resize(group_count, 0.0));
    }

    /// Adds the next row: the hash of its user, if it has one, its importance, and the log losses of all weight files.
    pub(super) fn add(&mut self, user: Option<u64>, clicked: bool, importance: f64, losses: &[f64]) {
        let group = match self.groups_of {
            // A row without a user is treated as a user with one row.
            GroupsOf::Users => user.unwrap_or(self.row_count) % USER_GROUP_COUNT as u64,
            GroupsOf::ConsecutiveRows => self.row_count / self.rows_per_group,
        };
        self.row_count += 1;
        let mut group = usize::try_from(group).unwrap_or(usize::MAX);
        if group >= MAX_ROW_GROUPS {
            self.merge_neighbors();
            group /= 2;
        }
        if group >= self.counts.len() {
            self.grow(group + 1);
        }
        self.counts[group].impressions += importance;
        self.counts[group].clicks += if clicked { importance } else { 0.0 };
        for (sums, loss) in self.losses.iter_mut().zip(losses) {
            sums[group] += importance * loss;
        }
    }

    fn merge_neighbors(&mut self) {
        self.rows_per_group *= 2;
        let pair = |pair: &[GroupCounts]| GroupCounts {
            impressions: pair.iter().map(|counts| counts.impressions).sum(),
            clicks: pair.iter().map(|counts| counts.clicks).sum(),
        };
        self.counts = self.counts.chunks(2).map(pair).collect();
        for losses in &mut self.losses {
            *losses = losses.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
    }

    /// Returns the indices of the groups that have rows.
    fn filled(&self) -> Vec<usize> {
        (0..self.counts.len()).filter(|&group| self.counts[group].impressions > 0.0).collect()
    }

    /// Draws resamples of the groups. Equal seeds give equal draws.
    pub(super) fn draws(&self, seed: u64) -> Draws {
        let filled = self.filled();
        let everything = self.draw(&mut filled.iter().copied());
        let mut random = Pcg64Mcg::new(u128::from(seed) << 64 | u128::from(seed) | 1);
        let below = u64::try_from(filled.len()).unwrap_or(u64::MAX);
        let draws: Vec<Draw> = (0..if filled.is_empty() { 0 } else { RESAMPLE_COUNT })
            .map(|_| {
                let mut drawn = (0..filled.len()).map(|_| {
                    // Multiply the high 32 bits by the count: the result is below the count, and uniform enough for a
                    // few thousand groups.
                    let index = ((random.next_u64() >> 32) * below) >> 32;
                    filled[usize::try_from(index).unwrap_or(0)]
                });
                self.draw(&mut drawn)
            })
            .collect();
        Draws { everything, draws, bootstrap: self.bootstrap(below, seed) }
    }

    fn bootstrap(&self, groups: u64, seed: u64) -> Bootstrap {
        Bootstrap { groups_of: self.groups_of, groups, resamples: RESAMPLE_COUNT as u64, seed }
    }

    fn draw(&self, groups: &mut dyn Iterator<Item = usize>) -> Draw {
        let mut draw = Draw { impressions: 0.0, clicks: 0.0, losses: vec![0.0; self.losses.len()] };
        for group in groups {
            draw.impressions += self.counts[group].impressions;
            draw.clicks += self.counts[group].clicks;
            for (sum, losses) in draw.losses.iter_mut().zip(&self.losses) {
                *sum += losses[group];
            }
        }
        draw
    }
}

/// Resamples of the groups of all rows.
pub(super) struct Draws {
    everything: Draw,
    draws: Vec<Draw>,
    bootstrap: Bootstrap,
}

impl Draws {
    /// Returns the differences of each weight file from the last one, which is the baseline.
    pub(super) fn differences(&self) -> Vec<Differences> {
        let Self { everything, draws, bootstrap } = self;
        let differences = |model: usize| Differences {
            log_loss: difference(everything, draws, |draw| draw.log_loss_difference(model)),
            normalized_entropy: difference(everything, draws, |draw| draw.normalized_entropy_difference(model)),
            normalized_entropy_change: difference(everything, draws, |draw| draw.change(model)),
            bootstrap: *bootstrap,
        };
        (0..everything.losses.len().saturating_sub(1)).map(differences).collect()
    }

    /// Returns the 95 % interval of the normalized entropy of a weight file.
    pub(super) fn entropy_interval(&self, model: usize) -> Option<[f64; 2]> {
        let interval = difference(&self.everything, &self.draws, |draw| draw.normalized_entropy(model))?;
        Some([interval.low, interval.high])
    }
}

/// The differences of one weight file from the baseline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Differences {
    pub(super) log_loss: Option<Difference>,
    pub(super) normalized_entropy: Option<Difference>,
    pub(super) normalized_entropy_change: Option<Difference>,
    pub(super) bootstrap: Bootstrap,
}

/// Sums over the drawn groups.
struct Draw {
    impressions: f64,
    clicks: f64,
    losses: Vec<f64>,
}

impl Draw {
    fn baseline_loss(&self) -> f64 {
        self.losses.last().copied().unwrap_or(0.0)
    }

    fn log_loss_difference(&self, model: usize) -> Option<f64> {
        (self.impressions > 0.0).then(|| (self.losses[model] - self.baseline_loss()) / self.impressions)
    }

    /// The entropy of the observed CTR; 0 without rows.
    fn entropy(&self) -> f64 {
        if self.impressions > 0.0 { entropy(self.clicks / self.impressions) } else { 0.0 }
    }

    fn normalized_entropy(&self, model: usize) -> Option<f64> {
        let constant = self.entropy();
        (constant > 0.0).then(|| self.losses[model] / self.impressions / constant)
    }

    fn normalized_entropy_difference(&self, model: usize) -> Option<f64> {
        let constant = self.entropy();
        let difference = self.log_loss_difference(model)?;
        (constant > 0.0).then(|| difference / constant)
    }

    fn change(&self, model: usize) -> Option<f64> {
        let is_defined = self.clicks > 0.0 && self.clicks < self.impressions && self.baseline_loss() > 0.0;
        is_defined.then(|| self.losses[model] / self.baseline_loss() - 1.0)
    }
}

/// Returns the difference on all rows, with the interval that contains 95 % of the draws. Draws with an undefined
/// difference are left out.
fn difference(everything: &Draw, draws: &[Draw], of: impl Fn(&Draw) -> Option<f64>) -> Option<Difference> {
    let value = of(everything)?;
    let mut drawn: Vec<f64> = draws.iter().filter_map(of).collect();
    drawn.sort_unstable_by(f64::total_cmp);
    let tail = TAIL_COUNT * drawn.len() / RESAMPLE_COUNT;
    let (Some(&low), Some(&high)) = (drawn.get(tail), drawn.iter().nth_back(tail)) else { return None };
    Some(Difference { value, low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds rows on which the first model loses by `gap` on average, with noise from a small generator.
    fn groups(groups_of: GroupsOf, row_count: u64, gap: f64) -> Groups {
        let mut groups = Groups::new(groups_of, 2);
        let mut state = 9_u64;
        for row in 0..row_count {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
            groups.add(Some(row / 10 * 0x9e37), row % 5 == 0, 1.0, &[0.5 + gap + noise, 0.5]);
        }
        groups
    }

    #[test]
    fn the_interval_is_as_wide_as_for_the_normal_distribution() {
        for groups_of in [GroupsOf::ConsecutiveRows, GroupsOf::Users] {
            let differences = groups(groups_of, 100_000, 0.01).draws(1).differences()[0];
            let found = differences.log_loss.unwrap();
            // The noise is uniform with width 1, so its standard deviation is 1 / sqrt(12).
            let reach = 1.96 / 12.0_f64.sqrt() / 100_000.0_f64.sqrt();
            assert!((found.value - 0.01).abs() < reach * 1.5, "{found:?}");
            for end in [found.value - found.low, found.high - found.value] {
                assert!((end / reach - 1.0).abs() < 0.2, "{groups_of:?}: expected {reach}, found {end}");
            }
            let entropy_there = entropy(0.2);
            let scaled = differences.normalized_entropy.unwrap();
            assert!((scaled.value - found.value / entropy_there).abs() < 1e-12);
            let change = differences.normalized_entropy_change.unwrap();
            assert!((change.value - found.value / 0.5).abs() < 1e-9, "{change:?}");
        }
    }

    #[test]
    fn equal_rows_and_seeds_give_equal_intervals_and_another_seed_another_interval() {
        let groups = groups(GroupsOf::ConsecutiveRows, 5_000, 0.0);
        let low = |seed| groups.draws(seed).differences()[0].log_loss.unwrap().low;
        assert_eq!(low(3).to_bits(), low(3).to_bits());
        assert!((low(3) - low(4)).abs() > 0.0);
    }

    #[test]
    fn groups_of_consecutive_rows_are_bounded_and_lose_no_row() {
        for row_count in [1, 63, 64, 65, 131_072, 131_073, 400_000] {
            let groups = groups(GroupsOf::ConsecutiveRows, row_count, 0.0);
            assert!(groups.counts.len() <= MAX_ROW_GROUPS);
            assert_eq!(groups.counts.iter().map(|counts| counts.impressions).sum::<f64>(), row_count as f64);
            let full = groups.counts[..groups.counts.len() - 1].iter();
            assert!(full.into_iter().all(|counts| counts.impressions == groups.rows_per_group as f64), "{row_count}");
        }
    }

    #[test]
    fn there_is_no_difference_of_entropies_without_rows_or_clicks() {
        assert!(groups(GroupsOf::Users, 0, 0.0).draws(1).differences()[0].log_loss.is_none());
        let mut unclicked = Groups::new(GroupsOf::ConsecutiveRows, 2);
        unclicked.add(None, false, 1.0, &[0.3, 0.2]);
        let differences = unclicked.draws(1).differences()[0];
        assert!((differences.log_loss.unwrap().value - 0.1).abs() < 1e-12);
        assert!(differences.normalized_entropy.is_none() && differences.normalized_entropy_change.is_none());
    }
}
