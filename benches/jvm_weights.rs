//! Writes the two weight files, of ids and of texts, that the benchmarks in `jvm-bindings/bench` score with.
//!
//! `cargo bench --bench jvm_weights -- FOLDER 1000000`: an empty folder, and the approximate number of weights per
//! file. Without arguments it does nothing. The Java side computes the weights by the same formula, in `Weights.java`,
//! without reading a file.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use omomi::Model;
use omomi::contract::Contract;
use omomi::feature::{feature_key, field_seed, text_value};
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::weight_file::Calibrator;
use omomi_train::pack::table::EncodedWeights;
use omomi_train::pack::writer::{self, Parts};
use serde_json::{Map, json};

const CONTEXT: [&str; 10] = ["user", "device", "os", "region", "segment", "hour", "site", "slot", "size", "exchange"];
const CANDIDATE: [&str; 10] =
    ["creative", "campaign", "advertiser", "category", "format", "theme", "landing", "agency", "brand", "placement"];
const BIAS: f64 = -2.0;
const GOLDEN_COUNT: u64 = 8;

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo also passes `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [folder, count] = &arguments[..] else {
        eprintln!("nothing to do: expected the arguments FOLDER COUNT");
        return Ok(());
    };
    let per_field = count.parse::<u64>()? / (CONTEXT.len() + CANDIDATE.len()) as u64;
    for kind in ["id", "text"] {
        let path = Path::new(folder).join(format!("{kind}.omomi"));
        let model = write(kind, per_field, &path)?;
        println!("{}: {} weights", path.display(), model.weight_count());
    }
    Ok(())
}

fn write(kind: &str, per_field: u64, path: &Path) -> Result<Arc<Model>, Box<dyn Error>> {
    let side = |names: [&str; 10], side: &str| {
        names.map(|name| json!({ "name": name, "side": side, "type": kind, "meaning": "a field of the benchmark" }))
    };
    let fields = [side(CONTEXT, "context"), side(CANDIDATE, "candidate")].concat();
    let contract = Contract::from_json(
        json!({ "name": "jvm-bench", "label": "clicked", "field": fields }).to_string().as_bytes(),
    )?;
    let mut weights = Vec::new();
    for name in CONTEXT.iter().chain(&CANDIDATE) {
        let seed = field_seed(name);
        weights.extend((0..per_field).map(|category| {
            let key = feature_key(seed, value(kind, category));
            (key, weight(key))
        }));
    }
    weights.sort_unstable_by_key(|&(key, _)| key);
    let weights: EncodedWeights = weights.into_iter().collect();
    let golden: Vec<RequestRows> = (0..GOLDEN_COUNT).map(|number| golden_request(kind, number)).collect();
    let parts = Parts {
        contract: &contract,
        generation: 1,
        logic_id: "jvm-bench",
        provenance: Map::new(),
        bias: BIAS,
        weights: &weights,
        calibrator: Calibrator { min: 1e-6, max: 0.999 },
        field_sizes: Vec::new(),
        golden: &golden,
    };
    Ok(writer::write(&parts, path)?)
}

/// The text of a category: 17 bytes, a realistic length.
fn text(category: u64) -> String {
    format!("category-{category:08}")
}

fn value(kind: &str, category: u64) -> u64 {
    if kind == "id" { category } else { text_value(text(category).as_bytes()) }
}

/// Never 0, spread over -0.5 to 0.5, and exact in every encoding of 16 bits and more.
fn weight(key: u64) -> f32 {
    // The top ten bits fit into a `u16`.
    let top = (key >> 54) as u16;
    (f32::from(2 * top) - 1_023.0) / 2_048.0
}

fn golden_request(kind: &str, number: u64) -> RequestRows {
    let row = |names: [&str; 10]| -> Row {
        let field_value = |category: u64| match kind {
            "id" => FieldValue::Id(category.cast_signed()),
            _ => FieldValue::Text(text(category)),
        };
        names.iter().zip(number * 7..).map(|(name, category)| ((*name).to_owned(), field_value(category))).collect()
    };
    RequestRows { context: row(CONTEXT), candidates: vec![row(CANDIDATE)] }
}
