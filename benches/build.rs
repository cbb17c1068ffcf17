//! Builds tables of many weights in each encoding, and packs a training state with as many features.
//!
//! `cargo bench --bench build -- 100000000 [pack]`. Checks that every key has its weight, then prints the time with one
//! thread and with all threads, and the peak memory in addition to the file.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use omomi::contract::Contract;
use omomi::feature::{feature_key, field_seed};
use omomi::weight_file::table::Encoding;
use omomi::{Instructions, LoadMode, Model};
use omomi_train::learn::state::{BIAS_FIELD, BIAS_KEY, Metadata, StateRow, StateWriter};
use omomi_train::learn::{Settings, WeightRule};
use omomi_train::pack::table::{BuildOptions, BuiltTable, EncodedWeights, Entry, build_with, popularity_of};
use omomi_train::pack::{PackOptions, pack};

const CONTRACT: &str = r#"{"name":"bench","label":"clicked","field":[
    {"name":"creative_id","side":"candidate","type":"id","meaning":"what is shown"}]}"#;
const SETTINGS: Settings = Settings { alpha: 0.05, beta: 1.0, l1: 1.0, l2: 1.0 };

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` passes `--bench`. `cargo test` does not: it only checks that the bench still works.
    let default_count = if arguments.iter().any(|argument| argument == "--bench") { 10_000_000 } else { 20_000 };
    let count = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(default_count);
    println!("{count} weights");
    let mut keys: Vec<u64> = {
        let seed = field_seed("creative_id");
        (0..count).map(|id| feature_key(seed, id)).collect()
    };
    keys.sort_unstable();
    let only_pack = arguments.iter().any(|argument| argument == "pack");
    if !only_pack {
        build_tables(&keys)?;
    }
    pack_states(&keys)
}

fn build_tables(keys: &[u64]) -> Result<(), Box<dyn Error>> {
    println!(
        "encoding  threads  seconds  M weights/s  bytes/weight  exceptions    lines/hit  by impressions (without)   MiB extra"
    );
    let mut entries: Vec<Entry> = keys.iter().map(|&key| entry(key, keys.len())).collect();
    for encoding in Encoding::ALL {
        let weights = EncodedWeights::encode(entries.clone(), encoding, 1)?;
        let mut first: Option<BuiltTable> = None;
        for thread_count in [1, thread::available_parallelism().map_or(1, usize::from)] {
            reset_peak();
            let resident_before = status_kib("VmRSS:");
            let start = Instant::now();
            let mut watch = |_, _| ();
            let mut options = BuildOptions::new(&mut watch);
            options.thread_count = thread_count;
            let built = build_with(&weights, &mut options)?;
            let seconds = start.elapsed().as_secs_f64();
            let peak = status_kib("VmHWM:").saturating_sub(resident_before);
            let table = built.table();
            assert_keys_have_their_weights(&built, &weights);
            let lines: usize = keys.iter().map(|&key| table.lines_touched(key)).sum();
            println!(
                "{:<8}  {thread_count:>7}  {seconds:>7.2}  {:>11.2}  {:>12.3}  {:>10}  {:>11.4}  {:>13.4} {:>9}  {:>10}",
                encoding.name(),
                keys.len() as f64 / 1e6 / seconds,
                built.weights.len() as f64 / weights.entries().len() as f64,
                built.exceptions.len() / 16,
                lines as f64 / keys.len() as f64,
                lines_by_impressions(&built, keys),
                "",
                peak.saturating_sub(built.weights.len() as u64 / 1_024) / 1_024,
            );
            match &first {
                Some(first) => assert!(*first == built, "the bytes depend on the number of threads"),
                None => first = Some(built),
            }
        }
    }
    entries.iter_mut().for_each(|entry| entry.popularity = 0);
    for encoding in Encoding::ALL {
        let weights = EncodedWeights::encode(entries.clone(), encoding, 1)?;
        let built = build_with(&weights, &mut BuildOptions::new(&mut |_, _| ()))?;
        println!(
            "{:<8}  by impressions, built without them: {:.4} lines",
            encoding.name(),
            lines_by_impressions(&built, keys)
        );
    }
    Ok(())
}

fn assert_keys_have_their_weights(built: &BuiltTable, weights: &EncodedWeights) {
    let mut found = vec![0.0; 1_024];
    for entries in weights.entries().chunks(1_024) {
        let keys: Vec<u64> = entries.iter().map(|entry| entry.key).collect();
        assert_eq!(built.table().gather(Instructions::detect(), &keys, &mut found), keys.len());
        assert!(entries.iter().zip(&found).all(|(entry, &weight)| entry.weight == weight));
    }
}

/// Mean number of lines that a lookup touches, if features are looked up in proportion to their impressions.
fn lines_by_impressions(built: &BuiltTable, keys: &[u64]) -> f64 {
    let table = built.table();
    let (mut lines, mut all) = (0.0, 0.0);
    for &key in keys {
        let impressions = impressions_of(key, keys.len()) as f64;
        lines += impressions * table.lines_touched(key) as f64;
        all += impressions;
    }
    lines / all
}

fn pack_states(keys: &[u64]) -> Result<(), Box<dyn Error>> {
    let contract = Contract::from_json(CONTRACT.as_bytes())?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state.parquet");
    let start = Instant::now();
    write_state(&contract, &state, keys)?;
    let state_len = fs::metadata(&state)?.len();
    println!("state of {state_len} bytes written in {:.1} s", start.elapsed().as_secs_f64());
    let held_out = folder.path().join("held_out.jsonl");
    fs::write(&held_out, "{\"creative_id\":1,\"clicked\":0}\n{\"creative_id\":2,\"clicked\":1}\n")?;
    println!("encoding  pack s  M weights/s  file bytes/weight        peak MiB extra  map and verify s");
    for (generation, encoding) in (1..).zip(Encoding::ALL) {
        let mut options = PackOptions::new(&state, [held_out.display().to_string()], "bench", generation);
        options.encoding = encoding;
        let out = folder.path().join(format!("{generation:06}.omomi"));
        reset_peak();
        let resident_before = status_kib("VmRSS:");
        let start = Instant::now();
        let report = pack(&contract, &options, &out, &mut |_| ())?;
        let pack_seconds = start.elapsed().as_secs_f64();
        let weight_count = report.model.weight_count();
        assert_eq!(weight_count + report.rounded.map_or(0, |rounded| rounded.rounding.zero_count), keys.len() as u64);
        drop(report.model);
        let file_len = fs::metadata(&out)?.len();
        let peak_kib = status_kib("VmHWM:").saturating_sub(resident_before + file_len / 1_024);
        let start = Instant::now();
        let model = Model::load(&out, LoadMode::Map)?;
        let map_seconds = start.elapsed().as_secs_f64();
        assert!(keys.iter().step_by(997).filter(|&&key| model.table().get(key).is_some()).count() > 0);
        println!(
            "{:<8}  {pack_seconds:>6.1}  {:>11.2}  {:>17.3}  {:>20}  {map_seconds:>16.2}",
            encoding.name(),
            keys.len() as f64 / 1e6 / pack_seconds,
            file_len as f64 / weight_count as f64,
            peak_kib / 1_024,
        );
        drop(model);
        fs::remove_file(&out)?;
    }
    Ok(())
}

/// Impressions by Zipf's law with exponent 1; the rank of each key is pseudo-random.
fn impressions_of(key: u64, count: usize) -> u64 {
    10 * count as u64 / (1 + feature_key(7, key) % count as u64)
}

fn z_and_d(key: u64) -> (f64, f64) {
    let sign = if key >> 20 & 1 == 0 { 1.0 } else { -1.0 };
    (sign * (2.0 + (key >> 24 & 1_023) as f64 * 0.01), SETTINGS.curvature((key % 77) as f64))
}

fn entry(key: u64, count: usize) -> Entry {
    let (z, d) = z_and_d(key);
    #[expect(clippy::cast_possible_truncation, reason = "weights are served as f32")]
    let weight = SETTINGS.feature_weight(z, d) as f32;
    Entry { key, weight, group: 0, popularity: popularity_of(impressions_of(key, count)) }
}

fn write_state(contract: &Contract, path: &Path, keys: &[u64]) -> Result<(), Box<dyn Error>> {
    let count = keys.len();
    let metadata = Metadata {
        contract: contract.clone(),
        settings: SETTINGS,
        weight_rule: WeightRule::of(&SETTINGS),
        pruned: false,
        negative_rate: 1.0,
        shards: 1,
        window_us: None,
        rows: count as u64,
        effective_rows: count as u64,
        importance_column: None,
        lineage: Vec::new(),
        provenance: serde_json::Map::new(),
        log_dialect: None,
        without_evidence: false,
        clicks: count as u64 / 10,
        passes: 1,
        start: None,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut writer = StateWriter::create(path, &metadata, false)?;
    writer.push(&row(BIAS_FIELD, "", BIAS_KEY, (40.0, 20.0), 10))?;
    for &key in keys {
        let category = (key >> 32).to_string();
        writer.push(&row("creative_id", &category, key, z_and_d(key), impressions_of(key, count)))?;
    }
    writer.finish()?;
    Ok(())
}

fn row<'a>(field: &'a str, category: &'a str, key: u64, (z, d): (f64, f64), impressions: u64) -> StateRow<'a> {
    let weight = SETTINGS.feature_weight(z, d);
    StateRow { field, category, key, z, d, impressions, clicks: 1, last_seen_us: None, weight }
}

/// Resets the peak memory of the process, if Linux permits it.
fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Reads a value in KiB from `/proc/self/status`; 0 where there is no such file.
fn status_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
