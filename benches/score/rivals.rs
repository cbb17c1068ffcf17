//! What a server would do without this library: from the same categories to the same probabilities.

use std::hint::black_box;

use omomi::feature::{cross_step, feature_key, id_value, text_value};

use crate::support::peers::{KeyMap, TextMap, text_key};
use crate::support::requests::{BIAS, FIELD_COUNT, Traffic, Values};

/// Returns a contestant that scores the next request with `score`, on the heap.
pub fn in_turn<'a>(traffic: &'a Traffic, score: impl Fn(&Values, &mut [f32]) + 'a) -> impl FnMut() + 'a {
    let mut probabilities = vec![0.0; traffic.shape.candidate_count];
    let mut index = 0;
    move || {
        index = (index + 1) % traffic.requests.len();
        score(&traffic.requests[index], &mut probabilities);
        black_box(&probabilities);
    }
}

/// The fastest server on the heap: integer keys (those of the context are made once per request) and a map that needs
/// no hashing.
pub fn score_by_keys(traffic: &Traffic, map: &KeyMap, values: &Values, probabilities: &mut [f32]) {
    let weight = |key| f64::from(map.get(key).unwrap_or(0.0));
    let key = |seed, ids: &[i64], texts: &[String], at: usize| {
        feature_key(seed, if traffic.shape.texts { text_value(texts[at].as_bytes()) } else { id_value(ids[at]) })
    };
    let context: [u64; FIELD_COUNT] =
        std::array::from_fn(|field| key(traffic.context_seeds[field], &values.context, &values.context_texts, field));
    let start = BIAS + context.iter().map(|&key| weight(key)).sum::<f64>();
    let mut states = [0; FIELD_COUNT];
    for ((state, &seed), &member) in states.iter_mut().zip(&traffic.cross_seeds).zip(&context) {
        *state = cross_step(seed, member);
    }
    let states = &states[..traffic.cross_seeds.len()];
    for (candidate, probability) in probabilities.iter_mut().enumerate() {
        let first = candidate * FIELD_COUNT;
        let (ids, texts) = (&values.candidates, &values.candidate_texts);
        let keys: [u64; FIELD_COUNT] =
            std::array::from_fn(|field| key(traffic.candidate_seeds[field], ids, texts, first + field));
        let own: f64 = keys.iter().map(|&key| weight(key)).sum();
        let crossed: f64 = states.iter().zip(&keys).map(|(&state, &key)| weight(cross_step(state, key))).sum();
        *probability = published(start + own + crossed);
    }
}

/// The simplest server: a map from "field=category", with a new text for every lookup (for the context, once per
/// request).
pub fn score_by_names(traffic: &Traffic, map: &TextMap, values: &Values, probabilities: &mut [f32]) {
    let fields = traffic.contract.fields();
    let weight = |field: usize, ids: &[i64], texts: &[String], at: usize| {
        let name = &fields[field].name;
        let key = if traffic.shape.texts { text_key(name, &texts[at]) } else { text_key(name, ids[at]) };
        map.get(&key).unwrap_or(0.0)
    };
    let context = (0..FIELD_COUNT).map(|field| weight(field, &values.context, &values.context_texts, field));
    let start = BIAS + context.sum::<f64>();
    for (candidate, probability) in probabilities.iter_mut().enumerate() {
        let (ids, texts) = (&values.candidates, &values.candidate_texts);
        let own =
            (0..FIELD_COUNT).map(|field| weight(FIELD_COUNT + field, ids, texts, candidate * FIELD_COUNT + field));
        *probability = published(start + own.sum::<f64>());
    }
}

fn published(logit: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "probabilities are published as f32")]
    let probability = (1.0 / (1.0 + (-logit).exp())) as f32;
    probability
}
