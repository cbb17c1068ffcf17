//! Makes a training state smaller on purpose, so that the weight file made of it is, and says what that costs.
//!
//! [`prune`] reads a state, takes the measures that are asked for one after the other, and writes a state that is for packing:
//!
//! 1. a **live list**: categories of a field that are not in it go, and crosses that have one of them;
//! 2. **last seen**: features that were seen last too long before the end of the training window go;
//! 3. **minimum impressions**: features that too few rows had go;
//! 4. **l1** raised: evidence `|z|` up to which a weight is 0;
//! 5. **least magnitude**: weights of less than it are 0;
//! 6. **most categories**: of fields that have more weights than the contract allows, those with the fewest impressions go, or it is an
//!    error, as the contract says;
//! 7. a **budget** in bytes: what loses least on held-out rows is cut, and the encoding that suits is chosen;
//! 8. features whose weight is 0 are left out.
//!
//! The first two are guarded: they refuse to drop more of a field than [`PruneOptions::max_dropped_share`] of its categories that
//! have impressions.
//!
//! Where there are held-out rows the bias is fitted again on them: what is cut is not as often negative as positive, and the
//! mean prediction would drift. The [`Bill`] compares models that were both fitted so, and thus says what the measure costs
//! and not what the fit gains.
//!
//! ```no_run
//! use omomi_train::prune::{Measures, PruneOptions, prune};
//!
//! let measures = Measures { max_bytes: Some(200_000_000), ..Measures::default() };
//! let options = PruneOptions {
//!     measures,
//!     held_out: vec!["logs/last-day.parquet".to_owned()],
//!     ..PruneOptions::new("state.parquet", "pruned.parquet")
//! };
//! let report = prune(&options, &mut |_| ())?;
//! println!("{} weights", report.bill.total.after.weights);
//! # Ok::<(), omomi_train::prune::PruneError>(())
//! ```
//!
//! # Limits
//!
//! Memory: some 100 bytes a feature of the state, and 8 for each feature of a held-out row and 50 for the row, of which at most
//! [`PruneOptions::sample_row_count`] are held. Training does not go on from a pruned state: what was cut would come back
//! as new. It goes on from the state that was pruned. A budget is met within 2 % where the weight file has a megabyte or more; in
//! smaller ones the 4,096 bytes to which the weights are aligned may be more than that. It is never exceeded, if packing
//! has the same held-out rows, of which golden requests are made.

mod bill;
mod budget;
mod categories;
mod error;
mod guard;
mod held_out;
mod live_list;
mod measures;
mod stage;
mod write;

use std::path::{Path, PathBuf};

use crate::learn::state::StateError;
use crate::learn::{StateModel, provenance_path};
use crate::log::{LogReader, ReadOptions};
use crate::operate::publish::check_planned;
use crate::pack::{FilePlan, GoldenRows};
use omomi::contract::Contract;
use omomi::new_file::refuse_to_replace;
use omomi::store::Store;

pub use bill::{
    Amounts, Bill, BudgetBill, Change, CurvePoint, FieldChange, HeldOutChange, MeasureBill, Quality, RuleBill,
};
pub use categories::ByField;
pub use error::PruneError;
pub use live_list::LiveList;
pub use measures::Measures;

use guard::Guard;
use held_out::HeldOut;
use stage::{Stage, Workbench};

/// Greatest share of a field's categories that a live list or a time may drop unless told otherwise.
pub const DEFAULT_MAX_DROPPED_SHARE: f64 = 0.5;
/// Most held-out rows that are held in memory unless told otherwise.
pub const DEFAULT_SAMPLE_ROW_COUNT: usize = 500_000;

/// Share of a budget below which somebody should hear that it is not used up.
const MIN_BUDGET_SHARE: f64 = 0.98;

/// What to prune, how, and where to leave the result.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// The training state.
    pub state: PathBuf,
    /// Where the pruned state goes; its provenance goes [beside it](provenance_path), and so does its [bill](bill_path).
    pub out: PathBuf,
    /// Whether files that are there are replaced.
    pub replace: bool,
    /// What to do.
    pub measures: Measures,
    /// Greatest share of the categories of a field that have impressions that a live list or a time may drop, from 0 to 1.
    pub max_dropped_share: f64,
    /// Whether what looks wrong is done all the same: such a share, a live list that matches nothing, and what the store
    /// would refuse.
    pub allow: bool,
    /// Paths and patterns of logs that were not trained on; best those that packing will have. Empty for none.
    pub held_out: Vec<String>,
    /// How they are read.
    pub read: ReadOptions,
    /// Most held-out rows that are held in memory; of more a sample is taken.
    pub sample_row_count: usize,
    /// The store whose limits and files the weight file is held against.
    pub store: Option<PathBuf>,
}

impl PruneOptions {
    /// No measures yet, no held-out rows, and the default limits.
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
}

/// What happens while [`prune`] runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The state is about to be read.
    Reading,
    /// Held-out rows are about to be read.
    Started(&'a LogReader),
    /// Some more of them were read.
    Read(&'a LogReader),
    /// All of them were read.
    Finished(&'a LogReader),
    /// A measure is about to be taken.
    Measure(&'static str),
    /// Some more models were tried to meet the budget.
    Tried {
        /// How many so far.
        count: usize,
        /// How many there may be.
        of: usize,
    },
    /// The pruned state is about to be written.
    Writing,
}

/// What was pruned.
#[derive(Debug, Clone)]
pub struct PruneReport {
    /// What it took and what it cost.
    pub bill: Bill,
    /// Where the bill is.
    pub bill_path: PathBuf,
    /// Rows of the held-out logs, of which the bill's are a sample.
    pub held_out_row_count: u64,
    /// Size of the pruned state in bytes.
    pub state_len_bytes: u64,
}

/// The file with the bill of a pruned state: `out.parquet` has `out.bill.json`.
#[must_use]
pub fn bill_path(state: &Path) -> PathBuf {
    state.with_extension("bill.json")
}

/// Prunes a training state and writes what is left of it, its provenance and its bill. `watch` is told what happens.
///
/// # Errors
///
/// [`PruneError`]. The files that it would have written are as they were before, unless writing itself failed.
pub fn prune(options: &PruneOptions, watch: &mut dyn FnMut(Event<'_>)) -> Result<PruneReport, PruneError> {
    let bill_path = bill_path(&options.out);
    for path in [&options.out, &provenance_path(&options.out), &bill_path] {
        refuse_to_replace(path, options.replace).map_err(|error| StateError::io("write", path, error))?;
    }
    if !(0.0..=1.0).contains(&options.max_dropped_share) {
        let (expected, found) = ("a share from 0 to 1".to_owned(), format!("{:?}", options.max_dropped_share));
        return Err(PruneError::Setting { name: "max_dropped_share", expected, found });
    }
    watch(Event::Reading);
    let model = StateModel::read(&options.state)?;
    let contract = &model.metadata().contract;
    options.measures.check(contract, &model.metadata().weight_rule, !options.held_out.is_empty())?;
    let mut golden = GoldenRows::new(contract);
    let held_out = read_held_out(&model, options, &mut golden, watch)?;
    let golden = held_out.is_some().then_some(&golden);
    let growth_bytes = write::provenance_growth_bytes(&options.measures);
    let plan = FilePlan::new(contract, &options.state, golden, growth_bytes)?;
    let workbench = Workbench { model: &model, plan: &plan, held_out: held_out.as_ref() };
    let guard = Guard { max_dropped_share: options.max_dropped_share, allow: options.allow };
    let first = workbench.first_stage();
    let taken = options.measures.take(&options.state, &workbench, &guard, &first, watch)?;

    let last = taken.last;
    let mut bill = Bill {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        contract: contract.name().to_owned(),
        fingerprint: format!("{:016x}", contract.fingerprint()),
        encoding: last.encoding.name().to_owned(),
        rule_before: first.rule.into(),
        rule_after: served_rule(&last).into(),
        held_out_rows: held_out.as_ref().map_or(0, HeldOut::sampled_row_count),
        unfitted: held_out.as_ref().map(|rows| rows.quality(first.logits(), 0.0)),
        total: workbench.change(&first, &last),
        measures: taken.measures,
        budget: taken.budget,
        warnings: Vec::new(),
    };
    bill.warnings = warnings(&bill, contract, options)?;
    watch(Event::Writing);
    let state_len_bytes = write::write(options, &last, &served_rule(&last), &bill, &bill_path)?;
    let held_out_row_count = held_out.as_ref().map_or(0, HeldOut::row_count);
    Ok(PruneReport { bill, bill_path, held_out_row_count, state_len_bytes })
}

/// The rule of a stage with the bias where it was fitted.
fn served_rule(stage: &Stage) -> crate::learn::WeightRule {
    stage.fitted.map_or(stage.rule, |fitted| stage.rule.recalibrated(1.0, fitted.shift))
}

fn read_held_out(
    model: &StateModel,
    options: &PruneOptions,
    golden: &mut GoldenRows<'_>,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Option<HeldOut>, PruneError> {
    if options.held_out.is_empty() {
        return Ok(None);
    }
    let contract = &model.metadata().contract;
    let mut reader = LogReader::open(contract, &options.held_out, options.read.clone())?;
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
    Ok(Some(rows))
}

/// What somebody should look at: that the bias is where it was, that a budget is not used up, and what the store says of the weight file to come.
fn warnings(bill: &Bill, contract: &Contract, options: &PruneOptions) -> Result<Vec<String>, PruneError> {
    let mut warnings = Vec::new();
    if bill.held_out_rows == 0 {
        warnings.push(
            "without held-out rows the bias stays as it was, and bytes are counted without golden requests".to_owned(),
        );
    }
    let (bytes, max_bytes) = (bill.total.after.bytes, bill.budget.as_ref().map(|budget| budget.max_bytes));
    if let Some(max_bytes) = max_bytes.filter(|&max_bytes| (bytes as f64) < MIN_BUDGET_SHARE * max_bytes as f64) {
        warnings.push(format!("the weight file will have {bytes} bytes, and the budget of {max_bytes} is not used up: nothing that was tried with more is better"));
    }
    let Some(store) = &options.store else { return Ok(warnings) };
    let sizes = bill.total.fields.iter().filter(|field| field.after.weights > 0);
    let sizes: Vec<(String, u64)> = sizes.map(|field| (field.field.clone(), field.after.weights)).collect();
    match check_planned(&Store::new(store), contract, bill.total.after.bytes, &sizes) {
        Ok(found) => warnings.extend(found.iter().map(ToString::to_string)),
        Err(refusal) if options.allow => warnings.push(format!("the store would refuse the weight file: {refusal}")),
        Err(source) => return Err(PruneError::Store { source }),
    }
    Ok(warnings)
}
