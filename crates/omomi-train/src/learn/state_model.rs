//! Predicts log rows with a training state. The steps between training and packing (recalibration, thresholds) use it,
//! because no weight file exists yet.

use std::path::Path;

use crate::log::RowBatch;

use super::chunk_features::{ChunkFeatures, UNSEEN};
use super::feature_table::FeatureGroup;
use super::key_index::{KeyIndex, MAX_KEYS};
use super::row_indexer::CHUNK_ROW_COUNT;
use super::state::{Metadata, StateReader};
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
    weights: Vec<f64>,
    /// `z` and `d` of the bias.
    bias: (f64, f64),
    bias_weight: f64,
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
        self.weights.clear();
        self.weights.extend(self.features.iter().map(|feature| rule.feature_weight(feature.z, feature.d)));
    }

    /// Returns the features, by number.
    #[must_use]
    pub fn features(&self) -> &[StateFeature] {
        &self.features
    }

    /// Returns the weights of the features, by number.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Returns the weight of the bias.
    #[must_use]
    pub const fn bias_weight(&self) -> f64 {
        self.bias_weight
    }

    /// Calls `visit` with the logit of each row and whether it was clicked. Unseen categories add 0.
    ///
    /// `batch` must have been read with the contract of the state.
    pub fn predict(&self, batch: &RowBatch, mut visit: impl FnMut(f64, bool)) {
        self.each_row(batch, |numbers, clicked| {
            let logit = numbers.iter().fold(self.bias_weight, |logit, &number| logit + self.weights[number as usize]);
            visit(logit, clicked);
        });
    }

    /// Calls `visit` for each row with the numbers of its features, in contract order, and whether it was clicked.
    /// Features that the state does not have are left out.
    ///
    /// `batch` must have been read with the contract of the state.
    pub fn each_row(&self, batch: &RowBatch, mut visit: impl FnMut(&[u32], bool)) {
        let (mut chunk, mut numbers) = (ChunkFeatures::default(), Vec::new());
        let mut start = 0;
        while start < batch.row_count() {
            let rows = start..batch.row_count().min(start + CHUNK_ROW_COUNT);
            start = rows.end;
            chunk.find(&self.groups, &self.index, batch, &rows);
            for (row, &clicked) in batch.clicked[rows].iter().enumerate() {
                numbers.clear();
                chunk.visit_row(row, |number| {
                    if number != UNSEEN {
                        numbers.push(number);
                    }
                });
                visit(&numbers, clicked);
            }
        }
    }
}
