//! Makes the simple logic a model of its own: the smoothed click rate by one or two fields.
//!
//! ```text
//! rate(category) = (clicks + a) / (impressions + b)     a, b: clicks and impressions of the prior
//! bias           = logit(a / b)                          so that a category without a weight has the rate of the prior
//! weight         = logit(rate(category)) - bias
//! ```
//!
//! With two fields, a category is one of their cross. The result is a training state like any other: a weight file of
//! it answers with these rates, and can be an arm of a test or what a server answers with when scoring is off.
//!
//! The prior is [fitted](fit_prior) to the categories, or given.

mod prior;

use std::collections::HashMap;
use std::path::PathBuf;

use omomi::contract::{Contract, FieldKind};
use omomi::error::Owner;
use omomi::feature::feature_key;
use serde_json::json;

use super::import::{ImportError, ImportOptions, SourceFacts, write_rates};
use crate::learn::Settings;
use crate::learn::category::FeatureNames;
use crate::learn::feature_table::write_bucket;
use crate::lineage::{LearningStep, learned_logs};
use crate::log::{Categories, HoldOut, LogError, LogReader, ReadOptions, RowBatch, write_key_name};

pub use prior::{Prior, fit_prior};

/// What to make a baseline of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BaselineOptions {
    /// Paths and patterns of logs.
    pub logs: Vec<String>,
    /// How to read them.
    pub read: ReadOptions,
    /// One field, or two that the contract crosses.
    pub by: Vec<String>,
    /// The prior; `None` fits it.
    pub prior: Option<Prior>,
    /// The training state to write.
    pub out: PathBuf,
    /// Whether an existing state is replaced.
    pub replace: bool,
    /// The command line, for the provenance.
    pub arguments: Vec<String>,
}

impl BaselineOptions {
    /// Returns options that fit the prior, read in the default way and replace no state.
    #[must_use]
    pub fn new(
        logs: impl IntoIterator<Item = impl Into<String>>,
        by: impl IntoIterator<Item = impl Into<String>>,
        out: impl Into<PathBuf>,
    ) -> Self {
        Self {
            logs: logs.into_iter().map(Into::into).collect(),
            read: ReadOptions::default(),
            by: by.into_iter().map(Into::into).collect(),
            prior: None,
            out: out.into(),
            replace: false,
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

/// What a baseline was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct BaselineReport {
    /// The prior.
    pub prior: Prior,
    /// Whether it was fitted.
    pub is_fitted: bool,
    /// Impressions and clicks of the logs.
    pub impressions: f64,
    /// Clicks of the logs.
    pub clicks: f64,
    /// Number of categories with impressions.
    pub category_count: u64,
    /// Impressions without a category: a field had no value.
    pub without_category: f64,
    /// Smallest and largest smoothed rate.
    pub rates: [f64; 2],
    /// Number of bad rows, which were skipped.
    pub bad_row_count: u64,
    /// Size of the state in bytes.
    pub state_len_bytes: u64,
}

/// Why a baseline could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The fields cannot be used.
    #[error("{0}")]
    Fields(String),
    /// A number of the prior is out of bounds.
    #[error("expected a prior of clicks above 0 and more impressions than clicks, found {clicks} of {impressions}")]
    Prior {
        /// Clicks of the prior.
        clicks: f64,
        /// Impressions of the prior.
        impressions: f64,
    },
    /// The logs have no row.
    #[error("the logs have no rows: expected at least one")]
    NoRows,
    /// A prior cannot be fitted.
    #[error(
        "a prior cannot be fitted: {clicks} of {impressions} impressions were clicked; expected some clicks and some \
         impressions without one: name more logs, or give --prior-clicks and --prior-impressions"
    )]
    OneSided {
        /// Clicks of the logs.
        clicks: f64,
        /// Impressions of the logs.
        impressions: f64,
    },
    /// The state cannot be written.
    #[error(transparent)]
    Write(#[from] ImportError),
}

impl BaselineError {
    /// Returns who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Log(error) => error.owner(),
            Self::NoRows => Owner::Delivery,
            Self::Write(error) => error.owner(),
            _ => Owner::Ml,
        }
    }
}

/// Impressions and clicks of one category.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    impressions: f64,
    clicks: f64,
}

/// Counts the logs and writes the state of the smoothed rates. Calls `watch` after each batch.
///
/// Memory: about 100 bytes for each category.
///
/// # Errors
///
/// Returns [`BaselineError`]; no state is written then.
pub fn baseline(
    contract: &Contract,
    options: &BaselineOptions,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<BaselineReport, BaselineError> {
    let fields = fields_of(contract, &options.by)?;
    if let Some(Prior { clicks, impressions }) = options.prior
        && !(clicks > 0.0 && impressions > clicks && impressions.is_finite())
    {
        return Err(BaselineError::Prior { clicks, impressions });
    }
    crate::learn::refuse_existing_state(&options.out, options.replace).map_err(ImportError::from)?;
    let mut reader = LogReader::open(contract, &options.logs, options.read.clone())?;
    let mut by_category: HashMap<String, Counts> = HashMap::new();
    let (mut total, mut without) = (Counts::default(), 0.0);
    let mut window_us: Option<(i64, i64)> = None;
    let mut category = String::new();
    while let Some(batch) = reader.next_batch()? {
        let mut importance = batch.each_importance();
        for row in 0..batch.row_count() {
            let (importance, clicked) = (importance(), batch.clicked[row]);
            let clicks = if clicked { importance } else { 0.0 };
            total.impressions += importance;
            total.clicks += clicks;
            if !write_category(contract, &batch, &fields, row, &mut category) {
                without += importance;
                continue;
            }
            let counts = match by_category.get_mut(&category) {
                Some(counts) => counts,
                None => by_category.entry(category.clone()).or_default(),
            };
            counts.impressions += importance;
            counts.clicks += clicks;
        }
        for &time_us in batch.time_us.iter().flatten() {
            let (first, last) = window_us.unwrap_or((time_us, time_us));
            window_us = Some((first.min(time_us), last.max(time_us)));
        }
        watch(&reader);
    }
    if total.impressions <= 0.0 {
        return Err(BaselineError::NoRows);
    }
    let fitted = || fit_prior(by_category.values().map(|counts| (counts.clicks, counts.impressions)));
    let one_sided = || BaselineError::OneSided { clicks: total.clicks, impressions: total.impressions };
    let prior = match options.prior {
        Some(prior) => prior,
        None => fitted().ok_or_else(one_sided)?,
    };
    let logit = |rate: f64| (rate / (1.0 - rate)).ln();
    let bias = logit(prior.mean());
    let mut rates = [f64::INFINITY, 0.0_f64];
    let names = FeatureNames::new(contract);
    let name = options.by.join(omomi::feature::CROSS_JOINER);
    let rows: Vec<(&str, f64, u64, u64)> = by_category
        .iter()
        .map(|(category, counts)| {
            let rate = prior.smoothed(counts.clicks, counts.impressions);
            rates = [rates[0].min(rate), rates[1].max(rate)];
            let (impressions, clicks) = (whole(counts.impressions), whole(counts.clicks));
            (category.as_str(), logit(rate) - bias, impressions, clicks.min(impressions))
        })
        .collect();
    let rule = reader.hold_out().map(HoldOut::used_rows);
    let provenance = json!({
        "by": options.by,
        "prior": { "clicks": prior.clicks, "impressions": prior.impressions, "is_fitted": options.prior.is_none() },
        "categories": rows.len(),
    });
    let facts = SourceFacts {
        key: "baseline",
        provenance,
        lineage: learned_logs(LearningStep::Train, reader.files(), window_us, rule.as_deref()),
        window_us,
        rows: whole(total.impressions),
        clicks: whole(total.clicks),
        importance_column: options.read.importance_column.clone(),
    };
    let import = ImportOptions {
        replace: options.replace,
        click_rate: Some((total.clicks / total.impressions).clamp(1e-9, 1.0 - 1e-9)),
        settings: Settings::default(),
        arguments: options.arguments.clone(),
        ..ImportOptions::new("the logs", &options.out)
    };
    let written = write_rates(&names, &import, facts, bias, &name, &rows)?;
    Ok(BaselineReport {
        prior,
        is_fitted: options.prior.is_none(),
        impressions: total.impressions,
        clicks: total.clicks,
        category_count: rows.len() as u64,
        without_category: without,
        rates: if rows.is_empty() { [prior.mean(); 2] } else { rates },
        bad_row_count: reader.bad_row_count(),
        state_len_bytes: written,
    })
}

/// Rounds a count that may be a sum of importances.
fn whole(count: f64) -> u64 {
    crate::evaluate::whole(count)
}

/// Returns the indices of the fields, which must be one field, or two with a cross, in the order of the names.
fn fields_of(contract: &Contract, by: &[String]) -> Result<Vec<usize>, BaselineError> {
    let wrong = |problem: String| Err(BaselineError::Fields(problem));
    if by.is_empty() || by.len() > 2 {
        return wrong(format!("expected one field or two, found {}", by.len()));
    }
    let mut fields = Vec::new();
    for name in by {
        let Some(index) = contract.fields().iter().position(|field| field.name == *name) else {
            return wrong(format!(
                "the contract `{}` has no field `{}`",
                contract.name(),
                omomi::printable::quoted(name)
            ));
        };
        if contract.fields()[index].many {
            return wrong(format!(
                "the field `{name}` may have several categories in a row, whose weights would be added: expected a \
                 field with one"
            ));
        }
        fields.push(index);
    }
    if let [one, other] = fields[..] {
        let mut members = [one, other];
        members.sort_unstable();
        if one == other {
            return wrong(format!("expected two different fields, found `{}` twice", by[0]));
        }
        if !contract.crosses().iter().any(|cross| cross.members == members) {
            return wrong(format!(
                "the contract has no cross of `{}` and `{}`: add it to the contract, or to a copy of it for the \
                 baseline: [[cross]] fields = [\"{}\", \"{}\"]",
                by[0], by[1], by[0], by[1]
            ));
        }
    }
    Ok(fields)
}

/// Writes the category of a row, as a state has it. Returns false if a field has no value.
fn write_category(contract: &Contract, batch: &RowBatch, fields: &[usize], row: usize, category: &mut String) -> bool {
    category.clear();
    let mut own = String::new();
    for (position, &field) in fields.iter().enumerate() {
        let column = &batch.columns[field];
        let Some(index) = column.range(row).next() else { return false };
        own.clear();
        match (&contract.fields()[field].kind, &column.categories) {
            (_, Categories::Keys) => {
                write_key_name(feature_key(contract.fields()[field].seed(), column.values[index]), &mut own);
            }
            (FieldKind::Number { range, buckets, .. }, _) => {
                write_bucket(buckets, *range, column.values[index], &mut own);
            }
            (FieldKind::Text, Categories::Texts { .. }) => own.push_str(column.text(index).unwrap_or_default()),
            _ => own.push_str(&column.values[index].cast_signed().to_string()),
        }
        if fields.len() == 1 {
            std::mem::swap(category, &mut own);
        } else {
            crate::learn::state::join_category(position == 0, &own, category);
        }
    }
    true
}
