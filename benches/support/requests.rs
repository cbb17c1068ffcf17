//! Requests with 10 context and 10 candidate fields, and a model that knows 9 of 10 of their features, all from one
//! seed.
//!
//! All fields have the same number of categories, and all categories are equally frequent. So nearly every lookup goes
//! to a line that was not touched recently: the hard case. Real traffic repeats itself and is faster.

use std::path::Path;
use std::sync::Arc;

use omomi::contract::{Contract, Side};
use omomi::feature::{cross_step, feature_key, field_seed, id_value, text_value};
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::weight_file::table::Encoding;
use omomi::weight_file::{Calibrator, DefaultWeights};
use omomi::{Capacity, FieldSlot, Model, Request, RequestLayout, Schema};
use omomi_train::pack::table::{EncodedWeights, Entry};
use omomi_train::pack::writer::{self, Parts};
use rand::{RngExt, SeedableRng};

/// Number of fields of each side.
pub const FIELD_COUNT: usize = 10;
/// The weight that is always on.
pub const BIAS: f64 = -3.0;

const CALIBRATOR: Calibrator = Calibrator { min: 1e-6, max: 1.0 - 1e-6 };

/// The shape of a model and of its requests.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Whether fields are texts, passed as bytes, instead of ids.
    pub texts: bool,
    /// Number of crosses of a context field with a candidate field.
    pub cross_count: usize,
    pub weight_count: usize,
    pub request_count: usize,
    pub candidate_count: usize,
}

/// The categories of one request, field by field; for candidates, row by row.
pub struct Values {
    pub context: Vec<i64>,
    pub candidates: Vec<i64>,
    /// The context as texts, if the fields are texts.
    pub context_texts: Vec<String>,
    /// The candidates as texts, if the fields are texts.
    pub candidate_texts: Vec<String>,
}

/// The requests and the weights.
pub struct Traffic {
    pub shape: Shape,
    pub contract: Contract,
    /// In ascending order of key.
    pub weights: Vec<(u64, f32)>,
    pub requests: Vec<Values>,
    pub context_seeds: Vec<u64>,
    pub candidate_seeds: Vec<u64>,
    pub cross_seeds: Vec<u64>,
    category_count: i64,
    context_slots: Vec<FieldSlot>,
    candidate_slots: Vec<FieldSlot>,
}

impl Shape {
    /// A million weights and 64 requests of 500 candidates, or small numbers for a smoke test.
    pub fn full(smoke: bool) -> Self {
        let (weight_count, request_count, candidate_count) = if smoke { (2_000, 2, 20) } else { (1_000_000, 64, 500) };
        Self { texts: false, cross_count: 0, weight_count, request_count, candidate_count }
    }
}

impl Traffic {
    pub fn new(shape: Shape) -> Self {
        let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(3);
        let contract = contract(shape);
        let schema = Schema::of_contract(&contract);
        let seeds = |side| schema.fields(side).iter().map(|field| field_seed(&field.name)).collect::<Vec<u64>>();
        let slots = |side| schema.slots(side).collect();
        let known_per_field = shape.weight_count / (2 * FIELD_COUNT + shape.cross_count);
        let category_count = i64::try_from(known_per_field * 10 / 9).expect("few categories");
        let mut draw =
            |count: usize| -> Vec<i64> { (0..count).map(|_| random.random_range(0..category_count)).collect() };
        let texts_of = |ids: &[i64]| if shape.texts { ids.iter().copied().map(text_of).collect() } else { Vec::new() };
        let mut request = |_| {
            let (context, candidates) = (draw(FIELD_COUNT), draw(FIELD_COUNT * shape.candidate_count));
            let (context_texts, candidate_texts) = (texts_of(&context), texts_of(&candidates));
            Values { context, candidates, context_texts, candidate_texts }
        };
        let mut traffic = Self {
            shape,
            requests: (0..shape.request_count).map(&mut request).collect(),
            context_seeds: seeds(Side::Context),
            candidate_seeds: seeds(Side::Candidate),
            cross_seeds: contract.crosses().iter().map(|cross| field_seed(&contract.cross_name(cross))).collect(),
            weights: Vec::new(),
            category_count,
            context_slots: slots(Side::Context),
            candidate_slots: slots(Side::Candidate),
            contract,
        };
        traffic.weights = traffic.known_weights(known_per_field, &mut random);
        traffic
    }

    /// Returns the weights of nine tenths of the categories and of the crossed pairs in the requests, and more up to
    /// the number of weights.
    fn known_weights(&self, known_per_field: usize, random: &mut impl RngExt) -> Vec<(u64, f32)> {
        let mut keys: Vec<u64> = self.each_feature().map(|(key, _, _)| key).collect();
        for (index, &seed) in self.cross_seeds.iter().enumerate() {
            let start = keys.len();
            for values in &self.requests {
                let member = self.key(self.context_seeds[index], values.context[index]);
                let state = cross_step(seed, member);
                let column = values.candidates.iter().skip(index).step_by(FIELD_COUNT);
                keys.extend(column.map(|&id| cross_step(state, self.key(self.candidate_seeds[index], id))));
            }
            // No request has these.
            let end = keys.len().max(start + known_per_field);
            keys.resize_with(end, || random.random());
        }
        keys.retain(|&key| is_known(key));
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(|key| (key, weight_of(key))).collect()
    }

    /// Returns the key, field and category of every feature that a request may have, known or unseen, except crosses.
    fn each_feature(&self) -> impl Iterator<Item = (u64, &str, i64)> {
        self.contract.fields().iter().flat_map(move |field| {
            let seed = field_seed(&field.name);
            (0..self.category_count).map(move |id| (self.key(seed, id), field.name.as_str(), id))
        })
    }

    /// Returns the field, category and weight of every feature that has a weight, except crosses.
    pub fn each_weight(&self) -> impl Iterator<Item = (&str, i64, f32)> {
        let known = self.each_feature().filter(|&(key, _, _)| is_known(key));
        known.map(|(key, field, id)| (field, id, weight_of(key)))
    }

    #[inline]
    pub fn key(&self, seed: u64, id: i64) -> u64 {
        feature_key(seed, if self.shape.texts { text_value(text_of(id).as_bytes()) } else { id_value(id) })
    }

    /// Writes the weight file of one arm of an A/B test. All arms have the same features, with different weights.
    pub fn write(&self, path: &Path, arm: u8) -> Arc<Model> {
        let weights = self.weights.iter().map(|&(key, weight)| (key, weight * (1.0 + f32::from(arm)))).collect();
        self.write_weights(path, arm, &weights)
    }

    /// Writes the weight file of the model in an encoding, without crosses, but perhaps with default weights.
    pub fn write_in(&self, path: &Path, encoding: Encoding, has_defaults: bool) -> Arc<Model> {
        let fields = self.contract.fields();
        let mut entries: Vec<Entry> = Vec::with_capacity(self.weights.len());
        for (group, field) in (0..).zip(fields) {
            let seed = field_seed(&field.name);
            let keys = (0..self.category_count).map(|id| self.key(seed, id)).filter(|&key| is_known(key));
            entries.extend(keys.map(|key| Entry { group, ..Entry::from((key, weight_of(key))) }));
        }
        entries.sort_unstable_by_key(|entry| entry.key);
        let default = DefaultWeights { unseen: -0.25, missing: 0.125 };
        let defaults = if has_defaults { vec![default; fields.len()] } else { Vec::new() };
        let weights = EncodedWeights::encode_with(defaults, entries, encoding, fields.len()).expect("small weights");
        self.write_weights(path, 0, &weights)
    }

    fn write_weights(&self, path: &Path, arm: u8, weights: &EncodedWeights) -> Arc<Model> {
        let golden = [self.rows(0, 4.min(self.shape.candidate_count))];
        let parts = Parts {
            contract: &self.contract,
            generation: 1 + u64::from(arm),
            logic_id: "bench",
            provenance: serde_json::Map::new(),
            bias: BIAS,
            weights,
            calibrator: CALIBRATOR,
            field_sizes: Vec::new(),
            golden: &golden,
        };
        writer::write(&parts, path).expect("a model")
    }

    pub fn layout(&self) -> RequestLayout {
        let tail_len = |values: &Values| {
            let texts = values.context_texts.iter().chain(&values.candidate_texts);
            texts.map(String::len).sum::<usize>()
        };
        let tail_len_bytes = self.requests.iter().map(tail_len).max().unwrap_or(0);
        let capacity = Capacity { candidates: self.shape.candidate_count, tail_len_bytes };
        RequestLayout::new(&Schema::of_contract(&self.contract), capacity).expect("a layout")
    }

    /// Clears the request and fills the context row of request `index`.
    #[inline]
    pub fn fill_context(&self, request: &mut Request, index: usize) {
        let values = &self.requests[index];
        request.clear();
        let mut row = request.context();
        for (field, &slot) in self.context_slots.iter().enumerate() {
            if self.shape.texts {
                row.set_text(slot, &values.context_texts[field]).expect("room");
            } else {
                row.set_id(slot, values.context[field]).expect("an id field");
            }
        }
    }

    /// Fills request `index` as a server does: field by field, from categories in memory.
    #[inline]
    pub fn fill(&self, request: &mut Request, index: usize) {
        self.fill_context(request, index);
        let values = &self.requests[index];
        for candidate in 0..self.shape.candidate_count {
            let mut row = request.candidate(candidate).expect("room");
            let start = candidate * FIELD_COUNT;
            for (field, &slot) in self.candidate_slots.iter().enumerate() {
                if self.shape.texts {
                    row.set_text(slot, &values.candidate_texts[start + field]).expect("room");
                } else {
                    row.set_id(slot, values.candidates[start + field]).expect("an id field");
                }
            }
        }
    }

    /// Returns the context and the first candidates of request `index`, outside a request block.
    fn rows(&self, index: usize, candidate_count: usize) -> RequestRows {
        let values = &self.requests[index];
        let value = |id| if self.shape.texts { FieldValue::Text(text_of(id)) } else { FieldValue::Id(id) };
        let row = |side: &str, ids: &[i64]| -> Row {
            ids.iter().enumerate().map(|(field, &id)| (name_of(side, field), value(id))).collect()
        };
        let candidates = values.candidates.chunks(FIELD_COUNT).take(candidate_count);
        RequestRows {
            context: row("context", &values.context),
            candidates: candidates.map(|ids| row("candidate", ids)).collect(),
        }
    }
}

fn name_of(side: &str, index: usize) -> String {
    format!("{side}_{index}")
}

fn contract(shape: Shape) -> Contract {
    let kind = if shape.texts { "text" } else { "id" };
    let field = |side: &str, index| {
        format!(r#"{{"name":"{}","side":"{side}","type":"{kind}","meaning":"m"}}"#, name_of(side, index))
    };
    let fields: Vec<String> = ["context", "candidate"]
        .iter()
        .flat_map(|side| (0..FIELD_COUNT).map(move |index| field(side, index)))
        .collect();
    let cross = |index| format!(r#"{{"fields":["{}","{}"]}}"#, name_of("context", index), name_of("candidate", index));
    let crosses: Vec<String> = (0..shape.cross_count).map(cross).collect();
    let json = format!(
        r#"{{"name":"bench","label":"clicked","field":[{}],"cross":[{}]}}"#,
        fields.join(","),
        crosses.join(",")
    );
    Contract::from_json(json.as_bytes()).expect("a contract")
}

/// Returns true for 9 keys of 10.
const fn is_known(key: u64) -> bool {
    !key.is_multiple_of(10)
}

/// Returns a small weight, positive or negative, that depends on the key.
fn weight_of(key: u64) -> f32 {
    let bits = u16::try_from(key >> 48).expect("16 bits");
    (f32::from(bits) - 32_767.5) / 100_000.0
}

/// Returns the text of a category: 15 bytes, a realistic length for names of segments and sites.
pub fn text_of(id: i64) -> String {
    format!("category-{id:06}")
}
