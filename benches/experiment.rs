//! Scores with one model, with two in one call, and with the arms of an experiment: `cargo bench --bench experiment`.
//!
//! The first contest is about work: an arm with a shadow on every request, compared with one model and with two models
//! of one scorer. The others are about tails: in turns, blocks of requests of an experiment with and without a shadow
//! on 10 % of the requests. The figure of a block is a quantile of its requests in wall-clock time. A second contestant
//! without a shadow shows what is noise.

mod support;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use omomi::experiment::{Arm, ArmState, Assignment, Experiment, ExperimentScorer, LiveExperiment, Unit};
use omomi::live::LiveOptions;
use omomi::store::{Current, Digest, Store};
use omomi::{Request, RequestLayout, Schema, Scorer};

use support::contest::{Bench, Contest};
use support::requests::{Shape, Traffic};

/// Rounds of the contests about tails.
const TAIL_ROUND_COUNT: usize = 101;
/// Requests of a block, so that its 99.9th percentile has two requests above it.
const BLOCK_LEN: usize = 2_000;
/// A shadow's share of requests is out of so many.
const ALL: u32 = 10_000;

fn main() {
    let mut bench = Bench::from_args("experiment");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traffic = Traffic::new(Shape::full(bench.is_smoke()));
    let models = [0, 1].map(|arm| publish(&traffic, folder.path(), arm));
    let schema = Schema::of_contract(&traffic.contract);
    let open = |shadow_share: Option<u32>| {
        let path = folder.path().join(format!("{}.experiment", shadow_share.unwrap_or(0)));
        fs::write(&path, experiment(shadow_share).to_string()).expect("room for a file");
        LiveExperiment::open(&path, &schema, LiveOptions::default()).expect("an experiment")
    };
    let (without, tenth, all) = (open(None), open(Some(ALL / 10)), open(Some(ALL)));
    let layout = traffic.layout().for_models(2).expect("a layout");
    let scorer = |live: &LiveExperiment| live.scorer(&layout).expect("a scorer");
    let alone = models.iter().map(|model| Scorer::new(model.clone(), &traffic.layout()).expect("a scorer"));
    let alone: Vec<Scorer> = alone.collect();
    let together = Scorer::for_models(models.to_vec(), &layout).expect("a scorer");
    let (without, tenth, all) = (scorer(&without), scorer(&tenth), scorer(&all));

    // The answers first: an arm and its shadow answer as their models do alone.
    let expected =
        [0, 1].map(|model| logits(&traffic, &traffic.layout(), 0, |request, _| predict(&alone[model], request)));
    for result in [0, 1] {
        assert_eq!(logits(&traffic, &layout, result, |request, _| predict(&together, request)), expected[result]);
        assert_eq!(logits(&traffic, &layout, result, |request, id| ask(&all, request, id)), expected[result]);
    }
    assert_eq!(logits(&traffic, &layout, 0, |request, id| ask(&without, request, id)), expected[0]);
    assert_eq!(logits(&traffic, &layout, 0, |request, id| ask(&tenth, request, id)), expected[0]);

    let ids: Vec<String> = (0..ALL).map(|index| format!("request-{index}")).collect();
    let mut contest = Contest::new("arms", "candidate", traffic.shape.candidate_count as u64);
    let of_one = || requests(&traffic, &traffic.layout());
    let of_two = || requests(&traffic, &layout);
    contest.enter("1 model", in_turn(of_one(), |request, _| predict(&alone[0], request)));
    contest.enter("2 models, one call", in_turn(of_two(), |request, _| predict(&together, request)));
    let each = |request: &mut Request, _| alone.iter().for_each(|scorer| predict(scorer, request));
    contest.enter("2 models, a call each", in_turn(of_one(), each));
    contest.enter("1 arm", in_turn(of_two(), |request, index| ask(&without, request, &ids[index])));
    contest.enter("1 arm and a shadow", in_turn(of_two(), |request, index| ask(&all, request, &ids[index])));
    bench.run(contest);

    let block_len = if bench.is_smoke() { 20 } else { BLOCK_LEN };
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999)] {
        let mut contest = Contest::new(name, "request", 1);
        contest.rounds(TAIL_ROUND_COUNT);
        for (name, scorer) in [
            ("no shadow", &without),
            ("no shadow, again", &without),
            ("shadow on 10 %", &tenth),
            ("shadow on all", &all),
        ] {
            let mut requests = requests(&traffic, &layout);
            let (ids, next) = (&ids, Cell::new(0));
            contest.enter_timed(name, move |call_count| {
                let mut took: Vec<Duration> = (0..block_len)
                    .map(|_| {
                        let index = next.replace((next.get() + 1) % ids.len());
                        let place = index % requests.len();
                        let start = Instant::now();
                        ask(scorer, &mut requests[place], &ids[index]);
                        start.elapsed()
                    })
                    .collect();
                took.sort_unstable();
                let at = ((block_len - 1) as f64 * quantile).round();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the block's length")]
                let found = took[at as usize];
                // A contest divides by the number of calls. One block is one figure, for any number of calls.
                found * u32::try_from(call_count).unwrap_or(u32::MAX)
            });
        }
        bench.run(contest);
    }
    bench.finish();
}

/// Publishes the weight file of an arm in a store of its own.
fn publish(traffic: &Traffic, folder: &Path, arm: u8) -> std::sync::Arc<omomi::Model> {
    let store = Store::new(folder.join(format!("store-{arm}")));
    fs::create_dir_all(store.generations_path()).expect("a folder");
    let generation = 1 + u64::from(arm);
    let path = store.generation_path(generation);
    let model = traffic.write(&path, arm);
    let digest = Digest::of(&fs::read(&path).expect("the file"));
    fs::write(store.current_path(), Current { generation, digest }.to_string()).expect("room for a line");
    fs::write(store.control_path(), "on follow\n").expect("room for a line");
    model
}

/// Returns an experiment whose control arm answers every request, perhaps with a shadow on a share of them.
fn experiment(shadow_share: Option<u32>) -> Experiment {
    let arm = |name: &str, store: &str, state| Arm { name: name.to_owned(), store: store.into(), state };
    let mut arms = vec![arm("control", "store-0", ArmState::Serve)];
    arms.extend(shadow_share.map(|share| arm("shadow", "store-1", ArmState::Shadow { share })));
    Experiment {
        name: "bench".to_owned(),
        version: 1,
        unit: Unit::Request,
        salt: 7,
        control: 0,
        assignment: Assignment::first(&[ALL, 0][..arms.len()]).expect("shares"),
        arms,
        exploration: None,
        guard: None,
    }
}

/// Returns all requests, filled.
fn requests(traffic: &Traffic, layout: &RequestLayout) -> Vec<Request> {
    let filled = (0..traffic.requests.len()).map(|index| {
        let mut request = Request::new(layout);
        traffic.fill(&mut request, index);
        request
    });
    filled.collect()
}

/// Returns a call that scores the requests one after the other, and gets the index of an id.
fn in_turn<'a>(mut requests: Vec<Request>, mut score: impl FnMut(&mut Request, usize) + 'a) -> impl FnMut() + 'a {
    let mut next = 0;
    move || {
        let place = next % requests.len();
        score(&mut requests[place], next);
        next = (next + 1) % ALL as usize;
    }
}

fn predict(scorer: &Scorer, request: &mut Request) {
    scorer.predict_filled(request).expect("a good request");
}

fn ask(scorer: &ExperimentScorer, request: &mut Request, id: &str) {
    scorer.predict_filled(request, id).expect("a good request");
}

/// Returns the logits of all requests.
fn logits(
    traffic: &Traffic,
    layout: &RequestLayout,
    result: usize,
    mut score: impl FnMut(&mut Request, &str),
) -> Vec<u64> {
    let mut logits = Vec::new();
    for mut request in requests(traffic, layout) {
        score(&mut request, "1");
        let answers = request.answers_of(result, traffic.shape.candidate_count);
        logits.extend(answers.map(|answer| answer.logit.to_bits()));
    }
    logits
}
