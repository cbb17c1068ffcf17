//! Tests that faults of a whole day of logs are noticed, although they deceive every comparison of two files.
//!
//! Each of these faults once passed the gate and was published: it was in the training log and in the evaluation log.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::world::World;

const CONTRACT: &str = r#"
name = "days"
label = "clicked"

[[field]]
name = "country"
side = "context"
type = "text"
meaning = "country of the user"
log = "plain"

[[field]]
name = "user"
side = "context"
type = "id"
meaning = "the user"
log = "hashed"

[[field]]
name = "price"
side = "context"
type = "number"
unit = "JPY"
range = [0.0, 10000.0]
buckets = [10.0, 50.0, 100.0, 500.0]
meaning = "floor price"
log = "plain"

[[field]]
name = "creative"
side = "candidate"
type = "id"
meaning = "the creative"
log = "plain"
"#;

const ROW_COUNT: u64 = 12_000;

/// A row of the log, before it is written.
struct Row {
    clicked: bool,
    country: &'static str,
    user: u64,
    price: f64,
    creative: u64,
    time_us: u64,
}

/// Returns the rows of a day of an unchanging world with known click probabilities.
fn rows_of(day: u64) -> Vec<Row> {
    let mut state = day * 7_919 + 1;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let effect = |value: u64| (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1_u64 << 24) as f64 - 0.5;
    let start_us = 1_767_225_600_000_000 + day * 86_400_000_000;
    let row = |index: u64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the count")]
        let skewed = |random: f64, count: f64| (random * random * count) as u64;
        let (country, user) = (skewed(random(), 4.0), skewed(random(), 500.0));
        let (price, creative) = (random() * random() * 600.0, skewed(random(), 60.0));
        let logit =
            -1.6 + 1.6 * effect(country + 1) + 1.2 * effect(user + 99) + 2.0 * effect(creative + 7_000) - price / 600.0;
        Row {
            clicked: random() < 1.0 / (1.0 + (-logit).exp()),
            country: ["JP", "US", "DE", "FR"][usize::try_from(country).unwrap()],
            user,
            price,
            creative,
            time_us: start_us + index * (86_400_000_000 / ROW_COUNT),
        }
    };
    (0..ROW_COUNT).map(row).collect()
}

fn write(world: &World, name: &str, rows: &[Row]) {
    let mut text = "clicked,country,user,price,creative,time\n".to_owned();
    for row in rows {
        let Row { clicked, country, user, price, creative, time_us } = row;
        writeln!(text, "{},{country},{user},{price:.2},{creative},{time_us}", u8::from(*clicked)).unwrap();
    }
    fs::write(world.path(name), text).unwrap();
}

/// A fault of a whole day.
type Fault = fn(Vec<Row>) -> Vec<Row>;

#[test]
fn faults_of_a_whole_day_are_noticed_before_anything_is_trained_on_it() {
    let world = World::empty();
    fs::write(world.path("contract.toml"), CONTRACT).unwrap();
    for day in 0..8 {
        write(&world, &format!("{day}.csv"), &rows_of(day));
    }
    let time = "--time-column time --time-unit us";
    world.succeed(&format!(
        "train --contract contract.toml --logs 0.csv 1.csv {time} --l1 0.5 --state 1.parquet --quiet"
    ));
    world.succeed(
        "pack --contract contract.toml --state 1.parquet --held-out 2.csv --logic-id days --generation 1 --out 1.omomi --quiet",
    );
    let error = world.fail(1, &format!("profile --store store --logs 2.csv {time}"));
    assert!(error.contains("store serves nothing yet"), "{error}");
    world.succeed("publish 1.omomi --to store --unblessed");
    for day in 2..7 {
        let said = world.succeed(&format!("profile --store store --logs {day}.csv {time}"));
        assert!(said.contains(&format!("{} days before", day - 2)), "{said}");
    }
    let faults: [(&str, &str, Fault); 14] = [
        ("a third of the other rows is lost", "ctr", |rows| {
            rows.into_iter().zip(0..).filter(|(row, index)| row.clicked || index % 3 != 0).map(|(row, _)| row).collect()
        }),
        ("clicks of a country are lost", "calibration", |mut rows| {
            rows.iter_mut().filter(|row| row.country == "JP").for_each(|row| row.clicked = false);
            rows
        }),
        ("machines click", "calibration", |mut rows| {
            rows.iter_mut().step_by(15).for_each(|row| row.clicked = true);
            rows
        }),
        ("labels are flipped", "calibration", |mut rows| {
            rows.iter_mut().for_each(|row| row.clicked = !row.clicked);
            rows
        }),
        ("half a day", "rows", |mut rows| {
            rows.truncate(4_000);
            rows
        }),
        ("a column is constant", "distance of creative", |mut rows| {
            rows.iter_mut().for_each(|row| row.creative = 1);
            rows
        }),
        ("prices are in another unit", "distance of price", |mut rows| {
            rows.iter_mut().for_each(|row| row.price *= 10.0);
            rows
        }),
        ("ids are shifted by one", "distance of creative", |mut rows| {
            rows.iter_mut().for_each(|row| row.creative += 1);
            rows
        }),
        ("small letters", "distance of country", |mut rows| {
            rows.iter_mut().filter(|row| row.country == "US").for_each(|row| row.country = "us");
            rows
        }),
        ("columns are swapped", "distance of user", |mut rows| {
            rows.iter_mut().for_each(|row| std::mem::swap(&mut row.user, &mut row.creative));
            rows
        }),
        ("users are hashed in another way", "unseen of user", |mut rows| {
            rows.iter_mut().for_each(|row| row.user = row.user.wrapping_mul(0x9e37_79b9) + 1_000_000);
            rows
        }),
        ("a column is null", "missing of country", |mut rows| {
            rows.iter_mut().for_each(|row| row.country = "");
            rows
        }),
        ("seconds instead of milliseconds", "out of range of price", |mut rows| {
            rows.iter_mut().step_by(5).for_each(|row| row.price *= 1e6);
            rows
        }),
        ("a value for a missing one", "distance of user", |mut rows| {
            rows.iter_mut().step_by(4).for_each(|row| row.user = 0);
            rows
        }),
    ];
    let mut missed = Vec::new();
    for (name, figure, fault) in faults {
        write(&world, "fault.csv", &fault(rows_of(7)));
        let output = world.omomi(&format!("profile --store store --logs fault.csv {time} --json"));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let jumps: Vec<&str> =
            said["jumps"].as_array().unwrap().iter().map(|jump| jump["figure"].as_str().unwrap()).collect();
        if output.status.code() != Some(3) || !jumps.contains(&figure) {
            missed.push((name, figure, jumps.join(", "), said["figures"].to_string()));
        }
        assert!(said["jumps"].as_array().unwrap().iter().all(|jump| jump["owner"] == "delivery"));
    }
    assert!(missed.is_empty(), "{missed:#?}");

    // The gate reads the same figures, whatever the candidate is.
    write(
        &world,
        "fault.csv",
        &rows_of(7).into_iter().map(|row| Row { user: row.user + 9_000, ..row }).collect::<Vec<_>>(),
    );
    world.succeed(&format!(
        "train --contract contract.toml --logs 1.csv 6.csv {time} --l1 0.5 --state 2.parquet --quiet"
    ));
    world.succeed(
        "pack --contract contract.toml --state 2.parquet --held-out 2.csv --logic-id days --generation 2 --out 2.omomi --quiet",
    );
    let output = world.omomi(&format!("gate 2.omomi --store store --logs fault.csv {time}"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("held back: logs: unseen of user") && text.contains("who must act: delivery"), "{text}");
    // A healthy day is no fault, also after all the faulty ones, and people can accept a change.
    world.succeed(&format!("profile --store store --logs 7.csv {time}"));
    let said = world.succeed(&format!("profile --store store --logs fault.csv {time} --accept new_user_ids"));
    assert!(said.contains("Accepted: new_user_ids"), "{said}");
    // The day remembers which figures had jumped, also if it is compared again. The others keep their history.
    let remembered = || {
        let files = fs::read_dir(world.path("store/history")).unwrap().map(|entry| entry.unwrap().path());
        let days = files.map(|path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap());
        let accepted: Vec<Value> = days.filter(|day| day["accepted"] == "new_user_ids").collect();
        assert_eq!(accepted.len(), 1);
        accepted[0]["accepted_figures"].as_array().unwrap().clone()
    };
    let figures = remembered();
    assert!(figures.contains(&"unseen of user".into()) && !figures.contains(&"rows".into()), "{figures:?}");
    world.succeed(&format!("profile --store store --logs fault.csv {time}"));
    assert_eq!(remembered(), figures);
}
