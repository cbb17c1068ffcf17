//! Loads weight files of 1 and 10 million weights: `taskset -c 1 cargo bench --bench open [-- FILTER]`. With
//! `OMOMI_OPEN_LARGE=1`, loads one of 32 million weights instead: 256 MiB.
//!
//! The baselines are reading the bytes of the file once, and what a server with its weights on the heap does at every
//! reload. The files are in the page cache. Each contestant also frees what it made, because a reload also ends the old
//! generation.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use omomi::contract::Contract;
use omomi::feature::{feature_key, field_seed, id_value};
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::weight_file::{Calibrator, WeightFile};
use omomi::{LoadMode, Model};
use omomi_train::pack::writer::{self, Parts};

use support::contest::{Bench, Contest};
use support::peers::{KeyMap, TextMap, text_key};

const CONTRACT: &str = r#"{"name":"bench","label":"clicked","field":[
    {"name":"creative_id","side":"candidate","type":"id","meaning":"what is shown"}]}"#;
const CALIBRATOR: Calibrator = Calibrator { min: 1e-6, max: 1.0 - 1e-6 };

fn main() {
    let mut bench = Bench::from_args("open");
    let counts: &[(&str, i64)] = match std::env::var_os("OMOMI_OPEN_LARGE") {
        _ if bench.is_smoke() => &[("1M", 1_000)],
        Some(_) => &[("32M", 32_000_000)],
        None => &[("1M", 1_000_000), ("10M", 10_000_000)],
    };
    for &(name, count) in counts {
        open(&mut bench, name, count);
    }
    bench.finish();
}

fn open(bench: &mut Bench, name: &str, count: i64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, text_path) = (folder.path().join("000001.omomi"), folder.path().join("weights.txt"));
    let mut weights: Vec<(u64, f32)> = (0..count).map(|id| (key_of(id), weight_of(id))).collect();
    weights.sort_unstable_by_key(|weight| weight.0);
    write_model(&path, &weights);
    let bytes = fs::read(&path).expect("the file");
    let with_texts = count <= 1_000_000;

    for mode in [LoadMode::Map, LoadMode::Copy] {
        let model = Model::load(&path, mode).expect("a model");
        assert!((0..count).step_by(997).all(|id| model.table().get(key_of(id)) == Some(weight_of(id))));
    }
    let map = KeyMap::new(&weights);
    assert!((0..count).step_by(997).all(|id| map.get(key_of(id)) == Some(weight_of(id))));
    drop(map);
    if with_texts {
        write_text(&text_path, count);
        assert_eq!(read_text(&text_path).len(), weights.len());
    }

    let mut buffer = vec![0; bytes.len()];
    let mut contest = Contest::new(name, "weight", count.unsigned_abs());
    contest.rounds(11);
    contest.enter("read and checksum", || {
        let mut file = File::open(&path).expect("the file");
        file.read_exact(&mut buffer).expect("the file");
        crc32fast::hash(&buffer)
    });
    contest.enter("checksum in memory", || crc32fast::hash(&bytes));
    contest.enter("omomi, decode the header", || WeightFile::open(&bytes).expect("a header"));
    contest.enter("omomi, verify in memory", || {
        WeightFile::open(&bytes).expect("a header").verify().expect("a good file")
    });
    contest.enter("omomi, load by mapping", || Model::load(&path, LoadMode::Map).expect("a model"));
    contest.enter("omomi, load by copying", || Model::load(&path, LoadMode::Copy).expect("a model"));
    contest.enter("hashbrown from pairs in memory", || KeyMap::new(&weights));
    if with_texts {
        contest.enter("HashMap<String, f64> from a text file", || read_text(&text_path));
    }
    bench.run(contest);
}

fn write_model(path: &Path, weights: &[(u64, f32)]) {
    let candidate: Row = [("creative_id".to_owned(), FieldValue::Id(0))].into();
    let contract = Contract::from_json(CONTRACT.as_bytes()).expect("a contract");
    let weights = weights.iter().copied().collect();
    let parts = Parts {
        contract: &contract,
        generation: 1,
        logic_id: "bench",
        provenance: serde_json::Map::new(),
        bias: 0.0,
        weights: &weights,
        calibrator: CALIBRATOR,
        field_sizes: Vec::new(),
        golden: &[RequestRows { context: Row::new(), candidates: vec![candidate] }],
    };
    writer::write(&parts, path).expect("a model");
}

/// Writes a text file as the simplest server reads it: a name, a tab and a weight per line.
fn write_text(path: &Path, count: i64) {
    let mut file = std::io::BufWriter::new(File::create(path).expect("room for the text"));
    for id in 0..count {
        writeln!(file, "{}\t{}", text_key("creative_id", id), weight_of(id)).expect("room for the text");
    }
    file.flush().expect("room for the text");
}

fn read_text(path: &Path) -> TextMap {
    let text = fs::read_to_string(path).expect("a text");
    TextMap::new(text.lines().map(|line| {
        let (name, weight) = line.split_once('\t').expect("two columns");
        (name.to_owned(), weight.parse().expect("a weight"))
    }))
}

fn key_of(id: i64) -> u64 {
    feature_key(field_seed("creative_id"), id_value(id))
}

/// Never 0, and different for most adjacent ids.
fn weight_of(id: i64) -> f32 {
    let thousandths = u16::try_from(id % 1_000).expect("less than 1,000");
    (f32::from(thousandths) - 499.5) / 1_000.0
}
