//! Training states of several data sets become one: a streaming merge of their sorted rows, with a batch of each state in
//! memory, however large they are.
//!
//! # The rule
//!
//! A shard hands over `z` and `d` of each feature, not a finished weight. Its raw weight is `-z / d`, and `d` says how much
//! evidence stands behind it, so the average of raw weights weighted by `d` is had by summing both, over the shards that saw
//! the feature; the threshold then comes once, with the evidence of all shards before it:
//!
//! ```text
//! Z = sum z_s    D = D_0 + sum (D_s - D_0)    D_0 = beta / alpha
//! w = 0 if |Z| <= l1, else -(Z - sign(Z) l1) / (D + l2)
//! ```
//!
//! `D_0` is the curvature of a feature that nobody has seen. It stands in every `D_s` and pulls a weight towards 0 as `l2`
//! does, so like `l1` and `l2` it counts once; a category that eight shards saw a few times each would else be pulled eight
//! times as hard as in one run over the same rows. (The bias starts at the observed CTR and not at 0: its `D` is the sum.)
//!
//! A category that a shard never saw is absent there, not a zero. Averaging finished weights instead, as the
//! [rules](Rule) `plain`, `seen` and `count` do, loses what lay below the threshold in each shard and counts hearsay like
//! evidence; they are there to compare with. A state of theirs has the summed `d`, `z = -w D`, and a weight rule without
//! thresholds, so that `-z / d` is the averaged weight; as its `z` is not what was learned, training does not go on from it.
//!
//! # Going on from an average
//!
//! `D` follows from `n` as `D_s` does, `n = (alpha D - beta)^2`, so training [goes on](crate::learn::StartOptions) from an
//! average with the step sizes that its evidence deserves. Shards that went on from one state all contain it. Named as
//! [`start`](AverageOptions::start), and decayed as it was in the shards, it takes the place of the `0` and `D_0` of nothing:
//!
//! ```text
//! Z = Z_0 + sum (z_s - z_0)    D = D_0 + sum (D_s - d_0)
//! ```
//!
//! where `Z_0` and `D_0` are the whole of it, and `z_0` and `d_0` what each shard [began with](crate::learn::StartOptions#shares);
//! and likewise for impressions and clicks. Summed without this, what the start knew would count once for each shard, and
//! training would slow down with every round; so states with a start are refused where none is named.
//!
//! Shards that began with more of it than their share are refused: on the log below, two rounds of shards that each took the
//! whole ended 2.6 % worse than one, and four turned the model upside down.
//!
//! Roots do not add up: of rows that are cut into k parts, the sum of `sqrt(n_s)` is `sqrt(k)` times the root of the whole.
//! Shards trained with `sqrt(k)` times the learning rate `alpha` have the `D` that one run over all rows has.
//!
//! # What it costs to learn apart
//!
//! Normalized entropy of the last 250,000 rows of a generated log (`omomi generate-log --rows 5000000 --click-rate 0.1`); learned from
//! the first 4.5 million, in one run or in 8 shards, [recalibrated](crate::learn::recalibrate) on the 250,000 between:
//!
//! | | `alpha` | as learned | recalibrated |
//! | --- | --- | --- | --- |
//! | one run | 0.05 | 0.84006 | 0.83978 |
//! | 8 random shards, `curvature` | 0.05 | 0.84844 | 0.84813 |
//! | | 0.1 | 0.84238 | 0.84219 |
//! | | 0.1414 = 0.05 `sqrt(8)` | 0.83966 | 0.83944 |
//! | in 2 rounds, each half of the rows by time | 0.1414 | 0.83919 | 0.83888 |
//! | in 4 rounds | 0.1414 | 0.83881 | 0.83851 |
//! | in 1 round, `D_0` counted 8 times | 0.1414 | 0.84312 | 0.84290 |
//! | `plain` | 0.05 | 0.85221 | 0.85182 |
//! | | 0.1414 | 0.84587 | 0.84564 |
//! | `seen` | 0.1414 | 0.84586 | 0.84563 |
//! | `count` | 0.1414 | 0.84559 | 0.84536 |
//! | 8 shards by site, `curvature` | 0.1414 | 0.83958 | 0.83904 |
//! | `plain` | 0.1414 | 0.86282 | 0.85980 |
//! | one run | 0.1 | 0.83568 | 0.83541 |
//! | 8 random shards, `curvature` | 0.2828 = 0.1 `sqrt(8)` | 0.83565 | 0.83515 |
//! | `plain` | 0.2828 | 0.84031 | 0.83993 |
//! | one run, the best `alpha` tried | 0.2 | 0.83339 | 0.83309 |
//!
//! With `sqrt(8)` times its `alpha` the shards know what one run knows. The means of finished weights are 0.6 to 0.7 % worse where rows
//! are dealt out at random (1.5 % without that `alpha`), and 2.5 % worse where each shard knows sites of its own. All promise 1 to 5 % too
//! little before they are recalibrated, the single runs too, and `plain` by site 12 %.
//!
//! # The same bytes in any order
//!
//! Sums of doubles depend on their order, so the states are taken in the order of their digests, whatever the order in which
//! they are named. Where two states have another name for one key (a collision of 64 bits), the name that sorts first stays: they
//! share a weight when serving too. How often that was is in the report.
//!
//! # Provenance
//!
//! The JSON beside the average is that of a training run in what both have (`contract`, `settings`, `rows`, `clicks`,
//! `training_window`, `start`, `lineage_days`, `features`, `nonzero`, `fields`, `state`), and:
//!
//! | Key | Meaning |
//! | --- | --- |
//! | `rule` | name of the [`Rule`] |
//! | `shards` | the states by rising digest: `path`, `digest`, `len_bytes`, `rows` and `clicks` (those of the start left out), `features`, `training_window`, and of their own `provenance` the logs, metrics, start and version, null where there is none |
//! | `spread` | how the shards agree, the bias first, then fields and crosses in contract order: the numbers of [`FieldSpread`] as `field`, `features`, `nonzero`, `seen_by`, `standard_deviation`, `magnitude` |
//! | `name_collisions` | keys that have two names |

mod error;
mod inputs;
mod merge;
mod provenance;
mod rule;
mod spread;

use std::path::PathBuf;
use std::time::Instant;

use crate::learn::state::{Metadata, StateError, StateRow, StateWriter, widest};
use crate::learn::{StartAccount, decayed, provenance_path, share_of, share_of_bias, write_provenance};
use omomi::new_file::refuse_to_replace;

pub use error::AverageError;
pub use inputs::Shard;
pub use rule::Rule;
pub use spread::FieldSpread;

use inputs::{CommonStart, Inputs};
use merge::Merge;
use rule::{Common, Part, average_of};
use spread::Spread;

/// Rows between two events.
const EVENT_ROW_COUNT: u64 = 1 << 16;

/// What to average, how, and where to leave the result.
#[derive(Debug, Clone)]
pub struct AverageOptions {
    /// The training states, at least two, in any order.
    pub states: Vec<PathBuf>,
    /// The state from which all of them went on; nothing where they began from nothing.
    pub start: Option<PathBuf>,
    /// How their features become one.
    pub rule: Rule,
    /// Whether a state may have less than half or more than twice the median rows.
    pub allow_uneven: bool,
    /// Where the average goes; its provenance goes [beside it](provenance_path).
    pub state: PathBuf,
    /// Whether files that are there are replaced.
    pub replace: bool,
    /// What was asked for, word by word, for the provenance only.
    pub arguments: Vec<String>,
}

/// What happens while [`average`] runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Some more rows of the states were merged.
    Merged {
        /// Rows of all states so far.
        row_count: u64,
        /// Rows of all states.
        of: u64,
    },
}

/// What was averaged.
#[derive(Debug, Clone)]
pub struct AverageReport {
    /// What the average says about itself.
    pub metadata: Metadata,
    /// The states, by rising digest.
    pub shards: Vec<Shard>,
    /// Their common start.
    pub start: Option<StartAccount>,
    /// The bias, then the fields and crosses in contract order, with how the shards agree on them.
    pub fields: Vec<FieldSpread>,
    /// Keys that have another name in one state than in another.
    pub name_collision_count: u64,
    /// Size of the average in bytes.
    pub state_len_bytes: u64,
    /// Seconds of the whole run.
    pub seconds: f64,
}

impl AverageReport {
    /// Features of the average, the bias not counted.
    #[must_use]
    pub fn feature_count(&self) -> u64 {
        self.fields.iter().skip(1).map(|field| field.feature_count).sum()
    }

    /// Features whose weight is not 0, the bias not counted.
    #[must_use]
    pub fn nonzero_count(&self) -> u64 {
        self.fields.iter().skip(1).map(|field| field.nonzero_count).sum()
    }
}

/// Averages training states and writes the result with its provenance. `watch` is told how far it is.
///
/// # Errors
///
/// [`AverageError`]; states that do not belong together are refused before anything is written. The files are as they were
/// before then, but for one case: where the provenance cannot be written, the state, which comes first, is there already.
pub fn average(options: &AverageOptions, watch: &mut dyn FnMut(&Event)) -> Result<AverageReport, AverageError> {
    let started = Instant::now();
    let provenance_path = provenance_path(&options.state);
    for path in [&options.state, &provenance_path] {
        refuse_to_replace(path, options.replace).map_err(|error| StateError::io("write", path, error))?;
    }
    let inputs = Inputs::open(options)?;
    let report = merge_into(options, inputs, watch)?;
    let report = AverageReport { seconds: started.elapsed().as_secs_f64(), ..report };
    write_provenance(&provenance_path, options.replace, &provenance::to_json(options, &report))
        .map_err(|error| StateError::io("write", &provenance_path, error))?;
    Ok(report)
}

fn merge_into(
    options: &AverageOptions,
    inputs: Inputs,
    watch: &mut dyn FnMut(&Event),
) -> Result<AverageReport, AverageError> {
    let Inputs { shards, mut readers, start } = inputs;
    let metadata = metadata_of(options.rule, &shards, start.as_ref());
    let (settings, weight_rule) = (metadata.settings, metadata.weight_rule);
    let (state_count, of) = (shards.len(), readers.iter().map(|reader| reader.feature_count() + 1).sum());
    // The start is merged like one more state, behind the others.
    let start = start.map(|CommonStart { path, reader, start, metadata }| {
        readers.push(reader);
        StartAccount {
            path,
            digest: start.digest,
            window_us: metadata.window_us,
            rows: metadata.rows,
            decay: start.decay,
            shares: start.shares,
        }
    });
    let (decay, shares) = start.as_ref().map_or((1.0, 1), |start| (start.decay, start.shares));

    let mut spread = Spread::new(&metadata.contract, state_count);
    let mut writer = StateWriter::create(&options.state, &metadata, options.replace)?;
    let mut merge = Merge::new(readers)?;
    let mut parts = Vec::with_capacity(state_count);
    let (mut row_count, mut next_event, mut name_collision_count) = (0, EVENT_ROW_COUNT, 0);
    while merge.next()? {
        let common = merge.rows().find(|&(state, _)| state == state_count).map(|(_, row)| row);
        let mut merged = match common {
            Some(row) => row,
            None => merge.rows().next().map(|(_, row)| StateRow { impressions: 0, clicks: 0, ..row }).expect("a row"),
        };
        let common_counts = common.map_or((0, 0), |row| (row.impressions, row.clicks));
        let mut names_differ = false;
        parts.clear();
        for (state, row) in merge.rows().filter(|&(state, _)| state < state_count) {
            let seen = row.impressions.checked_sub(common_counts.0).zip(row.clicks.checked_sub(common_counts.1));
            let Some((seen_count, clicks)) = seen else {
                return Err(AverageError::LessThanStart {
                    path: shards[state].path.clone(),
                    field: row.field.to_owned(),
                    category: row.category.to_owned(),
                    expected: common_counts,
                    found: (row.impressions, row.clicks),
                });
            };
            parts.push(Part { z: row.z, d: row.d, weight: row.weight, seen_count });
            merged.impressions = merged.impressions.saturating_add(seen_count);
            merged.clicks = merged.clicks.saturating_add(clicks);
            merged.last_seen_us = merged.last_seen_us.max(row.last_seen_us);
            if (row.field, row.category) != (merged.field, merged.category) {
                names_differ = true;
                (merged.field, merged.category) = (row.field, row.category).min((merged.field, merged.category));
            }
        }
        name_collision_count += u64::from(names_differ);
        let common = match common {
            Some(row) => {
                let (z, d) = decayed(row.z, row.d, decay, &settings);
                let share_of = if row.is_bias() { share_of_bias } else { share_of };
                Common { whole: (z, d), in_each: share_of(z, d, shares, &settings) }
            }
            // Each shard's bias began at the observed CTR of its own first rows: they have nothing in common.
            None if merged.is_bias() => Common::whole_in_each(0.0, 0.0),
            None => Common::whole_in_each(0.0, settings.curvature(0.0)),
        };
        (merged.z, merged.d) = average_of(options.rule, &parts, common, state_count);
        merged.weight = if merged.is_bias() {
            weight_rule.bias_weight(merged.z, merged.d)
        } else {
            weight_rule.feature_weight(merged.z, merged.d)
        };
        spread.add(merged.field, &parts, merged.weight);
        writer.push(&merged)?;
        row_count += parts.len() as u64;
        if row_count >= next_event {
            watch(&Event::Merged { row_count, of });
            next_event = row_count + EVENT_ROW_COUNT;
        }
    }
    watch(&Event::Merged { row_count, of });
    let state_len_bytes = writer.finish()?;
    let fields = spread.finish();
    Ok(AverageReport { metadata, shards, start, fields, name_collision_count, state_len_bytes, seconds: 0.0 })
}

/// What the average says about itself: the same however the shards are ordered.
fn metadata_of(rule: Rule, shards: &[Shard], start: Option<&CommonStart>) -> Metadata {
    let of_all = |number: fn(&Shard) -> u64| shards.iter().map(number).fold(0, u64::saturating_add);
    let common = start.map(|start| &start.metadata);
    let first = &shards[0].metadata;
    let window_us = shards.iter().map(|shard| shard.metadata.window_us).fold(None, widest);
    Metadata {
        contract: first.contract.clone(),
        settings: first.settings,
        weight_rule: rule.weight_rule(&first.settings),
        pruned: false,
        negative_rate: first.negative_rate,
        shards: shards.iter().fold(0, |sum, shard| sum.saturating_add(shard.metadata.shards)),
        window_us: widest(window_us, common.and_then(|metadata| metadata.window_us)),
        rows: common.map_or(0, |metadata| metadata.rows).saturating_add(of_all(|shard| shard.rows)),
        clicks: common.map_or(0, |metadata| metadata.clicks).saturating_add(of_all(|shard| shard.clicks)),
        passes: shards.iter().map(|shard| shard.metadata.passes).max().unwrap_or(1),
        start: start.map(|start| start.start),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

#[cfg(test)]
mod tests;
