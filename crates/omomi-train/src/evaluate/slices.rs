//! Metrics of parts of the rows: of each value of a column, and of each hour. Counts of how each field is filled, and
//! of which of its categories have a weight.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_64;

use super::evaluation::{Calibration, ColumnSlices, FieldRates, HourSlice, Slice, SliceMetrics};
use super::histogram::NORMAL_95;
use super::metrics::{Totals, whole};
use crate::log::RowBatch;
use omomi::contract::Contract;
use omomi::feature::feature_key;
use omomi::score::Model;

const HOUR_US: i64 = 3_600_000_000;

/// Returns the metrics of the rows in `totals`.
fn slice_metrics(totals: &Totals, has_importance: bool) -> SliceMetrics {
    let metrics = totals.metrics(None);
    SliceMetrics {
        impressions: metrics.impressions,
        clicks: metrics.clicks,
        mean_probability: totals.mean_probability(),
        log_loss: metrics.log_loss,
        normalized_entropy: metrics.normalized_entropy,
        calibration: metrics.calibration_ratio.map(|ratio| calibration(ratio, totals.effective_clicks())),
        effective_clicks: has_importance.then(|| totals.effective_clicks()),
    }
}

/// Returns a calibration ratio over this number of effective clicks, with its interval.
pub(super) fn calibration(ratio: f64, clicks: f64) -> Calibration {
    let factor = (NORMAL_95 / clicks.sqrt()).exp();
    Calibration { ratio, low: ratio / factor, high: ratio * factor }
}

/// Totals of each weight file over the rows with one value.
type TotalsByModel = Vec<Totals>;

/// The totals of the rows by the values of one column.
#[derive(Debug)]
pub(super) struct ColumnTotals {
    column: String,
    model_count: usize,
    /// The index in `totals` of each value.
    values: HashMap<String, usize>,
    totals: Vec<TotalsByModel>,
    without_value: TotalsByModel,
    other: TotalsByModel,
}

impl ColumnTotals {
    pub(super) fn new(column: &str, model_count: usize) -> Self {
        let nothing = vec![Totals::default(); model_count];
        Self {
            column: column.to_owned(),
            model_count,
            values: HashMap::new(),
            totals: Vec::new(),
            without_value: nothing.clone(),
            other: nothing,
        }
    }

    /// Returns the totals of the rows with this value.
    pub(super) fn of(&mut self, value: Option<&str>) -> &mut [Totals] {
        let Some(value) = value else { return &mut self.without_value };
        if let Some(&index) = self.values.get(value) {
            return &mut self.totals[index];
        }
        if self.totals.len() == ColumnSlices::MAX_VALUES {
            return &mut self.other;
        }
        self.values.insert(value.to_owned(), self.totals.len());
        self.totals.push(vec![Totals::default(); self.model_count]);
        self.totals.last_mut().unwrap_or(&mut self.other)
    }

    /// Returns the slices of `model`.
    pub(super) fn slices(&self, model: usize, has_importance: bool) -> ColumnSlices {
        let values = self.values.iter().map(|(value, &index)| (Some(value.clone()), &self.totals[index]));
        let mut slices: Vec<Slice> = values
            .chain([(None, &self.without_value)])
            .filter(|(_, totals)| totals[model].has_rows())
            .map(|(value, totals)| Slice { value, metrics: slice_metrics(&totals[model], has_importance) })
            .collect();
        // Compare values last, so that the order is deterministic.
        slices.sort_by(|one, other| {
            let rank = |slice: &Slice| (slice.metrics.clicks, slice.metrics.impressions);
            rank(other).cmp(&rank(one)).then_with(|| one.value.cmp(&other.value))
        });
        let other = &self.other[model];
        let other = other.has_rows().then(|| slice_metrics(other, has_importance));
        ColumnSlices { column: self.column.clone(), slices, other }
    }
}

/// The totals of the rows by hour.
#[derive(Debug, Default)]
pub(super) struct HourTotals(BTreeMap<i64, TotalsByModel>);

impl HourTotals {
    /// Returns the totals of the rows in the hour of this time.
    pub(super) fn of(&mut self, time_us: i64, model_count: usize) -> &mut [Totals] {
        let hour = time_us.div_euclid(HOUR_US);
        self.0.entry(hour).or_insert_with(|| vec![Totals::default(); model_count])
    }

    /// Returns the hours of `model`.
    pub(super) fn slices(&self, model: usize, has_importance: bool) -> Vec<HourSlice> {
        let slice = |(hour, totals): (&i64, &TotalsByModel)| HourSlice {
            start_us: hour.saturating_mul(HOUR_US),
            metrics: slice_metrics(&totals[model], has_importance),
        };
        self.0.iter().map(slice).collect()
    }
}

/// Counts per field, for one weight file.
pub(super) struct FieldCounts {
    row_count: u64,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    seed: u64,
    categories: u64,
    unseen: u64,
    /// Of `unseen`.
    trained: u64,
    missing: u64,
    invalid_numbers: u64,
    distribution: Vec<u64>,
    distinct: Distinct,
}

/// Counts different values in bounded memory, by their smallest hashes.
struct Distinct {
    smallest: BTreeSet<u64>,
    /// Hashes that were just added, by their last bits: most values are among them.
    recent: [u64; 64],
}

impl Default for Distinct {
    fn default() -> Self {
        Self { smallest: BTreeSet::new(), recent: [0; 64] }
    }
}

impl Distinct {
    const MAX_HASHES: usize = 1_024;

    fn add(&mut self, value: u64) {
        // 0 marks an empty place among the recent ones.
        let hash = xxh3_64(&value.to_le_bytes()) | 1;
        let recent = &mut self.recent[usize::try_from(hash >> 58).unwrap_or(0)];
        if std::mem::replace(recent, hash) == hash {
            return;
        }
        if self.smallest.len() < Self::MAX_HASHES {
            self.smallest.insert(hash);
        } else if self.smallest.last().is_some_and(|&last| hash < last) && self.smallest.insert(hash) {
            self.smallest.pop_last();
        }
    }

    fn count(&self) -> u64 {
        match self.smallest.last() {
            Some(&last) if self.smallest.len() == Self::MAX_HASHES => {
                whole((Self::MAX_HASHES - 1) as f64 / (last as f64 / 2.0_f64.powi(64)))
            }
            _ => self.smallest.len() as u64,
        }
    }
}

/// Returns the part of the sketch of a distribution that a category belongs to. Neighboring numbers are in different
/// parts.
fn part_of(value: u64) -> usize {
    let mixed = (value ^ value >> 32).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (u64::BITS - FieldRates::DISTRIBUTION_LEN.ilog2())).unwrap_or(0)
}

impl FieldCounts {
    pub(super) fn new(contract: &Contract) -> Self {
        let field = |field: &omomi::contract::Field| Field {
            name: field.name.clone(),
            seed: field.seed(),
            categories: 0,
            unseen: 0,
            trained: 0,
            missing: 0,
            invalid_numbers: 0,
            distribution: vec![0; FieldRates::DISTRIBUTION_LEN],
            distinct: Distinct::default(),
        };
        Self { row_count: 0, fields: contract.fields().iter().map(field).collect() }
    }

    /// Adds rows, which have the contract of `model`. `trained` are the feature keys that training has seen.
    pub(super) fn add(&mut self, model: &Model, batch: &RowBatch, trained: Option<&HashSet<u64>>) {
        self.row_count += batch.row_count() as u64;
        let table = model.table();
        for (field, column) in self.fields.iter_mut().zip(&batch.columns) {
            for &value in &column.values {
                let key = feature_key(field.seed, value);
                if table.get(key).is_none() {
                    field.unseen += 1;
                    field.trained += u64::from(trained.is_some_and(|trained| trained.contains(&key)));
                }
                field.distribution[part_of(value)] += 1;
                field.distinct.add(value);
            }
            field.categories += column.values.len() as u64;
            field.missing += column.offsets.windows(2).filter(|ends| ends[0] == ends[1]).count() as u64;
            field.invalid_numbers += column.invalid_number_count;
        }
    }

    /// Returns the counts; `has_trained` says whether [`add`](Self::add) was told what training has seen.
    pub(super) fn rates(&self, has_trained: bool) -> Vec<FieldRates> {
        let rates = |field: &Field| FieldRates {
            field: field.name.clone(),
            categories: field.categories,
            unseen: field.unseen,
            seen_without_weight: has_trained.then_some(field.trained),
            unseen_rate: field.unseen as f64 / field.categories.max(1) as f64,
            missing: field.missing,
            missing_rate: field.missing as f64 / self.row_count.max(1) as f64,
            invalid_numbers: field.invalid_numbers,
            distinct: field.distinct.count(),
            distribution: field.distribution.clone(),
        };
        self.fields.iter().map(rates).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(totals: &mut [Totals], clicked: bool) {
        totals.iter_mut().for_each(|totals| totals.add(0.5, 0.25, clicked, 1.0));
    }

    #[test]
    fn values_are_sorted_by_clicks_then_impressions_then_text_and_missing_is_one_of_them() {
        let mut column = ColumnTotals::new("site", 1);
        for (value, clicked) in
            [(Some("b"), false), (Some("a"), false), (None, true), (Some("c"), true), (Some("c"), false)]
        {
            add(column.of(value), clicked);
        }
        let slices = column.slices(0, false);
        let order: Vec<_> = slices.slices.iter().map(|slice| slice.value.as_deref()).collect();
        assert_eq!(order, [Some("c"), None, Some("a"), Some("b")]);
        assert_eq!(slices.other, None);
        let metrics = slices.slices[0].metrics;
        assert_eq!((metrics.impressions, metrics.clicks), (2, 1));
        assert_eq!(metrics.calibration.unwrap().ratio, 0.5);
        assert_eq!(metrics.normalized_entropy.unwrap(), 0.5 / 2.0_f64.ln());
    }

    #[test]
    fn different_values_are_counted_exactly_up_to_a_thousand_and_then_estimated() {
        let count = |values: std::ops::Range<u64>| {
            let mut distinct = Distinct::default();
            values.clone().chain(values).for_each(|value| distinct.add(value));
            distinct.count()
        };
        assert_eq!([count(0..0), count(0..1), count(5..1_028)], [0, 1, 1_023]);
        for many in [2_000, 50_000] {
            let found = count(0..many) as f64 / many as f64;
            assert!((found - 1.0).abs() < 0.1, "{many}: {found}");
        }
    }

    #[test]
    fn values_beyond_the_maximum_are_one_slice() {
        let mut column = ColumnTotals::new("user", 2);
        for value in 0..ColumnSlices::MAX_VALUES + 3 {
            add(column.of(Some(&value.to_string())), false);
        }
        add(column.of(Some("0")), false);
        let slices = column.slices(1, false);
        assert_eq!(slices.slices.len(), ColumnSlices::MAX_VALUES);
        assert_eq!(slices.other.unwrap().impressions, 3);
        assert_eq!(slices.slices[0].metrics.impressions, 2);
    }

    #[test]
    fn the_interval_of_a_calibration_ratio_narrows_with_the_root_of_the_clicks() {
        // 1,600 clicks: e^(1.96 / 40).
        let found = calibration(1.1, 1_600.0);
        assert!((found.high - 1.1 * 1.050_22).abs() < 1e-5 && (found.low - 1.1 / 1.050_22).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn hours_begin_at_whole_hours_on_both_sides_of_1970() {
        let mut hours = HourTotals::default();
        for time_us in [0, HOUR_US - 1, HOUR_US, -1] {
            add(hours.of(time_us, 1), true);
        }
        let starts: Vec<_> =
            hours.slices(0, false).iter().map(|hour| (hour.start_us, hour.metrics.impressions)).collect();
        assert_eq!(starts, [(-HOUR_US, 1), (0, 2), (HOUR_US, 1)]);
    }
}
