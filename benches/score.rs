//! Scores requests of 500 candidates with 10 + 10 fields by a model of a million weights, beside what a server would do
//! without this library: `taskset -c 1 cargo bench --bench score [-- FILTER]`.
//!
//! All contestants start from the categories that a server holds and end with a probability for each candidate, unless
//! their name says otherwise. Before anything is timed, all of them have given the same answers.

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use omomi::feature::{cross_step, feature_key, id_value, text_value};
use omomi::{CandidateStatus, Instructions, LoadMode, Model, Request, Scorer};

use support::c_client::CClient;
use support::contest::{Bench, Contest};
use support::core_time::CoreTime;
use support::peers::{KeyMap, TextMap, text_key};
use support::ratios::Target;
use support::requests::{BIAS, FIELD_COUNT, Shape, Traffic, Values, text_of};

fn main() {
    let mut bench = Bench::from_args("score");
    let full = Shape::full(bench.is_smoke());
    inline(&mut bench, "ids", Shape { texts: false, ..full }, 60.0);
    inline(&mut bench, "texts", Shape { texts: true, ..full }, 160.0);
    crosses(&mut bench, Shape { cross_count: 4, ..full });
    models(&mut bench, full);
    bench.finish();
}

/// Candidates whose fields come with each request.
fn inline(bench: &mut Bench, name: &str, shape: Shape, most_ns_from_c: f64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("000001.omomi");
    let traffic = Traffic::new(shape);
    let model = traffic.write(&path, 0);
    let copied = Model::load(&path, LoadMode::Copy).expect("the same model");
    let key_map = KeyMap::new(&traffic.weights);
    let named = traffic.each_weight();
    let named: Vec<(String, f64)> = if shape.texts {
        named.map(|(field, id, weight)| (text_key(field, text_of(id)), weight.into())).collect()
    } else {
        named.map(|(field, id, weight)| (text_key(field, id), weight.into())).collect()
    };
    let text_map = TextMap::new(named);
    assert_eq!(text_map.len(), key_map.len());
    let by_keys = |values: &Values, out: &mut [f32]| score_by_keys(&traffic, &key_map, values, out);
    let by_names = |values: &Values, out: &mut [f32]| score_by_names(&traffic, &text_map, values, out);
    let expected = Answers::of(&traffic, &model);
    expected.assert_by(&traffic, by_keys);
    expected.assert_by(&traffic, by_names);
    let mut from_c = CClient::start(folder.path(), &path, &traffic);
    if let Some(client) = &mut from_c {
        assert_eq!(client.check(), expected.folded_logits(), "a client in C gets the same bits");
    }

    let mut contest = Contest::new(name, "candidate", shape.candidate_count as u64);
    contest.enter("omomi", whole_call(&traffic, &model));
    contest.enter("omomi, file copied", whole_call(&traffic, &copied));
    contest.enter_timed("omomi, predict alone", predict_alone(&traffic, &model, Scorer::predict));
    if let Some(client) = &mut from_c {
        contest.enter_timed("omomi from C", |call_count| client.time(call_count));
        contest.target(Target::AtMostNs("omomi from C", most_ns_from_c));
    }
    contest.enter_timed("plain twin, predict alone", predict_alone(&traffic, &model, Scorer::predict_plain));
    contest.enter("hashbrown u64 -> f32", in_turn(&traffic, by_keys));
    contest.enter("HashMap<String, f64>", in_turn(&traffic, by_names));
    bench.run(contest);
}

/// Four crosses of a context field with a candidate field, beside the same look-ups and nothing else.
fn crosses(bench: &mut Bench, shape: Shape) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traffic = Traffic::new(shape);
    let model = traffic.write(&folder.path().join("000001.omomi"), 0);
    let key_map = KeyMap::new(&traffic.weights);
    let by_keys = |values: &Values, out: &mut [f32]| score_by_keys(&traffic, &key_map, values, out);
    Answers::of(&traffic, &model).assert_by(&traffic, by_keys);

    let mut contest = Contest::new("crosses", "candidate", shape.candidate_count as u64);
    contest.enter("look-ups alone", look_ups(&traffic, &model, true));
    contest.enter("look-ups of crosses alone", look_ups(&traffic, &model, false));
    contest.enter("omomi", whole_call(&traffic, &model));
    contest.enter_timed("omomi, predict alone", predict_alone(&traffic, &model, Scorer::predict));
    contest.enter("hashbrown u64 -> f32", in_turn(&traffic, by_keys));
    bench.run(contest);
}

/// Three models over the same requests: an A/B test with two arms and a shadow.
fn models(bench: &mut Bench, shape: Shape) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traffic = Traffic::new(shape);
    let models: Vec<Arc<Model>> =
        (0..3).map(|arm| traffic.write(&folder.path().join(format!("{arm:06}.omomi")), arm)).collect();
    models.iter().for_each(|model| drop(Answers::of(&traffic, model)));
    let layout = traffic.layout();
    let scorers: Vec<Scorer> =
        models.iter().map(|model| Scorer::new(Arc::clone(model), &layout).expect("a scorer")).collect();
    let mut request = Request::new(&layout);

    let mut contest = Contest::new("models", "candidate", shape.candidate_count as u64);
    contest.enter_timed("1 model, predict alone", predict_alone(&traffic, &models[0], Scorer::predict));
    contest.enter_timed("3 models, a call each", |call_count| {
        timed_after_fill(&traffic, &mut request, call_count, |request| {
            for scorer in &scorers {
                scorer.predict(request, shape.candidate_count).expect("good requests");
                black_box(request.block_address());
            }
        })
    });
    bench.run(contest);
}

/// Fills each request in turn, scores it and reads the probabilities.
fn whole_call<'a>(traffic: &'a Traffic, model: &Arc<Model>) -> impl FnMut() -> f32 + 'a {
    let scorer = Scorer::new(Arc::clone(model), &traffic.layout()).expect("a scorer");
    let mut request = scorer.new_request();
    let mut index = 0;
    move || {
        index = (index + 1) % traffic.requests.len();
        traffic.fill(&mut request, index);
        scorer.predict(&mut request, traffic.shape.candidate_count).expect("good requests");
        let answers = request.answers(traffic.shape.candidate_count);
        answers.map(|answer| answer.probability).sum::<f32>()
    }
}

/// The same, but only the middle part is timed.
fn predict_alone<'a>(
    traffic: &'a Traffic,
    model: &Arc<Model>,
    predict: impl Fn(&Scorer, &mut Request, usize) -> Result<(), omomi::Error> + 'a,
) -> impl FnMut(u64) -> Duration + 'a {
    let scorer = Scorer::new(Arc::clone(model), &traffic.layout()).expect("a scorer");
    let mut request = scorer.new_request();
    move |call_count| {
        timed_after_fill(traffic, &mut request, call_count, |request| {
            predict(&scorer, request, traffic.shape.candidate_count).expect("good requests");
        })
    }
}

fn timed_after_fill(
    traffic: &Traffic,
    request: &mut Request,
    call_count: u64,
    mut work: impl FnMut(&mut Request),
) -> Duration {
    let indices = (0..traffic.requests.len()).cycle();
    (0..call_count)
        .zip(indices)
        .map(|(_, index)| {
            traffic.fill(request, index);
            let start = CoreTime::now();
            work(request);
            start.elapsed()
        })
        .sum()
}

/// Gathers the weights of each request in turn.
fn look_ups<'a>(traffic: &Traffic, model: &'a Model, fields: bool) -> impl FnMut() -> usize + 'a {
    let keys: Vec<Vec<u64>> = traffic.requests.iter().map(|values| keys_of(traffic, values, fields)).collect();
    let (table, instructions) = (model.table(), Instructions::detect());
    let mut weights = vec![0.0; keys[0].len()];
    let mut index = 0;
    move || {
        index = (index + 1) % keys.len();
        table.gather(instructions, &keys[index], black_box(&mut weights))
    }
}

/// The keys of a request, column by column: of the context, of the crosses, and of the candidates' fields if wanted.
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

/// Scores each request in turn by `score`, on the heap.
fn in_turn<'a>(traffic: &'a Traffic, score: impl Fn(&Values, &mut [f32]) + 'a) -> impl FnMut() + 'a {
    let mut probabilities = vec![0.0; traffic.shape.candidate_count];
    let mut index = 0;
    move || {
        index = (index + 1) % traffic.requests.len();
        score(&traffic.requests[index], &mut probabilities);
        black_box(&probabilities);
    }
}

/// The strongest server on the heap: integer keys, made of the context once a request, a map that needs no hashing.
fn score_by_keys(traffic: &Traffic, map: &KeyMap, values: &Values, probabilities: &mut [f32]) {
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

/// The first server that everybody writes: a map from "field=category", and a text made for every look-up, of the context
/// once a request.
fn score_by_names(traffic: &Traffic, map: &TextMap, values: &Values, probabilities: &mut [f32]) {
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

/// What all contestants must agree on: the answers of the kernel, which are those of the plain twin bit for bit.
struct Answers {
    logits: Vec<Vec<f64>>,
    probabilities: Vec<Vec<f32>>,
}

impl Answers {
    fn of(traffic: &Traffic, model: &Arc<Model>) -> Self {
        let count = traffic.shape.candidate_count;
        let scorer = Scorer::new(Arc::clone(model), &traffic.layout()).expect("a scorer");
        let mut request = scorer.new_request();
        let mut answers = Self { logits: Vec::new(), probabilities: Vec::new() };
        for index in 0..traffic.requests.len() {
            traffic.fill(&mut request, index);
            scorer.predict_plain(&mut request, count).expect("good requests");
            let plain: Vec<_> = request.answers(count).collect();
            assert!(plain.iter().all(|answer| answer.status == CandidateStatus::Scored));
            scorer.predict(&mut request, count).expect("good requests");
            assert!(request.answers(count).eq(plain.iter().copied()), "the kernel answers as its plain twin");
            answers.logits.push(plain.iter().map(|answer| answer.logit).collect());
            answers.probabilities.push(plain.iter().map(|answer| answer.probability).collect());
        }
        answers
    }

    /// Heaps sum in another order and have the platform's `exp`, so the last bits of their answers may differ.
    fn assert_by(&self, traffic: &Traffic, score: impl Fn(&Values, &mut [f32])) {
        let mut found = vec![0.0; traffic.shape.candidate_count];
        for (values, expected) in traffic.requests.iter().zip(&self.probabilities) {
            score(values, &mut found);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-6 * expected, "expected {expected}, found {found}");
            }
        }
    }

    /// One number that every bit of every logit changes, as the client in C makes it.
    fn folded_logits(&self) -> u64 {
        let fold = |folded: u64, logit: &f64| folded.wrapping_mul(31).wrapping_add(logit.to_bits());
        self.logits.iter().flatten().fold(0, fold)
    }
}
