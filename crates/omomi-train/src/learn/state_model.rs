//! Predicts log rows with a training state. The steps between training and packing (recalibration, thresholds) use it,
//! because no weight file exists yet.

use std::path::Path;

use crate::log::RowBatch;

use super::chunk_features::{ChunkFeatures, UNSEEN};
use super::feature_table::FeatureGroup;
use super::key_index::{KeyIndex, MAX_KEYS};
use super::row_indexer::CHUNK_ROW_COUNT;
use super::state::{Metadata, StateReader, UNSEEN_FIELD};
use super::{TrainError, WeightRule};

/// The features of a training state, numbered from 0 by ascending key, and their weights under a [`WeightRule`].
///
/// Takes about 50 bytes of memory per feature. Categories are not kept.
#[derive(Debug)]
pub struct StateModel {
    metadata: Metadata,
    groups: Vec<FeatureGroup>,
    index: KeyIndex,
    features: Vec<StateFeature>,
    /// What fields add without a weight of their own, in contract order; empty if the state does not say.
    defaults: Vec<StateDefaults>,
    weights: Vec<f64>,
    /// `z` and `d` of the bias.
    bias: (f64, f64),
    bias_weight: f64,
}

/// The defaults of the unseen categories and the missing values of a field in a state: `z` and `d` of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateDefaults {
    /// Of unseen categories.
    pub unseen: (f64, f64),
    /// Of missing values.
    pub missing: (f64, f64),
}

impl StateDefaults {
    /// Nothing was learned, so nothing is added.
    const NONE: Self = Self { unseen: (0.0, 1.0), missing: (0.0, 1.0) };

    /// Returns the weights by `rule`: of unseen categories, and of missing values.
    #[must_use]
    pub fn weights(&self, rule: &WeightRule) -> [f64; 2] {
        [self.unseen, self.missing].map(|(z, d)| rule.default_weight(z, d))
    }
}

/// One feature of a state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateFeature {
    /// Sum of the gradients, minus the steps taken.
    pub z: f64,
    /// Curvature.
    pub d: f64,
    /// Number of rows that had the feature.
    pub impressions: u64,
    /// Index of its feature group: the index of its field in the contract, or the number of fields plus the index of
    /// its cross.
    pub group: u16,
}

impl StateModel {
    /// Reads the training state `path`. Its weights follow its own weight rule.
    ///
    /// # Errors
    ///
    /// Returns [`TrainError::State`] if the state cannot be read, or [`TrainError::TooManyFeatures`] if it has more
    /// features than one process can hold.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, TrainError> {
        let path = path.as_ref();
        let mut reader = StateReader::open(path)?;
        let metadata = reader.metadata().clone();
        let mut model = Self {
            groups: FeatureGroup::list(&metadata.contract),
            index: KeyIndex::new(),
            features: Vec::new(),
            defaults: Vec::new(),
            weights: Vec::new(),
            bias: (0.0, 1.0),
            bias_weight: 0.0,
            metadata,
        };
        while let Some(batch) = reader.next_batch()? {
            for row in batch.rows() {
                if row.is_bias() {
                    model.bias = (row.z, row.d);
                    continue;
                }
                if row.is_default() {
                    let fields = model.metadata.contract.fields();
                    model.defaults.resize(fields.len(), StateDefaults::NONE);
                    // The reader has checked that the contract has the field.
                    let field = fields.iter().position(|field| field.name == row.category);
                    let defaults = &mut model.defaults[field.expect("a field of the contract")];
                    let place = if row.field == UNSEEN_FIELD { &mut defaults.unseen } else { &mut defaults.missing };
                    *place = (row.z, row.d);
                    continue;
                }
                if model.features.len() == MAX_KEYS {
                    return Err(TrainError::TooManyFeatures { limit: MAX_KEYS });
                }
                // The reader has checked that the contract has the field.
                let group = (0..).zip(&model.groups).find(|(_, group)| group.name == row.field);
                let (group, _) = group.expect("a field or cross of the contract");
                model.index.insert(row.key);
                model.features.push(StateFeature { z: row.z, d: row.d, impressions: row.impressions, group });
            }
        }
        let rule = model.metadata.weight_rule;
        model.follow(rule);
        Ok(model)
    }

    /// Returns the metadata of the state. Its weight rule is the one that the weights follow now.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Recomputes all weights by `rule`.
    pub fn follow(&mut self, rule: WeightRule) {
        self.metadata.weight_rule = rule;
        self.bias_weight = rule.bias_weight(self.bias.0, self.bias.1);
        let own = self.features.iter().map(|feature| rule.feature_weight(feature.z, feature.d)).collect();
        self.weights = self.served_weights(own);
    }

    /// Returns what the fields add without a weight of their own, in contract order; empty if they add 0.
    #[must_use]
    pub fn defaults(&self) -> &[StateDefaults] {
        &self.defaults
    }

    /// Returns the weight of unseen features of a group by the rule of the state.
    #[must_use]
    pub fn unseen_weight(&self, group: u16) -> f64 {
        let defaults = self.defaults.get(usize::from(group));
        defaults.map_or(0.0, |defaults| defaults.weights(&self.metadata.weight_rule)[0])
    }

    /// Returns what a server adds for each number of [`each_row`](Self::each_row), if `weights` are those of the
    /// features, and a feature whose weight is 0 is left out of the file: then it is unseen.
    #[must_use]
    pub fn served_weights(&self, mut weights: Vec<f64>) -> Vec<f64> {
        let rule = self.metadata.weight_rule;
        let defaults: Vec<[f64; 2]> = self.defaults.iter().map(|defaults| defaults.weights(&rule)).collect();
        for (weight, feature) in weights.iter_mut().zip(&self.features).filter(|(weight, _)| **weight == 0.0) {
            *weight = defaults.get(usize::from(feature.group)).map_or(0.0, |[unseen, _]| *unseen);
        }
        weights.extend(defaults.iter().flatten());
        weights
    }

    /// Returns the group of a number of [`each_row`](Self::each_row).
    #[must_use]
    pub fn group_of(&self, number: u32) -> u16 {
        match self.features.get(number as usize) {
            Some(feature) => feature.group,
            // Two numbers follow for each field.
            None => u16::try_from((number as usize - self.features.len()) / 2).expect("there are few fields"),
        }
    }

    /// Returns the features, by number.
    #[must_use]
    pub fn features(&self) -> &[StateFeature] {
        &self.features
    }

    /// Returns what a server adds for each number of [`each_row`](Self::each_row).
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Returns the weight of the bias.
    #[must_use]
    pub const fn bias_weight(&self) -> f64 {
        self.bias_weight
    }

    /// Calls `visit` with the logit of each row and whether it was clicked. Unseen categories and missing values add
    /// their default weights.
    ///
    /// `batch` must have been read with the contract of the state.
    pub fn predict(&self, batch: &RowBatch, mut visit: impl FnMut(f64, bool)) {
        self.each_row(batch, |numbers, clicked| {
            let logit = numbers.iter().fold(self.bias_weight, |logit, &number| logit + self.weights[number as usize]);
            visit(logit, clicked);
        });
    }

    /// Calls `visit` for each row with the numbers of its features, in contract order, and whether it was clicked. If
    /// the state has [defaults](Self::defaults), two numbers for each field follow after those of the features: one
    /// for each unseen category, and one for the missing value. Other features that the state does not have are
    /// left out.
    ///
    /// `batch` must have been read with the contract of the state.
    pub fn each_row(&self, batch: &RowBatch, mut visit: impl FnMut(&[u32], bool)) {
        let (mut chunk, mut numbers) = (ChunkFeatures::default(), Vec::new());
        let group_count = self.groups.iter().filter(|group| !group.is_default()).count();
        let mut start = 0;
        while start < batch.row_count() {
            let rows = start..batch.row_count().min(start + CHUNK_ROW_COUNT);
            start = rows.end;
            chunk.find(&self.groups, &self.index, batch, &rows);
            for (row, &clicked) in batch.clicked[rows].iter().enumerate() {
                numbers.clear();
                let mut fields_seen = 0_u128;
                chunk.visit_row(row, |group, number| {
                    fields_seen |= 1_u128.checked_shl(narrow(group)).unwrap_or(0);
                    if group >= group_count {
                        // The defaults of missing values have numbers of their own here.
                    } else if number != UNSEEN {
                        numbers.push(number);
                    } else if group < self.defaults.len() {
                        numbers.push(narrow(self.features.len() + 2 * group));
                    }
                });
                let missing = (0..self.defaults.len()).filter(|&field| fields_seen >> field & 1 == 0);
                numbers.extend(missing.map(|field| narrow(self.features.len() + 2 * field + 1)));
                visit(&numbers, clicked);
            }
        }
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("features have numbers of 32 bits")
}
