//! Tests the explanation of a probability: the weights of one request, from a log row or from JSON.

use std::fs;

use omomi::request::row_to_json;
use omomi::{LoadMode, Model};
use serde_json::{Value, json};

use crate::world::World;

/// Returns what each feature of an explanation adds.
fn weights(explanation: &Value) -> Vec<f64> {
    explanation["features"].as_array().unwrap().iter().map(|it| it["weight"].as_f64().unwrap()).collect()
}

#[test]
fn the_weights_of_a_log_row_add_up_and_the_largest_comes_first() {
    let world = World::new();
    const ASKED: &str = "explain 000002.omomi --logs logs/part-002.parquet --row 11 --state state.parquet";
    let said = world.succeed_json(&format!("{ASKED} --json"));
    assert!(said["clicked"].is_boolean());
    let explanation = &said["explanation"];
    let weights = weights(explanation);
    let sum = explanation["bias"].as_f64().unwrap() + weights.iter().sum::<f64>();
    assert!((sum - explanation["logit"].as_f64().unwrap()).abs() < 1e-9, "{explanation}");
    let sigmoid = 1.0 / (1.0 + (-sum).exp());
    assert!((sigmoid - explanation["probability"].as_f64().unwrap()).abs() < 1e-6, "{explanation}");
    assert!(weights.windows(2).all(|pair| pair[0].abs() >= pair[1].abs()), "{weights:?}");

    let features = explanation["features"].as_array().unwrap();
    let of = |field: &'static str| features.iter().filter(move |feature| feature["field"] == field);
    assert_eq!(of("device").count(), 1);
    let cross = of("device*hour").next().unwrap();
    let device = of("device").next().unwrap();
    assert_eq!(cross["members"][0], json!({ "field": "device", "category": device["category"] }));
    let hour = &cross["members"][1]["category"];
    assert_eq!(cross["category"], format!("{}*{}", device["category"].as_str().unwrap(), hour.as_str().unwrap()));
    for feature in features {
        // Every feature with a weight was seen in training.
        assert!(feature["source"] != "found" || feature["impressions"].as_u64() > Some(0), "{feature}");
        assert_eq!(feature["category"] == "", feature["source"] == "missing", "{feature}");
    }
    let text = world.succeed(ASKED);
    for words in ["(bias)", "device = ", "unseen", "sum of all", "impressions", "the row was "] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn a_golden_request_is_explained_with_the_probability_in_the_file() {
    let world = World::new();
    let model = Model::load(world.path("000002.omomi"), LoadMode::Map).unwrap();
    let golden = &model.golden_requests().unwrap()[0];
    let candidates: Vec<Value> = golden.rows.candidates.iter().map(row_to_json).collect();
    let request = json!({ "context": row_to_json(&golden.rows.context), "candidates": candidates });
    fs::write(world.path("request.json"), request.to_string()).unwrap();
    for (candidate, &probability) in golden.probabilities.iter().enumerate() {
        let asked = format!("explain 000002.omomi --request request.json --candidate {candidate} --json");
        let explanation = &world.succeed_json(&asked)["explanation"];
        assert_eq!(explanation["probability"], json!(probability));
        assert_eq!(explanation["logit"].as_f64().unwrap().to_bits(), golden.logits[candidate].to_bits());
    }
    let error = world.fail(1, "explain 000002.omomi --request request.json --candidate 99");
    assert!(error.contains("expected a candidate from 0 to 3, found 99"), "{error}");
}

#[test]
fn unseen_missing_and_invalid_values_are_reported() {
    let world = World::new();
    let request = json!({
        "context": { "device": "abacus*\\", "floor_price": -1.0, "hour": 3, "interest": ["golf", "tea"] },
        "candidates": [{ "creative_id": 1 }],
    });
    fs::write(world.path("request.json"), request.to_string()).unwrap();
    let said = world.succeed_json("explain 000002.omomi --request request.json --json");
    let explanation = &said["explanation"];
    assert_eq!(explanation["invalid_numbers"], json!(["floor_price"]));
    let missing = explanation["missing"].as_array().unwrap();
    assert!(missing.contains(&json!("floor_price")) && missing.contains(&json!("os")), "{missing:?}");
    assert!(!missing.contains(&json!("device")));
    let features = explanation["features"].as_array().unwrap();
    let device = features.iter().find(|feature| feature["field"] == "device").unwrap();
    assert_eq!((&device["category"], &device["source"]), (&json!("abacus*\\"), &json!("unseen")));
    assert_eq!(features.iter().filter(|feature| feature["field"] == "interest").count(), 2);

    for (text, words) in [
        ("{", "EOF"),
        ("{\"context\":{}}", "`candidates` is missing or not a list"),
        ("{\"context\":{\"dvice\":\"x\"},\"candidates\":[{}]}", "the contract has no field `dvice`"),
        ("{\"context\":{\"device\":7},\"candidates\":[{}]}", "the field `device` needs text, found 7"),
    ] {
        fs::write(world.path("bad.json"), text).unwrap();
        let error = world.fail(1, "explain 000002.omomi --request bad.json");
        assert!(error.contains(words), "{error}");
    }
    let error = world.fail(1, "explain 000002.omomi --logs logs/part-002.parquet --row 20001");
    assert!(error.contains("expected at least 20001 rows in the log, found 20000"), "{error}");
    world.fail(2, "explain 000002.omomi --logs logs/part-002.parquet");
    world.fail(2, "explain 000002.omomi");
}
