//! The fallback file: what a server answers with when scoring is off or there is no model.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use omomi::error::Code;
use omomi::live::{LiveModel, LiveOptions};
use omomi::{Capacity, RequestLayout, Schema};

use crate::exposition::read;
use crate::metrics::text_of;
use crate::small_model;
use crate::world::{CANDIDATE_COUNT, Server, World, expected_answers, options, replace, same_bits, schema};

/// Generation of the fallback file, which the store never has.
const FALLBACK: u64 = 77;

fn with_fallback(world: &World) -> LiveOptions {
    let path = world.dir().join("fallback.omomi");
    if !path.exists() {
        replace(&path, &World::bytes(FALLBACK));
    }
    options().with(|it| it.fallback_file = Some(path))
}

impl Server {
    /// Asks the fallback, and compares its answers with those of a model over the same bytes.
    fn ask_fallback(&mut self) {
        self.scorer.predict_fallback(&mut self.request, CANDIDATE_COUNT).unwrap();
        assert_eq!(self.request.generation(), FALLBACK);
        let expected = expected_answers(FALLBACK).into_iter();
        assert!(same_bits(self.request.answers(CANDIDATE_COUNT), expected), "the fallback gave other answers");
    }
}

#[test]
fn predict_still_says_off_or_no_model_and_a_second_call_answers() {
    let world = World::new();
    let mut server = world.serve_with(with_fallback(&world));
    assert_eq!(server.ask(), Err("no_model"));
    // The first call leaves no answers.
    assert!(server.request.answers(CANDIDATE_COUNT).all(|answer| answer.probability.is_nan()));
    server.ask_fallback();
    let fallback = server.live.fallback().unwrap();
    assert_eq!((fallback.generation(), fallback.logic_id()), (FALLBACK, "small-v1"));
    assert_eq!(server.scorer.fallback().unwrap().generation(), FALLBACK);
    assert!(server.live.health().is_ready, "the server can answer");
    assert_eq!(server.reasons(), ["no_model"], "and still says what is wrong");

    world.publish(1);
    assert_eq!(server.look_and_ask(), Ok(1));
    server.ask_fallback();
    assert_eq!(server.ask(), Ok(1), "the served model is the same afterwards");
    world.control("off");
    assert_eq!(server.look_and_ask(), Err("switched_off"));
    server.ask_fallback();

    let metrics = server.live.metrics();
    assert_eq!((metrics.fallbacks, metrics.requests.predictions), (Some(3), 2), "fallbacks are counted apart");
    assert_eq!(read(&text_of(&metrics)).value("omomi_fallback_predictions_total", &[]), Some(3.0));
    // The file is in memory, or mapped, and the scorer outlives its live model.
    fs::remove_file(world.dir().join("fallback.omomi")).unwrap();
    let Server { live, scorer, mut request } = server;
    drop(live);
    scorer.predict_fallback(&mut request, CANDIDATE_COUNT).unwrap();
    assert_eq!(request.generation(), FALLBACK);
}

#[test]
fn without_a_fallback_file_the_second_call_says_no_model() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    assert_eq!(server.look_and_ask(), Ok(1));
    let outcome = server.scorer.predict_fallback(&mut server.request, CANDIDATE_COUNT);
    assert_eq!(outcome.unwrap_err().code(), Code::NoModel);
    assert!(server.request.answers(CANDIDATE_COUNT).all(|answer| answer.probability.is_nan()), "no answers are left");
    assert!(server.live.fallback().is_none() && server.live.metrics().fallbacks.is_none());
    assert_eq!(read(&text_of(&server.live.metrics())).value("omomi_fallback_predictions_total", &[]), None);
}

/// A fallback that is found missing when it is needed would be worse than a server that does not start.
#[test]
fn a_fallback_file_that_cannot_answer_is_refused_when_the_live_model_is_opened() {
    let world = World::new();
    let refusal =
        |options: LiveOptions, schema: &Schema| LiveModel::open(world.dir(), schema, options).unwrap_err().code();
    let good = with_fallback(&world);
    let path = good.fallback_file.clone().unwrap();
    let limited = good.clone().with(|it| it.max_file_len_bytes = 100);
    assert_eq!(refusal(limited, &schema()), Code::FileTooLarge);
    let no_room = good.clone().with(|it| it.memory_budget_bytes = World::bytes(FALLBACK).len() as u64 - 1);
    assert_eq!(refusal(no_room, &schema()), Code::MemoryBudget);
    let narrow = Schema::of_contract(
        &omomi::contract::Contract::from_json(
            br#"{"name":"n","label":"l","field":[{"name":"media_id","side":"context","type":"id","meaning":"m"}]}"#,
        )
        .unwrap(),
    );
    assert_eq!(refusal(good.clone(), &narrow), Code::FieldMissing);
    let missing = good.clone().with(|it| it.fallback_file = Some(world.dir().join("missing.omomi")));
    assert_eq!(refusal(missing, &schema()), Code::File);
    let mut damaged = World::bytes(FALLBACK);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    replace(&path, &damaged);
    assert_eq!(refusal(good.clone(), &schema()), Code::Damaged);
    replace(&path, &World::bytes(FALLBACK));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(refusal(good.clone(), &schema()), Code::WritableByOthers);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    assert!(LiveModel::open(world.dir(), &schema(), good).is_ok());
}

/// Another layout of the same schema has a fallback of its own size.
#[test]
fn every_scorer_of_the_live_model_has_the_fallback() {
    let world = World::new();
    let live = LiveModel::open(world.dir(), &schema(), with_fallback(&world)).unwrap();
    for candidates in [1, 7] {
        let layout = RequestLayout::new(&schema(), Capacity { candidates, tail_len_bytes: 4_096 }).unwrap();
        let scorer = live.scorer(&layout).unwrap();
        let mut request = scorer.new_request();
        request.fill(&small_model::full_rows(candidates as i64)).unwrap();
        scorer.predict_fallback(&mut request, candidates).unwrap();
        assert_eq!(request.counts().scored_count as usize, candidates);
    }
}

/// Otherwise a server could need more memory than it was given, just when something else is wrong.
#[test]
fn the_fallback_file_takes_its_part_of_the_memory_budget() {
    let world = World::new();
    world.publish(1);
    // Room for one model and what opening another takes, but not for a third.
    let opening = (World::bytes(1).len() as u64).saturating_mul(5).saturating_add(1 << 20);
    let with_budget = |options: LiveOptions, bytes| {
        options.with(|it| (it.load_mode, it.memory_budget_bytes) = (omomi::LoadMode::Copy, bytes))
    };
    {
        let mut server = world.serve_with(with_budget(options(), opening));
        assert_eq!(server.ask(), Ok(1));
    }
    {
        let mut server = world.serve_with(with_budget(with_fallback(&world), opening));
        assert_eq!((server.ask(), server.reasons()), (Err("no_model"), vec!["memory_budget"]));
        server.ask_fallback();
    }
    let len_bytes = World::bytes(FALLBACK).len() as u64;
    let mut server = world.serve_with(with_budget(with_fallback(&world), opening + len_bytes));
    assert_eq!(server.ask(), Ok(1));
}
