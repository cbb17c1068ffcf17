//! Checks the table of file operations in `LIVE.md`. Runs each command, word for word, on the file of a running server.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use omomi::LoadMode;

use crate::again;
use crate::world::{CANDIDATE_COUNT, Server, World, expected_answers, options, same_bits};

const PAGE: &str = include_str!("../../src/live/LIVE.md");

/// The columns of the table.
#[derive(Debug)]
struct Row {
    command: &'static str,
    meanwhile: &'static str,
    afterwards: &'static str,
    noticed: &'static str,
    copy: &'static str,
    next_start: &'static str,
}

fn rows() -> Vec<Row> {
    let table = PAGE.lines().skip_while(|line| !line.starts_with("| command on the served file |"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [command, meanwhile, afterwards, noticed, copy, next_start] = cells[..] else { panic!("{line}") };
        Row { command: command.trim_matches('`'), meanwhile, afterwards, noticed, copy, next_start }
    })
    .collect()
}

/// Makes a published file writable, which root can write to anyway.
pub fn make_writable(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

/// Creates generations 1 and 2, with 2 served and known to be good, and a file with other content of the same length.
fn world_with_two_generations(load_mode: LoadMode) -> (World, Server) {
    let world = World::new();
    world.publish(1);
    world.publish(2);
    make_writable(&world.store.generation_path(2));
    fs::write(world.store.generations_path().join("new"), World::bytes(3)).unwrap();
    let mut server = world.serve_with(options().with(|it| it.load_mode = load_mode));
    server.prove();
    assert_eq!((server.ask(), server.reasons()), (Ok(2), vec![]));
    (world, server)
}

/// Runs `command` in the folder of the weight files. Returns false if its tool is not installed.
fn run(world: &World, command: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(world.store.generations_path()).stdin(Stdio::null());
    let output = shell.output().unwrap();
    let is_missing = output.status.code() == Some(127);
    assert!(is_missing || output.status.success(), "{command}: {output:?}");
    !is_missing
}

/// Returns what requests get before the server has looked, in the words of the table.
fn answers(server: &mut Server) -> &'static str {
    server.scorer.predict(&mut server.request, CANDIDATE_COUNT).unwrap();
    if same_bits(server.request.answers(CANDIDATE_COUNT), expected_answers(2).into_iter()) {
        "right answers"
    } else {
        "wrong answers"
    }
}

/// Returns what is served, in the words of the table.
fn serving(server: &mut Server, load_mode: LoadMode) -> &'static str {
    let generation = server.ask();
    match (generation, server.live.status().served.map(|served| served.load_mode)) {
        (Ok(2), Some(found)) if found == load_mode => "continues",
        (Ok(2), Some(LoadMode::Copy)) => "continues from a private copy",
        (Ok(1), _) => "000001 takes over",
        other => panic!("{other:?}"),
    }
}

fn next_start(world: &World, server: Server) -> String {
    drop(server);
    let mut server = world.serve();
    let served = server.ask().map_or("no model".to_owned(), |generation| format!("{generation:06}"));
    let reasons = server.live.status().reasons;
    let code = reasons.iter().map(|reason| reason.code.name()).find(|code| *code != "no_model");
    code.map_or(served.clone(), |code| format!("{served}, `{code}`"))
}

#[test]
fn each_command_in_the_table_has_the_effect_that_the_table_says() {
    let mut differences = BTreeMap::new();
    let rows = rows();
    assert!(rows.len() > 12, "the table is not where it was");
    for row in rows {
        let (world, mut server) = world_with_two_generations(LoadMode::Map);
        if !run(&world, row.command) {
            println!("skipped: there is no tool for `{}`", row.command);
            continue;
        }
        // Touching a missing page kills the process, so the test below does that in a separate process.
        let meanwhile = if row.meanwhile == "SIGBUS" { "SIGBUS" } else { answers(&mut server) };
        let meanwhile_is_said = row.meanwhile.trim_end_matches(" or SIGBUS") == meanwhile;
        server.live.look_now();
        let afterwards = serving(&mut server, LoadMode::Map);
        let reasons = server.reasons();
        let noticed = if reasons.is_empty() { "nothing".to_owned() } else { format!("`{}`", reasons[0]) };
        let map_start = next_start(&world, server);

        let (world, mut server) = world_with_two_generations(LoadMode::Copy);
        assert!(run(&world, row.command));
        assert_eq!(answers(&mut server), "right answers", "{}", row.command);
        server.live.look_now();
        let mut copy = serving(&mut server, LoadMode::Copy).to_owned();
        if let Some(reason) = server.reasons().first() {
            copy = format!("{copy}, `{reason}`");
        }
        assert_eq!(answers(&mut server), "right answers", "{}", row.command);
        let copy_start = next_start(&world, server);

        let found = (afterwards, &*noticed, &*copy, &*map_start, &*copy_start);
        let said = (row.afterwards, row.noticed, row.copy, row.next_start, row.next_start);
        if !meanwhile_is_said || found != said {
            differences.insert(row.command, format!("found {meanwhile}, {found:?}, the page says {row:?}"));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn a_request_after_a_truncation_kills_a_process_that_maps_but_not_one_that_copies() {
    const NAME: &str =
        "file_operations::a_request_after_a_truncation_kills_a_process_that_maps_but_not_one_that_copies";
    if let Some(role) = again::role() {
        let load_mode = if role == LoadMode::Map.name() { LoadMode::Map } else { LoadMode::Copy };
        let (world, mut server) = world_with_two_generations(load_mode);
        assert!(run(&world, "truncate -s 0 000002.omomi"));
        println!("{}", answers(&mut server));
        return;
    }
    let child = |load_mode: LoadMode| again::command(NAME, load_mode.name()).output().unwrap();
    let copy = child(LoadMode::Copy);
    assert!(copy.status.success(), "{copy:?}");
    assert!(String::from_utf8_lossy(&copy.stdout).contains("right answers"), "{copy:?}");
    assert_eq!(child(LoadMode::Map).status.signal(), Some(libc::SIGBUS));
}

/// A file size limit of 0 bytes acts like a full disk.
#[test]
fn on_a_full_disk_generations_are_swapped_and_only_the_memory_of_deaths_is_lost() {
    const NAME: &str = "file_operations::on_a_full_disk_generations_are_swapped_and_only_the_memory_of_deaths_is_lost";
    if let Some(dir) = again::role() {
        let world = World::in_folder(dir);
        let mut server = world.serve();
        println!("\nserves {:?}, {:?}", server.ask(), server.reasons());
        // Renaming works where writing does not.
        fs::rename(world.dir().join("next"), world.store.current_path()).unwrap();
        println!("serves {:?}, {:?}", server.look_and_ask(), server.reasons());
        return;
    }
    let world = World::new();
    world.publish(2);
    fs::rename(world.store.current_path(), world.dir().join("next")).unwrap();
    world.publish(1);
    let binary = again::command(NAME, world.dir().to_str().unwrap());
    let mut child = Command::new("sh");
    child.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]).arg(binary.get_program());
    child.args(binary.get_args()).envs(binary.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    for generation in 1..=2 {
        let expected = format!("serves Ok({generation}), [\"state_unusable\"]");
        assert!(said.contains(&expected), "expected `{expected}`: {output:?}");
    }
}
