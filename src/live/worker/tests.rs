//! Cases that no store can cause from outside: a panic while scoring, and a lock that is held.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use super::super::{LiveModel, LiveOptions};
use crate::contract::Contract;
use crate::error::{Code, Error};
use crate::request::{Capacity, RequestLayout, Schema};
use crate::request::{FieldValue, RequestRows, Row};
use crate::store::{Current, Digest, Store};
use crate::test_weight_file::without_weights;
use crate::weight_file::map::LoadMode;

const CONTRACT: &str = r#"{"name":"small","label":"clicked","field":[
    {"name":"creative_id","side":"candidate","type":"id","meaning":"m"}]}"#;

fn contract() -> Contract {
    Contract::from_json(CONTRACT.as_bytes()).unwrap()
}

fn publish(store: &Store, generation: u64) {
    let row: Row = std::iter::once(("creative_id".to_owned(), FieldValue::Id(1))).collect();
    let golden = RequestRows { context: Row::new(), candidates: vec![row] };
    let bytes = without_weights(CONTRACT, generation, &golden);
    std::fs::create_dir_all(store.generations_path()).unwrap();
    std::fs::write(store.generation_path(generation), &bytes).unwrap();
    let current = Current { generation, digest: Digest::of(&bytes) };
    std::fs::write(store.current_path(), current.to_string()).unwrap();
}

fn options(trial: Duration) -> LiveOptions {
    LiveOptions { poll_interval: Duration::from_secs(3_600), trial, ..LiveOptions::default() }
}

fn live(dir: &Path, trial: Duration) -> LiveModel {
    LiveModel::open(dir, &Schema::of_contract(&contract()), options(trial)).unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    std::fs::write(store.control_path(), "on follow\n").unwrap();
    (folder, store)
}

fn layout() -> RequestLayout {
    let capacity = Capacity { candidates: 1, tail_len_bytes: 0 };
    RequestLayout::new(&Schema::of_contract(&contract()), capacity).unwrap()
}

/// Scores a request, and looks: that proves the generation of a server without a trial.
fn prove(live: &LiveModel) {
    let scorer = live.scorer(&layout()).unwrap();
    scorer.predict(&mut scorer.new_request(), 1).unwrap();
    live.look_now();
}

fn generation_served(live: &LiveModel) -> Option<u64> {
    live.status().served.map(|served| served.generation)
}

#[test]
fn the_last_good_generation_is_freed_when_the_trial_is_over() {
    let (folder, store) = store();
    publish(&store, 1);
    let server = live(folder.path(), Duration::ZERO);
    prove(&server);
    publish(&store, 2);
    server.look_now();
    assert_eq!((generation_served(&server), server.status().retired_count), (Some(2), 1));
    prove(&server);
    assert_eq!((generation_served(&server), server.status().retired_count), (Some(2), 0));
}

#[test]
fn a_generation_that_panics_on_trial_is_quarantined_and_the_last_good_one_answers_immediately() {
    let (folder, store) = store();
    publish(&store, 1);
    let server = live(folder.path(), Duration::ZERO);
    prove(&server);
    drop(server);
    let server = live(folder.path(), Duration::from_secs(3_600));
    let scorer = server.scorer(&layout()).unwrap();
    publish(&store, 2);
    server.look_now();
    assert_eq!((generation_served(&server), server.status().retired_count), (Some(2), 1));
    server.shared.seats().all[0].counters.failed(Code::Panic);
    server.look_now();
    let mut request = scorer.new_request();
    scorer.predict(&mut request, 1).unwrap();
    assert_eq!((generation_served(&server), request.generation()), (Some(1), 1));
    assert_eq!(server.status().quarantined[0].code, Code::Panic);
    drop((scorer, server));
    // The next process remembers it.
    let server = live(folder.path(), Duration::ZERO);
    assert_eq!(generation_served(&server), Some(1));
    assert_eq!(server.status().reasons[0].code, Code::Panic);
}

#[test]
fn a_panic_after_the_trial_does_not_go_back() {
    let (folder, store) = store();
    publish(&store, 1);
    let server = live(folder.path(), Duration::ZERO);
    let _scorer = server.scorer(&layout()).unwrap();
    publish(&store, 2);
    server.look_now();
    prove(&server);
    server.shared.seats().all[0].counters.failed(Code::Panic);
    server.look_now();
    assert_eq!(generation_served(&server), Some(2));
}

#[test]
fn a_panic_of_a_closed_scorer_is_counted_and_still_ends_the_trial() {
    let (folder, store) = store();
    publish(&store, 1);
    let server = live(folder.path(), Duration::ZERO);
    prove(&server);
    drop(server);
    let server = live(folder.path(), Duration::from_secs(3_600));
    publish(&store, 2);
    let scorer = server.scorer(&layout()).unwrap();
    server.look_now();
    assert_eq!(generation_served(&server), Some(2));
    server.shared.seats().all[0].counters.failed(Code::Panic);
    drop(scorer);
    server.look_now();
    assert_eq!((generation_served(&server), server.shared.seats().all.len()), (Some(1), 0));
    let metrics = server.metrics();
    assert_eq!((metrics.requests.panics, metrics.swaps.withdrawn.of(Code::Panic)), (1, 1));
}

#[test]
fn a_live_scorer_outlives_its_live_model_and_keeps_its_generation() {
    let (folder, store) = store();
    publish(&store, 1);
    let server = live(folder.path(), Duration::ZERO);
    let scorer = server.scorer(&layout()).unwrap();
    drop(server);
    publish(&store, 2);
    let mut request = scorer.new_request();
    scorer.predict(&mut request, 1).unwrap();
    assert_eq!(request.generation(), 1);
    assert!(matches!(scorer.predict(&mut request, 2), Err(Error::TooManyCandidates { .. })));
}

#[test]
fn a_generation_that_panicked_stays_if_the_last_good_one_was_overwritten() {
    let (folder, store) = store();
    publish(&store, 1);
    let server = live(folder.path(), Duration::ZERO);
    prove(&server);
    drop(server);
    let options = LiveOptions { load_mode: LoadMode::Map, ..options(Duration::from_secs(3_600)) };
    let server = LiveModel::open(folder.path(), &Schema::of_contract(&contract()), options).unwrap();
    let scorer = server.scorer(&layout()).unwrap();
    publish(&store, 2);
    server.look_now();
    let len = usize::try_from(std::fs::metadata(store.generation_path(1)).unwrap().len()).unwrap();
    let mut file = std::fs::File::options().write(true).open(store.generation_path(1)).unwrap();
    std::io::Write::write_all(&mut file, &vec![0; len]).unwrap();
    server.shared.seats().all[0].counters.failed(Code::Panic);
    server.look_now();
    // A panic is caught, and concerns one request. Nothing at all would concern every request.
    scorer.predict(&mut scorer.new_request(), 1).unwrap();
    assert_eq!((generation_served(&server), server.status().reasons[0].code), (Some(2), Code::Panic));
}

/// The background thread may hold each of the locks for any time.
#[test]
fn a_predict_waits_for_no_lock_with_or_without_a_model_and_while_off() {
    let (folder, store) = store();
    let server = live(folder.path(), Duration::ZERO);
    let scorer = Arc::new(server.scorer(&layout()).unwrap());
    let ask_while_all_is_locked = || {
        let shared = &*server.shared;
        let _locks =
            ((shared.seats(), shared.status(), shared.ledger(), shared.signals()), (shared.orders(), shared.desk()));
        let (said, heard) = mpsc::channel();
        let scorer = Arc::clone(&scorer);
        std::thread::spawn(move || {
            let outcome = scorer.predict(&mut scorer.new_request(), 1);
            said.send(outcome.map_err(|error| error.code()))
        });
        heard.recv_timeout(Duration::from_secs(60)).expect("the predict waits")
    };
    assert_eq!(ask_while_all_is_locked(), Err(Code::NoModel));
    publish(&store, 1);
    server.look_now();
    assert_eq!(ask_while_all_is_locked(), Ok(()));
    std::fs::write(store.control_path(), "off").unwrap();
    server.look_now();
    assert_eq!(ask_while_all_is_locked(), Err(Code::SwitchedOff));
}
