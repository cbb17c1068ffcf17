//! Continues training from a training state.

use std::collections::HashMap;
use std::path::Path;

use crate::learn::feature_table::{FeatureCounts, NEVER_US};
use crate::learn::optimizer::Coordinate;
use crate::learn::start_state::{DAY_US, decayed, digest, refuse_start, share_of, share_of_bias, share_of_default};
use crate::learn::state::{Difference, Start, StateReader, StateRow};
use crate::learn::unseen::UnseenCounter;
use crate::learn::{Sampling, Settings, StartAccount, StartOptions, TrainError};
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
        start: impl AsRef<Path>,
        decay: f64,
        shares: u32,
    ) -> Result<Self, TrainError> {
        let start = start.as_ref();
        let options = StartOptions {
            state: start.to_owned(),
            decay_per_day: 1.0,
            age_days: None,
            forget_unseen_days: None,
            shares,
        };
        Self::resume_recent(contract, settings, sampling, &options, decay)
    }

    /// Creates a model like [`resume`](Self::resume), without the features that no row has had for
    /// [`forget_unseen_days`](StartOptions::forget_unseen_days) before the end of the state.
    pub(in crate::learn) fn resume_recent(
        contract: &Contract,
        settings: Settings,
        sampling: Sampling,
        options: &StartOptions,
        decay: f64,
    ) -> Result<Self, TrainError> {
        let StartOptions { state: start, forget_unseen_days, shares, .. } = options;
        let shares = *shares;
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
            return Err(TrainError::StartDiffers { path: start.clone(), difference });
        }
        refuse_start(start, metadata)?;
        trainer.start = Some(StartAccount {
            path: start.clone(),
            digest,
            window_us: metadata.window_us,
            rows: metadata.rows,
            effective_rows: metadata.effective_rows,
            decay,
            shares,
            forgotten: 0,
            dropped_recalibration: Some((metadata.weight_rule.scale, metadata.weight_rule.shift))
                .filter(|&rule| rule != (1.0, 0.0)),
        });
        let end_us = metadata.window_us.map(|(_, end_us)| end_us);
        #[expect(clippy::cast_possible_truncation, reason = "saturates, like the subtraction")]
        let oldest_us =
            forget_unseen_days.zip(end_us).map(|(days, end_us)| end_us.saturating_sub((days * DAY_US) as i64));
        let mut forgotten = 0;
        trainer.lineage.clone_from(&metadata.lineage);
        trainer.importance_column.clone_from(&metadata.importance_column);
        trainer.log_dialect = metadata.log_dialect;
        let names = trainer.indexer.groups.iter().map(|group| group.name.clone());
        let groups: HashMap<String, u16> = names.zip(0..).collect();
        while let Some(batch) = reader.next_batch()? {
            for row in batch.rows() {
                let is_old = oldest_us.zip(row.last_seen_us).is_some_and(|(oldest_us, seen_us)| seen_us < oldest_us);
                if is_old && !row.is_bias() && !row.is_default() {
                    forgotten += 1;
                    continue;
                }
                let (z, d) = decayed(row.z, row.d, decay, &settings);
                let (z, d) = if row.is_bias() {
                    share_of_bias(z, d, shares, &settings)
                } else if row.is_default() {
                    share_of_default(z, d, shares, &settings)
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
        if let Some(start) = &mut trainer.start {
            start.forgotten = forgotten;
        }
        trainer.indexer.unseen = Some(UnseenCounter::new(contract, trainer.indexer.table.len()));
        trainer.known = trainer.indexer.known();
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

#[cfg(test)]
mod tests {
    use super::super::tests::{SETTINGS, batch, contract, random_rows, written};
    use super::*;
    use crate::learn::WeightRule;
    use crate::learn::state::test_rows::OwnedRow;
    use crate::learn::state::{Metadata, StateWriter};
    use omomi::store::Digest;

    fn state_of(rows: std::ops::Range<usize>, first_time_us: Option<i64>) -> (tempfile::TempDir, std::path::PathBuf) {
        let mut trainer = Trainer::new(&contract(), SETTINGS).unwrap();
        trainer.learn(&batch(&random_rows(3_000, 7)[rows], first_time_us)).unwrap();
        written(&trainer, "state.parquet")
    }

    #[test]
    fn stopping_and_resuming_is_the_same_as_never_stopping() {
        let rows = random_rows(3_000, 7);
        let mut whole = Trainer::new(&contract(), SETTINGS).unwrap();
        whole.learn(&batch(&rows[..1_200], Some(0))).unwrap();
        whole.learn(&batch(&rows[1_200..], Some(1_200))).unwrap();
        let (_whole_folder, whole) = written(&whole, "state.parquet");

        let (_start_folder, start) = state_of(0..1_200, Some(0));
        let mut resumed = Trainer::resume(&contract(), SETTINGS, Sampling::default(), &start, 1.0, 1).unwrap();
        resumed.learn(&batch(&rows[1_200..], Some(1_200))).unwrap();
        assert_eq!((resumed.window_us(), resumed.lineage_us()), (Some((1_200, 2_999)), Some((0, 2_999))));
        assert_eq!(resumed.progressive_metrics().impressions, 1_800);
        let (_resumed_folder, resumed) = written(&resumed, "state.parquet");

        let (expected, found) = (OwnedRow::all(&whole), OwnedRow::all(&resumed));
        assert_eq!(expected.len(), found.len());
        for (expected, found) in expected.iter().zip(&found) {
            // Texts from the start state and from the log are in one table, with the same escapes.
            assert_eq!((&expected.name, expected.counts()), (&found.name, found.counts()));
            // n is computed from d, so the last bits differ.
            assert!(
                (expected.z - found.z).abs() < 1e-9 && (expected.d - found.d).abs() < 1e-9,
                "{expected:?}, {found:?}"
            );
        }
        let metadata = StateReader::open(&resumed).unwrap().metadata().clone();
        assert_eq!((metadata.rows, metadata.window_us), (3_000, Some((0, 2_999))));
        let expected = Start { digest: Digest::of_file(&start).unwrap(), decay: 1.0, shares: 1 };
        assert_eq!(metadata.start, Some(expected));
    }

    #[test]
    fn decay_keeps_weights_and_counts_and_reduces_the_evidence() {
        let (_start_folder, start) = state_of(0..3_000, None);
        let resumed = Trainer::resume(&contract(), SETTINGS, Sampling::default(), &start, 0.5, 1).unwrap();
        let (_resumed_folder, resumed) = written(&resumed, "state.parquet");
        let min = SETTINGS.curvature(0.0);
        let (mut kept, mut floored) = (0, 0);
        for (before, after) in OwnedRow::all(&start).iter().zip(&OwnedRow::all(&resumed)) {
            assert_eq!((&before.name, before.counts()), (&after.name, after.counts()));
            assert_eq!(after.z, before.z * 0.5);
            if before.d * 0.5 >= min {
                assert!((after.d - before.d * 0.5).abs() < 1e-9);
                kept += 1;
            } else {
                assert_eq!(after.d, min);
                floored += 1;
            }
        }
        assert!(kept > 50 && floored > 50, "{kept}, {floored}");
    }

    #[test]
    fn a_start_with_other_settings_with_finished_weights_or_pruned_is_rejected() {
        let (folder, start) = state_of(0..10, None);
        let refusal = |settings, path: &Path| {
            let error =
                Trainer::resume(&contract(), settings, Sampling::default(), path, 1.0, 1).unwrap_err().to_string();
            error.replace(folder.path().to_str().unwrap(), "FOLDER")
        };
        assert_eq!(
            refusal(Settings { l1: 0.25, ..SETTINGS }, &start),
            "cannot continue from FOLDER/state.parquet: its l1 is 0.3, expected 0.25; train with the contract and \
             settings of that state, or from scratch"
        );
        let changed = |name: &str, change: &dyn Fn(Metadata) -> Metadata| {
            let mut reader = StateReader::open(&start).unwrap();
            let path = folder.path().join(name);
            let mut writer = StateWriter::create(&path, &change(reader.metadata().clone()), false).unwrap();
            for row in reader.next_batch().unwrap().unwrap().rows() {
                writer.push(&row).unwrap();
            }
            writer.finish().unwrap();
            path
        };
        let finished = changed("finished.parquet", &|metadata| Metadata {
            weight_rule: WeightRule { l1: 0.0, ..metadata.weight_rule },
            ..metadata
        });
        assert_eq!(
            refusal(SETTINGS, &finished),
            "cannot continue from FOLDER/finished.parquet: it is an average of finished weights, for comparison only; \
             average by the rule `curvature`"
        );
        let pruned = changed("pruned.parquet", &|metadata| Metadata { pruned: true, ..metadata });
        assert_eq!(
            refusal(SETTINGS, &pruned),
            "cannot continue from FOLDER/pruned.parquet: it was pruned, so part of what was learned is missing; continue \
             from the unpruned state"
        );
    }
}
