//! An experiment from its file to its joined log: what shadows said is never counted as served.

use std::fs;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use omomi::experiment::{Experiment, LiveExperiment};
use omomi::live::LiveOptions;
use omomi::serving_log::{Event, EventKind, LogOptions, PredictionId, Recorded, Served, ServingLog};
use omomi::store::{Current, Digest, Store};
use omomi::{Capacity, RequestLayout, Schema};
use omomi_train::pack::write_fixture;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::world::{CANDIDATE_COUNT, PATIENCE, WEIGHTS, World, at, candidate, context, counts, request_id};

const JOIN: &str = "log join served --contract contract.toml --window 1h --until 2026-10-02T00:00:00Z";
const COUNT: i64 = 200;

/// Publishes a model with another bias to a store.
fn publish(world: &World, store: &str, generation: u64, bias: f64, logic_id: &str) {
    let store = Store::new(world.path(store));
    fs::create_dir_all(store.generations_path()).unwrap();
    let path = store.generation_path(generation);
    let weights = WEIGHTS.replace("bias = -2.0", &format!("bias = {bias:?}"));
    write_fixture(&world.contract, &weights, generation, logic_id, path.clone()).unwrap();
    let digest = Digest::of(&fs::read(path).unwrap());
    fs::write(store.current_path(), Current { generation, digest }.to_string()).unwrap();
    fs::write(store.control_path(), "on follow\n").unwrap();
}

fn read(path: &Path) -> RecordBatch {
    let file = fs::File::open(path).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 16).build().unwrap();
    reader.next().unwrap().unwrap()
}

fn texts<'a>(batch: &'a RecordBatch, column: &str) -> Vec<&'a str> {
    batch[column].as_string::<i32>().iter().map(|text| text.unwrap_or_default()).collect()
}

fn flags(batch: &RecordBatch, column: &str) -> Vec<bool> {
    batch[column].as_boolean().iter().map(Option::unwrap).collect()
}

#[test]
fn an_experiment_is_begun_served_joined_and_stopped_and_shadows_are_never_counted_as_served() {
    let world = World::new(&[]);
    publish(&world, "feed-a", 1, -2.0, "ctr-a");
    publish(&world, "feed-b", 1, -3.0, "ctr-b");
    publish(&world, "feed-c", 1, -4.0, "ctr-c");
    let begun = world.done(
        "experiment start bids.experiment --name bids --unit site --control a=feed-a --arm b=feed-b:40% \
         --shadow c=feed-c:2500",
    );
    assert!(begun.contains("a (control)") && begun.contains("60.00 %") && begun.contains("25.00 %"), "{begun}");
    assert!(world.failed("experiment start bids.experiment --name bids --control a=feed-a").contains("exists"));
    assert!(world.done("experiment check bids.experiment").contains("are good"));
    // The log has five sites only: each request is a unit by itself.
    fs::remove_file(world.path("bids.experiment")).unwrap();
    world.done(
        "experiment start bids.experiment --name bids --control a=feed-a --arm b=feed-b:40% --shadow c=feed-c:25%",
    );
    let schema = Schema::of_contract(&world.contract);
    let live = LiveExperiment::open(world.path("bids.experiment"), &schema, LiveOptions::default()).unwrap();
    let capacity = Capacity { candidates: CANDIDATE_COUNT, tail_len_bytes: 4_096 };
    let layout = RequestLayout::new(&schema, capacity).unwrap().for_models(2).unwrap();
    let scorer = live.scorer(&layout).unwrap();
    let log = ServingLog::open(world.path("served"), LogOptions::default()).unwrap();
    let mut ring = log.experiment_ring(&scorer).unwrap();
    let mut request = scorer.new_request();
    let (mut arms, mut shadows) = ([0, 0], 0);
    for number in 0..COUNT {
        request.clear();
        request.context().set_all(&context(number)).unwrap();
        for index in 0..CANDIDATE_COUNT {
            let row = candidate(number, i64::try_from(index).unwrap());
            request.candidate(index).unwrap().set_all(&row).unwrap();
        }
        let id = request_id(number);
        let answered = scorer.predict_filled(&mut request, &id).unwrap();
        arms[usize::from(!answered.is_control)] += 1;
        shadows += u64::from(answered.shadow_count);
        let served = Served::of(&id).with(|it| it.at_unix_ms = Some(at(number)));
        assert_eq!(ring.record(&mut request, 0, &served).unwrap(), Recorded::Queued);
        if number % 10 == 0 {
            let prediction_id = PredictionId::of(&id, "", 0).unwrap();
            let at_unix_ms = Some(at(number) + 5);
            ring.event(&Event { prediction_id, kind: EventKind::Click, at_unix_ms, money: None }).unwrap();
        }
    }
    assert!(arms[0] > 80 && arms[1] > 40 && (20..=80).contains(&shadows), "{arms:?} {shadows}");
    drop(ring);
    assert!(log.flush(PATIENCE));
    drop(log);

    // A join has what was served.
    let said = counts(&world.done(&format!("{JOIN} --out joined.parquet")));
    let count = u64::try_from(COUNT).unwrap();
    assert_eq!((said["rows"], said["records of shadows"], said["with a click"]), (count, shadows, 20), "{said:?}");
    let joined = read(&world.path("joined.parquet"));
    assert!(flags(&joined, "shadow").iter().all(|is_shadow| !is_shadow));
    let of = |arm: &str| texts(&joined, "arm").iter().filter(|found| **found == arm).count();
    assert_eq!([of("a"), of("b"), of("c")], [arms[0], arms[1], 0]);
    assert!(texts(&joined, "arm").iter().zip(texts(&joined, "logic_id")).all(|(arm, id)| id == format!("ctr-{arm}")));
    assert_eq!((joined["bucket"].null_count(), joined["propensity"].null_count()), (0, joined.num_rows()));

    // On demand, it has what a shadow said instead, with the same outcomes.
    let said = counts(&world.done(&format!("{JOIN} --shadow c --out shadow.parquet")));
    assert_eq!((said["rows"], said["records of other arms"]), (shadows, count), "{said:?}");
    let shadow = read(&world.path("shadow.parquet"));
    assert!(flags(&shadow, "shadow").iter().all(|is_shadow| *is_shadow));
    assert!(texts(&shadow, "arm").iter().all(|arm| *arm == "c"));
    let clicks = |batch: &RecordBatch| batch["clicked"].as_primitive::<Int64Type>().values().to_vec();
    let (ids, all) = (texts(&shadow, "prediction_id"), texts(&joined, "prediction_id"));
    for (row, id) in ids.iter().enumerate() {
        let place = all.iter().position(|other| other == id).unwrap();
        assert_eq!(clicks(&shadow)[row], clicks(&joined)[place], "{id}");
        let probability = |batch: &RecordBatch, row| batch["probability"].as_primitive::<Float32Type>().value(row);
        assert!(probability(&shadow, row) < probability(&joined, place), "{id}: its bias is lower");
    }
    let none = counts(&world.done(&format!("{JOIN} --shadow b --out none.parquet")));
    assert_eq!(none["rows"], 0);

    // Every record is computed again to the bit, those of shadows too.
    assert!(world.omomi("log check served --contract contract.toml").status.success());
    let files = ["feed-a", "feed-b", "feed-c"].map(|store| format!("{store}/generations/000001.omomi")).join(" ");
    let said = counts(&world.done(&format!("log replay served --files {files}")));
    assert_eq!((said["predictions"], said["equal, bit for bit"]), (count + shadows, count + shadows), "{said:?}");

    // People see what servers report, and stop an arm.
    live.look_now();
    let stopped = world.done("experiment stop bids.experiment b");
    assert!(stopped.contains("4,000 of 10,000 buckets moved") && stopped.contains("stopped"), "{stopped}");
    live.look_now();
    let after = scorer.predict_filled(&mut request, "after").unwrap();
    assert!(after.is_control);
    shadows += u64::from(after.shadow_count);
    drop((scorer, live));
    let status = world.done("experiment status bids.experiment");
    assert!(status.contains("ctr-a") && status.contains(&shadows.to_string()), "{status}");
    let json: serde_json::Value =
        serde_json::from_str(&world.done("experiment status bids.experiment --json")).unwrap();
    assert_eq!((&json["version"], &json["servers"][0]["version"]), (&2.into(), &2.into()), "{json}");
}

#[test]
fn a_check_names_each_arm_whose_store_does_not_fit_and_who_must_act() {
    let world = World::new(&[]);
    publish(&world, "feed-a", 1, -2.0, "ctr-a");
    publish(&world, "feed-b", 1, -3.0, "ctr-a");
    world.done(
        "experiment start x.experiment --name x --unit segment --control a=feed-a --arm b=feed-b:5% --arm c=none:5%",
    );
    let output = world.omomi("experiment check x.experiment");
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8_lossy(&output.stderr);
    for words in [
        "arm `c`: expected a store with a published generation at none",
        "arms `a` and `b`: expected different logic ids, found `ctr-a` in both",
        "expected as the unit a field of the context, an id or a text with one value, found `segment`",
        "who must act: ml",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn exploration_and_the_guard_are_written_at_the_start_and_a_change_of_shares_keeps_them() {
    let world = World::new(&[]);
    let start = "experiment start x.experiment --name x --control a=feed-a --arm b=feed-b:5%";
    for (flags, problem) in [
        ("--explore 5%", "--epsilon"),
        ("--epsilon 0.1", "--explore"),
        ("--explore 5% --epsilon 0.1 --temperature 1", "cannot be used with"),
        ("--guard-false-stops 0.1", "--guard-errors"),
        ("--guard-calibration 0.5", "expected MIN:MAX"),
    ] {
        let output = world.omomi(&format!("{start} {flags}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(problem), "{flags}: {said}");
    }
    assert!(world.failed(&format!("{start} --guard-errors 1.5")).contains("`max_error_share` above 0"));
    let said = world.done(&format!("{start} --explore 5% --epsilon 0.1 --guard-errors 0.01 --guard-calibration 0.5:2"));
    assert!(said.contains("explores: 5.00 %") && said.contains("a calibration ratio outside 0.5 to 2"), "{said}");
    let file = || Experiment::read(&world.path("x.experiment")).unwrap().unwrap();
    let begun = file();
    assert_eq!(begun.guard.unwrap().max_error_share, Some(0.01));
    assert_eq!(begun.guard.unwrap().calibration.unwrap().window.as_secs(), 1_800);
    world.done("experiment share x.experiment b=10%");
    world.done("experiment stop x.experiment b");
    assert_eq!((file().exploration, file().guard), (begun.exploration, begun.guard));
}
