//! Continues training from a training state.

use std::collections::HashMap;
use std::path::Path;

use crate::learn::optimizer::Coordinate;
use crate::learn::start::{decayed, digest, refuse_start, share_of, share_of_bias};
use crate::learn::state::{Difference, Start, StateReader, StateRow};
use crate::learn::table::{FeatureCounts, NEVER_US};
use crate::learn::{Sampling, Settings, StartAccount, TrainError};
use omomi::contract::Contract;

use super::Trainer;

impl Trainer {
    /// Creates a model from the training state `start`. The model will learn the rows that `sampling` keeps.
    ///
    /// `z` and `d` of the bias and of each feature are multiplied by `decay`, which is above 0 and at most 1. `d` never
    /// falls below `beta / alpha`, its value for an unseen feature. The run then takes one of `shares` equal
    /// [shares](crate::learn::StartOptions#shares) of the evidence; 1 means all of it. The squared gradients follow
    /// from `d`: `n = (alpha d - beta)^2`.
    ///
    /// Decay changes neither the counts of a feature nor the time when it was last seen. They say on how many rows the
    /// model was built, and the thresholds of pruning rely on that. The weight rule of `start` is dropped: its
    /// thresholds and recalibration belong to the weights that were served, not to what was learned.
    ///
    /// # Errors
    ///
    /// * [`TrainError::Setting`] if a setting, the sampling rate, `decay` or `shares` is out of bounds.
    /// * [`TrainError::State`] if `start` cannot be read.
    /// * [`TrainError::StartDiffers`] if `start` has another contract or other settings.
    /// * [`TrainError::StartIsPruned`] or [`TrainError::StartOfFinishedWeights`] if its `z` is not what was learned.
    /// * [`TrainError::TooManyFeatures`] if `start` has more features than one process can hold.
    pub fn resume(
        contract: &Contract,
        settings: Settings,
        sampling: Sampling,
        start: &Path,
        decay: f64,
        shares: u32,
    ) -> Result<Self, TrainError> {
        let mut trainer = Self::with_sampling(contract, settings, sampling)?;
        if !(decay > 0.0 && decay <= 1.0) {
            return Err(TrainError::Setting { name: "decay", expected: "above 0 and at most 1", found: decay });
        }
        if shares == 0 {
            return Err(TrainError::Setting { name: "start_shares", expected: "at least 1", found: 0.0 });
        }
        let digest = digest(start)?;
        let mut reader = StateReader::open(start)?;
        let metadata = reader.metadata();
        if let Some(difference) = Difference::between(&trainer.metadata(), metadata) {
            return Err(TrainError::StartDiffers { path: start.to_owned(), difference });
        }
        refuse_start(start, metadata)?;
        trainer.start = Some(StartAccount {
            path: start.to_owned(),
            digest,
            window_us: metadata.window_us,
            rows: metadata.rows,
            decay,
            shares,
        });
        let names = trainer.indexer.groups.iter().map(|group| group.name.clone());
        let groups: HashMap<String, u16> = names.zip(0..).collect();
        while let Some(batch) = reader.next_batch()? {
            for row in batch.rows() {
                let (z, d) = decayed(row.z, row.d, decay, &settings);
                let (z, d) = if row.is_bias() {
                    share_of_bias(z, d, shares, &settings)
                } else {
                    share_of(z, d, shares, &settings)
                };
                let coordinate = Coordinate { z, n: settings.squared_gradients(d) };
                if row.is_bias() {
                    (trainer.bias, trainer.indexer.totals) = (coordinate, counts(&row));
                    trainer.has_bias = true;
                } else {
                    // The reader has checked that the contract has the field.
                    let (group, counts) = (groups[row.field], counts(&row));
                    trainer.indexer.table.insert_known(row.key, group, row.category, coordinate, counts)?;
                }
            }
        }
        Ok(trainer)
    }

    /// Returns the state that this training continues from, or `None` if it trains from scratch.
    #[must_use]
    pub fn start(&self) -> Option<&StartAccount> {
        self.start.as_ref()
    }
}

impl From<&StartAccount> for Start {
    fn from(account: &StartAccount) -> Self {
        Self { digest: account.digest, decay: account.decay, shares: account.shares }
    }
}

fn counts(row: &StateRow<'_>) -> FeatureCounts {
    FeatureCounts {
        impressions: row.impressions as f64,
        clicks: row.clicks as f64,
        last_seen_us: row.last_seen_us.unwrap_or(NEVER_US),
    }
}
