//! Kills a process that changes a store at each step in turn, with a signal that it cannot catch. Afterwards the store
//! is in the old state or in the new one, and the next process finishes the work or starts again and cleans up.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use omomi::store::{Control, Scoring, Store};
use omomi_train::operate::publish::{Step, follow, freeze, publish, rollback, switch};

use crate::fixture::{
    Fixture, USUAL_WEIGHT_COUNT, Wanted, leftovers_in, options, orders, published_generation, steps_of_publishing,
    verifier,
};

const DEED: &str = "OMOMI_TEST_DEED";
const STORE: &str = "OMOMI_TEST_STORE";
const FILE: &str = "OMOMI_TEST_FILE";
const STEP: &str = "OMOMI_TEST_STEP";
const OCCURRENCE: &str = "OMOMI_TEST_OCCURRENCE";

/// Where to kill: before the `n`-th announcement (from 0) of this step.
#[derive(Debug, Clone, Copy)]
struct KillPoint {
    step: Step,
    occurrence: usize,
}

#[test]
#[ignore = "the other tests of this file start it in a process of its own, in which it is killed"]
fn victim() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let store = Store::new(variable(STORE));
    let step = Step::from_name(&variable(STEP)).unwrap();
    let mut left: usize = variable(OCCURRENCE).parse().unwrap();
    let mut die = |announced: Step| {
        if announced != step {
            return;
        }
        if left == 0 {
            // SAFETY: both calls take and give plain numbers.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        left -= 1;
    };
    match variable(DEED).as_str() {
        "publish" => drop(publish(&store, &options(Path::new(&variable(FILE))), &mut die)),
        "rollback" => drop(rollback(&store, None, &verifier(), &mut die)),
        "follow" => drop(follow(&store, &mut die)),
        "off" => drop(switch(&store, Scoring::Off, &mut die)),
        other => panic!("{other}"),
    }
    panic!("expected to be killed at {step:?}");
}

/// Runs the action in another process, which is killed at that point.
fn do_and_die(deed: &str, store: &Store, file: &Path, point: KillPoint) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["kill::victim", "--exact", "--ignored", "--nocapture"])
        .env(DEED, deed)
        .env(STORE, store.dir())
        .env(FILE, file)
        .env(STEP, point.step.name())
        .env(OCCURRENCE, point.occurrence.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{deed} was not killed at {point:?}:\n{said}");
}

/// Returns a kill point for every announcement.
fn kill_points(announced: &[Step]) -> Vec<KillPoint> {
    let point = |(index, &step): (usize, &Step)| {
        let occurrence = announced[..index].iter().filter(|&&earlier| earlier == step).count();
        KillPoint { step, occurrence }
    };
    announced.iter().enumerate().map(point).collect()
}

/// Returns a store with `before` published, and the file of generation 2 beside it.
fn prepared(before: &[u64]) -> (Fixture, PathBuf) {
    let fixture = Fixture::new();
    for &generation in before {
        fixture.publish(&usual(generation)).unwrap();
    }
    let file = usual(2).file_in(fixture.folder());
    (fixture, file)
}

fn usual(generation: u64) -> Wanted {
    // Without a time in it, so that the bytes are equal each time.
    Wanted { weight_count: USUAL_WEIGHT_COUNT, training_age: None, ..Wanted::generation(generation) }
}

fn publication_killed_at_every_step(before: &[u64]) {
    let announced = steps_of_publishing(&prepared(before).0, &usual(2));
    assert!(Step::ALL.iter().all(|step| announced.contains(step)), "{announced:?}");
    assert!(announced.iter().filter(|&&step| step == Step::Copy).count() >= 3, "expected kill points during the copy");
    for point in kill_points(&announced) {
        // Publish the same file again, or the next generation.
        for next in [2, 3] {
            let (fixture, file) = prepared(before);
            do_and_die("publish", &fixture.store, &file, point);
            let is_new = point.step > Step::ReplaceText;
            let expected = if is_new { Some(2) } else { before.last().copied() };
            assert_eq!(published_generation(&fixture.store), expected, "killed at {point:?}");

            let again = fixture.publish(&usual(next));
            if is_new && next == 2 {
                assert_eq!(again.unwrap_err().name(), "not_newer", "killed at {point:?}");
                fixture.publish(&usual(3)).unwrap();
            } else {
                again.unwrap_or_else(|error| panic!("killed at {point:?}, then {next}: {error}"));
                assert_eq!(published_generation(&fixture.store), Some(next), "killed at {point:?}");
            }
            assert_eq!(leftovers_in(fixture.store.dir()), Vec::<PathBuf>::new(), "killed at {point:?}");
        }
    }
}

#[test]
fn a_publication_that_is_killed_at_any_step_leaves_the_old_or_the_new_generation() {
    publication_killed_at_every_step(&[1]);
}

#[test]
fn a_first_publication_that_is_killed_at_any_step_leaves_nothing_or_the_new_generation() {
    publication_killed_at_every_step(&[]);
}

#[test]
fn a_publication_that_was_named_but_not_made_current_is_completed_only_by_the_same_bytes() {
    let (fixture, file) = prepared(&[1]);
    do_and_die("publish", &fixture.store, &file, KillPoint { step: Step::ReplaceText, occurrence: 0 });
    assert_eq!(fixture.store.generations().unwrap(), [1, 2]);
    let other = Wanted { weight_count: USUAL_WEIGHT_COUNT - 1, ..usual(2) };
    let other_file = fixture.folder().join("other");
    std::fs::write(&other_file, other.bytes()).unwrap();
    let error = publish(&fixture.store, &options(&other_file), &mut |_| ()).unwrap_err();
    assert_eq!((error.name(), error.owner()), ("name_taken", omomi::Owner::Ml), "{error}");
    assert_eq!(published_generation(&fixture.store), Some(1));
    let mut steps = Vec::new();
    publish(&fixture.store, &options(&file), &mut |step| steps.push(step)).unwrap();
    assert!(!steps.contains(&Step::TakeName), "{steps:?}");
    assert_eq!(published_generation(&fixture.store), Some(2));
}

/// Kills an action that changes `control` at every step.
fn control_killed_at_every_step(deed: &str, from: &dyn Fn(&Store) -> Control, to: &dyn Fn(&Store) -> Control) {
    for step in Step::OF_CONTROL {
        if step == Step::Verify && deed != "rollback" {
            continue;
        }
        let fixture = Fixture::with([1, 2]);
        let (from, to) = (from(&fixture.store), to(&fixture.store));
        std::fs::write(fixture.store.control_path(), format!("{from}\n")).unwrap();
        do_and_die(deed, &fixture.store, Path::new(""), KillPoint { step, occurrence: 0 });
        let expected = if step > Step::ReplaceText { to } else { from };
        assert_eq!(fixture.control(), expected, "{deed} killed at {step:?}");
        assert_eq!(published_generation(&fixture.store), Some(2));
        freeze(&fixture.store, Some(1), &mut |_| ()).unwrap();
        let frozen = orders(&fixture.store, "on freeze", 1).target;
        assert_eq!(fixture.control(), Control { target: frozen, ..expected }, "{deed} killed at {step:?}");
        assert_eq!(leftovers_in(fixture.store.dir()), Vec::<PathBuf>::new(), "{deed} killed at {step:?}");
    }
}

fn at(text: &'static str) -> impl Fn(&Store) -> Control {
    move |_| text.parse().unwrap()
}

#[test]
fn switching_off_takes_effect_fully_or_not_at_all_if_killed() {
    control_killed_at_every_step("off", &at("on follow"), &at("off follow"));
}

#[test]
fn following_takes_effect_fully_or_not_at_all_if_killed() {
    control_killed_at_every_step("follow", &|store| orders(store, "off pin", 1), &at("off follow"));
}

#[test]
fn rolling_back_takes_effect_fully_or_not_at_all_if_killed() {
    control_killed_at_every_step("rollback", &at("on follow"), &|store| orders(store, "on pin", 1));
}
