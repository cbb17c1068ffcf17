//! `omomi log calibration`: probabilities next to clicks, by logic id and hour.

use std::fs;

use omomi::serving_log::{EventKind, Served, Source};

use crate::world::{World, at};

const JOIN: &str = "log join served --contract contract.toml --window 3h";

fn hours(world: &World, words: &str) -> Vec<serde_json::Value> {
    world.done(&format!("log calibration {words} --contract contract.toml --json hours.json --force"));
    let json: serde_json::Value = serde_json::from_slice(&fs::read(world.path("hours.json")).unwrap()).unwrap();
    json["hours"].as_array().unwrap().clone()
}

#[test]
fn probabilities_and_clicks_are_summed_by_logic_id_and_hour() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    let mut sum = 0.0;
    for number in 0..4_000 {
        server.serve(number);
        if number < 3_600 {
            sum += f64::from(server.request.answer(crate::world::chosen(number)).probability);
        }
        if number % 10 == 0 {
            server.event(number, EventKind::Click, 500);
        }
        if number % 200 == 199 {
            assert!(server.log.flush(crate::world::PATIENCE));
        }
    }
    server.request.clear();
    let own = Served::of("own").with(|it| {
        (it.source, it.own_probability, it.at_unix_ms) = (Source::Late, Some(0.5), Some(at(10)));
    });
    server.predict(0);
    server.request.clear();
    server.ring.record(&mut server.request, 0, &own).unwrap();
    server.close();
    world.done(&format!("{JOIN} --until 2026-10-02T00:00:00Z --out joined.parquet"));
    let words = "log calibration joined.parquet --contract contract.toml --metrics served.prom --json hours.json";
    let said = world.done(words);
    assert!(said.contains("2026-10-01T00:00:00Z") && said.contains("ctr-a"), "{said}");
    let hours = hours(&world, "joined.parquet");
    let own: Vec<_> = hours.iter().filter(|hour| hour["logic_id"] == "ctr-a").collect();
    assert_eq!(own.len(), 2, "{hours:?}");
    assert_eq!((&own[0]["predictions"], &own[0]["clicks"]), (&3_600.into(), &360.into()));
    assert!((own[0]["probability_sum"].as_f64().unwrap() - sum).abs() < 1e-9);
    assert_eq!((&own[1]["predictions"], &own[1]["clicks"]), (&400.into(), &40.into()));
    let metrics = fs::read_to_string(world.path("served.prom")).unwrap();
    let series = "omomi_served_clicks{logic_id=\"ctr-a\",hour=\"2026-10-01T00:00:00Z\"} 360\n";
    assert!(metrics.contains(series), "{metrics}");

    // In the report.
    world.done("evaluate 7.omomi --logs joined.parquet --json evaluation.json --quiet");
    world.done("report --evaluation evaluation.json --served hours.json --out report.html");
    let page = fs::read_to_string(world.path("report.html")).unwrap();
    assert!(page.contains("id=\"served-calibration\"") && page.contains("Calibration of what was served"));
    let other = fs::read_to_string(world.path("hours.json")).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    fs::write(world.path("other.json"), other).unwrap();
    let said = world.failed("report --evaluation evaluation.json --served other.json --out other.html");
    assert!(said.contains("has the format version 2, expected 1"), "{said}");
}

#[test]
fn a_row_that_came_again_replaces_the_earlier_one_and_with_impressions_only_shown_ones_count() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve_all(0..10);
    server.close();
    world.done(&format!("{JOIN} --until 2026-10-01T05:00:00Z --out first.parquet"));
    assert_eq!(hours(&world, "first.parquet")[0]["clicks"], 0);
    // A click comes late, within its window.
    let mut server = world.serve(|_| {});
    server.event(3, EventKind::Click, 2_000);
    server.close();
    world.done(&format!("{JOIN} --until 2026-10-01T05:00:00Z --previous first.parquet --out second.parquet"));
    let both = hours(&world, "first.parquet second.parquet");
    assert_eq!((&both[0]["predictions"], &both[0]["clicks"]), (&10.into(), &1.into()), "{both:?}");

    let mut server = world.serve(|_| {});
    for number in [3, 4] {
        server.event(number, EventKind::Impression, 1_000);
    }
    server.close();
    world.done(&format!("{JOIN} --until 2026-10-01T05:00:00Z --out shown.parquet"));
    let shown = hours(&world, "shown.parquet");
    assert_eq!((&shown[0]["predictions"], &shown[0]["clicks"]), (&2.into(), &1.into()), "{shown:?}");
}
