//! Candidates that are registered in advance and named by index.

use std::sync::Arc;

use omomi::{CandidateSet, Model, Request, RequestLayout, Scorer};
use rand::SeedableRng;
use rand::seq::SliceRandom;

use crate::answers::Answers;
use crate::calls::{look_ups, predict_alone, whole_call};
use crate::rivals::{in_turn, score_by_keys};
use crate::support::c_client::CClient;
use crate::support::contest::{Bench, Contest};
use crate::support::peers::KeyMap;
use crate::support::ratios::Target;
use crate::support::requests::{Shape, Traffic, Values};

/// Without crosses, a prepared candidate is a precomputed sum.
pub fn run(bench: &mut Bench, shape: Shape) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traffic = Traffic::new(shape);
    let path = folder.path().join("000001.omomi");
    let model = traffic.write(&path, 0);
    let set = PreparedTraffic::new(&traffic);
    let mut from_c = CClient::start(folder.path(), &path, &traffic, Some(&set.indices));
    if let Some(client) = &mut from_c {
        let expected = Answers::of(&traffic, &model).folded_logits();
        assert_eq!(client.check(), expected, "a client in C gets the same bits");
    }
    let (prepared, inline) = scorers(&traffic, &set, &model);
    let fill_inline = |request: &mut Request, index| traffic.fill(request, index);
    let fill = |request: &mut Request, index| set.fill(request, index);

    let mut contest = Contest::new("prepared", "candidate", shape.candidate_count as u64);
    contest.enter("omomi, prepared", whole_call(&traffic, &prepared, fill));
    if let Some(client) = &mut from_c {
        contest.enter_timed("omomi from C, prepared", |call_count| client.time(call_count));
        contest.target(Target::AtMostNs("omomi from C, prepared", 6.0));
    }
    let predict = |request: &mut Request, count| prepared.predict(request, count);
    contest.enter_timed("predict alone, prepared", predict_alone(&traffic, &set.layout, fill, predict));
    let few = "predict alone, the same candidates each time";
    contest
        .enter_timed(few, predict_alone(&traffic, &set.layout, |request, index| set.fill_few(request, index), predict));
    contest.enter("omomi, inline", whole_call(&traffic, &inline, fill_inline));
    let predict = |request: &mut Request, count| inline.predict(request, count);
    contest.enter_timed("predict alone, inline", predict_alone(&traffic, inline.layout(), fill_inline, predict));
    contest.target(Target::AtMostNs("predict alone, prepared", 3.0));
    contest.target(Target::AtMostNs(few, 3.0));
    bench.run(contest);
}

/// With crosses of context and candidate, the lookups of the crosses remain.
pub fn run_with_crosses(bench: &mut Bench, shape: Shape) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traffic = Traffic::new(shape);
    let model = traffic.write(&folder.path().join("000001.omomi"), 0);
    let key_map = KeyMap::new(&traffic.weights);
    let by_keys = |values: &Values, out: &mut [f32]| score_by_keys(&traffic, &key_map, values, out);
    Answers::of(&traffic, &model).assert_by(&traffic, by_keys);
    let set = PreparedTraffic::new(&traffic);
    let (prepared, inline) = scorers(&traffic, &set, &model);
    let fill_inline = |request: &mut Request, index| traffic.fill(request, index);
    let fill = |request: &mut Request, index| set.fill(request, index);

    let mut contest = Contest::new("crosses", "candidate", shape.candidate_count as u64);
    contest.enter("look-ups of context and crosses", look_ups(&traffic, &model, false));
    contest.enter("omomi, prepared", whole_call(&traffic, &prepared, fill));
    let predict = |request: &mut Request, count| prepared.predict(request, count);
    contest.enter_timed("predict alone, prepared", predict_alone(&traffic, &set.layout, fill, predict));
    contest.enter("look-ups of all fields and crosses", look_ups(&traffic, &model, true));
    contest.enter("omomi, inline", whole_call(&traffic, &inline, fill_inline));
    let predict = |request: &mut Request, count| inline.predict(request, count);
    contest.enter_timed("predict alone, inline", predict_alone(&traffic, inline.layout(), fill_inline, predict));
    contest.enter("hashbrown u64 -> f32", in_turn(&traffic, by_keys));
    contest.target(Target::AtMostTimes("predict alone, prepared", 1.3, "look-ups of context and crosses"));
    bench.run(contest);
}

/// Returns scorers for prepared and for inline candidates, after checking that both give the same answers.
fn scorers(traffic: &Traffic, set: &PreparedTraffic<'_>, model: &Arc<Model>) -> (Scorer, Scorer) {
    let prepared = Scorer::with_candidates(vec![Arc::clone(model)], &set.layout, &set.candidates).expect("a scorer");
    let inline = Scorer::new(Arc::clone(model), &traffic.layout()).expect("a scorer");
    let answers = Answers::by(traffic, &prepared, 0, |request, index| set.fill(request, index));
    assert!(answers == Answers::of(traffic, model), "prepared candidates get the bits of inline ones");
    (prepared, inline)
}

/// All candidates of all requests in one set, in random order.
struct PreparedTraffic<'a> {
    traffic: &'a Traffic,
    candidates: Arc<CandidateSet>,
    layout: RequestLayout,
    /// Index in the set, by request, then by candidate.
    indices: Vec<Vec<u32>>,
}

impl<'a> PreparedTraffic<'a> {
    fn new(traffic: &'a Traffic) -> Self {
        let inline = traffic.layout();
        let count = traffic.shape.candidate_count;
        let capacity = traffic.requests.len() * count;
        let mut indices: Vec<u32> = (0..).take(capacity).collect();
        indices.shuffle(&mut rand_pcg::Pcg64Mcg::seed_from_u64(7));
        let indices: Vec<Vec<u32>> = indices.chunks(count).map(<[u32]>::to_vec).collect();
        let candidates = CandidateSet::new(&inline, capacity, 0).expect("a set");
        let mut request = Request::new(&inline);
        for (index, indices) in indices.iter().enumerate() {
            traffic.fill(&mut request, index);
            for (candidate, &index_in_set) in indices.iter().enumerate() {
                candidates.put(index_in_set, &mut request, candidate).expect("a good row");
            }
        }
        let layout = RequestLayout::prepared(inline.schema(), inline.capacity()).expect("a layout");
        Self { traffic, candidates: Arc::new(candidates), layout, indices }
    }

    #[inline]
    fn fill(&self, request: &mut Request, index: usize) {
        self.traffic.fill_context(request, index);
        Self::fill_candidates(request, &self.indices[index]);
    }

    /// Fills a different context each time, but the candidates of the first request, as for a server with few
    /// creatives.
    #[inline]
    fn fill_few(&self, request: &mut Request, index: usize) {
        self.traffic.fill_context(request, index);
        Self::fill_candidates(request, &self.indices[0]);
    }

    #[inline]
    fn fill_candidates(request: &mut Request, indices: &[u32]) {
        for (candidate, &index_in_set) in indices.iter().enumerate() {
            request.set_candidate(candidate, index_in_set).expect("room");
        }
    }
}
