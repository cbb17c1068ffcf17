//! Today's model of the demo: trained on two data sets in parallel, averaged, recalibrated, and pruned to a budget.
//!
//! The file is then evaluated against yesterday's, judged by the gate, published in its place, and shown in a report.

use std::fs;
use std::path::{Path, PathBuf};

use omomi::store::Store;
use omomi_train::evaluate::{By, Calibration, EvaluateOptions, Evaluation, ModelEvaluation, evaluate_files};
use omomi_train::judge::gate::{Declared, Figures, GateOptions, gate};
use omomi_train::judge::report::{self, ReportInputs};
use omomi_train::learn::shards::{ShardsAccount, TrainShardsOptions, shard_alpha, train_shards};
use omomi_train::learn::{Settings, TrainOptions};
use omomi_train::log::ReadOptions;
use omomi_train::operate::publish::{PublishOptions, Verifier, blessing_path, publish};
use omomi_train::operate::served::served;
use omomi_train::pack::{PackOptions, chosen_encoding, pack};
use omomi_train::prune::{Measures, PruneOptions, PruneReport, bill_path, prune};

use super::run::{LOGIC_ID, Run, next_generation};
use super::{GeneratedLog, TIME_COLUMN};
use crate::Failure;
use crate::output::say;
use crate::text::{bytes, figure, grouped, table};

const SHARD_COUNT: u32 = 2;

/// Budget of today's table, in percent of yesterday's. Today's model was trained on twice the rows.
const TABLE_PERCENT: u64 = 60;

/// The files of today's model.
pub(super) struct Today {
    pub(super) weight_file: PathBuf,
    pub(super) store: PathBuf,
    pub(super) report: PathBuf,
}

pub(super) fn run(log: &GeneratedLog, yesterday: &Run) -> Result<Today, Failure> {
    let merged = log.folder.join("today.parquet");
    let account = train_and_average(log, &merged)?;
    print_average(&account);
    let budget = budget(yesterday)?;
    let pruned = log.folder.join("today-pruned.parquet");
    let bill = prune_to(budget, &merged, &pruned, log)?;
    print_bill(&bill, budget, yesterday)?;
    let weight_file = pack_next(&pruned, log)?;

    let evaluation = evaluate_against(&yesterday.weight_file, &weight_file, log)?;
    let evaluation_file = log.folder.join("evaluation.json");
    evaluation.write(&evaluation_file, true)?;
    say!("\n{}", comparison(&evaluation));

    let store = Store::new(log.folder.join("store"));
    let first = match served(&store)? {
        None => Declared::First,
        Some(_) => Declared::WithoutBaseline("the demo runs again, from its first day".to_owned()),
    };
    publish_blessed(&yesterday.weight_file, &first_figures(yesterday, log), first, &store)?;
    publish_blessed(&weight_file, &Figures::Evaluation(evaluation_file.clone()), Declared::Replacement, &store)?;

    let page = log.folder.join("report.html");
    let inputs = ReportInputs {
        bill: Some(bill_path(&pruned)),
        state: Some(pruned),
        baseline_state: Some(yesterday.state.clone()),
        store: Some(store.dir().to_owned()),
        blessing: Some(blessing_path(&weight_file)).filter(|path| path.exists()),
        replace: true,
        ..ReportInputs::of(evaluation_file)
    };
    report::write(&inputs, &page)?;
    Ok(Today { weight_file, store: store.dir().to_owned(), report: page })
}

/// Returns the budget: the size of yesterday's file with its table cut to [`TABLE_PERCENT`].
fn budget(yesterday: &Run) -> Result<u64, Failure> {
    let table_len = yesterday.table_len_bytes();
    Ok(yesterday.weight_file.metadata()?.len() - table_len * (100 - TABLE_PERCENT) / 100)
}

/// Trains one shard per half of the log and averages them. Shards that an earlier demo finished are reused.
fn train_and_average(log: &GeneratedLog, merged: &Path) -> Result<ShardsAccount, Failure> {
    let settings = Settings::default();
    let mut train = TrainOptions::new(log.learned_parts(), merged);
    train.read = ReadOptions::default().with(|it| it.time_column = Some(TIME_COLUMN.to_owned()));
    train.settings = Settings { alpha: shard_alpha(settings.alpha, SHARD_COUNT, 1), ..settings };
    train.replace = true;
    train.arguments = vec!["demo".to_owned()];
    let mut options = TrainShardsOptions::new(train, &log.contract_file, SHARD_COUNT, std::env::current_exe()?);
    options.process_count = SHARD_COUNT as usize;
    options.round_count = 1;
    options.recalibrate_on = vec![log.fitting_part().to_owned()];
    Ok(train_shards(&log.contract, &options, &mut |_| ())?)
}

fn print_average(account: &ShardsAccount) {
    let reused = account.shards.iter().filter(|shard| shard.reused).count();
    let how = if reused == account.shards.len() { "kept from an earlier demo" } else { "trained, one process each" };
    say!("  train        {} data sets {how}, {:.1} s", account.shards.len(), account.seconds);
    let average = &account.average;
    say!("  average      {} features from {} rows", grouped(average.feature_count()), grouped(average.metadata.rows));
    if let Some(report) = &account.recalibration {
        let [before, after] = [report.before, report.after].map(|metrics| figure(metrics.calibration_ratio));
        say!("  recalibrate  calibration ratio {before}, then {after}");
    }
}

fn prune_to(budget: u64, merged: &Path, pruned: &Path, log: &GeneratedLog) -> Result<PruneReport, Failure> {
    let mut options = PruneOptions::new(merged, pruned);
    options.replace = true;
    options.measures = Measures { max_bytes: Some(budget), ..Measures::default() };
    options.held_out = vec![log.fitting_part().to_owned()];
    Ok(prune(&options, &mut |_| ())?)
}

fn print_bill(report: &PruneReport, budget: u64, yesterday: &Run) -> Result<(), Failure> {
    let total = &report.bill.total;
    let change = total
        .held_out
        .and_then(|change| Some(change.after.normalized_entropy? / change.before.normalized_entropy? - 1.0));
    say!(
        "  prune        {} of {} categories left, {} of a budget of {} (yesterday: {}), as {}; normalized entropy {}",
        grouped(total.after.categories),
        grouped(total.before.categories),
        bytes(total.after.bytes),
        bytes(budget),
        bytes(yesterday.weight_file.metadata()?.len()),
        report.bill.encoding,
        change.map_or_else(|| "-".to_owned(), |change| format!("{:+.3} %", change * 100.0)),
    );
    Ok(())
}

fn pack_next(pruned: &Path, log: &GeneratedLog) -> Result<PathBuf, Failure> {
    let generations = log.folder.join("generations");
    let generation = next_generation(&generations)?;
    let weight_file = generations.join(format!("{generation:06}.omomi"));
    let mut options = PackOptions::new(pruned, [log.fitting_part()], LOGIC_ID, generation);
    options.encoding = chosen_encoding(pruned)?.unwrap_or_default();
    pack(&log.contract, &options, &weight_file, &mut |_| ())?;
    say!("  pack         {}, {}", weight_file.display(), bytes(fs::metadata(&weight_file)?.len()));
    Ok(weight_file)
}

fn evaluate_options(file: &Path, baseline: Option<&Path>, log: &GeneratedLog) -> EvaluateOptions {
    EvaluateOptions::new([file], [log.evaluation_part()]).with(|it| {
        it.baseline = baseline.map(Path::to_owned);
        it.read = ReadOptions::default().with(|it| it.time_column = Some(TIME_COLUMN.to_owned()));
        it.by = By::Columns(vec!["format".to_owned(), "device".to_owned()]);
        it.user = Some("user_id".to_owned());
    })
}

fn evaluate_against(yesterday: &Path, today: &Path, log: &GeneratedLog) -> Result<Evaluation, Failure> {
    Ok(evaluate_files(&evaluate_options(today, Some(yesterday), log), &mut |_| ())?)
}

/// Returns what yesterday's file is judged by: it is the first, so it has no baseline.
fn first_figures(yesterday: &Run, log: &GeneratedLog) -> Figures {
    Figures::Logs(Box::new(evaluate_options(&yesterday.weight_file, None, log)))
}

/// Publishes a file if it passes the gate. Otherwise prints the reasons.
fn publish_blessed(file: &Path, figures: &Figures, declared: Declared, store: &Store) -> Result<(), Failure> {
    let mut options = GateOptions::new(file, figures.clone());
    options.declared = declared;
    options.store = store.dir().is_dir().then(|| store.dir().to_owned());
    let verdict = gate(&options, &mut |_| ())?;
    for check in verdict.reasons() {
        let subject = check.subject.as_deref().unwrap_or("the file");
        let answer = check.answer.words();
        say!("  {answer:<12} {} of {subject}: expected {}, found {}", check.name, check.expected, check.found);
    }
    if !verdict.passed() {
        return Ok(());
    }
    let options = PublishOptions::new(file, Verifier::this_program()?);
    let published = publish(store, &options, &mut |_| ())?;
    say!(
        "  publish      generation {}, blessed by {} checks of the gate: {}",
        published.current.generation,
        verdict.checks.len(),
        published.path.display()
    );
    Ok(())
}

fn comparison(evaluation: &Evaluation) -> String {
    let calibration = |of: Option<Calibration>| match of {
        Some(Calibration { ratio, low, high }) => format!("{ratio:.4} ({low:.4} to {high:.4})"),
        None => "-".to_owned(),
    };
    let mut rows = Vec::new();
    let mut row = |name: &str, of: &dyn Fn(&ModelEvaluation) -> String| {
        let models = evaluation.models.iter().chain(&evaluation.baseline);
        rows.push(std::iter::once(name.to_owned()).chain(models.map(of)).collect());
    };
    row("log loss", &|model| format!("{:.6}", model.overall.log_loss));
    row("normalized entropy", &|model| figure(model.overall.normalized_entropy));
    row("AUC", &|model| figure(model.overall.auc));
    row("calibration ratio", &|model| calibration(model.overall.calibration));
    row("file", &|model| bytes(model.file.len_bytes));
    table(&["held-out rows", "today", "yesterday"], rows)
}
