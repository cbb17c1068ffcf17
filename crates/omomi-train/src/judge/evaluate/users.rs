//! The AUC within users. It needs the rows of each user together, so it is the only metric whose memory grows with the
//! number of rows: 9 bytes per row, 4 more for each weight file, and 8 during sorting.

use super::auc::Pairs;
use super::evaluation::UserAuc;

/// The rows that have a user.
#[derive(Debug, Default)]
pub(super) struct UserRows {
    users: Vec<u64>,
    clicked: Vec<bool>,
    /// The probabilities, by weight file and by row.
    probabilities: Vec<Vec<f32>>,
}

impl UserRows {
    pub(super) fn new(model_count: usize) -> Self {
        Self { probabilities: vec![Vec::new(); model_count], ..Self::default() }
    }

    /// Adds a row of the user with this hash: the probabilities of all weight files.
    pub(super) fn add(&mut self, user: u64, clicked: bool, probabilities: &[f32]) {
        self.users.push(user);
        self.clicked.push(clicked);
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
        let (mut clicks, mut rows) = (0_u64, Vec::new());
        for user in users {
            rows.clear();
            rows.extend(user.iter().map(|&row| (probabilities[row], self.clicked[row])));
            let Some(auc) = auc(&mut rows) else { continue };
            let user_clicks = rows.iter().filter(|(_, clicked)| *clicked).count() as u64;
            mean.users += 1;
            mean.impressions += rows.len() as u64;
            clicks += user_clicks;
            mean.by_impressions += auc * rows.len() as f64;
            mean.by_clicks += auc * user_clicks as f64;
        }
        if mean.users == 0 {
            return None;
        }
        mean.by_impressions /= mean.impressions as f64;
        mean.by_clicks /= clicks as f64;
        Some(mean)
    }
}

fn auc(rows: &mut [(f32, bool)]) -> Option<f64> {
    rows.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let mut pairs = Pairs::default();
    for equal in rows.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
        let clicked = equal.iter().filter(|(_, clicked)| *clicked).count() as u64;
        pairs.add((equal.len() as u64 - clicked) as f64, clicked as f64);
    }
    pairs.auc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_with_both_kinds_of_rows_count_by_impressions_or_clicks() {
        let mut rows = UserRows::new(2);
        // For user 7, the first model ranks one of two pairs correctly and ties the other; the second ranks both
        // wrongly.
        rows.add(7, true, &[0.5, 0.1]);
        rows.add(9, true, &[0.9, 0.9]);
        rows.add(7, false, &[0.1, 0.2]);
        rows.add(7, false, &[0.5, 0.3]);
        // For user 8, both models rank all four pairs correctly.
        for (clicked, probability) in [(true, 0.8), (true, 0.7), (false, 0.1), (false, 0.2)] {
            rows.add(8, clicked, &[probability, probability]);
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
        rows.add(1, true, &[0.5]);
        rows.add(2, false, &[0.5]);
        assert_eq!(rows.aucs(), [None]);
    }
}
