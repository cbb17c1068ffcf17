//! Packs a training state of many features, verifies and maps it, and says what that took.
//!
//! `cargo bench --bench pack -- 10000000`: the number of weights, 10 million unless told otherwise.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use omomi::contract::Contract;
use omomi::feature::{feature_key, field_seed};
use omomi::log_reader::ReadOptions;
use omomi::pack::{DEFAULT_CALIBRATOR, PackOptions, pack};
use omomi::train::state::{BIAS_FIELD, BIAS_KEY, Metadata, StateRow, StateWriter};
use omomi::train::{Settings, provenance_path};
use omomi::weight_file::table::Encoding;
use omomi::{LoadMode, Model};

const CONTRACT: &str = r#"{"name":"bench","label":"clicked","field":[
    {"name":"creative_id","side":"candidate","type":"id","meaning":"what is shown"}]}"#;
const SETTINGS: Settings = Settings { alpha: 0.05, beta: 1.0, l1: 1.0, l2: 1.0 };

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo passes `--bench` as well.
    let count = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10_000_000_u64);
    let contract = Contract::from_json(CONTRACT.as_bytes())?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state.parquet");
    write_state(&contract, &state, count)?;
    let held_out = folder.path().join("held_out.jsonl");
    fs::write(&held_out, "{\"creative_id\":1,\"clicked\":0}\n{\"creative_id\":2,\"clicked\":1}\n")?;
    let options = PackOptions {
        state,
        held_out: vec![held_out.display().to_string()],
        read: ReadOptions::default(),
        logic_id: "bench".to_owned(),
        generation: 1,
        calibrator: DEFAULT_CALIBRATOR,
        encoding: Encoding::F32,
    };
    let out = folder.path().join("000001.omomi");
    let resident_before = status_kib("VmRSS:");
    let (report, pack_seconds) = timed(|| pack(&contract, &options, &out, &mut |_| ()))?;
    assert_eq!(report.model.weight_count(), count);
    drop(report);
    let peak = status_kib("VmHWM:");
    let (model, map_seconds) = timed(|| Model::load(&out, LoadMode::Map))?;
    let seed = field_seed("creative_id");
    assert!((0..count).step_by(997).all(|id| model.table().get(feature_key(seed, id)) == Some(weight_of(id))));
    let (_, copy_seconds) = timed(|| Model::load(&out, LoadMode::Copy))?;
    let len = fs::metadata(&out)?.len();
    println!("weights                      {count}");
    println!("file                         {len} bytes, {:.3} bytes per weight", len as f64 / count as f64);
    println!("pack (read to verified name) {pack_seconds:.2} s");
    println!("map and verify               {map_seconds:.2} s");
    println!("copy and verify              {copy_seconds:.2} s");
    println!("resident before packing      {} MiB", resident_before / 1_024);
    println!("peak resident while packing  {} MiB (mapped pages of the file included)", peak / 1_024);
    Ok(())
}

/// What the weight of a feature with this id becomes: not 0, and different for most neighbours.
fn weight_of(id: u64) -> f32 {
    let (z, d) = z_and_d(id);
    #[expect(clippy::cast_possible_truncation, reason = "weights are served as f32")]
    let weight = SETTINGS.feature_weight(z, d) as f32;
    weight
}

fn z_and_d(id: u64) -> (f64, f64) {
    (2.0 + (id % 1_000) as f64 * 0.01, SETTINGS.curvature((id % 77) as f64))
}

fn write_state(contract: &Contract, path: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let seed = field_seed("creative_id");
    let mut ids: Vec<(u64, u64)> = (0..count).map(|id| (feature_key(seed, id), id)).collect();
    ids.sort_unstable();
    let metadata = Metadata {
        contract: contract.clone(),
        settings: SETTINGS,
        rows: count,
        clicks: count / 10,
        passes: 1,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut writer = StateWriter::create(path, &metadata, false)?;
    writer.push(&row(BIAS_FIELD, "", BIAS_KEY, (40.0, 20.0)))?;
    for (key, id) in ids {
        writer.push(&row("creative_id", &id.to_string(), key, z_and_d(id)))?;
    }
    writer.finish()?;
    fs::write(provenance_path(path), "{}")?;
    Ok(())
}

fn row<'a>(field: &'a str, category: &'a str, key: u64, (z, d): (f64, f64)) -> StateRow<'a> {
    let weight = SETTINGS.feature_weight(z, d);
    StateRow { field, category, key, z, d, impressions: 10, clicks: 1, last_seen_us: None, weight }
}

fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(T, f64), E> {
    let start = Instant::now();
    Ok((work()?, start.elapsed().as_secs_f64()))
}

/// A line of what Linux says of this process, in KiB; 0 elsewhere.
fn status_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
