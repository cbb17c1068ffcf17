//! A C client of an experiment gets the arms, choices and propensities that Rust gets, and logs them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use omomi::experiment::{
    Arm, ArmState, Assignment, Experiment, ExperimentScorer, Exploration, LiveExperiment, Method, Unit,
};
use omomi::live::LiveOptions;
use omomi::serving_log::{Account, RecordBody};
use omomi::store::Store;
use omomi::{Capacity, RequestLayout};

use crate::compiler::{Dialect, Linkage, compile_client, run};
use crate::fixture::Fixture;
use crate::live::rows;
use crate::world::{World, schema};

/// Number of candidates that the client fills.
const FILLED: usize = 3;

#[test]
fn buckets_from_c_are_those_of_the_vector_file() {
    let fixture = Fixture::new();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/experiment.tsv");
    let lines = fs::read_to_string(&vectors).unwrap();
    let count = |kind: &str| lines.lines().filter(|line| line.starts_with(kind)).count();
    let (ids, texts) = (count("id\t"), count("text\t"));
    assert!(ids >= 20 && texts >= 100, "{ids} ids, {texts} texts");
    let program = fixture.path("experiment-buckets");
    compile_client(Dialect::C99, "experiment_buckets.c", Linkage::Shared, &program);
    let said = run(Command::new(program).arg(vectors));
    assert_eq!(said, format!("{ids} ids, {texts} texts\n"));
}

#[test]
fn a_c_client_gets_the_arms_and_choices_that_rust_gets_and_logs_them() {
    let fixture = Fixture::new();
    for (name, generation) in [("a", 1), ("b", 2), ("c", 3)] {
        let store = Store::new(fixture.path(name));
        fs::create_dir_all(store.generations_path()).unwrap();
        fs::write(store.control_path(), "on follow\n").unwrap();
        World::in_folder(store.dir()).publish(generation);
    }
    let arm = |name: &str, state| Arm { name: name.to_owned(), store: name.into(), state };
    let experiment = Experiment {
        name: "bids".to_owned(),
        version: 4,
        unit: Unit::Request,
        salt: 0x0123_4567_89ab_cdef,
        control: 0,
        arms: vec![arm("a", ArmState::Serve), arm("b", ArmState::Serve), arm("c", ArmState::Shadow { share: 5_000 })],
        assignment: Assignment::first(&[5_000, 5_000, 0]).unwrap(),
        exploration: Some(Exploration { share: 8_000, method: Method::EpsilonUniform { epsilon: 0.75 } }),
        guard: None,
    };
    let path = fixture.path("bids.experiment");
    fs::write(&path, experiment.to_string()).unwrap();
    let options = LiveOptions::default().with(|it| {
        (it.name, it.poll_interval) = ("rust".to_owned(), Duration::from_secs(3_600));
    });
    let live = LiveExperiment::open(&path, &schema(), options).unwrap();
    let layout = RequestLayout::new(&schema(), Capacity { candidates: 20, tail_len_bytes: 65_536 }).unwrap();
    let expected = lines(&live.scorer(&layout.for_models(2).unwrap()).unwrap());
    let arms = |name: &str| expected.lines().filter(|line| line.starts_with(name)).count();
    assert!(arms("a ") > 5 && arms("b ") > 5, "{expected}");
    for (dialect, linkage) in [(Dialect::C99, Linkage::Shared), (Dialect::C11, Linkage::Static)] {
        let program = fixture.path(&format!("experiment-{dialect:?}"));
        compile_client(dialect, "experiment.c", linkage, &program);
        let served = fixture.path("served");
        let said = run(Command::new(program).arg(fixture.path("small.omomi")).arg(&path).arg(&served));
        assert_eq!(said, expected);
        assert_logged(&served, &expected);
        fs::remove_dir_all(served).unwrap();
    }
}

/// Returns what the client prints.
fn lines(scorer: &ExperimentScorer) -> String {
    let mut lines = String::new();
    let mut request = scorer.new_request();
    request.fill(&rows()).unwrap();
    for index in 0..50 {
        let id = format!("request-{index}");
        let answered = scorer.predict(&mut request, FILLED, &id).unwrap();
        let utilities: Vec<f64> = request.answers(FILLED).map(|answer| answer.probability.into()).collect();
        let choice = answered.choose(&id, &utilities).unwrap().unwrap();
        writeln!(
            lines,
            "{} {} {} {} {} {:.6} {}",
            scorer.arm(&answered),
            scorer.logic_id(&answered).unwrap(),
            answered.generation,
            answered.bucket.unwrap(),
            choice.candidate,
            choice.propensity.unwrap(),
            answered.shadow_count,
        )
        .unwrap();
    }
    lines
}

/// Compares the log of the client with what it printed.
fn assert_logged(folder: &Path, said: &str) {
    let (mut logged, mut shadow_count) = (String::new(), 0);
    let mut account = Account::new();
    for entry in fs::read_dir(folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let read = account.read(&bytes, &mut |_, block, record| {
            let model = record.head.model.map(|model| &block.models[model]);
            match &record.body {
                RecordBody::Prediction(it) => {
                    let (model, bucket) = (model.unwrap(), it.bucket.unwrap());
                    let (generation, propensity) = (model.generation, it.propensity.unwrap());
                    let (arm, logic_id) = (it.arm, model.logic_id);
                    writeln!(logged, "{arm} {logic_id} {generation} {bucket} {} {propensity:.6}", it.candidate)
                        .unwrap();
                }
                RecordBody::Shadow(it) => {
                    assert_eq!((it.experiment, it.arm, model.unwrap().generation), ("bids", "c", 3));
                    shadow_count += 1;
                }
                RecordBody::Detail(_) => {}
                other => panic!("{other:?}"),
            }
        });
        read.unwrap();
    }
    let without_shadows: String = said.lines().map(|line| format!("{}\n", line.rsplit_once(' ').unwrap().0)).collect();
    assert_eq!(logged, without_shadows);
    assert_eq!(shadow_count, said.lines().filter(|line| line.ends_with(" 1")).count());
}
