//! Candidates whose fields are in each request, as ids or as texts.

use std::sync::Arc;
use std::time::Duration;

use omomi::{LoadMode, Model, Request, Scorer};

use crate::answers::Answers;
use crate::calls::{predict_alone, whole_call};
use crate::rivals::{in_turn, score_by_keys, score_by_names};
use crate::support::c_client::CClient;
use crate::support::contest::{Bench, Contest};
use crate::support::peers::{KeyMap, TextMap, text_key};
use crate::support::ratios::Target;
use crate::support::requests::{Shape, Traffic, Values, text_of};

pub fn run(bench: &mut Bench, name: &str, shape: Shape, max_ns_from_c: f64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("000001.omomi");
    let traffic = Traffic::new(shape);
    let model = traffic.write(&path, 0);
    let key_map = KeyMap::new(&traffic.weights);
    let text_map = text_map(&traffic);
    assert_eq!(text_map.len(), key_map.len());
    let by_keys = |values: &Values, out: &mut [f32]| score_by_keys(&traffic, &key_map, values, out);
    let by_names = |values: &Values, out: &mut [f32]| score_by_names(&traffic, &text_map, values, out);
    let expected = Answers::of(&traffic, &model);
    expected.assert_by(&traffic, by_keys);
    expected.assert_by(&traffic, by_names);
    let mut from_c = CClient::start(folder.path(), &path, &traffic, None);
    if let Some(client) = &mut from_c {
        assert_eq!(client.check(), expected.folded_logits(), "a client in C gets the same bits");
    }
    let layout = traffic.layout();
    let scorer_of = |model| Scorer::new(model, &layout).expect("a scorer");
    let copied = scorer_of(Model::load(&path, LoadMode::Copy).expect("the same model"));
    let scorer = scorer_of(Arc::clone(&model));
    let fill = |request: &mut Request, index| traffic.fill(request, index);

    let mut contest = Contest::new(name, "candidate", shape.candidate_count as u64);
    contest.enter("omomi", whole_call(&traffic, &scorer, fill));
    contest.enter("omomi, file copied", whole_call(&traffic, &copied, fill));
    if let Some(client) = &mut from_c {
        contest.enter_timed("omomi from C", |call_count| client.time(call_count));
        contest.target(Target::AtMostNs("omomi from C", max_ns_from_c));
    }
    let predict = |request: &mut Request, count| scorer.predict(request, count);
    contest.enter_timed("predict alone", predict_alone(&traffic, &layout, fill, predict));
    let within = |request: &mut Request, count| scorer.predict_within(request, count, Some(Duration::from_secs(1)));
    contest.enter_timed("predict with a deadline", predict_alone(&traffic, &layout, fill, within));
    let plain = |request: &mut Request, count| scorer.predict_plain(request, count);
    contest.enter_timed("plain twin of predict", predict_alone(&traffic, &layout, fill, plain));
    contest.enter("hashbrown u64 -> f32", in_turn(&traffic, by_keys));
    contest.enter("HashMap<String, f64>", in_turn(&traffic, by_names));
    bench.run(contest);
}

/// Returns a map from the name of each feature to its weight.
fn text_map(traffic: &Traffic) -> TextMap {
    let named = traffic.each_weight().map(|(field, id, weight)| {
        let name = if traffic.shape.texts { text_key(field, text_of(id)) } else { text_key(field, id) };
        (name, f64::from(weight))
    });
    TextMap::new(named)
}
