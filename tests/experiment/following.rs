//! The file is followed, and the last good one stays in force.

use std::collections::HashSet;
use std::fs;

use omomi::experiment::{ArmState, BUCKET_COUNT, Purpose, Unit, bucket_of, draw, state_folder};
use omomi::feature::text_value;
use omomi::request::FieldValue;
use omomi::{Code, Error};

use crate::small_model;
use crate::store_world::{CANDIDATE_COUNT, replace};
use crate::world::{Experiments, Thread, experiment, with_shadow};

fn bucket(id: &str) -> u32 {
    bucket_of(draw(7, Purpose::Bucket, text_value(id.as_bytes())))
}

#[test]
fn each_unit_gets_the_arm_that_owns_its_bucket_and_a_change_of_shares_moves_no_others() {
    let world = Experiments::new();
    world.store("a").publish(1);
    world.store("b").publish(2);
    let mut now = experiment([7_000, 3_000]);
    world.write(&now);
    let live = world.open();
    let mut thread = Thread::new(&live);
    for shares in [[7_000, 3_000], [2_000, 8_000], [9_999, 1], [10_000, 0]] {
        now.version += 1;
        now.assignment = now.assignment.with_shares(&shares).unwrap();
        world.write(&now);
        live.look_now();
        let status = live.status();
        assert_eq!((status.version, &status.problem), (now.version, &None));
        for index in 0..100 {
            let id = format!("request-{index}");
            let answered = thread.predict(&id).unwrap();
            assert_eq!((answered.bucket, answered.version), (Some(bucket(&id)), now.version));
            let expected = [("a", 1), ("b", 2)][now.arm_of(bucket(&id))];
            assert_eq!(thread.ask(&id), (expected.0.to_owned(), expected.1), "{id}");
            assert_eq!(thread.scorer.logic_id(&answered).as_deref(), Some("small-v1"));
        }
    }
}

#[test]
fn a_unit_is_a_text_or_an_id_of_the_context_and_a_request_without_one_belongs_to_no_arm() {
    let world = Experiments::new();
    world.store("a").publish(1);
    world.store("b").publish(2);
    let mut now = experiment([5_000, 5_000]);
    now.unit = Unit::Field("region".to_owned());
    world.write(&now);
    let live = world.open();
    let mut thread = Thread::new(&live);
    let mut rows = small_model::full_rows(CANDIDATE_COUNT as i64);
    let mut ask = |rows: &_, id: &str| {
        thread.request.fill(rows).unwrap();
        thread.predict(id).unwrap()
    };
    for user in (0..50).map(|user| format!("user-{user}")) {
        rows.context.insert("region".to_owned(), FieldValue::Text(user.clone()));
        let found = [ask(&rows, "1"), ask(&rows, "2")];
        assert!(found.iter().all(|it| it.bucket == Some(bucket(&user)) && it.is_control == (it.generation == 1)));
        assert_eq!(found[0].generation, [1, 2][now.arm_of(bucket(&user))]);
    }
    rows.context.remove("region");
    let without = ask(&rows, "1");
    assert_eq!((without.bucket, without.generation, without.is_control), (None, 1, true));
    assert_eq!(live.status().without_unit_count, 1);
    // An id.
    now.unit = Unit::Field("media_id".to_owned());
    world.write(&now);
    live.look_now();
    rows.context.insert("media_id".to_owned(), FieldValue::Id(-3));
    let expected = bucket_of(draw(7, Purpose::Bucket, (-3_i64).cast_unsigned()));
    assert_eq!(ask(&rows, "1").bucket, Some(expected));
    // What cannot be a unit leaves the last good file in force.
    for field in ["interest", "floor_price", "creative_id", "nothing"] {
        now.unit = Unit::Field(field.to_owned());
        world.write(&now);
        live.look_now();
        assert!(live.status().problem.unwrap().text.contains(field), "{field}");
        assert_eq!(ask(&rows, "1").bucket, Some(expected));
    }
}

#[test]
fn a_file_that_is_torn_or_gone_changes_nothing_even_for_the_next_process() {
    let world = Experiments::new();
    world.store("a").publish(1);
    world.store("b").publish(2);
    world.write(&experiment([0, 10_000]));
    let mut live = world.open();
    assert_eq!(Thread::new(&live).ask("1"), ("b".to_owned(), 2));
    let good = fs::read_to_string(world.path()).unwrap();
    for (text, code) in [(&good[..good.len() / 2], Code::ExperimentMalformed), ("{}", Code::ExperimentMalformed)] {
        replace(&world.path(), text.as_bytes());
        for _ in 0..2 {
            live.look_now();
            assert_eq!(live.status().problem.unwrap().code, code);
            assert_eq!(Thread::new(&live).ask("1"), ("b".to_owned(), 2));
            drop(live);
            live = world.open();
        }
    }
    fs::remove_file(world.path()).unwrap();
    drop(live);
    live = world.open();
    assert_eq!(Thread::new(&live).ask("1"), ("b".to_owned(), 2));
    assert!(live.status().problem.unwrap().text.contains("no file"));
    // The report says the same to people.
    let report = fs::read_to_string(state_folder(&world.path()).join("server.report.json")).unwrap();
    assert!(report.contains("\"experiment\": \"test\"") && report.contains("no file"), "{report}");
    world.write(&experiment([10_000, 0]));
    live.look_now();
    assert_eq!(Thread::new(&live).ask("1"), ("a".to_owned(), 1));
    assert_eq!(live.status().problem, None);
}

/// A line of the Prometheus text.
fn series(name: &str, arm: &str, number: u64) -> String {
    format!("omomi_experiment_{name}{{experiment=\"test\",arm=\"{arm}\"}} {number}")
}

/// Each series follows the heading of its family, and no family or series is there twice.
#[test]
fn a_page_of_metrics_has_each_heading_and_each_series_once() {
    let world = Experiments::new();
    let live = world.open();
    // Without a file, there are no arms, and the page says so.
    let none = live.status().to_prometheus();
    assert!(none.contains("omomi_experiment_version{experiment=\"\"} 0\n"), "{none}");
    assert!(!none.contains("arm="), "{none}");
    world.write(&with_shadow(experiment([5_000, 5_000]), 100));
    live.look_now();
    let page = live.status().to_prometheus();
    let (mut family, mut kinds, mut all) = ("", HashSet::new(), HashSet::new());
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!((name, kind == "counter"), (family, family.ends_with("_total")), "{line}");
            assert!(kinds.insert(name), "{line}");
        } else {
            let (name, number) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with(&format!("{family}{{experiment=\"test\"")), "{line}");
            assert!(number.parse::<u64>().is_ok() && all.insert(name), "{line}");
        }
    }
    // The families of the experiment have one series, those of arms one for each, and shadows three for each.
    assert_eq!(all.len() as u64, 4 + 3 * (kinds.len() as u64 - 4 - 1) + 3 * 3);
}

#[test]
fn an_arm_that_cannot_answer_sends_its_units_to_the_control_arm_and_the_status_says_so() {
    let world = Experiments::new();
    world.store("a").publish(1);
    let mut now = experiment([5_000, 5_000]);
    world.write(&now);
    let live = world.open();
    let mut thread = Thread::new(&live);
    assert_eq!(thread.counts(), [200, 0]);
    let status = live.status();
    assert!(status.arms[0].is_ready && !status.arms[1].is_ready);
    assert_eq!(status.arms[0].answered_count, 200);
    assert!(status.arms[1].fell_back_count > 50 && !status.arms[1].reasons.is_empty(), "{status:?}");
    let page = status.to_prometheus();
    for line in [
        "omomi_experiment_version{experiment=\"test\"} 1".to_owned(),
        "omomi_experiment_problems{experiment=\"test\"} 0".to_owned(),
        series("answered_requests_total", "a", 200),
        series("answered_requests_total", "b", 0),
        series("fell_back_requests_total", "a", 0),
        series("fell_back_requests_total", "b", status.arms[1].fell_back_count),
        series("failed_requests_total", "b", status.arms[1].failed_count),
        series("guard_stopped", "b", 0),
        series("arm_ready", "a", 1),
        series("arm_ready", "b", 0),
        series("arm_share", "b", 5_000),
        "omomi_experiment_shadow_requests_total{experiment=\"test\",arm=\"b\",result=\"skipped\"} 0".to_owned(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
    // It gets its units as soon as it can answer.
    world.store("b").publish(2);
    live.look_now();
    let [of_a, of_b] = thread.counts();
    assert!(of_a > 50 && of_b > 50);
    // The same order that stops a store's scoring stops the arm.
    world.store("b").control("off");
    live.look_now();
    assert_eq!(thread.counts(), [200, 0]);
    // The control arm has nowhere to send its units.
    world.store("a").control("off");
    live.look_now();
    assert!(matches!(thread.predict("1"), Err(Error::SwitchedOff)));
    world.store("a").control("on");
    world.store("b").control("on");
    now.version = 2;
    now.stop(1).unwrap();
    world.write(&now);
    live.look_now();
    assert_eq!(thread.counts(), [200, 0]);
    assert_eq!(live.status().arms[1].state, ArmState::Stopped);
    assert_eq!(now.assignment.share(0), BUCKET_COUNT);
}

#[test]
fn without_a_file_or_with_a_bad_request_there_is_an_error_and_no_answer() {
    let world = Experiments::new();
    let live = world.open();
    let mut thread = Thread::new(&live);
    assert!(matches!(thread.predict("1"), Err(Error::NoModel)));
    assert!(live.status().problem.is_some());
    world.store("a").publish(1);
    world.write(&experiment([10_000, 0]));
    live.look_now();
    assert_eq!(thread.ask("1").1, 1);
    for id in [String::new(), "x".repeat(129)] {
        assert_eq!(thread.predict(&id).unwrap_err().code(), Code::RecordInvalid);
        assert_eq!(thread.request.answered_count(), 0);
    }
    // Scorers continue when the experiment is closed.
    drop(live);
    assert_eq!(thread.ask("1").1, 1);
}

#[test]
fn arms_may_share_a_store_and_a_store_that_stays_is_not_opened_again() {
    let world = Experiments::new();
    world.store("a").publish(1);
    world.store("b").publish(2);
    let mut now = experiment([5_000, 5_000]);
    now.arms[1].store = "a".into();
    world.write(&now);
    let live = world.open();
    let mut thread = Thread::new(&live);
    let [of_a, of_b] = thread.counts();
    assert!(of_a > 50 && of_b > 50);
    let answered = live.status().arms.iter().map(|arm| arm.answered_count).sum::<u64>();
    assert_eq!(answered, 200);
    // Counts of an arm stay when it gets another store, and when a scorer is closed.
    now.version = 2;
    now.arms[1].store = "b".into();
    world.write(&now);
    live.look_now();
    assert_eq!(thread.counts(), [of_a, of_b]);
    drop(thread);
    live.look_now();
    let arms = live.status().arms;
    let counts = [arms[0].answered_count, arms[1].answered_count].map(|count| usize::try_from(count).unwrap());
    assert_eq!(counts, [2 * of_a, 2 * of_b]);
}
