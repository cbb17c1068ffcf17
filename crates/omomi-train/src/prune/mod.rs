//! Prunes a training state: drops features and weights so that the weight file becomes smaller, and reports what that
//! costs.
//!
//! [`prune`] reads a state, takes the requested measures in this order, and writes a smaller state for packing:
//!
//! 1. **live list**: drops categories of a field that are not in the list, and crosses that contain one of them.
//! 2. **last seen**: drops features that were last seen too long before the end of the training window.
//! 3. **minimum impressions**: drops features with too few impressions.
//! 4. **l1**: raises l1. A weight is 0 if its evidence `|z|` is at most l1.
//! 5. **minimum magnitude**: sets weights below this magnitude to 0.
//! 6. **maximum categories**: applies to fields that have more weights than the contract allows. Drops the weights with
//!    the fewest impressions, or returns an error; the contract says which.
//! 7. **budget** in bytes: drops weights and chooses an encoding so that the log loss on held-out rows is lowest.
//! 8. Drops features whose weight is 0. This measure is always taken.
//!
//! The first two measures are guarded. They return an error if they would drop more than
//! [`PruneOptions::max_dropped_share`] of a field's categories that have impressions.
//!
//! A category that is dropped adds the default weight of its field to a logit. What dropping it costs is therefore the
//! distance of its weight from that, not from 0; a state from before there were such weights has 0. A minimum magnitude
//! and the budget's cut by magnitude mean this distance.
//!
//! If there are held-out rows, the bias is fitted again on them. A cut usually drops more weights of one sign than of
//! the other, so the mean prediction would drift otherwise. Where the fit is within its own error, the level of the
//! model is left alone, as [`recalibrate`](crate::learn::recalibrate) does: the bias is then shifted only as far as the
//! cut moved the mean prediction. The [`Bill`] compares models that both have a fitted bias. Its differences therefore
//! show what a measure costs, not what the fit gains.
//!
//! ```no_run
//! use omomi_train::prune::{Measures, PruneOptions, prune};
//!
//! let measures = Measures { max_bytes: Some(200_000_000), ..Measures::default() };
//! let mut options = PruneOptions::new("state.parquet", "pruned.parquet");
//! options.measures = measures;
//! options.held_out = vec!["logs/last-day.parquet".to_owned()];
//! let report = prune(&options, &mut |_| ())?;
//! println!("{} weights", report.bill.total.after.weights);
//! # Ok::<(), omomi_train::prune::PruneError>(())
//! ```
//!
//! # Limits
//!
//! Memory: about 100 bytes per feature of the state, plus 50 bytes per held-out row and 8 bytes per feature of that
//! row. At most [`PruneOptions::sample_row_count`] held-out rows are in memory.
//!
//! Training cannot continue from a pruned state, because dropped features would come back as new ones. Continue from
//! the state before pruning.
//!
//! A budget is met to within 2 % if the weight file has a megabyte or more. In smaller files, the alignment of the
//! weights to 4,096 bytes may leave a larger share unused. The budget is never exceeded if packing gets the same
//! held-out rows, because golden requests are chosen from them.

mod bill;
mod budget;
mod categories;
mod error;
mod held_out;
mod live_list;
mod measures;
mod stage;
mod write;

use std::path::{Path, PathBuf};

use crate::learn::{StateModel, refuse_existing_state};
use crate::lineage::{LearningStep, learned_logs};
use crate::log::{HoldOut, LogReader, ReadOptions};
use crate::operate::publish::check_planned;
use crate::pack::{FilePlan, GoldenRows};
use omomi::contract::Contract;
use omomi::store::Store;

pub use bill::{
    Amounts, Bill, BudgetBill, Change, CurvePoint, FieldChange, HeldOutChange, MeasureBill, Quality, RuleBill,
};
pub use categories::ByField;
pub use error::PruneError;
pub use live_list::LiveList;
pub use measures::Measures;

use categories::Guard;
use held_out::HeldOut;
use stage::Workbench;

/// Default of [`PruneOptions::max_dropped_share`]: half of a field's categories.
pub const DEFAULT_MAX_DROPPED_SHARE: f64 = 0.5;
/// Default of [`PruneOptions::sample_row_count`].
pub const DEFAULT_SAMPLE_ROW_COUNT: usize = 500_000;

/// The bill has a warning if the weight file uses less than this share of the budget.
const MIN_BUDGET_SHARE: f64 = 0.98;

/// What to prune, how, and where to write the result.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PruneOptions {
    /// The training state.
    pub state: PathBuf,
    /// Path of the pruned state. Its [bill](bill_path) and a [copy of its
    /// provenance](crate::learn::provenance_path) are written beside it.
    pub out: PathBuf,
    /// Whether existing files are replaced.
    pub replace: bool,
    /// The measures to take.
    pub measures: Measures,
    /// Largest share of a field's categories that [`Measures::live`] or [`Measures::last_seen`] may drop, from 0 to 1.
    /// Only categories with impressions count.
    pub max_dropped_share: f64,
    /// Whether to prune although something looks wrong: a larger share is dropped, the live list matches no category,
    /// or the store would reject the weight file.
    pub allow: bool,
    /// Paths and patterns of logs that were not used in training, best the ones that packing will use. May be empty.
    pub held_out: Vec<String>,
    /// How the held-out logs are read.
    pub read: ReadOptions,
    /// Most held-out rows in memory. If the logs have more, a sample of them is used.
    pub sample_row_count: usize,
    /// A store. The planned weight file is checked against its limits and its files.
    pub store: Option<PathBuf>,
}

impl PruneOptions {
    /// Options with no measures, no held-out rows and default limits.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            out: out.into(),
            replace: false,
            measures: Measures::default(),
            max_dropped_share: DEFAULT_MAX_DROPPED_SHARE,
            allow: false,
            held_out: Vec::new(),
            read: ReadOptions::default(),
            sample_row_count: DEFAULT_SAMPLE_ROW_COUNT,
            store: None,
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// What happens while [`prune`] runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The state is about to be read.
    Reading,
    /// Held-out rows are about to be read.
    Started(&'a LogReader),
    /// More held-out rows were read.
    Read(&'a LogReader),
    /// All held-out rows were read.
    Finished(&'a LogReader),
    /// The measure with this name is about to be taken.
    Measure(&'static str),
    /// More models were tried to meet the budget.
    Tried {
        /// How many models were tried so far.
        count: usize,
        /// How many models are tried at most.
        of: usize,
    },
    /// The pruned state is about to be written.
    Writing,
}

/// The result of [`prune`].
#[derive(Debug, Clone)]
pub struct PruneReport {
    /// What was dropped and what it cost.
    pub bill: Bill,
    /// Path of the bill's file.
    pub bill_path: PathBuf,
    /// Rows in the held-out logs. The bill's metrics may cover only a sample of them.
    pub held_out_row_count: u64,
    /// Size of the pruned state in bytes.
    pub state_len_bytes: u64,
}

/// Returns the path of a pruned state's bill: `out.bill.json` for `out.parquet`.
#[must_use]
pub fn bill_path(state: impl AsRef<Path>) -> PathBuf {
    let state = state.as_ref();
    state.with_extension("bill.json")
}

/// Prunes a training state. Writes the smaller state, its provenance and its bill. Calls `watch` with each event.
///
/// # Errors
///
/// Returns a [`PruneError`] if an input is unreadable or invalid, if a guard stops a measure, or if a file cannot be
/// written. No file is changed, unless the error happened during writing.
pub fn prune(options: &PruneOptions, watch: &mut dyn FnMut(Event<'_>)) -> Result<PruneReport, PruneError> {
    let bill_path = bill_path(&options.out);
    // A bill without a state was left behind by a run that died.
    refuse_existing_state(&options.out, options.replace)?;
    if !(0.0..=1.0).contains(&options.max_dropped_share) {
        let (expected, found) = ("a share from 0 to 1".to_owned(), format!("{:?}", options.max_dropped_share));
        return Err(PruneError::Setting { name: "max_dropped_share", expected, found });
    }
    watch(Event::Reading);
    let model = StateModel::read(&options.state)?;
    let contract = &model.metadata().contract;
    options.measures.check(contract, &model.metadata().weight_rule, !options.held_out.is_empty())?;
    let mut golden = GoldenRows::new(contract);
    let (held_out, held_out_logs, held_out_rule) = match read_held_out(&model, options, &mut golden, watch)? {
        Some((rows, reader)) => (Some(rows), reader.files().to_vec(), reader.hold_out().map(HoldOut::used_rows)),
        None => (None, Vec::new(), None),
    };
    let golden = held_out.is_some().then_some(&golden);
    let growth_bytes = write::provenance_growth_bytes(&options.measures);
    let has_defaults = !model.defaults().is_empty();
    let plan = FilePlan::new(contract, &options.state, golden, growth_bytes, has_defaults)?;
    let workbench = Workbench { model: &model, plan: &plan, held_out: held_out.as_ref() };
    let guard = Guard { max_dropped_share: options.max_dropped_share, allow: options.allow };
    let first = workbench.first_stage();
    let taken = options.measures.take(&options.state, &workbench, &guard, &first, watch)?;

    let last = taken.last;
    let served = held_out.as_ref().zip(last.fitted);
    let served = served.map(|(rows, fitted)| rows.served_shift(first.logits(), last.logits(), fitted));
    let rule = served.map_or(last.rule, |(shift, _)| last.rule.recalibrated(1.0, shift));
    let mut bill = Bill {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        contract: contract.name().to_owned(),
        fingerprint: format!("{:016x}", contract.fingerprint()),
        encoding: last.encoding.name().to_owned(),
        rule_before: first.rule.into(),
        rule_after: rule.into(),
        bias_fitted: served.map(|(_, is_fitted)| is_fitted),
        served: held_out.as_ref().zip(served).map(|(rows, (shift, _))| rows.quality(last.logits(), shift)),
        held_out_rows: held_out.as_ref().map_or(0, HeldOut::sampled_row_count),
        unfitted: held_out.as_ref().map(|rows| rows.quality(first.logits(), 0.0)),
        total: workbench.change(&first, &last),
        measures: taken.measures,
        budget: taken.budget,
        warnings: taken.warnings,
    };
    let more = warnings(&bill, contract, options)?;
    bill.warnings.extend(more);
    watch(Event::Writing);
    let sample = held_out.as_ref().filter(|rows| rows.sampled_row_count() < rows.row_count());
    let sample = sample.map(|rows| format!("a sample of {} rows", rows.sampled_row_count()));
    let rules: Vec<String> = held_out_rule.into_iter().chain(sample).collect();
    let used_rows = (!rules.is_empty()).then(|| rules.join(", "));
    let learned = learned_logs(LearningStep::Prune, &held_out_logs, None, used_rows.as_deref());
    let state_len_bytes = write::write(options, &last, &rule, &bill, &bill_path, learned)?;
    let held_out_row_count = held_out.as_ref().map_or(0, HeldOut::row_count);
    Ok(PruneReport { bill, bill_path, held_out_row_count, state_len_bytes })
}

fn read_held_out(
    model: &StateModel,
    options: &PruneOptions,
    golden: &mut GoldenRows<'_>,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Option<(HeldOut, LogReader)>, PruneError> {
    if options.held_out.is_empty() {
        return Ok(None);
    }
    let contract = &model.metadata().contract;
    options.read.check_importance(model.metadata().importance_column.as_deref())?;
    let read = options.read.with_trained(model.metadata().log_dialect);
    let mut reader = LogReader::open(contract, &options.held_out, read)?;
    let group_count = contract.fields().len() + contract.crosses().len();
    let mut rows = HeldOut::new(group_count, options.sample_row_count);
    watch(Event::Started(&reader));
    while let Some(batch) = reader.next_batch()? {
        if !golden.is_enough() {
            golden.look_at(&batch);
        }
        rows.add(model, &batch);
        watch(Event::Read(&reader));
    }
    watch(Event::Finished(&reader));
    rows.refuse_one_sided()?;
    Ok(Some((rows, reader)))
}

/// Returns the warnings: the bias was not fitted, the budget is not used up, or the store warns about or would reject
/// the planned weight file. Fails if the store would reject it and [`PruneOptions::allow`] is not set.
fn warnings(bill: &Bill, contract: &Contract, options: &PruneOptions) -> Result<Vec<String>, PruneError> {
    let mut warnings = Vec::new();
    if bill.held_out_rows == 0 {
        warnings.push(
            "without held-out rows, the bias is not fitted again and sizes do not include golden requests".to_owned(),
        );
    }
    let (bytes, max_bytes) = (bill.total.after.bytes, bill.budget.as_ref().map(|budget| budget.max_bytes));
    if let Some(max_bytes) = max_bytes.filter(|&max_bytes| (bytes as f64) < MIN_BUDGET_SHARE * max_bytes as f64) {
        warnings.push(format!(
            "the weight file will have {bytes} bytes and not use up the budget of {max_bytes} bytes: no larger file \
             that was tried is better"
        ));
    }
    let Some(store) = &options.store else { return Ok(warnings) };
    let sizes = bill.total.fields.iter().filter(|field| field.after.weights > 0);
    let sizes: Vec<(String, u64)> = sizes.map(|field| (field.field.clone(), field.after.weights)).collect();
    match check_planned(&Store::new(store), contract, bill.total.after.bytes, &sizes) {
        Ok(found) => warnings.extend(found.iter().map(ToString::to_string)),
        Err(refusal) if options.allow => warnings.push(format!("the store would reject the weight file: {refusal}")),
        Err(source) => return Err(PruneError::Store { source }),
    }
    Ok(warnings)
}
