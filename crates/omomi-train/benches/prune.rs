//! Measures how much log loss a smaller file costs.
//!
//! A state trained without l1 is pruned to several budgets. The ways of cutting are compared with each other and with a
//! state that was trained with l1. Checks that the budgets are met before it prints.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use omomi::weight_file::table::Encoding;
use omomi_train::learn::{Settings, TrainOptions, train};
use omomi_train::log::generate::{self, LogSpec, WriteOptions};
use omomi_train::pack::{PackOptions, pack};
use omomi_train::prune::{Bill, CurvePoint, Measures, PruneOptions, prune};

/// Number of files of the log, in order of time. The last one is held out.
const FILE_COUNT: usize = 10;
/// Sizes to prune to: the size of the table with all weights, divided by each of these.
const PARTS: [u64; 3] = [4, 10, 40];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` passes `--bench`. `cargo test` does not: it only checks that the bench still works.
    let default_rows = if arguments.iter().any(|argument| argument == "--bench") { 5_000_000 } else { 100_000 };
    let rows = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(default_rows);
    let folder = tempfile::tempdir()?;
    let paths: Vec<PathBuf> = (0..FILE_COUNT).map(|part| folder.path().join(format!("part-{part}.parquet"))).collect();
    generate::write(&LogSpec { rows, seed: 1, click_rate: 0.1 }, &paths, WriteOptions::default(), &mut |_| ())?;
    let logs: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let (held_out, logs) = logs.split_last().ok_or("the log has no files")?;
    let states = [0.0, Settings::default().l1].map(|l1| (l1, folder.path().join(format!("l1-{l1}.parquet"))));
    for (l1, state) in &states {
        learn(logs, *l1, state)?;
    }
    let [(_, state), (trained_l1, trained)] = states;
    println!("{rows} rows, of which a tenth is held out");

    // Nothing is cut from the state that was trained with l1, so its bill shows its own size and loss.
    let trained = whole(&trained, held_out, folder.path())?;
    let uncut = whole(&state, held_out, folder.path())?;
    let (all, best) = (uncut.total.before, loss(&uncut));
    let table_bytes: u64 = uncut.total.fields.iter().map(|field| field.before.bytes).sum();
    let fixed_bytes = all.bytes - table_bytes;
    println!("{} categories, {} bytes, log loss {best:.6}", all.categories, all.bytes);
    let growth = |log_loss: f64| (log_loss / best - 1.0) * 100.0;
    println!(
        "trained with l1 {trained_l1}: {} weights, {} bytes, log loss {:+.4} %",
        trained.total.after.weights,
        trained.total.after.bytes,
        growth(loss(&trained))
    );
    println!(
        "budget bytes   file bytes  encoding     weights  of categories    evidence          l1   magnitude  seconds  peak MiB"
    );
    for part in PARTS {
        let max_bytes = fixed_bytes + table_bytes / part;
        for encoding in Encoding::ALL {
            let out = folder.path().join("pruned.parquet");
            let measures = Measures { max_bytes: Some(max_bytes), encodings: vec![encoding], ..Measures::default() };
            let mut options = PruneOptions::new(&state, &out);
            options.measures = measures;
            options.replace = true;
            options.held_out = vec![held_out.clone()];
            let start = Instant::now();
            let bill = prune(&options, &mut |_| ())?.bill;
            let seconds = start.elapsed().as_secs_f64();
            let len = packed_len(&out, held_out, encoding)?;
            assert!(len <= max_bytes, "{len} of {max_bytes} bytes");
            assert!(max_bytes < 1_000_000 || len as f64 >= 0.98 * max_bytes as f64, "{len} of {max_bytes} bytes");
            let after = bill.total.after;
            println!(
                "{max_bytes:>12}  {len:>11}  {:<8}  {:>10}  {:>11.2} %  {}  {seconds:>7.1}  {:>8}",
                encoding.name(),
                after.weights,
                after.weights as f64 / all.categories as f64 * 100.0,
                ["evidence", "l1", "magnitude"].map(|cut| at_budget(&bill, cut, &growth)).join("  "),
                peak_mib(),
            );
        }
    }
    Ok(())
}

/// Formats how much the log loss grows with one way of cutting, at the chosen size.
fn at_budget(bill: &Bill, cut: &str, growth: &dyn Fn(f64) -> f64) -> String {
    let budget = bill.budget.as_ref().expect("it has one");
    let chosen = budget.chosen_point().expect("one was chosen");
    let is_beside = |point: &&CurvePoint| point.bytes.abs_diff(chosen.bytes) * 50 < chosen.bytes;
    let point = budget.curve.iter().filter(is_beside).find(|point| point.cut == cut);
    point.map_or_else(|| format!("{:>10}", "-"), |point| format!("{:>+8.4} %", growth(point.quality.log_loss)))
}

fn learn(logs: &[String], l1: f64, state: &Path) -> Result<(), Box<dyn Error>> {
    let mut options = TrainOptions::new(logs, state);
    options.settings = Settings { l1, ..Settings::default() };
    train(&omomi_train::toml::parse_contract(generate::CONTRACT)?, &options, &mut |_| ())?;
    Ok(())
}

/// Returns the bill of a state from which only weights of 0 are cut.
fn whole(state: &Path, held_out: &str, folder: &Path) -> Result<Bill, Box<dyn Error>> {
    let mut options = PruneOptions::new(state, folder.join("whole.parquet"));
    options.measures = Measures { max_bytes: Some(u64::from(u32::MAX)), ..Measures::default() };
    options.replace = true;
    options.held_out = vec![held_out.to_owned()];
    Ok(prune(&options, &mut |_| ())?.bill)
}

fn loss(bill: &Bill) -> f64 {
    bill.total.held_out.expect("there are held-out rows").after.log_loss
}

fn packed_len(state: &Path, held_out: &str, encoding: Encoding) -> Result<u64, Box<dyn Error>> {
    let out = state.with_extension("omomi");
    let mut options = PackOptions::new(state, [held_out], "bench", 1);
    options.encoding = encoding;
    let report = pack(&omomi_train::toml::parse_contract(generate::CONTRACT)?, &options, &out, &mut |_| ())?;
    drop(report);
    let len = fs::metadata(&out)?.len();
    fs::remove_file(&out)?;
    Ok(len)
}

/// Returns the peak memory of the process in MiB, or 0 if the system does not report it.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1_024
}
