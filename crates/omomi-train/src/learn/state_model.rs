//! A training state held ready to predict log rows: for what is chosen between training and packing (recalibration,
//! thresholds), where no weight file exists yet.

use std::path::Path;

use crate::log::RowBatch;

use super::key_index::{KeyIndex, MAX_KEYS};
use super::row_indexer::CHUNK_ROW_COUNT;
use super::feature_groups::{ChunkFeatures, FeatureGroup, UNSEEN};
use super::state::{Metadata, StateReader};
use super::{TrainError, WeightRule};

/// The features of a training state, numbered from 0 by rising key, and their weights under a [`WeightRule`].
///
/// Memory: some 50 bytes a feature. Categories are not held.
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

/// What a state knows of one feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateFeature {
    /// Sum of the gradients less the steps taken.
    pub z: f64,
    /// Curvature.
    pub d: f64,
    /// Rows that had the feature.
    pub impressions: u64,
    /// Index of its field among the contract's fields, or the number of fields and the index of its cross.
    pub group: u16,
}

impl StateModel {
    /// Reads the training state `path`; its weights are those of its own weight rule.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`], or [`TrainError::TooManyFeatures`] for more than fit here.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
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

    /// What the state says about itself. Its weight rule is the one that the weights follow now.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// From now on all weights follow `rule`.
    pub fn follow(&mut self, rule: WeightRule) {
        self.metadata.weight_rule = rule;
        self.bias_weight = rule.bias_weight(self.bias.0, self.bias.1);
        self.weights.clear();
        self.weights.extend(self.features.iter().map(|feature| rule.feature_weight(feature.z, feature.d)));
    }

    /// The features, by number.
    #[must_use]
    pub fn features(&self) -> &[StateFeature] {
        &self.features
    }

    /// The weights of the features, by number.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The weight of the bias.
    #[must_use]
    pub const fn bias_weight(&self) -> f64 {
        self.bias_weight
    }

    /// Calls `visit` with each row's logit and whether it was clicked. Unseen categories add 0.
    ///
    /// `batch` must be of the state's contract.
    pub fn predict(&self, batch: &RowBatch, mut visit: impl FnMut(f64, bool)) {
        self.each_row(batch, |numbers, clicked| {
            let logit = numbers.iter().fold(self.bias_weight, |logit, &number| logit + self.weights[number as usize]);
            visit(logit, clicked);
        });
    }

    /// Calls `visit` with the numbers of each row's features that the state has, in contract order, and whether the row
    /// was clicked.
    ///
    /// `batch` must be of the state's contract.
    pub fn each_row(&self, batch: &RowBatch, mut visit: impl FnMut(&[u32], bool)) {
        let (mut chunk, mut numbers) = (ChunkFeatures::default(), Vec::new());
        let mut start = 0;
        while start < batch.row_count() {
            let rows = start..batch.row_count().min(start + CHUNK_ROW_COUNT);
            start = rows.end;
            chunk.find(&self.groups, &self.index, batch, &rows);
            for (row, &clicked) in batch.clicked[rows].iter().enumerate() {
                numbers.clear();
                chunk.of_row(row, |number| {
                    if number != UNSEEN {
                        numbers.push(number);
                    }
                });
                visit(&numbers, clicked);
            }
        }
    }
}
