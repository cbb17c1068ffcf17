//! Averages the training states of several data sets: a streaming merge of their sorted rows, which holds one batch of
//! each state in memory, however large the states are.
//!
//! # The rule
//!
//! A shard provides `z` and `d` of each feature, not a finished weight. Its raw weight is `-z / d`, and `d` says how
//! much evidence the weight has. So summing `z` and `d` over the shards that saw the feature gives the average of their
//! raw weights, weighted by `d`. The threshold is applied once, to the evidence of all shards:
//!
//! ```text
//! Z = sum z_s    D = D_0 + sum (D_s - D_0)    D_0 = beta / alpha
//! w = 0 if |Z| <= l1, else -(Z - sign(Z) l1) / (D + l2)
//! ```
//!
//! `D_0` is the curvature of an unseen feature. It is part of every `D_s` and pulls a weight towards 0 like `l2`, so
//! like `l1` and `l2` it counts once. Otherwise a category that eight shards saw a few times each would be pulled eight
//! times as hard as in one run over the same rows. The bias is different: it starts at the observed CTR and not at 0,
//! so its `D` is the sum of all `D_s`.
//!
//! A category that a shard never saw is absent from that shard; it is not a zero. The [rules](Rule) `plain`, `seen` and
//! `count` average finished weights instead. They lose everything below the threshold of each shard and give weak
//! evidence the same weight as strong evidence. They exist for comparison only. Their states have the summed `d`,
//! `z = -w D`, and a weight rule without thresholds, so that `-z / d` is the averaged weight. Training cannot continue
//! from such a state, because its `z` is not what was learned.
//!
//! # Continuing from an average
//!
//! `D` and `n` are related as in a single run, `n = (alpha D - beta)^2`. So training
//! [continues](crate::learn::StartOptions) from an average with the step sizes that fit its evidence. Shards that
//! continued from the same state all contain that state. If you name it as [`start`](AverageOptions::start), it counts
//! once. Decayed as in the shards, it replaces the initial `0` and `D_0`:
//!
//! ```text
//! Z = Z_0 + sum (z_s - z_0)    D = D_0 + sum (D_s - d_0)
//! ```
//!
//! Here `Z_0` and `D_0` are the whole start state, and `z_0` and `d_0` are what each shard [started
//! with](crate::learn::StartOptions#shares). Impressions and clicks are corrected in the same way. Without the
//! correction, the start state would count once per shard, and training would slow down with every round. So states
//! with a start state are rejected unless you name it.
//!
//! Shards that started with more than their share are rejected. On the log below, two rounds of shards that each took
//! the whole start state ended 2.6 % worse than one round, and four rounds turned the predictions upside down.
//!
//! Square roots do not add up: if rows are split into k parts, the sum of `sqrt(n_s)` is `sqrt(k)` times the root of
//! the whole. Shards trained with `sqrt(k)` times the learning rate `alpha` have the same `D` as one run over all rows.
//!
//! # What training in shards costs
//!
//! The table shows the normalized entropy of the last 250,000 rows of a generated log
//! (`omomi generate-log --rows 5000000 --click-rate 0.1`). The models learned the first 4.5 million rows, in one run or
//! in 8 shards, and were [recalibrated](crate::learn::recalibrate) on the 250,000 rows in between:
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
//! With `sqrt(8)` times the `alpha` of one run, the shards are as good as that run. The averages of finished weights
//! are 0.6 to 0.7 % worse with random shards (1.5 % with the `alpha` of one run), and 2.5 % worse if each shard has its
//! own sites. Before recalibration, all models, including the single runs, predict 1 to 5 % too low, and `plain` by
//! site 12 %.
//!
//! # The same bytes in any order
//!
//! Sums of doubles depend on their order. So the states are merged in the order of their digests, not in the order in
//! which they are named. If two states have different names for one key (a collision of 64 bits), the name that sorts
//! first is kept: the two features share a weight when serving too. The report counts these collisions.
//!
//! # Provenance
//!
//! The provenance of an average shares these keys with that of a training run: `contract`, `settings`, `rows`,
//! `clicks`, `training_window`, `start`, `lineage_days`, `features`, `nonzero`, `fields`, `state`; and where the states
//! all say the same, `search`, `sampling` and `hold_out`, too. It also has:
//!
//! | Key | Meaning |
//! | --- | --- |
//! | `rule` | name of the [`Rule`] |
//! | `shards` | the states by ascending digest: `path`, `digest`, `len_bytes`, `rows` and `clicks` (without those of the start state), `features`, `training_window`, and `provenance` (bad rows, metrics, start and version from the state's own provenance) |
//! | `spread` | how well the shards agree, the bias first, then fields and crosses in contract order: the numbers of [`FieldSpread`] as `field`, `features`, `nonzero`, `seen_by`, `standard_deviation`, `magnitude` |
//! | `name_collisions` | number of keys with two names |
//! | `rates` | the numbers of [`FieldRates`] as `field`, `missing`, `out_of_range`, `unseen` |

mod error;
mod inputs;
mod merge;
mod rates;
mod rule;
mod spread;

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::learn::state::{FinishedState, Metadata, StateRow, StateWriter, split_categories, widest};
use crate::learn::{
    StartAccount, days_of, decayed, decayed_rows, lasting, refuse_existing_state, share_of, share_of_bias,
    share_of_default, start_json, window_json, write_provenance,
};
use crate::lineage::extend_lineage;
use crate::log::{LogDialect, key_of_name};

pub use error::AverageError;
pub use inputs::Shard;
pub use rates::FieldRates;
pub use rule::Rule;
pub use spread::FieldSpread;

use inputs::{CommonStart, Inputs};
use merge::Merge;
use rates::ValueSums;
use rule::{Common, Part, average_of};
use spread::Spread;

/// Number of rows between two events.
const EVENT_ROW_COUNT: u64 = 1 << 16;

/// Options of [`average`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AverageOptions {
    /// The training states, at least two, in any order.
    pub states: Vec<PathBuf>,
    /// The state that all of them continued from; `None` if they were trained from scratch.
    pub start: Option<PathBuf>,
    /// How their features are averaged.
    pub rule: Rule,
    /// Whether a state may have less than half or more than twice the median number of rows.
    pub allow_uneven: bool,
    /// Path of the average; a copy of its provenance goes [beside
    /// it](crate::learn::provenance_path).
    pub state: PathBuf,
    /// Whether existing files are replaced.
    pub replace: bool,
    /// The search that chose the settings of all states, as the provenance of a training run has it; `None` if their
    /// own provenances say.
    pub search: Option<Value>,
    /// The command line, for the provenance only.
    pub arguments: Vec<String>,
}

impl AverageOptions {
    /// Returns options for states that were trained from scratch on about as many rows each, averaged by the default
    /// rule. No file is replaced.
    #[must_use]
    pub fn new(states: impl IntoIterator<Item = impl Into<PathBuf>>, state: impl Into<PathBuf>) -> Self {
        Self {
            states: states.into_iter().map(Into::into).collect(),
            start: None,
            rule: Rule::default(),
            allow_uneven: false,
            state: state.into(),
            replace: false,
            search: None,
            arguments: Vec::new(),
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// An event of a run of [`average`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Some more rows of the states were merged.
    Merged {
        /// Number of rows merged so far, of all states.
        row_count: u64,
        /// Number of rows of all states.
        of: u64,
    },
}

/// The outcome of [`average`].
#[derive(Debug, Clone)]
pub struct AverageReport {
    /// Metadata of the average.
    pub metadata: Metadata,
    /// The states, by ascending digest.
    pub shards: Vec<Shard>,
    /// Their common start state; `None` if they were trained from scratch.
    pub start: Option<StartAccount>,
    /// How well the shards agree: on the bias, then on the fields and crosses in contract order.
    pub fields: Vec<FieldSpread>,
    /// How the values of each field of the contract were, as far as all states say it.
    pub rates: Vec<FieldRates>,
    /// Number of keys with different names in different states.
    pub name_collision_count: u64,
    /// Size of the average in bytes.
    pub state_len_bytes: u64,
    /// Seconds of the whole run.
    pub seconds: f64,
}

impl AverageReport {
    /// Number of features of the average, without the bias.
    #[must_use]
    pub fn feature_count(&self) -> u64 {
        self.fields.iter().skip(1).map(|field| field.feature_count).sum()
    }

    /// Number of features whose weight is not 0, without the bias.
    #[must_use]
    pub fn nonzero_count(&self) -> u64 {
        self.fields.iter().skip(1).map(|field| field.nonzero_count).sum()
    }
}

/// Averages training states and writes the result with its provenance. Calls `watch` with the progress.
///
/// # Errors
///
/// Returns [`AverageError`] if a state cannot be read or written, or if the states do not belong together, which is
/// found before anything is written. On an error no output file has changed, with one exception: the state is written
/// before the provenance, so it exists if only the provenance cannot be written.
pub fn average(options: &AverageOptions, watch: &mut dyn FnMut(&Event)) -> Result<AverageReport, AverageError> {
    let started = Instant::now();
    refuse_existing_state(&options.state, options.replace)?;
    let inputs = Inputs::open(options)?;
    let (report, finished) = merge_into(options, inputs, watch)?;
    let report = AverageReport { seconds: started.elapsed().as_secs_f64(), ..report };
    write_provenance(&options.state, &finished, provenance_of(options, &report))?;
    Ok(report)
}

fn merge_into(
    options: &AverageOptions,
    inputs: Inputs,
    watch: &mut dyn FnMut(&Event),
) -> Result<(AverageReport, FinishedState), AverageError> {
    let Inputs { shards, mut readers, start } = inputs;
    let metadata = metadata_of(options.rule, &shards, start.as_ref());
    let (settings, weight_rule) = (metadata.settings, metadata.weight_rule);
    let (state_count, of) = (shards.len(), readers.iter().map(|reader| reader.feature_count() + 1).sum());
    // The start state is merged like one more state, after the others.
    let start = start.map(|CommonStart { path, reader, start, metadata }| {
        readers.push(reader);
        StartAccount {
            path,
            digest: start.digest,
            window_us: metadata.window_us,
            rows: metadata.rows,
            effective_rows: metadata.effective_rows,
            decay: start.decay,
            shares: start.shares,
            forgotten: 0,
            dropped_recalibration: None,
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
                // A name by the key is no other category: the plain name, where one state has it, says more.
                let [own, other] = [row.category, merged.category].map(key_name_count);
                names_differ |= own == other;
                if (own, row.field, row.category) < (other, merged.field, merged.category) {
                    (merged.field, merged.category) = (row.field, row.category);
                }
            }
        }
        name_collision_count += u64::from(names_differ);
        let common = match common {
            Some(row) => {
                let (z, d) = decayed(row.z, row.d, decay, &settings);
                let share_of = match (row.is_bias(), row.is_default()) {
                    (true, _) => share_of_bias,
                    (_, true) => share_of_default,
                    _ => share_of,
                };
                Common { whole: (z, d), in_each: share_of(z, d, shares, &settings) }
            }
            // The bias of each shard started at the observed CTR of its own first rows, so they have nothing in common.
            None if merged.is_bias() => Common::whole_in_each(0.0, 0.0),
            None => Common::whole_in_each(0.0, settings.curvature(0.0)),
        };
        (merged.z, merged.d) = average_of(options.rule, &parts, common, state_count);
        merged.weight = merged.weight_by(&weight_rule);
        if !merged.is_default() {
            spread.add(merged.field, &parts, merged.weight);
        }
        writer.push(&merged)?;
        row_count += parts.len() as u64;
        if row_count >= next_event {
            watch(&Event::Merged { row_count, of });
            next_event = row_count + EVENT_ROW_COUNT;
        }
    }
    watch(&Event::Merged { row_count, of });
    let fields = spread.finish();
    let sums = ValueSums::of(&shards);
    let rates = metadata.contract.fields().iter().map(|field| sums.rates(&field.name)).collect();
    let mut report = AverageReport {
        metadata,
        shards,
        start,
        fields,
        rates,
        name_collision_count,
        state_len_bytes: 0,
        seconds: 0.0,
    };
    report.metadata.provenance = lasting(&provenance_of(options, &report));
    let finished = writer.finish_with(&report.metadata.provenance)?;
    report.state_len_bytes = finished.len_bytes;
    Ok((report, finished))
}

/// Returns the metadata of the average. It does not depend on the order of the shards.
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
        without_evidence: false,
        negative_rate: first.negative_rate,
        importance_column: first.importance_column.clone(),
        log_dialect: common_dialect(shards),
        shards: shards.iter().fold(0, |sum, shard| sum.saturating_add(shard.metadata.shards)),
        window_us: widest(window_us, common.and_then(|metadata| metadata.window_us)),
        rows: common.map_or(0, |metadata| metadata.rows).saturating_add(of_all(|shard| shard.rows)),
        effective_rows: effective_rows(shards, start),
        clicks: common.map_or(0, |metadata| metadata.clicks).saturating_add(of_all(|shard| shard.clicks)),
        passes: shards.iter().map(|shard| shard.metadata.passes).max().unwrap_or(1),
        start: start.map(|start| start.start),
        lineage: {
            let mut lineage = Vec::new();
            extend_lineage(&mut lineage, shards.iter().flat_map(|shard| shard.metadata.lineage.clone()));
            lineage
        },
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        provenance: Map::new(),
    }
}

/// Returns how the CSV logs of all shards were written; `None` if they differ, so that no single dialect fits all.
fn common_dialect(shards: &[Shard]) -> Option<LogDialect> {
    let mut dialects = shards.iter().filter_map(|shard| shard.metadata.log_dialect);
    let first = dialects.next()?;
    dialects.all(|dialect| dialect == first).then_some(first)
}

/// Returns the rows of all shards as far as decay leaves them. The start state counts once.
fn effective_rows(shards: &[Shard], start: Option<&CommonStart>) -> u64 {
    let of_start = start.map_or(0, |start| decayed_rows(start.metadata.effective_rows, start.start.decay));
    let own = |shard: &Shard| shard.metadata.effective_rows.saturating_sub(of_start);
    shards.iter().map(own).fold(of_start, u64::saturating_add)
}

/// Keys of a shard's own provenance that the provenance of the average repeats.
const KEPT: [&str; 4] = ["bad_rows", "metrics", "start", "tool_version"];

fn provenance_of(options: &AverageOptions, report: &AverageReport) -> Value {
    let metadata = &report.metadata;
    let settings = metadata.settings;
    let fields =
        report.fields.iter().skip(1).map(
            |field| json!({ "field": field.field, "features": field.feature_count, "nonzero": field.nonzero_count }),
        );
    json!({
        "tool_version": metadata.tool_version,
        "arguments": options.arguments,
        "contract": {
            "name": metadata.contract.name(),
            "fingerprint": format!("{:016x}", metadata.contract.fingerprint()),
        },
        "settings": {
            "alpha": settings.alpha,
            "beta": settings.beta,
            "l1": settings.l1,
            "l2": settings.l2,
            "passes": metadata.passes,
            "iterates": agreed(&report.shards, "/settings/iterates"),
        },
        "search": options.search.as_ref().or_else(|| agreed(&report.shards, "/search")),
        "sampling": { "negative_rate": metadata.negative_rate, "seed": agreed(&report.shards, "/sampling/seed") },
        "hold_out": agreed(&report.shards, "/hold_out"),
        "importance_column": metadata.importance_column,
        "log_dialect": metadata.log_dialect,
        "rule": options.rule.name(),
        "rows": metadata.rows,
        "lineage_rows": metadata.effective_rows,
        "clicks": metadata.clicks,
        "training_window": metadata.window_us.map(window_json),
        "start": report.start.as_ref().map(start_json),
        "lineage_days": metadata.window_us.map(days_of),
        "shards": report.shards.iter().map(shard_json).collect::<Vec<_>>(),
        "spread": report.fields.iter().map(FieldSpread::to_json).collect::<Vec<_>>(),
        "features": report.feature_count(),
        "nonzero": report.nonzero_count(),
        "fields": fields.collect::<Vec<_>>(),
        "name_collisions": report.name_collision_count,
        "rates": report.rates.iter().map(FieldRates::to_json).collect::<Vec<_>>(),
        "seconds": report.seconds,
    })
}

/// Returns what the provenances of all states say alike at `pointer`.
fn agreed<'a>(shards: &'a [Shard], pointer: &str) -> Option<&'a Value> {
    let (key, rest) = pointer[1..].split_once('/').unwrap_or((&pointer[1..], ""));
    let mut values = shards.iter().map(|shard| {
        let value = shard.metadata.provenance.get(key)?;
        if rest.is_empty() { Some(value) } else { value.get(rest) }
    });
    let first = values.next().flatten().filter(|value| !value.is_null());
    first.filter(|first| values.all(|value| value == Some(first)))
}

fn shard_json(shard: &Shard) -> Value {
    json!({
        "path": shard.path.display().to_string(),
        "digest": shard.digest.to_string(),
        "len_bytes": shard.len_bytes,
        "rows": shard.rows,
        "clicks": shard.clicks,
        "features": shard.feature_count,
        "training_window": shard.metadata.window_us.map(window_json),
        "provenance": summary(&shard.metadata.provenance),
    })
}

/// Returns the kept part of the shard's provenance.
fn summary(provenance: &Map<String, Value>) -> Value {
    let kept = provenance.iter().filter(|(key, _)| KEPT.contains(&key.as_str()));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// How many of the categories in a name are named by their feature keys.
fn key_name_count(category: &str) -> usize {
    let names = split_categories(category).unwrap_or_default();
    names.iter().filter(|name| key_of_name(name).is_some()).count()
}

#[cfg(test)]
mod tests;
