//! Creates small weight files for the Java and Scala tests: any contract, invented weights, golden requests with
//! Japanese texts, unseen categories, missing fields, empty lists and numbers out of range.

use std::collections::BTreeMap;
use std::path::Path;

use omomi::contract::{Contract, Field, FieldKind, Side};
use omomi::feature;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::weight_file::Calibrator;
use omomi_train::pack::writer::{self, Parts};
use serde_json::Map;

/// Categories of texts. The last has no weight. There are ten because rows step through them by threes.
const TEXTS: [&str; 10] = ["料理", "自動車", "旅行", "東京都", "大阪府", "sale", "新着", "", "𠮷野家", UNSEEN];
const UNSEEN: &str = "未知の分野";
/// An id without a weight.
const UNSEEN_ID: i64 = i64::MAX;
const REQUEST_COUNT: usize = 48;

/// Packs a weight file for `contract` under `path`.
pub fn write(contract: &Contract, path: &Path) {
    write_generation(contract, 42, "jvm-test-ロジック", path);
}

/// Packs generations 1 to `count` into `folder`, each with different weights and its own logic id.
pub fn write_generations(contract: &Contract, count: u64, folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    for generation in 1..=count {
        let path = folder.join(format!("{generation:06}.omomi"));
        write_generation(contract, generation, &format!("live-ロジック-{generation}"), &path);
    }
}

fn write_generation(contract: &Contract, generation: u64, logic_id: &str, path: &Path) {
    let golden: Vec<RequestRows> = (0..REQUEST_COUNT).map(|number| request(contract, number)).collect();
    let mut weights = BTreeMap::new();
    for rows in &golden {
        for candidate in &rows.candidates {
            weigh(contract, &rows.context, candidate, &mut weights);
        }
    }
    let shift = f32::from(u16::try_from(generation).unwrap()) / 1_000.0;
    weights.values_mut().for_each(|weight| *weight += shift);
    let parts = Parts {
        contract,
        generation,
        logic_id,
        provenance: Map::new(),
        bias: -2.0,
        weights: &weights.into_iter().collect(),
        calibrator: Calibrator { min: 1e-6, max: 0.999 },
        field_sizes: Vec::new(),
        golden: &golden,
    };
    writer::write(&parts, path).unwrap();
}

fn request(contract: &Contract, number: usize) -> RequestRows {
    let candidates = (0..1 + number % 6).map(|index| row(contract, Side::Candidate, number * 7 + index));
    RequestRows { context: row(contract, Side::Context, number), candidates: candidates.collect() }
}

/// Returns a row that depends on `number`, and sometimes leaves out a field.
fn row(contract: &Contract, side: Side, number: usize) -> Row {
    let fields = contract.fields().iter().filter(|field| field.side == side).enumerate();
    fields
        .filter(|(position, _)| (number + position) % 7 != 6)
        .map(|(position, field)| (field.name.clone(), value(field, number * 3 + position * 5)))
        .collect()
}

fn value(field: &Field, number: usize) -> FieldValue {
    let values = || (0..number % 4).map(|index| number + index);
    match &field.kind {
        FieldKind::Id if field.many => FieldValue::Ids(values().map(id).collect()),
        FieldKind::Id => FieldValue::Id(id(number)),
        FieldKind::Text if field.many => FieldValue::Texts(values().map(text).collect()),
        FieldKind::Text => FieldValue::Text(text(number)),
        FieldKind::Number { range, .. } => {
            // From slightly below the range to slightly above it.
            let part = f64::from(u32::try_from(number % 23).unwrap() + 1) / 22.0 - 0.06;
            FieldValue::Number(range[0] + (range[1] - range[0]) * part)
        }
    }
}

fn id(number: usize) -> i64 {
    match number % 13 {
        11 => i64::MIN,
        12 => UNSEEN_ID,
        small => i64::try_from(small).unwrap(),
    }
}

fn text(number: usize) -> String {
    TEXTS[number % TEXTS.len()].to_owned()
}

/// Gives every feature of one candidate a weight, except for unseen categories.
fn weigh(contract: &Contract, context: &Row, candidate: &Row, weights: &mut BTreeMap<u64, f32>) {
    let values = |field: &Field| values_of(field, context.get(&field.name).or_else(|| candidate.get(&field.name)));
    let keys = |field: &Field| -> Vec<u64> {
        values(field).into_iter().map(|value| feature::feature_key(feature::field_seed(&field.name), value)).collect()
    };
    let mut found: Vec<u64> = contract.fields().iter().flat_map(keys).collect();
    for cross in contract.crosses() {
        let mut states = vec![feature::field_seed(&contract.cross_name(cross))];
        for &member in &cross.members {
            let members = keys(&contract.fields()[member]);
            let step =
                |&state: &u64| members.iter().map(move |&key| feature::cross_step(state, key)).collect::<Vec<_>>();
            states = states.iter().flat_map(step).collect();
        }
        found.extend(states);
    }
    for key in found {
        // Any spread will do. Three decimals keep the file readable in a debugger.
        let thousandths = i16::try_from(key % 2_001).unwrap() - 1_000;
        weights.insert(key, f32::from(thousandths) / 1_000.0);
    }
}

fn values_of(field: &Field, value: Option<&FieldValue>) -> Vec<u64> {
    let known_text = |text: &String| (text != UNSEEN).then(|| feature::text_value(text.as_bytes()));
    let known_id = |id: &i64| (*id != UNSEEN_ID).then(|| feature::id_value(*id));
    match (value, &field.kind) {
        (Some(FieldValue::Id(id)), _) => known_id(id).into_iter().collect(),
        (Some(FieldValue::Ids(ids)), _) => ids.iter().filter_map(known_id).collect(),
        (Some(FieldValue::Text(text)), _) => known_text(text).into_iter().collect(),
        (Some(FieldValue::Texts(texts)), _) => texts.iter().filter_map(known_text).collect(),
        (Some(FieldValue::Number(number)), FieldKind::Number { range, buckets, .. }) => {
            buckets.index(*range, *number).into_iter().collect()
        }
        _ => Vec::new(),
    }
}
