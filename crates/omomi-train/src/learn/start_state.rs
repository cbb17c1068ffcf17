//! Continues from an earlier training state, the *start state*: which one, how old it is, and how much of it is kept.

use std::path::{Path, PathBuf};

use crate::log::LogReader;
use omomi::contract::Contract;
use omomi::store::Digest;

use super::state::{Metadata, StateError, StateReader};
use super::{Settings, TrainError, TrainOptions};

/// Days after which a model should be trained from scratch again. What the logs no longer say never fades completely,
/// and dead features stay in the state.
pub const LINEAGE_DAYS_LIMIT: f64 = 28.0;

pub(super) const DAY_US: f64 = 86_400e6;

/// The state that training continues from, and how much of it is kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StartOptions {
    /// The training state. Its contract and settings must be those of the run.
    pub state: PathBuf,
    /// Decay: factor for `z` and `d` per day by which the state ages, above 0 and at most 1. With 1, nothing is
    /// forgotten.
    pub decay_per_day: f64,
    /// Days of data by which the state ages in this run. `None` means the time from its last row to the last row of the
    /// logs; both need times. So a day of new rows ages the state by a day, even if the days follow each other without
    /// a gap. Runs whose states will be averaged must use the same age, so give it if their logs end at different
    /// times.
    pub age_days: Option<f64>,
    /// Features that no row has had for this number of days before the end of the state are left out, so that a state
    /// that is continued every day stays bounded: at least 0. `None` keeps all. Features of unknown age are kept.
    pub forget_unseen_days: Option<f64>,
    /// Number of runs that continue from the state in parallel, on parts of the rows, to be averaged: at least 1. Each
    /// takes its [share](StartOptions#shares) of the evidence.
    ///
    /// # Shares
    ///
    /// Suppose that every run started with all the evidence. Its steps would be small, but given enough rows it would
    /// still reach what its rows say. All runs would make that correction, and the sum of their states would contain it
    /// once per run. Therefore each run starts with the whole weight, but only with its share of the evidence. The
    /// evidence is the curvature above that of an unseen feature. Such runs can be averaged like runs from scratch. A
    /// rare feature has hardly any evidence to share, and what the runs add to it is summed, as it should be.
    pub shares: u32,
}

impl StartOptions {
    /// Returns options for one run that forgets nothing and keeps all features.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self { state: state.into(), decay_per_day: 1.0, age_days: None, forget_unseen_days: None, shares: 1 }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// The state that a run continued from.
#[derive(Debug, Clone, PartialEq)]
pub struct StartAccount {
    /// File of the state.
    pub path: PathBuf,
    /// Digest of the file.
    pub digest: Digest,
    /// Times of the first and the last row that the state learned, including those of its own start state, in
    /// microseconds since 1970-01-01 UTC; `None` if they are unknown.
    pub window_us: Option<(i64, i64)>,
    /// Number of rows that the state learned, including those of its own start state.
    pub rows: u64,
    /// Number of these rows as far as earlier decay left them.
    pub effective_rows: u64,
    /// Factor by which `z` and `d` of the state were multiplied.
    pub decay: f64,
    /// Number of runs that share the evidence of the state.
    pub shares: u32,
    /// Number of features that were left out, because no row had had them for too long.
    pub forgotten: u64,
    /// Scale and shift of a recalibration of the state, with which training does not go on.
    pub dropped_recalibration: Option<(f64, f64)>,
}

impl StartAccount {
    /// Returns how many rows the state counts as after its decay.
    #[must_use]
    pub fn effective_rows_left(&self) -> u64 {
        decayed_rows(self.effective_rows, self.decay)
    }
}

/// Returns a number of rows after decay, rounded.
pub(crate) fn decayed_rows(rows: u64, decay: f64) -> u64 {
    crate::evaluate::whole(rows as f64 * decay)
}

/// Returns `z` and `d` after decay. The raw weight `-z / d` stays the same until `d` is down to `beta / alpha`, its
/// value for an unseen feature. From then on the weight shrinks towards 0.
pub(crate) fn decayed(z: f64, d: f64, decay: f64, settings: &Settings) -> (f64, f64) {
    (z * decay, (d * decay).max(settings.curvature(0.0)))
}

/// Returns the `z` and `d` of a feature with which one of `shares` runs starts: the whole weight, and its share of the
/// curvature above that of an unseen feature.
pub(crate) fn share_of(z: f64, d: f64, shares: u32, settings: &Settings) -> (f64, f64) {
    if shares <= 1 {
        return (z, d);
    }
    let unseen = settings.curvature(0.0);
    let part = unseen + (d - unseen).max(0.0) / f64::from(shares);
    let weight = settings.feature_weight(z, d);
    if weight == 0.0 {
        return (z * (part / d), part);
    }
    (-weight * (part + settings.l2) - settings.l1.copysign(weight), part)
}

/// Returns the `z` and `d` of the bias with which one of `shares` runs starts. Like [`share_of`], but without
/// penalties, because they do not apply to the bias.
pub(crate) fn share_of_bias(z: f64, d: f64, shares: u32, settings: &Settings) -> (f64, f64) {
    share_of(z, d, shares, &Settings { l1: 0.0, l2: 0.0, ..*settings })
}

/// Returns the `z` and `d` with which one of `shares` runs starts for the default weight of unseen categories or
/// missing values. Like [`share_of`], but without the threshold, which does not apply to them.
pub(crate) fn share_of_default(z: f64, d: f64, shares: u32, settings: &Settings) -> (f64, f64) {
    share_of(z, d, shares, &Settings { l1: 0.0, ..*settings })
}

/// Rejects a start state whose `z` is not what training learned.
pub(crate) fn refuse_start(path: &Path, metadata: &Metadata) -> Result<(), TrainError> {
    if metadata.pruned {
        return Err(TrainError::StartIsPruned { path: path.to_owned() });
    }
    if metadata.without_evidence {
        return Err(TrainError::StartWithoutEvidence { path: path.to_owned() });
    }
    if metadata.weight_rule.l1 < metadata.settings.l1 {
        return Err(TrainError::StartOfFinishedWeights { path: path.to_owned() });
    }
    Ok(())
}

/// Returns the factor by which `z` and `d` of the start state are multiplied in this run.
pub(super) fn decay_of(start: &StartOptions, contract: &Contract, options: &TrainOptions) -> Result<f64, TrainError> {
    let per_day = start.decay_per_day;
    if !(per_day > 0.0 && per_day <= 1.0) {
        return Err(TrainError::Setting { name: "decay", expected: "above 0 and at most 1", found: per_day });
    }
    if let Some(days) = start.age_days
        && !(days >= 0.0 && days.is_finite())
    {
        return Err(TrainError::Setting { name: "age_days", expected: "at least 0", found: days });
    }
    if let Some(days) = start.forget_unseen_days
        && !(days >= 0.0 && days.is_finite())
    {
        return Err(TrainError::Setting { name: "forget_unseen", expected: "at least 0", found: days });
    }
    if per_day == 1.0 {
        return Ok(1.0);
    }
    let days = match start.age_days {
        Some(days) => days,
        None => age_days(start, contract, options)?,
    };
    let decay = per_day.powf(days);
    if decay < f64::MIN_POSITIVE {
        return Err(TrainError::NothingLeft { path: start.state.clone(), days });
    }
    Ok(decay)
}

/// Returns the days of data from the last row of the start state to the last row of the logs, or 0 if the state is
/// newer. Reads all logs, because only their rows say when they end.
pub(crate) fn age_days(start: &StartOptions, contract: &Contract, options: &TrainOptions) -> Result<f64, TrainError> {
    let window_us = StateReader::open(&start.state)?.metadata().window_us;
    let no_age = || TrainError::NoAge { path: start.state.clone() };
    let Some((_, start_us)) = window_us else { return Err(no_age()) };
    let mut reader = LogReader::open(contract, &options.logs, options.read.clone())?;
    reader.check_repeatable()?;
    let mut end_us = None;
    while let Some(batch) = reader.next_batch()? {
        let Some(times) = batch.time_us else { return Err(no_age()) };
        end_us = end_us.max(times.into_iter().max());
    }
    let end_us = end_us.ok_or_else(no_age)?;
    Ok((end_us as f64 - start_us as f64).max(0.0) / DAY_US)
}

/// Returns the days between the first and the last row of a window.
pub(crate) fn days_of((first_us, last_us): (i64, i64)) -> f64 {
    (last_us as f64 - first_us as f64) / DAY_US
}

pub(super) fn digest(path: &Path) -> Result<Digest, StateError> {
    crate::bucket::digest_of(path).map_err(|error| StateError::io("read", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With these settings, an unseen feature has a curvature of 2.
    const SETTINGS: Settings = Settings { alpha: 0.5, beta: 1.0, l1: 1.0, l2: 0.25 };

    #[test]
    fn a_share_has_part_of_the_evidence_and_the_whole_weight() {
        for (z, d, share) in
            [(-9.0, 42.0, 7.0), (9.0, 42.0, 7.0), (1.5, 42.0, 7.0), (-2.0, 3.0, 2.125), (-2.0, 2.0, 2.0)]
        {
            let (share_z, share_d) = share_of(z, d, 8, &SETTINGS);
            assert_eq!(share_d, share);
            let (whole, share) = (SETTINGS.feature_weight(z, d), SETTINGS.feature_weight(share_z, share_d));
            assert!(whole != 0.0 && (whole - share).abs() < 1e-15, "{whole}, {share}");
        }
        let (z, d) = share_of_bias(-9.0, 42.0, 8, &SETTINGS);
        assert_eq!(d, 7.0);
        assert!((SETTINGS.bias_weight(z, d) - 9.0 / 42.0).abs() < 1e-15);
    }

    #[test]
    fn a_weight_of_0_stays_0_and_one_share_is_the_whole() {
        let (z, d) = share_of(-0.75, 42.0, 8, &SETTINGS);
        assert_eq!((z, d, SETTINGS.feature_weight(z, d)), (-0.125, 7.0, 0.0));
        assert_eq!(share_of(-0.75, 42.0, 1, &SETTINGS), (-0.75, 42.0));
    }
}
