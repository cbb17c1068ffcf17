//! Kills a server at any moment, and checks the next one. The killed servers run this test binary again, each in its
//! own process.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::again;
use crate::small_model;
use crate::world::{World, options};

/// Long enough for a trial that will be cut short.
const LONG: Duration = Duration::from_secs(3_600);

#[test]
fn a_generation_that_killed_a_process_during_its_trial_is_held_back_at_the_next_start() {
    const NAME: &str = "a_generation_that_killed_a_process_during_its_trial_is_held_back_at_the_next_start";
    let Some(world) = world_with_a_good_generation() else { return };
    world.publish(2);
    kill_during_its_trial(NAME, &world, 2);
    let mut server = world.serve();
    assert_eq!((server.ask(), server.reasons()), (Ok(1), vec!["killed_process"]));
    assert_eq!(server.look_and_ask(), Ok(1), "and not at the next look either");
    assert_eq!(server.live.status().quarantined, []);
    world.publish(3);
    assert_eq!(server.look_and_ask(), Ok(3), "the next one has done nothing");
}

#[test]
fn a_held_back_generation_is_retried_later_and_becomes_good_if_the_process_survives() {
    const NAME: &str = "a_held_back_generation_is_retried_later_and_becomes_good_if_the_process_survives";
    let Some(world) = world_with_a_good_generation() else { return };
    world.publish(2);
    kill_during_its_trial(NAME, &world, 2);
    let mut server = world.serve_with(options().with(|it| it.retry_after_death = Duration::from_millis(200)));
    assert_eq!(server.ask(), Ok(1));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.look_and_ask(), Ok(2));
    server.prove();
    assert_eq!(journal(&world)["proven"][0]["generation"], 2);
    assert_eq!(journal(&world)["deaths"], Value::Array(vec![]));
}

#[test]
fn the_second_death_puts_the_generation_into_quarantine() {
    const NAME: &str = "the_second_death_puts_the_generation_into_quarantine";
    let Some(world) = world_with_a_good_generation() else { return };
    world.publish(2);
    kill_during_its_trial(NAME, &world, 2);
    kill_during_its_trial(NAME, &world, 2);
    for _ in 0..2 {
        let mut server = world.serve_with(options().with(|it| it.retry_after_death = Duration::ZERO));
        assert_eq!((server.ask(), server.reasons()), (Ok(1), vec!["killed_process"]));
        let quarantined = &server.live.status().quarantined[0];
        assert_eq!((quarantined.generation, quarantined.is_lasting), (2, true));
        assert_eq!(server.look_and_ask(), Ok(1));
    }
}

#[test]
fn a_death_while_loading_is_blamed_on_the_generation_too() {
    const NAME: &str = "a_death_while_loading_is_blamed_on_the_generation_too";
    let Some(world) = world_with_a_good_generation() else { return };
    world.publish_bytes(2, &small_model::slow_bytes_of_generation(2, 1_000));
    let mut server = Killable::start(NAME, &world);
    server.heard("opens");
    while journal(&world)["attempt"]["phase"] != "loading" {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(server.kill(), "", "it had loaded the file before it was killed");
    let mut server = world.serve();
    assert_eq!((server.ask(), server.reasons()), (Ok(1), vec!["killed_process"]));
}

#[test]
fn a_copied_store_blames_nobody() {
    const NAME: &str = "a_copied_store_blames_nobody";
    let Some(world) = world_with_a_good_generation() else { return };
    world.publish(2);
    kill_during_its_trial(NAME, &world, 2);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    assert!(std::process::Command::new("cp").arg("-a").args([world.dir(), &copy]).status().unwrap().success());
    let mut server = World::in_folder(copy).serve();
    assert_eq!((server.ask(), server.reasons()), (Ok(2), vec![]));
}

#[test]
fn deaths_of_one_generation_under_many_names_add_up() {
    const NAME: &str = "deaths_of_one_generation_under_many_names_add_up";
    let Some(world) = world_with_a_good_generation() else { return };
    world.publish(2);
    kill_during_its_trial(NAME, &world, 2);
    // Another name: as if the dead process had been another pod.
    std::fs::rename(world.store.state_path().join("server"), world.store.state_path().join("another")).unwrap();
    let mut server = world.serve();
    assert_eq!((server.ask(), server.reasons()), (Ok(1), vec!["killed_process"]));
}

#[test]
fn a_death_after_the_trial_is_not_blamed_on_the_generation() {
    const NAME: &str = "a_death_after_the_trial_is_not_blamed_on_the_generation";
    let Some(world) = world_with_a_good_generation() else { return };
    let mut server = Killable::start(NAME, &world);
    server.heard("serves 1");
    server.kill();
    let mut server = world.serve();
    assert_eq!((server.ask(), server.reasons()), (Ok(1), vec![]));
}

#[test]
fn whenever_a_server_is_killed_the_next_one_answers_with_the_new_or_the_last_good_generation() {
    const NAME: &str = "whenever_a_server_is_killed_the_next_one_answers_with_the_new_or_the_last_good_generation";
    let Some(world) = world_with_a_good_generation() else { return };
    for generation in 2..14 {
        world.publish(generation);
        let mut server = Killable::start(NAME, &world);
        server.heard("opens");
        std::thread::sleep(Duration::from_millis(generation - 2));
        server.kill();
        let was_on_trial = !journal(&world)["attempt"].is_null();
        let mut server = world.serve();
        let expected =
            if was_on_trial { (Ok(generation - 1), vec!["killed_process"]) } else { (Ok(generation), vec![]) };
        assert_eq!((server.ask(), server.reasons()), expected);
        drop(server);
        // Completes the trial for the next round.
        let mut server = world.serve_with(options().with(|it| it.retry_after_death = Duration::ZERO));
        assert_eq!(server.ask(), Ok(generation));
        server.prove();
    }
}

/// Creates a store whose first generation is known to be good. In a process that was started to be killed, serves until
/// that happens, and returns `None`.
fn world_with_a_good_generation() -> Option<World> {
    if let Some(dir) = again::role() {
        serve_until_killed(dir);
        return None;
    }
    let world = World::new();
    world.publish(1);
    world.serve().prove();
    assert_eq!(journal(&world)["proven"][0]["generation"], 1);
    Some(world)
}

fn serve_until_killed(dir: String) {
    println!("\nopens");
    let options = options().with(|it| {
        it.trial = LONG;
        it.retry_after_death = Duration::ZERO;
    });
    let mut server = World::in_folder(dir).serve_with(options);
    println!("serves {}", server.ask().unwrap());
    // The pipe closes with the process that would have killed this one.
    let _ = std::io::stdin().read(&mut [0]);
}

fn kill_during_its_trial(test: &str, world: &World, generation: u64) {
    let mut server = Killable::start(test, world);
    server.heard(&format!("serves {generation}"));
    server.kill();
    assert_eq!(journal(world)["attempt"]["generation"], generation);
}

fn journal(world: &World) -> Value {
    let bytes = std::fs::read(world.store.state_path().join("server/journal.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// A server in its own process.
struct Killable {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Killable {
    fn start(test: &str, world: &World) -> Self {
        let mut command = again::command(&format!("deaths::{test}"), world.dir().to_str().unwrap());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// Waits until the server prints the expected line.
    fn heard(&mut self, expected: &str) {
        let mut all = String::new();
        while !all.ends_with(&format!("\n{expected}\n")) {
            assert_ne!(self.said.read_line(&mut all).unwrap(), 0, "expected `{expected}`, heard {all}");
        }
    }

    /// Kills the server with a signal that it cannot catch, and returns what it printed meanwhile.
    fn kill(&mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        // Fails if it is already dead.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
