//! Learns generated logs from Parquet, CSV and a row cache: `taskset -c 1 cargo bench --bench train [-- FILTER]`.
//!
//! The baselines are decoding the same rows without learning, the simplest training loop, and Vowpal Wabbit if it is
//! installed. `OMOMI_VW="python3 -m vowpalwabbit"` is the command that runs it. The default is `vw` on the path.

#[path = "../../../../benches/support"]
#[allow(dead_code, reason = "each bench uses its part")]
mod support {
    pub mod contest;
    pub mod core_time;
    pub mod ratios;
}

mod cached;
mod learned;
mod memory;
mod text_logs;
mod vowpal_wabbit;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use omomi::contract::Contract;
use omomi_train::evaluate::Metrics;
use omomi_train::learn::Settings;
use omomi_train::log::RowBatch;
use omomi_train::log::generate::{CONTRACT, LogSpec, write_parquet};

use cached::Run;
use learned::Learned;
use support::contest::{Bench, Contest};
use support::ratios::Target;
use text_logs::{each_batch, write_csv, write_vowpal_wabbit};
use vowpal_wabbit::VowpalWabbit;

/// Targets: 700,000 rows per second from Parquet, and 2 million from the cache.
const MAX_NS_FROM_PARQUET: f64 = 1_429.0;
const MAX_NS_FROM_CACHE: f64 = 500.0;

fn main() {
    let mut bench = Bench::from_args("train");
    let contract = omomi_train::toml::parse_contract(CONTRACT).expect("the contract of generated logs");
    formats(&mut bench, &contract);
    passes(&mut bench, &contract);
    bench.finish();
}

/// Times each format, with and without learning.
fn formats(bench: &mut Bench, contract: &Contract) {
    let rows = if bench.is_smoke() { 1_000 } else { 200_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (parquet, csv) = (folder.path().join("log.parquet"), folder.path().join("log.csv"));
    write_parquet(&LogSpec { rows, seed: 11, click_rate: 0.05 }, &parquet).expect("a log");
    write_csv(contract, &parquet, &csv);
    let batches: Vec<RowBatch> = each_batch(contract, &parquet).collect();

    let expected = Learned::by_trainer(contract, each_batch(contract, &parquet));
    assert_eq!(Learned::by_trainer(contract, each_batch(contract, &csv)), expected, "both formats teach the same");
    // The plain loop has no weights for unseen categories and missing values.
    let plain = CONTRACT.replace("[[field]]", "[[field]]\nunseen = \"zero\"");
    let plain = omomi_train::toml::parse_contract(&plain).expect("the contract of generated logs");
    let by_map = Learned::by_map(&plain, each_batch(&plain, &parquet));
    assert_eq!(by_map, Learned::by_trainer(&plain, each_batch(&plain, &parquet)), "the plain loop learns the same");

    let mut contest = Contest::new("rows", "row", rows);
    contest.rounds(11);
    contest.enter("omomi, Parquet", || Learned::by_trainer(contract, each_batch(contract, &parquet)));
    contest.enter("omomi, CSV", || Learned::by_trainer(contract, each_batch(contract, &csv)));
    contest.enter("omomi, rows in memory", || Learned::by_trainer(contract, &batches));
    contest.enter("decode Parquet", || each_batch(contract, &parquet).for_each(|batch| drop(black_box(batch))));
    contest.enter("decode CSV", || each_batch(contract, &csv).for_each(|batch| drop(black_box(batch))));
    contest.enter("HashMap<u64, (f64, f64)>, rows in memory", || Learned::by_map(contract, &batches));
    bench.run(contest);
}

/// Times a log whose coordinates do not fit into the cache of a core: from Parquet, from the row cache, and with Vowpal
/// Wabbit.
fn passes(bench: &mut Bench, contract: &Contract) {
    let rows = if bench.is_smoke() { 5_000 } else { 2_000_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log.parquet");
    write_parquet(&LogSpec { rows, seed: 12, click_rate: 0.05 }, &log).expect("a log");
    let run = Run { contract, log: &log, folder: folder.path() };

    let expected = run.log(Settings::default());
    let (from_cache, _) = run.passes(1);
    assert_eq!(from_cache.progressive, expected.progressive, "the cache teaches what the log teaches");
    assert_eq!(from_cache.fields, expected.fields, "the cache teaches what the log teaches");

    let mut contest = Contest::new("passes", "row", rows);
    contest.rounds(11);
    contest.enter("Parquet on one thread", || Learned::by_trainer(contract, each_batch(contract, &log)));
    contest.enter_timed("Parquet, decoded in parallel, wall-clock time", |call_count| {
        (0..call_count).map(|_| Duration::from_secs_f64(run.log(Settings::default()).learn_seconds)).sum()
    });
    contest.enter_timed("first pass from the cache", |call_count| {
        (0..call_count).map(|_| run.passes(1).1.iter().sum::<Duration>()).sum()
    });
    contest.enter_timed("further pass from the cache", |call_count| {
        (0..call_count).map(|_| run.passes(2).1.last().copied().unwrap_or_default()).sum()
    });
    contest.target(Target::AtMostNs("Parquet on one thread", MAX_NS_FROM_PARQUET));
    contest.target(Target::AtMostNs("first pass from the cache", MAX_NS_FROM_CACHE));
    contest.target(Target::AtMostNs("further pass from the cache", MAX_NS_FROM_CACHE));
    bench.note(&format!("omomi, 1 pass: {}", words(&expected.progressive)));
    // For comparison with Vowpal Wabbit, which has no penalty by default.
    let unpenalized = run.log(Settings { l1: 0.0, ..Settings::default() });
    bench.note(&format!("omomi without l1, 1 pass: {}", words(&unpenalized.progressive)));
    let (text, vw_folder) = (folder.path().join("log.vw"), folder.path());
    match VowpalWabbit::find() {
        None => bench.note("Vowpal Wabbit was not found; set OMOMI_VW to its command"),
        Some(vw) => {
            write_vowpal_wabbit(contract, &log, &text);
            enter_vowpal_wabbit(&mut contest, bench, vw, (contract, &log), (text, vw_folder));
        }
    }
    bench.run(contest);
    note_memory(bench, &log, folder.path());
}

fn enter_vowpal_wabbit<'a>(
    contest: &mut Contest<'a>,
    bench: &mut Bench,
    vw: VowpalWabbit,
    (contract, log): (&Contract, &Path),
    (text, folder): (std::path::PathBuf, &'a Path),
) {
    let clicked: Vec<bool> = each_batch(contract, log).flat_map(|batch| batch.clicked).collect();
    let settings = Settings::default();
    let ftrl = [format!("--ftrl_alpha={}", settings.alpha), format!("--ftrl_beta={}", settings.beta)];
    // By default it uses a different optimizer (adaptive, normalized, invariant) and no penalty.
    let rivals = [
        ("its FTRL with our alpha and beta", &["--ftrl", ftrl[0].as_str(), ftrl[1].as_str()][..]),
        ("its defaults", &[][..]),
    ];
    for (name, extra) in rivals {
        let (outcome, metrics) = vw.progressive(&text, folder, &clicked, extra);
        let mebibytes = outcome.peak_memory_bytes / (1 << 20);
        bench.note(&format!("Vowpal Wabbit, {name}, 1 pass: {}, {mebibytes} MiB", words(&metrics)));
    }
    let vw = std::rc::Rc::new((vw, text));
    let first = std::rc::Rc::clone(&vw);
    contest.enter_timed("Vowpal Wabbit, text, wall-clock time", move |call_count| {
        (0..call_count).map(|_| first.0.learn(&first.1, folder, 1, &["--ftrl"]).took).sum()
    });
    contest.enter_timed("Vowpal Wabbit, further pass from its cache, wall-clock time", move |call_count| {
        let pass = || {
            let [one, three] = [1, 3].map(|passes| vw.0.learn(&vw.1, folder, passes, &["--ftrl"]).took);
            three.saturating_sub(one) / 2
        };
        (0..call_count).map(|_| pass()).sum()
    });
}

fn note_memory(bench: &mut Bench, log: &Path, folder: &Path) {
    let contract = folder.join("contract.toml");
    fs::write(&contract, CONTRACT).expect("room for the contract");
    for (name, extra) in [("from the log", &[][..]), ("two passes, from the cache", &["--passes=2"][..])] {
        let [(one, features), (ten, features_of_ten)] =
            [1, 10].map(|copies| memory::peak(&contract, log, folder, copies, extra));
        assert_eq!(features, features_of_ten, "the same rows have the same features");
        let [one, ten] = [one, ten].map(|bytes| bytes as f64 / f64::from(1 << 20));
        bench.note(&format!("peak memory {name}: {one:.0} MiB; for ten times the rows, {ten:.0} MiB"));
    }
}

fn words(metrics: &Metrics) -> String {
    format!("log loss {:.6}, AUC {:.4}", metrics.log_loss, metrics.auc.unwrap_or(f64::NAN))
}
