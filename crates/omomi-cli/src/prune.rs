//! `omomi prune`: makes a training state smaller and reports what that costs.

use std::path::PathBuf;
use std::time::Duration;

use crate::csv_flags::CsvFlags;
use crate::hold_out_flags::{HoldOutFlags, TimeFlags};
use crate::importance_flags::ImportanceFlags;
use crate::output::{note, say};
use crate::progress::ReadProgress;
use crate::stores::NamedStore;
use indicatif::ProgressBar;
use omomi_train::log::{KeptRows, ReadOptions};
use omomi_train::operate::bucket_store::Needs;
use omomi_train::operate::publish::limits::duration_of;
use omomi_train::prune::{
    Bill, BudgetBill, ByField, Change, DEFAULT_MAX_DROPPED_SHARE, DEFAULT_SAMPLE_ROW_COUNT, Event, HeldOutChange,
    LiveList, Measures, PruneOptions, PruneReport, prune,
};

use crate::Failure;
use crate::pack::EncodingName;
use crate::text::{bytes, figure, grouped, parse_bytes, table};

/// Make a training state smaller and report what that costs
///
/// The measures below are applied in this order, without training again. For each, PRUNED.bill.json says what it
/// removed and what it cost on held-out rows, by field. Give the pruned state to `omomi pack`, but continue training
/// from the unpruned one. A field with more categories than the contract's `max_categories` is cut or is an error, as
/// the contract says.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Training state to prune
    #[arg(value_name = "STATE")]
    state: PathBuf,
    /// Pruned state to write; its bill and a copy of its provenance are written next to it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// CSV file with the live categories of --field: a column named like the field, or a single column. All others are
    /// dropped
    #[arg(long, value_name = "FILE", requires = "field")]
    live: Option<PathBuf>,
    /// Field that the live list is for
    #[arg(long, value_name = "FIELD", requires = "live")]
    field: Option<String>,
    /// Drop categories last seen longer than this before the end of the training window: "30 days", or "creative_id=7
    /// days"
    #[arg(long, value_name = "[FIELD=]TIME", value_parser = parse_time)]
    last_seen: Vec<(Option<String>, Duration)>,
    /// Drop categories with fewer impressions than this: 10, or creative_id=5 for one field
    #[arg(long, value_name = "[FIELD=]N", value_parser = parse_count)]
    min_impressions: Vec<(Option<String>, u64)>,
    /// L1 penalty: weights become 0 where |z| is at most this; it must be at least the l1 of the state
    #[arg(long, value_name = "X")]
    l1: Option<f64>,
    /// Weights of smaller magnitude become 0; the bias then makes up for what that does to the mean prediction
    #[arg(long, value_name = "X", requires = "held_out")]
    min_magnitude: Option<f64>,
    /// Largest size of the weight file, such as 200MB: drops what costs least and chooses the encoding
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, requires = "held_out")]
    max_bytes: Option<u64>,
    /// Encoding that --max-bytes may choose; may be given several times [default: any]
    #[arg(long, value_enum, requires = "max_bytes")]
    encoding: Vec<EncodingName>,
    /// Logs that were not trained on, for the cost and the bias: best the ones for `omomi pack`; paths or quoted
    /// patterns
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    held_out: Vec<String>,
    /// Largest number of held-out rows in memory; of more rows, a sample is used
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SAMPLE_ROW_COUNT)]
    sample_rows: usize,
    /// Largest share of a field's categories that --live or --last-seen may drop, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = DEFAULT_MAX_DROPPED_SHARE)]
    max_dropped_share: f64,
    /// Continue although it looks wrong: a larger share, a live list that matches nothing, a size that the store would
    /// reject
    #[arg(long)]
    allow: bool,
    /// Directory of the store that the weight file is for: its limits and the sizes of its files are checked now
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(flatten)]
    csv: CsvFlags,
    #[command(flatten)]
    importance: ImportanceFlags,
    #[command(flatten)]
    hold_out: HoldOutFlags,
    #[command(flatten)]
    times: TimeFlags,
    /// Number of unusable held-out rows to skip before the command fails
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_rows: u64,
    /// Replace the pruned state and its bill if they exist
    #[arg(long)]
    force: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let live = arguments.live.clone().zip(arguments.field.clone());
    let mut options = PruneOptions::new(&arguments.state, &arguments.out);
    options.replace = arguments.force;
    options.measures = Measures {
        live: live.map(|(path, field)| LiveList { path, field, csv: arguments.csv.dialect() }),
        last_seen: by_field(&arguments.last_seen),
        min_impressions: by_field(&arguments.min_impressions),
        l1: arguments.l1,
        min_magnitude: arguments.min_magnitude,
        max_bytes: arguments.max_bytes,
        encodings: arguments.encoding.iter().map(|&name| name.into()).collect(),
    };
    options.max_dropped_share = arguments.max_dropped_share;
    options.allow = arguments.allow;
    options.held_out = arguments.held_out.clone();
    options.read = arguments.hold_out.applied_to(
        arguments.times.applied_to(arguments.csv.applied_to(
            arguments.importance.applied_to(ReadOptions::default().with(|it| it.max_bad_rows = arguments.max_bad_rows)),
        )),
        KeptRows::HeldOut,
    );
    options.sample_row_count = arguments.sample_rows;
    // The limits and the sizes of the last files.
    let named = arguments.store.as_deref().map(NamedStore::open).transpose()?;
    let needs = Needs { last_files: true, ..Needs::default() };
    options.store = named.as_ref().map(|named| named.read(needs)).transpose()?.map(|store| store.dir().to_owned());
    let mut watcher = Watcher::new(arguments.quiet);
    let pruned = prune(&options, &mut |event| watcher.watch(&event));
    watcher.working.finish_and_clear();
    print_report(&pruned?, arguments);
    Ok(())
}

fn by_field<T: Copy>(settings: &[(Option<String>, T)]) -> ByField<T> {
    let mut by_field = ByField::default();
    for (field, setting) in settings {
        match field {
            Some(field) => {
                by_field.named.insert(field.clone(), *setting);
            }
            None => by_field.others = Some(*setting),
        }
    }
    by_field
}

fn split_field(text: &str) -> (Option<String>, &str) {
    text.split_once('=').map_or((None, text), |(field, setting)| (Some(field.to_owned()), setting))
}

fn parse_count(text: &str) -> Result<(Option<String>, u64), String> {
    let (field, count) = split_field(text);
    let count = count.parse().map_err(|_| "expected a whole number such as 10, or creative_id=5".to_owned())?;
    Ok((field, count))
}

fn parse_time(text: &str) -> Result<(Option<String>, Duration), String> {
    let (field, time) = split_field(text);
    let time = duration_of(time).ok_or_else(|| {
        "expected a number of days, hours or minutes, such as \"30 days\" or \"creative_id=7 days\"".to_owned()
    })?;
    Ok((field, time))
}

/// Shows progress on standard error.
struct Watcher {
    quiet: bool,
    reading: Option<ReadProgress>,
    /// Spinner for steps without a row count. It hides itself if standard error is not a terminal.
    working: ProgressBar,
}

impl Watcher {
    fn new(quiet: bool) -> Self {
        let working = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        working.enable_steady_tick(Duration::from_millis(200));
        Self { quiet, reading: None, working }
    }

    fn watch(&mut self, event: &Event<'_>) {
        match event {
            Event::Reading => self.working.set_message("read the state"),
            Event::Started(reader) => self.reading = Some(ReadProgress::new("held out", reader, self.quiet)),
            Event::Read(reader) => {
                if let Some(progress) = &mut self.reading {
                    progress.update(reader);
                }
            }
            Event::Finished(reader) => {
                if let Some(progress) = self.reading.take() {
                    progress.finish(reader);
                }
            }
            Event::Measure(measure) => self.working.set_message(format!("apply the measure {measure}")),
            Event::Tried { count, of } => self.working.set_message(format!("meet the budget: {count} of {of} models")),
            Event::Writing => self.working.set_message("write the pruned state"),
            _ => {}
        }
    }
}

fn print_report(report: &PruneReport, arguments: &Arguments) {
    let bill = &report.bill;
    say!("{}\n", measure_table(bill));
    if let Some(budget) = &bill.budget {
        say!("{}\n", curve_table(bill, budget));
    }
    say!("{}\n", field_table(&bill.total));
    if bill.held_out_rows > 0 {
        let rows = format!("{} of {}", grouped(bill.held_out_rows), grouped(report.held_out_row_count));
        let shift = bill.rule_after.shift - bill.rule_before.shift;
        let ratio = figure(bill.unfitted.and_then(|quality| quality.calibration_ratio));
        let how = match bill.bias_fitted {
            Some(false) => "their clicks are no reason to change the level of the model; bias",
            _ => "the bias was fitted on them:",
        };
        say!(" held-out rows   {rows}; {how} {shift:+.4} (calibration ratio before: {ratio})");
    }
    say!(" state           {} ({})", arguments.out.display(), bytes(report.state_len_bytes));
    say!(" bill            {}", report.bill_path.display());
    say!(" next            omomi pack --state {} --encoding {} ...", arguments.out.display(), bill.encoding);
    for warning in &bill.warnings {
        note!("warning: {warning}");
    }
}

fn measure_table(bill: &Bill) -> String {
    let mut rows = vec![change_row("before pruning", String::new(), &bill.total, Moment::Before)];
    for measure in &bill.measures {
        rows.push(change_row(&measure.measure, measure.setting.clone(), &measure.change, Moment::After));
    }
    rows.push(change_row("together", String::new(), &bill.total, Moment::After));
    table(&["measure", "setting", "categories", "weights", "bytes", "mass removed", "NE", "change of NE"], rows)
}

/// Which side of a change is shown.
#[derive(Clone, Copy, PartialEq)]
enum Moment {
    Before,
    After,
}

fn change_row(measure: &str, setting: String, change: &Change, moment: Moment) -> Vec<String> {
    let is_after = moment == Moment::After;
    let amounts = if is_after { change.after } else { change.before };
    let quality = change.held_out.map(|held_out| if is_after { held_out.after } else { held_out.before });
    vec![
        measure.to_owned(),
        setting,
        grouped(amounts.categories),
        grouped(amounts.weights),
        bytes(amounts.bytes),
        if is_after {
            percent(change.mass_removed / change.before.mass.max(f64::MIN_POSITIVE))
        } else {
            "-".to_owned()
        },
        figure(quality.and_then(|quality| quality.normalized_entropy)),
        if is_after { growth(change.held_out) } else { "-".to_owned() },
    ]
}

fn field_table(total: &Change) -> String {
    let rows = total.fields.iter().map(|field| {
        vec![
            field.field.clone(),
            grouped(field.before.categories),
            grouped(field.after.categories),
            bytes(field.before.bytes),
            bytes(field.after.bytes),
            percent(field.mass_removed / field.before.mass.max(f64::MIN_POSITIVE)),
            growth(field.held_out),
        ]
    });
    let header = ["field", "categories", "left", "bytes", "left", "mass removed", "change of NE, this field alone"];
    table(&header, rows.collect())
}

/// Returns the table of the best model of each size, and the chosen one.
fn curve_table(bill: &Bill, budget: &BudgetBill) -> String {
    let uncut = bill.measures.iter().find(|measure| measure.measure == "max_bytes");
    let uncut = uncut.and_then(|measure| measure.change.held_out).map(|held_out| held_out.before);
    let mut best = f64::INFINITY;
    let mut rows = Vec::new();
    for (index, point) in budget.curve.iter().enumerate() {
        // The curve is in order of size: skip a model that is larger than an earlier one and no better.
        if point.quality.log_loss >= best && index != budget.chosen {
            continue;
        }
        best = best.min(point.quality.log_loss);
        rows.push(vec![
            bytes(point.bytes),
            grouped(point.weights),
            point.encoding.clone(),
            point.cut.clone(),
            format!("{:.4}", point.threshold),
            figure(point.quality.normalized_entropy),
            growth(uncut.map(|before| HeldOutChange { before, after: point.quality })),
            if index == budget.chosen { format!("chosen for {}", bytes(budget.max_bytes)) } else { String::new() },
        ]);
    }
    table(&["bytes", "weights", "encoding", "cut by", "above", "NE", "change of NE", ""], rows)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn growth(change: Option<HeldOutChange>) -> String {
    change.map_or_else(|| "-".to_owned(), |change| format!("{:+.3} %", change.loss_growth() * 100.0))
}
