//! Tests that later steps read CSV as training read it, although nothing says so again.

use std::fmt::Write as _;
use std::fs;

use omomi_train::evaluate::Evaluation;
use omomi_train::learn::state::StateReader;
use omomi_train::log::LogDialect;

use crate::world::World;

const CONTRACT: &str = r#"
name = "shop"
label = "clicked"

[[field]]
name = "site"
type = "id"
side = "context"
meaning = "the site"

[[field]]
name = "tags"
type = "text"
many = true
side = "candidate"
meaning = "tags of the item"
"#;
const FLAGS: &str = "--many-separator ; --csv-delimiter tab --csv-quote '";

/// Rows with tabs, single quotes and semicolons. Rows with the tag `t1` are clicked more often.
fn write(world: &World, name: &str, seed: u64) {
    let mut csv = "clicked\tsite\ttags\n".to_owned();
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..4_000 {
        let (one, other) = (random(6), random(6));
        let clicked = random(10) < if one == 1 || other == 1 { 4 } else { 1 };
        writeln!(csv, "{}\t{}\t't{one};t{other}'", u8::from(clicked), random(5)).unwrap();
    }
    fs::write(world.path(name), csv).unwrap();
}

fn world() -> World {
    let world = World::empty();
    fs::write(world.path("contract.toml"), CONTRACT).unwrap();
    for (name, seed) in [("learned.csv", 1), ("more.csv", 2), ("held_out.csv", 3), ("last.csv", 4)] {
        write(&world, name, seed);
    }
    world.succeed(&format!("train --contract contract.toml --logs learned.csv --state state.parquet --quiet {FLAGS}"));
    world
}

fn dialect_of(world: &World, state: &str) -> LogDialect {
    StateReader::open(world.path(state)).unwrap().metadata().log_dialect.unwrap()
}

fn pack(world: &World, state: &str, flags: &str) {
    world.succeed(&format!(
        "pack --contract contract.toml --state {state}.parquet --held-out held_out.csv --logic-id shop --generation 1 \
         --out {state}.omomi --quiet {flags}"
    ));
}

fn evaluation(world: &World, arguments: &str) -> Evaluation {
    world.succeed(&format!("evaluate {arguments} --json eval.json --force --quiet"));
    Evaluation::read(world.path("eval.json")).unwrap()
}

#[test]
fn every_later_step_reads_csv_as_training_did() {
    let world = world();
    let trained = dialect_of(&world, "state.parquet");
    let expected =
        LogDialect { many_separator: ';', csv_delimiter: Some('\t'), csv_quote: Some('\''), csv_escape: None };
    assert_eq!(trained, expected);
    world.succeed(&format!(
        "train --contract contract.toml --logs last.csv --state other.parquet --alpha 0.2 --passes 1 --quiet {FLAGS}"
    ));
    for (step, state) in [
        ("train --contract contract.toml --logs more.csv --start state.parquet --state on.parquet", "on.parquet"),
        ("recalibrate state.parquet --logs more.csv --out fitted.parquet", "fitted.parquet"),
        ("prune state.parquet --held-out more.csv --min-magnitude 0.001 --out pruned.parquet", "pruned.parquet"),
        ("average state.parquet other.parquet --out average.parquet", "average.parquet"),
        (
            "train --contract contract.toml --logs more.csv last.csv --shards 2 --split random --start state.parquet \
             --rounds 2 --recalibrate-on held_out.csv --state sharded.parquet",
            "sharded.parquet",
        ),
    ] {
        world.succeed(&format!("{step} --quiet"));
        assert_eq!(dialect_of(&world, state), trained, "omomi {step}");
    }
    // The tags were separated: each has a weight of its own.
    pack(&world, "on", "");
    let found = evaluation(&world, "on.omomi --logs last.csv");
    assert_eq!(
        found.models[0].overall,
        evaluation(&world, &format!("on.omomi --logs last.csv {FLAGS}")).models[0].overall
    );
    assert!(found.models[0].overall.unseen_rate < 0.25, "{}", found.models[0].overall.unseen_rate);
    let explained = world.succeed("explain on.omomi --logs last.csv --row 1 --json");
    assert!(explained.contains("\"t") && !explained.contains(';'), "{explained}");
    world.succeed("bench on.omomi --logs last.csv --seconds 0.1 --warm-up-seconds 0 --candidates 4 --threads 1");
}

#[test]
fn a_flag_that_differs_from_the_training_is_reported_and_holds() {
    let world = world();
    pack(&world, "state", "");
    let output = world.omomi("evaluate state.omomi --logs last.csv --many-separator |");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("read with --many-separator `;`, these with `|`"), "{error}");
    let wrong = evaluation(&world, "state.omomi --logs last.csv --many-separator |");
    assert!(wrong.models[0].overall.unseen_rate > 0.4, "{}", wrong.models[0].overall.unseen_rate);
    // Without CSV, nothing is recorded, and nothing is reported.
    let line = "{\"clicked\":0,\"site\":1,\"tags\":[\"t1\"]}\n";
    fs::write(world.path("log.jsonl"), format!("{line}{}", line.replace(":0", ":1"))).unwrap();
    world.succeed("train --contract contract.toml --logs log.jsonl --state json.parquet --quiet");
    assert_eq!(StateReader::open(world.path("json.parquet")).unwrap().metadata().log_dialect, None);
    let output = world.omomi("evaluate state.omomi --logs log.jsonl --many-separator |");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!error.contains("--many-separator"), "{error}");
}

#[test]
fn files_of_different_dialects_want_the_flag() {
    let world = world();
    pack(&world, "state", "");
    let log = fs::read_to_string(world.path("learned.csv")).unwrap();
    fs::write(world.path("bars.csv"), log.replace(';', "|")).unwrap();
    world.succeed(
        "train --contract contract.toml --logs bars.csv --csv-delimiter tab --csv-quote ' --state bars.parquet --quiet",
    );
    pack(&world, "bars", "--many-separator ;");
    let error = world.fail(1, "evaluate state.omomi --baseline bars.omomi --logs last.csv --quiet");
    assert!(error.contains("--many-separator `;` and `|`"), "{error}");
    let found = evaluation(&world, "state.omomi --baseline bars.omomi --logs last.csv --many-separator ;");
    assert!(found.baseline.unwrap().overall.unseen_rate < 0.1);
}

#[test]
fn a_contract_that_reads_logs_otherwise_than_the_training_is_reported() {
    let world = world();
    let other = format!("{CONTRACT}\n[reading]\nmissing = [\"t1\"]\n");
    fs::write(world.path("other.toml"), other).unwrap();
    for step in [
        "pack --contract other.toml --state state.parquet --held-out held_out.csv --logic-id shop --generation 1 \
         --out state.omomi",
        "train --contract other.toml --logs more.csv --start state.parquet --state on.parquet",
    ] {
        let output = world.omomi(&format!("{step} --quiet"));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && error.contains("missing is [\"t1\"], in the training none"), "{error}");
    }
}
