//! Area under the ROC curve: the probability that a clicked row has a higher logit than an unclicked one, where equal
//! logits count half. Over all rows, and within users.

use std::cmp::Ordering;

use super::evaluation::UserAuc;

/// Bins per unit of the logit in the bounded form. Logits in the same bin are treated as equal, so the AUC is off by at
/// most half the probability that a clicked and an unclicked row share a bin.
pub const HISTOGRAM_BINS_PER_LOGIT: u32 = 256;

/// Logits beyond this are treated as equal in the bounded form: probabilities below 2e-7 and above 1 - 2e-7.
const MAX_LOGIT: f64 = 16.0;
const BIN_COUNT: usize = 2 * 16 * HISTOGRAM_BINS_PER_LOGIT as usize;

/// The data that an AUC is computed from.
#[derive(Debug, Clone)]
pub(super) enum Ranks {
    /// Importance of the rows per bin of the logit, unclicked and clicked: 128 KiB, for any number of rows.
    Histogram(Vec<[f64; 2]>),
    /// Every logit, unclicked and clicked: 8 bytes per row.
    Exact([Vec<f64>; 2]),
}

impl Ranks {
    pub(super) fn histogram() -> Self {
        Self::Histogram(vec![[0.0; 2]; BIN_COUNT])
    }

    pub(super) fn exact() -> Self {
        Self::Exact([Vec::new(), Vec::new()])
    }

    /// Adds a row. The exact form treats all rows as equally important.
    #[inline]
    pub(super) fn add(&mut self, logit: f64, clicked: bool, importance: f64) {
        match self {
            Self::Histogram(bins) => bins[bin(logit)][usize::from(clicked)] += importance,
            Self::Exact(logits) => logits[usize::from(clicked)].push(logit),
        }
    }

    /// Returns the AUC; `None` if no row or every row was clicked.
    pub(super) fn auc(&mut self) -> Option<f64> {
        let mut pairs = Pairs::default();
        match self {
            Self::Histogram(bins) => {
                for &[unclicked, clicked] in bins.iter() {
                    pairs.add(unclicked, clicked);
                }
            }
            Self::Exact([unclicked, clicked]) => {
                unclicked.sort_unstable_by(f64::total_cmp);
                clicked.sort_unstable_by(f64::total_cmp);
                let (mut low, mut high) = (unclicked.as_slice(), clicked.as_slice());
                // Compare with `<`, not by bits, so that 0.0 and -0.0 tie.
                while let Some(min) = first_of_both(low, high) {
                    pairs.add(take_equal(&mut low, min), take_equal(&mut high, min));
                }
            }
        }
        pairs.auc()
    }
}

/// Pairs of a clicked and an unclicked row, counted over rows with rising logits. The importance of a pair is the
/// product of the importance of its rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pairs {
    /// Twice the pairs in the right order, plus the tied pairs. If all rows are equally important, this is a whole
    /// number: exact below 2^53 and rounded above, which is accurate enough for a ratio.
    double_wins: f64,
    unclicked: f64,
    clicked: f64,
}

impl Pairs {
    /// Adds rows with one logit, which must be higher than all previous ones.
    pub(super) fn add(&mut self, unclicked: f64, clicked: f64) {
        self.double_wins += clicked * (2.0 * self.unclicked + unclicked);
        self.unclicked += unclicked;
        self.clicked += clicked;
    }

    /// Returns the AUC; `None` if no row or every row was clicked.
    pub(super) fn auc(&self) -> Option<f64> {
        let double_pairs = 2.0 * self.unclicked * self.clicked;
        (double_pairs > 0.0).then(|| self.double_wins / double_pairs)
    }
}

fn first_of_both(low: &[f64], high: &[f64]) -> Option<f64> {
    match (low.first(), high.first()) {
        (Some(&one), Some(&other)) => Some(if other < one { other } else { one }),
        (one, other) => one.or(other).copied(),
    }
}

/// Removes the logits that are not above `min` from the front and counts them. NaN is never above anything, so it
/// cannot stop the loop.
fn take_equal(logits: &mut &[f64], min: f64) -> f64 {
    let count = logits.iter().take_while(|&&logit| logit.partial_cmp(&min) != Some(Ordering::Greater)).count();
    *logits = &logits[count..];
    count as f64
}

#[inline]
fn bin(logit: f64) -> usize {
    let shifted = (logit + MAX_LOGIT) * f64::from(HISTOGRAM_BINS_PER_LOGIT);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at 0, NaN becomes 0")]
    let bin = shifted as usize;
    bin.min(BIN_COUNT - 1)
}

/// The rows that have a user. The AUC within users needs the rows of each user together, so it is the only metric whose
/// memory grows with the number of rows: 9 bytes per row, 8 more with an importance, 4 more for each weight file, and 8
/// during sorting.
#[derive(Debug, Default)]
pub(super) struct UserRows {
    users: Vec<u64>,
    clicked: Vec<bool>,
    /// The importance of each row; empty if each counts once.
    importance: Vec<f64>,
    /// The probabilities, by weight file and by row.
    probabilities: Vec<Vec<f32>>,
}

impl UserRows {
    pub(super) fn new(model_count: usize) -> Self {
        Self { probabilities: vec![Vec::new(); model_count], ..Self::default() }
    }

    /// Adds a row of the user with this hash: the probabilities of all weight files.
    /// Either each row has an importance, or none.
    pub(super) fn add(&mut self, user: u64, clicked: bool, importance: Option<f64>, probabilities: &[f32]) {
        self.users.push(user);
        self.clicked.push(clicked);
        self.importance.extend(importance);
        for (column, &probability) in self.probabilities.iter_mut().zip(probabilities) {
            column.push(probability);
        }
    }

    /// Returns the AUC of each weight file; `None` if no user has both kinds of rows.
    pub(super) fn aucs(&self) -> Vec<Option<UserAuc>> {
        let mut order: Vec<usize> = (0..self.users.len()).collect();
        order.sort_unstable_by_key(|&row| (self.users[row], row));
        let users = || order.chunk_by(|&one, &other| self.users[one] == self.users[other]);
        self.probabilities.iter().map(|probabilities| self.mean(users(), probabilities)).collect()
    }

    fn mean<'a>(&self, users: impl Iterator<Item = &'a [usize]>, probabilities: &[f32]) -> Option<UserAuc> {
        let mut mean = UserAuc { by_impressions: 0.0, by_clicks: 0.0, users: 0, impressions: 0 };
        let (mut impressions, mut clicks, mut rows) = (0.0, 0.0, Vec::new());
        for user in users {
            rows.clear();
            let importance = |row: usize| self.importance.get(row).copied().unwrap_or(1.0);
            rows.extend(user.iter().map(|&row| (probabilities[row], self.clicked[row], importance(row))));
            let Some((auc, [unclicked, clicked])) = auc(&mut rows) else { continue };
            mean.users += 1;
            mean.impressions += rows.len() as u64;
            impressions += unclicked + clicked;
            clicks += clicked;
            mean.by_impressions += auc * (unclicked + clicked);
            mean.by_clicks += auc * clicked;
        }
        if mean.users == 0 {
            return None;
        }
        mean.by_impressions /= impressions;
        mean.by_clicks /= clicks;
        Some(mean)
    }
}

/// Returns the AUC of rows with probability, label and importance, and the importance of those without and with a
/// click. `None` if no row or every row was clicked.
fn auc(rows: &mut [(f32, bool, f64)]) -> Option<(f64, [f64; 2])> {
    rows.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let mut pairs = Pairs::default();
    for equal in rows.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
        let sum = |of: bool| equal.iter().filter(|row| row.1 == of).map(|row| row.2).sum::<f64>();
        pairs.add(sum(false), sum(true));
    }
    Some((pairs.auc()?, [pairs.unclicked, pairs.clicked]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auc(mut ranks: Ranks, rows: &[(f64, bool)]) -> Option<f64> {
        for &(logit, clicked) in rows {
            ranks.add(logit, clicked, 1.0);
        }
        ranks.auc()
    }

    #[test]
    fn ordered_pairs_count_one_and_ties_count_half() {
        // Clicked 1.0 and 3.0 against unclicked 0.0, 1.0, 2.0: (win + tie + loss) + 3 wins = 4.5 of 6.
        let rows = [(1.0, true), (3.0, true), (0.0, false), (1.0, false), (2.0, false)];
        assert_eq!(auc(Ranks::exact(), &rows), Some(4.5 / 6.0));
        assert_eq!(auc(Ranks::histogram(), &rows), Some(4.5 / 6.0));
    }

    #[test]
    fn rows_of_one_kind_have_no_auc() {
        for ranks in [Ranks::exact(), Ranks::histogram()] {
            assert_eq!(auc(ranks.clone(), &[]), None);
            assert_eq!(auc(ranks.clone(), &[(1.0, true)]), None);
            assert_eq!(auc(ranks, &[(1.0, false), (2.0, false)]), None);
        }
    }

    #[test]
    fn a_row_of_importance_three_counts_as_three_rows() {
        let (mut once, mut thrice) = (Ranks::histogram(), Ranks::histogram());
        for (logit, clicked, importance) in [(0.0, false, 3.0), (1.0, true, 1.0), (1.0, false, 3.0), (-1.0, true, 1.0)]
        {
            once.add(logit, clicked, importance);
            (0..if importance == 3.0 { 3 } else { 1 }).for_each(|_| thrice.add(logit, clicked, 1.0));
        }
        // Clicked 1.0: three wins and three ties of six. Clicked -1.0: no wins.
        assert_eq!(once.auc(), Some(4.5 / 12.0));
        assert_eq!(thrice.auc(), once.auc());
    }

    #[test]
    fn zeros_of_both_signs_tie() {
        assert_eq!(auc(Ranks::exact(), &[(0.0, false), (-0.0, true)]), Some(0.5));
    }

    #[test]
    fn the_histogram_is_close_to_the_exact_form_and_accepts_any_logit() {
        let mut rows = vec![(1e300, true), (-1e300, false), (f64::INFINITY, false), (f64::NEG_INFINITY, true)];
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let uniform = (state >> 11) as f64 / (1_u64 << 53) as f64;
            rows.push((uniform * 6.0 - 4.0, state & 0x7 < u64::from(uniform > 0.5) * 3 + 1));
        }
        let exact = auc(Ranks::exact(), &rows).unwrap();
        let bounded = auc(Ranks::histogram(), &rows).unwrap();
        assert!((exact - bounded).abs() < 1e-5, "{exact} {bounded}");
    }

    #[test]
    fn users_with_both_kinds_of_rows_count_by_impressions_or_clicks() {
        let mut rows = UserRows::new(2);
        // For user 7, the first model ranks one of two pairs correctly and ties the other; the second ranks both
        // wrongly.
        rows.add(7, true, None, &[0.5, 0.1]);
        rows.add(9, true, None, &[0.9, 0.9]);
        rows.add(7, false, None, &[0.1, 0.2]);
        rows.add(7, false, None, &[0.5, 0.3]);
        // For user 8, both models rank all four pairs correctly.
        for (clicked, probability) in [(true, 0.8), (true, 0.7), (false, 0.1), (false, 0.2)] {
            rows.add(8, clicked, None, &[probability, probability]);
        }
        let aucs = rows.aucs();
        let first = aucs[0].unwrap();
        assert_eq!((first.users, first.impressions), (2, 7));
        assert!((first.by_impressions - (0.75 * 3.0 + 4.0) / 7.0).abs() < 1e-12);
        assert!((first.by_clicks - (0.75 + 2.0) / 3.0).abs() < 1e-12);
        let second = aucs[1].unwrap();
        assert!((second.by_impressions - 4.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn without_a_user_of_both_kinds_there_is_no_auc() {
        let mut rows = UserRows::new(1);
        assert_eq!(rows.aucs(), [None]);
        rows.add(1, true, None, &[0.5]);
        rows.add(2, false, None, &[0.5]);
        assert_eq!(rows.aucs(), [None]);
    }
}
