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
