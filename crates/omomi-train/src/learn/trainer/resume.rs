//! A trainer that goes on from a training state.

use std::collections::HashMap;
use std::path::Path;

use omomi::contract::Contract;
use crate::learn::optimizer::Coordinate;
use crate::learn::start::{decayed, digest, refuse_start, share_of, share_of_bias};
use crate::learn::state::{Difference, Start, StateReader, StateRow};
use crate::learn::table::{FeatureCounts, NEVER_US};
use crate::learn::{Sampling, Settings, StartAccount, TrainError};

use super::Trainer;

impl Trainer {
    /// A model that has learned what the training state `start` has, of which `decay`, above 0 and at most 1, is left, and
    /// will learn the rows that `sampling` keeps.
    ///
    /// `z` and `d` of each feature and of the bias are multiplied with `decay`; `d` goes no lower than where a feature
    /// starts that was never seen, `beta / alpha`. Of the rest the run takes one of so many
    /// [shares](crate::learn::StartOptions#shares), 1 for the whole. The squared gradients follow from it:
    /// `n = (alpha d - beta)^2`. Counts and the time when a feature was last seen stay as they are, whatever the decay: they say
    /// on how many rows the model was built, which is what thresholds on them ask. The start's own weight rule is left
    /// behind: thresholds and recalibration belong to the weights that were served, not to what was learned.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] where `start` cannot be read; [`TrainError::StartDiffers`] where it is of another contract or of
    /// other settings; [`TrainError::StartOfFinishedWeights`].
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
                    trainer.indexer.table.keep(row.key, groups[row.field], row.category, coordinate, counts(&row))?;
                }
            }
        }
        Ok(trainer)
    }

    /// The state from which this training goes on.
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
