//! Going on from a training state that is there: which, how old it is, and what is left of it.

use std::path::{Path, PathBuf};

use crate::log::LogReader;
use omomi::contract::Contract;
use omomi::store::Digest;

use super::state::{Metadata, StateError, StateReader};
use super::{Settings, TrainError, TrainOptions};

/// Days after which a model should be built from nothing again: what it once learned and no row says any more
/// never quite leaves it, and features that died stay in its state.
pub const LINEAGE_DAYS_LIMIT: f64 = 28.0;

const DAY_US: f64 = 86_400e6;

/// From which state training goes on, and how much of it is left.
#[derive(Debug, Clone, PartialEq)]
pub struct StartOptions {
    /// The training state. Its contract and settings must be those of the run.
    pub state: PathBuf,
    /// What is left of its `z` and `d` for each day of its age: above 0, at most 1, which forgets nothing.
    pub decay_per_day: f64,
    /// Its age in days. Nothing for the time from its last row to the first row of the logs, which both need times then.
    /// Runs whose states will be averaged must agree on it, so where their logs begin at different times it must be said.
    pub age_days: Option<f64>,
    /// How many runs go on from it at once, on parts of the rows, to be averaged: at least 1. Each takes its
    /// [share](StartOptions#shares) of the evidence.
    ///
    /// # Shares
    ///
    /// A run that goes on from all the evidence takes small steps, and however small they are, given enough rows it arrives at
    /// what its rows say. So do the others; and summed up, a correction that all of them make is made as often as there are
    /// runs. So each begins with the whole weight and with its part of the evidence, which is what the curvature is above that of
    /// a feature that nobody has seen, and can be averaged like one that began from nothing. What few have seen has hardly
    /// any evidence to share, and what runs add to it is summed up, as it should be.
    pub shares: u32,
}

/// The state from which a run went on.
#[derive(Debug, Clone, PartialEq)]
pub struct StartAccount {
    /// Its file.
    pub path: PathBuf,
    /// Digest of the file.
    pub digest: Digest,
    /// Times of the first and of the last row that it has learned, those of its own start among them, in microseconds
    /// since 1970-01-01 UTC, where they had times.
    pub window_us: Option<(i64, i64)>,
    /// Rows that it has learned, those of its own start among them.
    pub rows: u64,
    /// What its `z` and `d` were multiplied with.
    pub decay: f64,
    /// Among how many runs its curvature was shared.
    pub shares: u32,
}

/// What decay leaves of a coordinate. Its weight stays, until its curvature is down at that of a coordinate that has seen
/// nothing, `beta / alpha`; from then on it goes towards 0.
pub(crate) fn decayed(z: f64, d: f64, decay: f64, settings: &Settings) -> (f64, f64) {
    (z * decay, (d * decay).max(settings.curvature(0.0)))
}

/// What one of `shares` runs takes of a feature: the whole weight, and its part of what the curvature is above that of a feature
/// that nobody has seen.
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

/// The same for the bias, which no threshold touches.
pub(crate) fn share_of_bias(z: f64, d: f64, shares: u32, settings: &Settings) -> (f64, f64) {
    share_of(z, d, shares, &Settings { l1: 0.0, l2: 0.0, ..*settings })
}

/// Refuses a state whose `z` does not say what was learned.
pub(crate) fn refuse_start(path: &Path, metadata: &Metadata) -> Result<(), TrainError> {
    if metadata.pruned {
        return Err(TrainError::StartIsPruned { path: path.to_owned() });
    }
    if metadata.weight_rule.l1 < metadata.settings.l1 {
        return Err(TrainError::StartOfFinishedWeights { path: path.to_owned() });
    }
    Ok(())
}

/// What `z` and `d` of the start are multiplied with in this run.
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

/// Days from the last row of the start to the first of the logs; 0 where they overlap.
pub(crate) fn age_days(start: &StartOptions, contract: &Contract, options: &TrainOptions) -> Result<f64, TrainError> {
    let window_us = StateReader::open(&start.state)?.metadata().window_us;
    let mut reader = LogReader::open(contract, &options.logs, options.read.clone())?;
    let first_us = reader.next_batch()?.and_then(|batch| batch.time_us?.into_iter().min());
    let (Some((_, last_us)), Some(first_us)) = (window_us, first_us) else {
        return Err(TrainError::NoAge { path: start.state.clone() });
    };
    Ok((first_us as f64 - last_us as f64).max(0.0) / DAY_US)
}

/// Days between the first and the last row of a window: how long ago a model was built from nothing.
pub(crate) fn days_of((first_us, last_us): (i64, i64)) -> f64 {
    (last_us as f64 - first_us as f64) / DAY_US
}

pub(super) fn digest(path: &Path) -> Result<Digest, StateError> {
    Digest::of_file(path).map_err(|error| StateError::io("read", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The curvature of a feature that nobody has seen is 2.
    const SETTINGS: Settings = Settings { alpha: 0.5, beta: 1.0, l1: 1.0, l2: 0.25 };

    #[test]
    fn a_share_has_its_part_of_the_evidence_and_the_whole_weight() {
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
    fn a_weight_of_0_stays_0_and_a_share_among_one_is_the_whole() {
        let (z, d) = share_of(-0.75, 42.0, 8, &SETTINGS);
        assert_eq!((z, d, SETTINGS.feature_weight(z, d)), (-0.125, 7.0, 0.0));
        assert_eq!(share_of(-0.75, 42.0, 1, &SETTINGS), (-0.75, 42.0));
    }
}
