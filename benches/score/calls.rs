//! Calls of the library, as contestants.

use std::hint::black_box;
use std::time::Duration;

use omomi::feature::{cross_step, feature_key, id_value};
use omomi::{Error, Instructions, Model, Request, RequestLayout, Scorer};

use crate::support::core_time::CoreTime;
use crate::support::requests::{FIELD_COUNT, Traffic, Values};

/// Returns a contestant that fills the next request, scores it and reads the probabilities.
pub fn whole_call<'a>(
    traffic: &'a Traffic,
    scorer: &'a Scorer,
    fill: impl Fn(&mut Request, usize) + 'a,
) -> impl FnMut() -> f32 + 'a {
    let mut request = scorer.new_request();
    let mut index = 0;
    move || {
        index = (index + 1) % traffic.requests.len();
        fill(&mut request, index);
        scorer.predict(&mut request, traffic.shape.candidate_count).expect("good requests");
        request.answers(traffic.shape.candidate_count).map(|answer| answer.probability).sum()
    }
}

/// Returns a contestant that times what `predict` adds to filling the requests: the time of both minus the time of
/// filling. Reading the clock around each `predict` would take longer than a short `predict`.
pub fn predict_alone<'a>(
    traffic: &'a Traffic,
    layout: &RequestLayout,
    fill: impl Fn(&mut Request, usize) + 'a,
    predict: impl Fn(&mut Request, usize) -> Result<(), Error> + 'a,
) -> impl FnMut(u64) -> Duration + 'a {
    let mut request = Request::new(layout);
    let mut time_of = move |call_count, then: &dyn Fn(&mut Request, usize) -> Result<(), Error>| {
        let start = CoreTime::now();
        for (_, index) in (0..call_count).zip((0..traffic.requests.len()).cycle()) {
            fill(&mut request, index);
            then(&mut request, traffic.shape.candidate_count).expect("good requests");
            black_box(request.block_address());
        }
        start.elapsed()
    };
    move |call_count| {
        let filling = time_of(call_count, &|_, _| Ok(()));
        time_of(call_count, &predict).saturating_sub(filling)
    }
}

/// Returns a contestant that looks up the weights of the next request: of its context, its crosses, and, if `fields` is
/// true, its candidates' fields.
pub fn look_ups<'a>(traffic: &Traffic, model: &'a Model, fields: bool) -> impl FnMut() -> usize + 'a {
    let keys: Vec<Vec<u64>> = traffic.requests.iter().map(|values| keys_of(traffic, values, fields)).collect();
    let (table, instructions) = (model.table(), Instructions::detect());
    let mut weights = vec![0.0; keys[0].len()];
    let mut index = 0;
    move || {
        index = (index + 1) % keys.len();
        table.gather(instructions, &keys[index], black_box(&mut weights))
    }
}

/// Returns the keys of a request, column by column.
fn keys_of(traffic: &Traffic, values: &Values, fields: bool) -> Vec<u64> {
    let keys = |seeds: &[u64], ids: &[i64]| -> Vec<u64> {
        seeds.iter().zip(ids).map(|(&seed, &id)| feature_key(seed, id_value(id))).collect()
    };
    let context = keys(&traffic.context_seeds, &values.context);
    let rows: Vec<Vec<u64>> =
        values.candidates.chunks(FIELD_COUNT).map(|ids| keys(&traffic.candidate_seeds, ids)).collect();
    let mut all = context.clone();
    for field in 0..if fields { FIELD_COUNT } else { 0 } {
        all.extend(rows.iter().map(|row| row[field]));
    }
    for (index, &seed) in traffic.cross_seeds.iter().enumerate() {
        all.extend(rows.iter().map(|row| cross_step(cross_step(seed, context[index]), row[index])));
    }
    all
}
