//! Tests that one log serves training and judging, by a rule that says which of its rows are held out.

use omomi_train::evaluate::Evaluation;

use crate::world::World;

const LOG: &str = "logs/part-000.parquet";

fn evaluated(world: &World, rest: &str) -> Evaluation {
    world.succeed(&format!("evaluate state.omomi --logs {LOG} --json eval.json --force --quiet {rest}"));
    Evaluation::read(world.path("eval.json")).unwrap()
}

fn train(world: &World, rule: [&str; 2]) -> String {
    let (arguments, mut rule_arguments) = (
        format!(
            "train --contract logs/contract.toml --logs {LOG} --time-column timestamp --state state.parquet --quiet"
        ),
        vec!["--held-out-rows"],
    );
    let rule = rule.join(" ");
    rule_arguments.push(&rule);
    world.succeed_with(&arguments, &rule_arguments)
}

#[test]
fn later_steps_read_only_the_rows_that_training_left_out() {
    let world = World::empty();
    world.succeed("generate-log --rows 20000 --seed 5 --click-rate 0.2 --out logs --files 1");
    let text = train(&world, ["every", "5"]);
    let rows = text.lines().find(|line| line.starts_with(" rows")).unwrap();
    assert!(rows.contains("16,000") && rows.contains("4,000"), "{text}");
    let rule = ["--held-out-rows", "every 5"];
    let pack = format!(
        "pack --contract logs/contract.toml --state state.parquet --held-out {LOG} --logic-id feed-v1 --generation 1 \
         --out state.omomi --quiet"
    );
    world.succeed_with(&pack, &rule);
    world.succeed_with(&format!("evaluate state.omomi --logs {LOG} --json eval.json --force --quiet"), &rule);
    let evaluation = Evaluation::read(world.path("eval.json")).unwrap();
    assert_eq!((evaluation.rows.impressions, evaluation.rows.hold_out.as_deref()), (4_000, Some("only every 5")));
    assert!(evaluation.models[0].seen.iter().all(|seen| !seen.is_learned()), "{:?}", evaluation.models[0].seen);
    // The figures are those of the rows that training predicted.
    let log_loss = text.lines().find(|line| line.starts_with(" log loss")).unwrap();
    let held_out: f64 = log_loss.split_whitespace().last().unwrap().parse().unwrap();
    assert!((held_out - evaluation.models[0].overall.log_loss).abs() < 1e-5, "{text}");
    // All rows, and those of another rule, were learned in part.
    assert!(evaluated(&world, "").models[0].seen[0].is_learned());
    world.succeed_with(
        &format!("evaluate state.omomi --logs {LOG} --json eval.json --force --quiet"),
        &["--held-out-rows", "every 4"],
    );
    assert!(Evaluation::read(world.path("eval.json")).unwrap().models[0].seen[0].is_learned());

    let recalibrate = format!("recalibrate state.parquet --logs {LOG} --out recalibrated.parquet --quiet");
    assert!(world.fail(1, &recalibrate).contains("was trained on"));
    world.succeed_with(&recalibrate, &rule);
    world.succeed_with(
        &format!("prune state.parquet --held-out {LOG} --min-magnitude 0.001 --out pruned.parquet --quiet"),
        &rule,
    );
    // What was recalibrated on the held-out rows has learned them.
    world.succeed_with(
        &pack.replace("state.parquet", "recalibrated.parquet").replace("state.omomi", "recalibrated.omomi"),
        &rule,
    );
    let text = world.succeed_with(&format!("evaluate recalibrated.omomi --logs {LOG} --quiet"), &rule);
    assert!(text.contains("by recalibrate") && text.contains("look too good"), "{text}");
}

#[test]
fn the_last_rows_by_time_are_later_than_all_that_was_learned() {
    let world = World::empty();
    world.succeed("generate-log --rows 20000 --seed 5 --click-rate 0.2 --out logs --files 1");
    train(&world, ["last", "10%"]);
    let rule = ["--held-out-rows", "last 10%"];
    world.succeed_with(
        &format!(
            "pack --contract logs/contract.toml --state state.parquet --held-out {LOG} --time-column timestamp \
             --logic-id feed-v1 --generation 1 --out state.omomi --quiet"
        ),
        &rule,
    );
    world.succeed_with(
        &format!("evaluate state.omomi --logs {LOG} --time-column timestamp --json eval.json --quiet"),
        &rule,
    );
    let evaluation = Evaluation::read(world.path("eval.json")).unwrap();
    let model = &evaluation.models[0];
    assert!(evaluation.rows.impressions.abs_diff(2_000) < 20, "{}", evaluation.rows.impressions);
    assert!(model.file.training_window_us.unwrap()[1] < evaluation.rows.window_us.unwrap()[0]);
    assert!(model.seen.iter().all(|seen| !seen.is_learned()));
    assert!(evaluation.rows.hold_out.as_ref().unwrap().starts_with("only from 20"), "{:?}", evaluation.rows.hold_out);
}

/// A rule that held out nothing gave metrics of no rows, and one that held out everything an error without its name.
#[test]
fn a_rule_that_holds_out_nothing_or_everything_is_refused_by_each_step() {
    let world = World::empty();
    world.succeed("generate-log --rows 6000 --seed 5 --click-rate 0.2 --out logs --files 2");
    let train = "train --contract logs/contract.toml --time-column timestamp --no-search --quiet";
    world.succeed(&format!("{train} --logs logs/part-001.parquet --state state.parquet"));
    world.succeed(&format!(
        "pack --contract logs/contract.toml --state state.parquet --held-out {LOG} --logic-id feed-v1 --generation 1 \
         --out state.omomi --quiet"
    ));
    let log = format!("--logs {LOG}");
    let held_out = format!("--held-out {LOG}");
    let time = "--time-column timestamp";
    let steps = [
        format!("{train} {log} --state out.parquet"),
        format!("{train} {log} --state out.parquet --cache rows.cache"),
        format!("{train} {log} --state out.parquet --shards 2 --split random --always-shard"),
        format!("tune --contract logs/contract.toml {log} {time} --quiet --budget 1"),
        format!("recalibrate state.parquet {log} {time} --out out.parquet --quiet"),
        format!("prune state.parquet {held_out} {time} --min-magnitude 0.1 --out out.parquet --quiet"),
        format!(
            "pack --contract logs/contract.toml --state state.parquet {held_out} {time} --logic-id feed-v1 --generation \
             2 --out out.omomi --quiet"
        ),
        format!("evaluate state.omomi {log} {time} --quiet"),
    ];
    for (step, words) in steps.iter().enumerate() {
        let error = world.fail_with(1, words, &["--held-out-rows", "from 2190-01-01T00:00:00Z"]);
        assert!(error.contains("`from 2190-01-01T00:00:00Z` holds out none of the 3000 rows"), "{words}\n{error}");
        let is_training = step < 4;
        if is_training {
            let error = world.fail_with(1, words, &["--held-out-rows", "from 2000-01-01T00:00:00Z"]);
            assert!(error.contains("`from 2000-01-01T00:00:00Z` holds out all 3000 rows"), "{words}\n{error}");
        }
    }
    // Later steps may read a part of the logs, of which every row is held out.
    world.succeed_with(&steps[7], &["--held-out-rows", "from 2000-01-01T00:00:00Z"]);
    assert!(!world.path("out.parquet").exists() && !world.path("out.omomi").exists());
}

#[test]
fn a_rule_by_a_column_of_few_values_is_refused_or_its_share_is_reported() {
    let world = World::empty();
    world.succeed("generate-log --rows 3000 --seed 5 --click-rate 0.2 --out logs --files 1");
    let train = format!(
        "train --contract logs/contract.toml --logs {LOG} --no-search --quiet --force --state state.parquet --held-out-rows"
    );
    // Devices are desktop, phone and tablet.
    let outcomes: Vec<(bool, String)> = ["1% of device", "10% of device", "30% of device", "50% of device"]
        .into_iter()
        .map(|rule| {
            let output = world.omomi_with(&train, &[rule]);
            (output.status.success(), String::from_utf8(output.stderr).unwrap())
        })
        .collect();
    for (is_trained, said) in &outcomes {
        if *is_trained {
            assert!(said.contains("of device` holds out") && said.contains(" % of the rows"), "{said}");
        } else {
            assert!(said.contains("holds out none") || said.contains("holds out all"), "{said}");
        }
    }
    assert!(outcomes.iter().any(|(is_trained, _)| !is_trained) && outcomes.iter().any(|(is_trained, _)| *is_trained));
    let output = world.omomi_with(&train, &["20% of user_id"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_state_is_recalibrated_on_the_rows_that_the_same_command_leaves_out() {
    let world = World::empty();
    world.succeed("generate-log --rows 30000 --seed 5 --click-rate 0.2 --out logs --files 3");
    let logs = "logs/part-000.parquet logs/part-001.parquet";
    let train = format!(
        "train --contract logs/contract.toml --logs {logs} --no-search --quiet --state state.parquet --force --shards 2 \
         --recalibrate-on {logs}"
    );
    let error = world.fail(1, &train);
    assert!(error.contains("is among the held-out logs and"), "{error}");
    for more in [&["--held-out-rows", "every 5"][..], &["--held-out-rows", "every 5", "--always-shard"]] {
        let output = world.omomi_with(&train, more);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{error}");
        let provenance: serde_json::Value =
            serde_json::from_slice(&std::fs::read(world.path("state.provenance.json")).unwrap()).unwrap();
        assert_eq!(provenance["recalibrations"][0]["before"]["impressions"], 4_000, "{provenance}");
        let rules = |step: &str| -> Vec<&str> {
            let logs = provenance["lineage"].as_array().unwrap().iter().filter(|log| log["step"] == step);
            logs.map(|log| log["rule"].as_str().unwrap_or("all")).collect()
        };
        assert_eq!(rules("recalibrate"), ["only every 5"; 2]);
        assert!(rules("train").iter().all(|rule| rule.starts_with("without every 5")), "{:?}", rules("train"));
    }
    // All rows of a log of its own are used, and not only those that the rule leaves.
    let train = train.replace(&format!("--recalibrate-on {logs}"), "--recalibrate-on logs/part-002.parquet");
    world.succeed_with(&train, &["--held-out-rows", "every 5"]);
    let text = std::fs::read(world.path("state.provenance.json")).unwrap();
    let provenance: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(provenance["recalibrations"][0]["before"]["impressions"], 10_000);
}
