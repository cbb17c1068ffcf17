//! Opens the states to average, and rejects states that do not belong together.

use std::path::{Path, PathBuf};

use crate::bucket::{digest_of, len_of};
use crate::learn::state::{Difference, Metadata, Start, StateError, StateReader};
use crate::learn::{WeightRule, refuse_start};
use omomi::store::Digest;

use super::{AverageError, AverageOptions};

/// A state that is averaged.
#[derive(Debug, Clone, PartialEq)]
pub struct Shard {
    /// File of the state.
    pub path: PathBuf,
    /// Digest of the file.
    pub digest: Digest,
    /// Size of the file in bytes.
    pub len_bytes: u64,
    /// Number of rows that it was trained on, without those of the common start state.
    pub rows: u64,
    /// Number of these rows that were clicked.
    pub clicks: u64,
    /// Number of features, without the bias.
    pub feature_count: u64,
    /// Metadata of the state.
    pub metadata: Metadata,
}

/// The states and their common start state, checked.
pub(super) struct Inputs {
    /// The states in the order of their digests, which does not depend on the order of the options.
    pub(super) shards: Vec<Shard>,
    /// The readers of the states, in the order of `shards`.
    pub(super) readers: Vec<StateReader>,
    pub(super) start: Option<CommonStart>,
}

/// The state that all others continued from.
pub(super) struct CommonStart {
    pub(super) path: PathBuf,
    pub(super) reader: StateReader,
    pub(super) start: Start,
    pub(super) metadata: Metadata,
}

impl Inputs {
    pub(super) fn open(options: &AverageOptions) -> Result<Self, AverageError> {
        if options.states.len() < 2 {
            return Err(AverageError::TooFew { found: options.states.len() });
        }
        let mut inputs = Vec::with_capacity(options.states.len());
        for path in &options.states {
            let reader = StateReader::open(path)?;
            let metadata = reader.metadata().clone();
            let shard = Shard {
                path: path.clone(),
                digest: digest(path)?,
                len_bytes: len_of(path).map_err(|error| StateError::io("read", path, error))?.unwrap_or(0),
                rows: metadata.rows,
                clicks: metadata.clicks,
                feature_count: reader.feature_count(),
                metadata,
            };
            inputs.push((shard, reader));
        }
        for (index, (shard, _)) in inputs.iter().enumerate() {
            let first = &inputs[0].0;
            if let Some(difference) = Difference::between(&first.metadata, &shard.metadata) {
                let (path, other) = (shard.path.clone(), first.path.clone());
                return Err(AverageError::Differs { path, other, difference });
            }
            if let Some(difference) = Difference::of_importance(&first.metadata, &shard.metadata) {
                let (path, other) = (shard.path.clone(), first.path.clone());
                return Err(AverageError::Differs { path, other, difference });
            }
            refuse_changed(shard)?;
            if let Some((twin, _)) = inputs[..index].iter().find(|(earlier, _)| earlier.digest == shard.digest) {
                return Err(AverageError::Twice { first: twin.path.clone(), second: shard.path.clone() });
            }
        }
        let start = common_start(options.start.as_deref(), inputs.iter().map(|(shard, _)| shard))?;
        if let Some(start) = &start {
            let (state_count, shares) = (inputs.len(), start.start.shares);
            if state_count > shares as usize {
                return Err(AverageError::TooFewShares { start: start.path.clone(), state_count, shares });
            }
            if let Some((shard, _)) = inputs.iter().find(|(shard, _)| shard.metadata.shards != 1) {
                return Err(AverageError::AverageOfShares { path: shard.path.clone() });
            }
            for (shard, _) in &mut inputs {
                shard.rows = shard.rows.saturating_sub(start.metadata.rows);
                shard.clicks = shard.clicks.saturating_sub(start.metadata.clicks);
            }
        }
        if !options.allow_uneven {
            refuse_uneven(inputs.iter().map(|(shard, _)| shard))?;
        }
        inputs.sort_unstable_by_key(|(shard, _)| shard.digest);
        let (shards, readers) = inputs.into_iter().unzip();
        Ok(Self { shards, readers, start })
    }
}

fn digest(path: &Path) -> Result<Digest, StateError> {
    digest_of(path).map_err(|error| StateError::io("read", path, error))
}

/// Rejects a state that was pruned or recalibrated. These steps fit one model: what fits a shard does not fit the
/// average.
fn refuse_changed(shard: &Shard) -> Result<(), AverageError> {
    if shard.metadata.pruned {
        return Err(AverageError::Pruned { path: shard.path.clone() });
    }
    if shard.metadata.without_evidence {
        return Err(AverageError::WithoutEvidence { path: shard.path.clone() });
    }
    let numbers = |rule: WeightRule| [rule.l1, rule.l2, rule.min_magnitude, rule.scale, rule.shift];
    let names = ["weight rule's l1", "weight rule's l2", "minimum magnitude", "scale", "shift"];
    let expected = numbers(WeightRule::of(&shard.metadata.settings));
    let pairs = expected.into_iter().zip(numbers(shard.metadata.weight_rule));
    match names.into_iter().zip(pairs).find(|(_, (expected, found))| expected != found) {
        Some((name, (expected, found))) => {
            Err(AverageError::Changed { path: shard.path.clone(), name, expected, found })
        }
        None => Ok(()),
    }
}

/// Checks that all states have the start state `path`, or none, and opens it. Without it, the common part of the states
/// would count once for each of them.
fn common_start<'a>(
    path: Option<&Path>,
    mut shards: impl Iterator<Item = &'a Shard>,
) -> Result<Option<CommonStart>, AverageError> {
    let first = shards.next().expect("there are at least two states");
    let describe = |start: Option<Start>| match start {
        Some(Start { digest, decay, shares: 1 }) => format!("the state with the digest {digest} and decay {decay:?}"),
        Some(Start { digest, decay, shares }) => {
            format!("one of {shares} shares of the state with the digest {digest} and decay {decay:?}")
        }
        None => "scratch".to_owned(),
    };
    let refuse = |shard: &Shard, expected: Option<Start>, action| {
        let (expected, found) = (describe(expected), describe(shard.metadata.start));
        Err(AverageError::OtherStart { path: shard.path.clone(), expected, found, action })
    };
    let common = first.metadata.start;
    if let Some(other) = shards.find(|shard| shard.metadata.start != common) {
        return refuse(other, common, "train all shards from the same start state, with the same age if it decays");
    }
    let (path, start) = match (path, common) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return refuse(first, None, "name the start state, so that it counts once"),
        (Some(_), None) => {
            return Err(AverageError::OtherStart {
                path: first.path.clone(),
                expected: "the named start state".to_owned(),
                found: "scratch".to_owned(),
                action: "leave the start state out, or train from it",
            });
        }
        (Some(path), Some(start)) => (path, start),
    };
    let named = Start { digest: digest(path)?, ..start };
    if named != start {
        return refuse(first, Some(named), "name the start state that it was trained from");
    }
    let reader = StateReader::open(path)?;
    let metadata = reader.metadata().clone();
    if let Some(difference) = Difference::between(&first.metadata, &metadata) {
        return Err(AverageError::Differs { path: path.to_owned(), other: first.path.clone(), difference });
    }
    refuse_start(path, &metadata)?;
    Ok(Some(CommonStart { path: path.to_owned(), reader, start, metadata }))
}

fn refuse_uneven<'a>(shards: impl Iterator<Item = &'a Shard> + Clone) -> Result<(), AverageError> {
    let mut rows: Vec<u64> = shards.clone().map(|shard| shard.rows).collect();
    rows.sort_unstable();
    let middle = rows.len() / 2;
    let median_rows = if rows.len() % 2 == 1 { rows[middle] } else { rows[middle - 1].midpoint(rows[middle]) };
    for shard in shards {
        if shard.rows.saturating_mul(2) < median_rows || shard.rows > median_rows.saturating_mul(2) {
            return Err(AverageError::Uneven { path: shard.path.clone(), rows: shard.rows, median_rows });
        }
    }
    Ok(())
}
