//! Means and covariances of sums per unit, and the variance of what is computed from the means.

/// The number of units, and the means and covariances of their sums.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    unit_count: u64,
    means: Vec<f64>,
    /// Sums of the products of the distances from the means, row by row; the upper triangle only.
    products: Vec<f64>,
}

impl Moments {
    pub(super) fn new(width: usize) -> Self {
        Self { unit_count: 0, means: vec![0.0; width], products: vec![0.0; width * width] }
    }

    /// Adds a unit (Welford's update, which does not cancel).
    pub(super) fn add(&mut self, sums: &[f64]) {
        debug_assert_eq!(sums.len(), self.means.len(), "one sum for each mean");
        self.unit_count += 1;
        let (count, width) = (self.unit_count as f64, self.means.len());
        for row in 0..width {
            let before = sums[row] - self.means[row];
            // Most sums of most units are 0, and so are most means before the first click.
            if before == 0.0 {
                continue;
            }
            let scaled = before * (count - 1.0) / count;
            let products = &mut self.products[row * width..(row + 1) * width];
            // The means from `row` on are those before this unit.
            for column in row..width {
                products[column] += scaled * (sums[column] - self.means[column]);
            }
        }
        for (mean, sum) in self.means.iter_mut().zip(sums) {
            *mean += (sum - *mean) / count;
        }
    }

    pub(super) const fn unit_count(&self) -> u64 {
        self.unit_count
    }

    pub(super) fn means(&self) -> &[f64] {
        &self.means
    }

    /// Returns the sum over all units of the sum at `index`.
    pub(super) fn total(&self, index: usize) -> f64 {
        self.means[index] * self.unit_count as f64
    }

    /// Returns the covariance of two linear combinations of the sums over units; `None` with fewer than two units.
    pub(super) fn covariance(&self, one: &[f64], other: &[f64]) -> Option<f64> {
        if self.unit_count < 2 {
            return None;
        }
        let width = self.means.len();
        let mut total = 0.0;
        for row in (0..width).filter(|&row| one[row] != 0.0) {
            for column in (0..width).filter(|&column| other[column] != 0.0) {
                let (low, high) = (row.min(column), row.max(column));
                total += one[row] * other[column] * self.products[low * width + high];
            }
        }
        Some(total / (self.unit_count - 1) as f64)
    }

    /// Returns the variance of the value whose gradient at the means is `gradient` (the delta method).
    pub(super) fn variance_of_value(&self, gradient: &[f64]) -> Option<f64> {
        // Rounding can leave a variance of 0 slightly below it.
        Some((self.covariance(gradient, gradient)? / self.unit_count as f64).max(0.0))
    }

    /// Returns the moments of the units of both.
    pub(super) fn merged(&self, other: &Self) -> Self {
        let width = self.means.len();
        let (one, two) = (self.unit_count as f64, other.unit_count as f64);
        let all = one + two;
        if all == 0.0 {
            return self.clone();
        }
        let gap: Vec<f64> = self.means.iter().zip(&other.means).map(|(one, other)| other - one).collect();
        let means = self.means.iter().zip(&gap).map(|(mean, gap)| mean + gap * two / all).collect();
        let mut products = vec![0.0; width * width];
        for row in 0..width {
            for column in row..width {
                let place = row * width + column;
                let between = gap[row] * gap[column] * one * two / all;
                products[place] = self.products[place] + other.products[place] + between;
            }
        }
        Self { unit_count: self.unit_count + other.unit_count, means, products }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_covariances_are_those_of_the_definition_in_any_split() {
        let units = [[1.0, 0.0, 3.0], [2.0, 1.0, 0.0], [0.0, 0.0, 5.0], [4.0, 2.0, 1.0]];
        let of = |units: &[[f64; 3]]| {
            let mut moments = Moments::new(3);
            units.iter().for_each(|unit| moments.add(unit));
            moments
        };
        let mean = |index: usize| units.iter().map(|unit| unit[index]).sum::<f64>() / 4.0;
        let (one, other) = ([1.0, -0.5, 0.0], [0.0, 2.0, 1.0]);
        let combined = |unit: &[f64; 3], factors: &[f64; 3]| {
            (0..3).map(|index| factors[index] * (unit[index] - mean(index))).sum::<f64>()
        };
        let expected = units.iter().map(|unit| combined(unit, &one) * combined(unit, &other)).sum::<f64>() / 3.0;
        for split in 0..=4 {
            let moments = of(&units[..split]).merged(&of(&units[split..]));
            assert_eq!(moments.unit_count(), 4);
            assert!((moments.covariance(&one, &other).unwrap() - expected).abs() < 1e-12, "{split}");
            assert!((moments.total(2) - 9.0).abs() < 1e-12);
        }
        assert_eq!(of(&units[..1]).covariance(&one, &one), None, "one unit has no variance");
    }
}
