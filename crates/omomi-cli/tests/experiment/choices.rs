//! `omomi counterfactual` over logs that the library wrote, with exploration and without.

use std::collections::BTreeMap;
use std::fs;

use omomi::serving_log::{Event, EventKind, PredictionId, Recorded, Served};
use omomi_train::pack::write_fixture;
use serde_json::Value;

use crate::users::uniform;
use crate::world::{CANDIDATE_COUNT, PATIENCE, World, at, contract_with, omomi};
use crate::{assert_same, reference};

/// How often each creative is clicked.
const RATES: [f64; 7] = [0.02, 0.05, 0.1, 0.15, 0.3, 0.4, 0.5];
/// The share of requests that choose at random.
const EXPLORED: f64 = 0.4;
const COMMAND: &str = "counterfactual --logs joined.parquet --details served --weights";

/// A file that prefers creatives with high numbers, which are clicked often.
fn better_weights() -> String {
    let weight = |creative: usize| format!("[[weight]]\nof = {{ creative = {creative} }}\nvalue = 0.{creative}\n\n");
    format!("bias = -2.0\n\n{}", (1..7).map(weight).collect::<String>())
}

/// Creative of a candidate, as `world::candidate` has it.
fn creative(number: i64, index: usize) -> usize {
    (usize::try_from(number).unwrap() + index) % 7
}

/// Serves requests, by the model or at random, logs and joins them.
fn serve(world: &World, request_count: i64, explored: f64, details_per_million: u32) {
    let mut server = world.serve(|it| it.details_per_million = details_per_million);
    for number in 0..request_count {
        server.predict(number);
        let best = (0..CANDIDATE_COUNT).fold(0, |best, index| {
            if server.request.answer(index).logit > server.request.answer(best).logit { index } else { best }
        });
        let draw = |salt: u64| uniform(number.cast_unsigned(), salt);
        let random = (0..CANDIDATE_COUNT).rev().find(|index| draw(2) * 4.0 >= *index as f64).unwrap();
        let chosen = if draw(1) < explored { random } else { best };
        let own = if chosen == best { 1.0 - explored } else { 0.0 };
        let request_id = format!("request-{number}");
        let served = Served::of(&request_id).with(|it| {
            it.at_unix_ms = Some(at(number));
            it.propensity = (explored > 0.0).then(|| own + explored / CANDIDATE_COUNT as f64);
        });
        assert_eq!(server.ring.record(&mut server.request, chosen, &served).unwrap(), Recorded::Queued);
        if draw(3) < RATES[creative(number, chosen)] {
            let prediction_id = PredictionId::of(&request_id, "", u32::try_from(chosen).unwrap()).unwrap();
            let (kind, at_unix_ms) = (EventKind::Click, Some(at(number) + 20));
            server.ring.event(&Event { prediction_id, kind, at_unix_ms, money: None }).unwrap();
        }
        if number % 100 == 99 {
            assert!(server.log.flush(PATIENCE));
        }
    }
    server.close();
    let join = "log join served --contract contract.toml --window 1h --until 2026-10-02T00:00:00Z --out joined.parquet";
    world.done(join);
    write_fixture(&world.contract, &better_weights(), 8, "ctr-b", world.path("8.omomi")).unwrap();
}

fn found(world: &World, words: &str) -> Value {
    serde_json::from_str(&world.done(&format!("{COMMAND} {words} --json -"))).unwrap()
}

/// Runs the command, which must end with `code`, and returns what it said.
fn said(world: &World, words: &str, code: i32) -> String {
    let output = omomi(world.folder.path(), &format!("{COMMAND} {words}"));
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert_eq!(output.status.code(), Some(code), "{words}: {said}");
    said
}

#[test]
fn estimates_cover_the_truth_and_are_those_of_the_definitions_in_python() {
    let world = World::new(&[("title", "hashed")]);
    serve(&world, 3_000, EXPLORED, 1_000_000);
    let judged = found(&world, "8.omomi");
    assert_eq!((&judged["requests"], &judged["detailed_requests"]), (&3_000.into(), &3_000.into()));
    // The file takes the creative with the highest number.
    let truth = (0..3_000).map(|number| RATES[(0..4).map(|index| creative(number, index)).max().unwrap()]).sum::<f64>();
    let truth = truth / 3_000.0;
    let methods: BTreeMap<&str, &Value> =
        judged["methods"].as_array().unwrap().iter().map(|it| (it["method"].as_str().unwrap(), &it["value"])).collect();
    for (method, value) in &methods {
        let (low, high) = (value["low"].as_f64().unwrap(), value["high"].as_f64().unwrap());
        assert!((low..high).contains(&truth), "{method}: {truth} is not in {value}");
    }
    let served = judged["logged"]["value"].as_f64().unwrap();
    assert!(served < truth - 0.1 && judged["logged"]["high"].as_f64().unwrap() < truth, "{served} {truth}");
    assert!((judged["mean_weight"].as_f64().unwrap() - 1.0).abs() < 0.15, "{judged}");

    let segments: Vec<String> = world.segments("served").iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    if let Some(expected) = reference(world.folder.path(), &format!("counterfactual 8.omomi {}", segments.join(" "))) {
        assert_eq!(judged["requests"], expected["requests"]);
        for figure in ["effective_sample_size", "mean_weight"] {
            let (found, expected) = (judged[figure].as_f64().unwrap(), expected[figure].as_f64().unwrap());
            assert!((found / expected - 1.0).abs() < 1e-9, "{figure}: {found}, not {expected}");
        }
        assert_same("logged", &judged["logged"], &expected["logged"]);
        for (method, value) in methods {
            // The crate keeps the policy in f32, which is exact for a greedy one, and the logged probability.
            assert_same(method, value, &expected[method]);
        }
    }

    // The served file chooses what the log's model chose: every logit is the same again.
    let own = found(&world, "7.omomi");
    assert_eq!(own["agreement"], 1.0);
    let text = said(&world, "8.omomi --clip 4 --json judged.json", 0);
    assert!(text.contains("doubly_robust") && text.contains("at 4: ") && text.contains("of the weight"), "{text}");
    let soft = found(&world, "8.omomi --temperature 0.2");
    assert!(soft["effective_sample_size"].as_f64() > judged["effective_sample_size"].as_f64());
    world.done("evaluate 7.omomi --logs joined.parquet --json evaluation.json --quiet");
    world.done("report --evaluation evaluation.json --counterfactual judged.json --out report.html");
    let page = fs::read_to_string(world.path("report.html")).unwrap();
    assert!(page.contains("id=\"counterfactual\"") && page.contains("effective sample size"));
}

#[test]
fn a_log_without_propensities_or_details_is_refused_and_the_answer_says_what_it_takes() {
    let world = World::new(&[]);
    serve(&world, 300, 0.0, 1_000_000);
    let text = said(&world, "8.omomi", 4);
    assert!(text.contains("none of the 300 requests with details has a propensity"), "{text}");
    assert!(text.contains("left out: without a propensity"), "{text}");
    // 4 candidates, and the file nearly always prefers another one: 100 requests need some 100 * 4 / 0.1.
    let needs = &serde_json::from_str::<Value>(
        String::from_utf8(omomi(world.folder.path(), &format!("{COMMAND} 8.omomi --json -")).stdout).unwrap().trim(),
    )
    .unwrap()["needs"];
    let needed = needs[3]["requests"].as_u64().unwrap();
    assert_eq!(needs[3]["share"], 0.1);
    assert!((1_500..=4_000).contains(&needed), "{needs}");
    assert!(text.contains("with 10 % explored") && text.contains("details_per_million"), "{text}");

    let without = World::new(&[]);
    serve(&without, 50, EXPLORED, 0);
    let text = said(&without, "8.omomi", 4);
    assert!(text.contains("the serving log has no details of any request"), "{text}");
}

#[test]
fn a_small_effective_sample_is_refused_with_how_many_requests_it_takes() {
    let world = World::new(&[]);
    serve(&world, 200, 0.1, 1_000_000);
    let text = said(&world, "8.omomi", 4);
    assert!(text.contains("the effective sample is too small: expected 100 requests"), "{text}");
    assert!(text.contains("at the exploration of this log"), "{text}");
    assert!(!text.contains("doubly_robust"), "{text}");
}

#[test]
fn propensities_that_contradict_the_choices_are_refused() {
    let world = World::new(&[]);
    serve(&world, 1_500, EXPLORED, 1_000_000);
    // The server logs the propensity of an explored request for all of them.
    let cat = fs::read(world.path("joined.parquet")).unwrap();
    assert!(!cat.is_empty());
    let rows = rewritten(&world, 0.25);
    fs::write(world.path("wrong.csv"), rows).unwrap();
    let output = omomi(
        world.folder.path(),
        "counterfactual --logs wrong.csv --details served --weights 7.omomi --label clicked",
    );
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("the weights contradict the propensities: expected a mean of 1"), "{text}");
}

/// The joined log as CSV, with one propensity for all rows.
fn rewritten(world: &World, propensity: f64) -> String {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int64Type, UInt64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let file = fs::File::open(world.path("joined.parquet")).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 16).build().unwrap();
    let batch = reader.next().unwrap().unwrap();
    let mut text = "timestamp,prediction_id,request_id,candidate,propensity,clicked\n".to_owned();
    for row in 0..batch.num_rows() {
        let id = batch["prediction_id"].as_string::<i32>().value(row);
        let request = batch["request_id"].as_string::<i32>().value(row);
        let candidate = batch["candidate"].as_primitive::<UInt64Type>().value(row);
        let clicked = batch["clicked"].as_primitive::<Int64Type>().value(row);
        text += &format!("2026-10-01T00:00:00Z,{id},{request},{candidate},{propensity},{clicked}\n");
    }
    text
}

#[test]
fn what_a_file_would_choose_must_be_known() {
    let world = World::new(&[("floor", "never")]);
    serve(&world, 20, EXPLORED, 1_000_000);
    let never = said(&world, "8.omomi", 1);
    assert!(never.contains("its field `floor` is never logged, so what it would choose cannot be known"), "{never}");
    let other = World::new(&[]);
    serve(&other, 20, EXPLORED, 1_000_000);
    // A file with a field that the log does not have.
    let field = "[[field]]\nname = \"age\"\nside = \"candidate\"\ntype = \"id\"\nmeaning = \"days\"\n\n[[cross]]";
    let wider = omomi_train::toml::parse_contract(&contract_with(&[]).replace("[[cross]]", field)).unwrap();
    write_fixture(&wider, "bias = -1.0\n", 9, "ctr-c", other.path("9.omomi")).unwrap();
    let wider = said(&other, "9.omomi", 1);
    assert!(wider.contains("has the field `age`, which the logged requests do not have"), "{wider}");
    // Other buckets of a number: the log's mean nothing under them.
    let buckets = contract_with(&[]).replace("[10.0, 50.0, 100.0]", "[20.0]");
    let buckets = omomi_train::toml::parse_contract(&buckets).unwrap();
    write_fixture(&buckets, "bias = -1.0\n", 9, "ctr-c", other.path("10.omomi")).unwrap();
    let refused = said(&other, "10.omomi", 1);
    assert!(refused.contains("the log has only the buckets of the number `floor`"), "{refused}");
}
