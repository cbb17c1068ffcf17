//! `omomi log replay`: equal bit for bit, and planted faults are attributed.

use std::fs;

use omomi::request::FieldValue;
use omomi::serving_log::{Served, Source};
use omomi_train::pack::write_fixture;

use crate::world::{CONTRACT, WEIGHTS, World, at, contract_with, counts, id_of};

/// Serves 100 requests, with details of all of them.
fn served(policies: &[(&str, &str)]) -> World {
    let world = World::new(policies);
    let mut server = world.serve(|it| it.details_per_million = 1_000_000);
    server.serve_all(0..100);
    server.close();
    world
}

/// Writes a weight file that is not the one that answered.
fn plant(world: &World, contract: &str, weights: &str) {
    let contract = omomi_train::toml::parse_contract(contract).unwrap();
    write_fixture(&contract, weights, 7, "ctr-a", world.path("other.omomi")).unwrap();
}

/// Replays with the planted file, and returns the line of the mismatch of prediction `number`.
fn mismatch(world: &World, number: i64) -> String {
    let said = world.failed("log replay served --files other.omomi");
    assert!(
        said.contains("ml: other.omomi: expected the file of generation 7 with a digest that begins with"),
        "{said}"
    );
    let id = id_of(number).to_string();
    said.lines().find(|line| line.contains(&id)).unwrap_or_else(|| panic!("{id}: {said}")).to_owned()
}

#[test]
fn every_prediction_is_computed_again_bit_for_bit_from_files_and_from_a_store() {
    let world = served(&[]);
    world.done("publish 7.omomi --to store --unblessed");
    for weights in ["--files 7.omomi", "--store store"] {
        let said = world.done(&format!("log replay served {weights}"));
        assert_eq!(counts(&said)["equal, bit for bit"], 100);
    }
}

#[test]
fn rows_of_feature_keys_are_as_good_as_plain_ones() {
    let hashed =
        [("site", "hashed"), ("segment", "hashed"), ("floor", "hashed"), ("title", "hashed"), ("tag", "hashed")];
    let world = served(&hashed);
    let said = world.done("log replay served --files 7.omomi");
    assert_eq!(counts(&said)["equal, bit for bit"], 100);
}

#[test]
fn what_a_fallback_model_answered_is_computed_again() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.predict(1);
    for source in [Source::Off, Source::NoModel] {
        let served = Served::of("off").with(|it| (it.source, it.at_unix_ms) = (source, Some(at(1))));
        server.ring.record(&mut server.request, 2, &served).unwrap();
    }
    server.close();
    let said = world.done("log replay served --files 7.omomi");
    assert_eq!(counts(&said)["equal, bit for bit"], 2);
}

#[test]
fn a_changed_weight_is_found_and_named() {
    let world = served(&[]);
    plant(&world, CONTRACT, &WEIGHTS.replace("value = 0.5\n", "value = 0.5625\n"));
    // Site 3.
    let line = mismatch(&world, 3);
    assert!(line.starts_with("ml: weight differs"), "{line}");
    assert!(line.contains("the weight of `site`") && line.contains("served 0.5, computed 0.5625"), "{line}");
    let said = world.failed("log replay served --files other.omomi");
    assert!(said.contains("20 predictions differ"), "those of the other sites are equal: {said}");
}

#[test]
fn a_changed_bias_and_a_changed_unit_are_found_and_named() {
    let world = served(&[]);
    plant(&world, CONTRACT, &WEIGHTS.replace("bias = -2.0", "bias = -2.5"));
    let line = mismatch(&world, 1);
    assert!(line.starts_with("ml: bias differs") && line.contains("served -2, computed -2.5"), "{line}");
    fs::remove_file(world.path("other.omomi")).unwrap();

    // The same prices in another unit: other buckets.
    let other = CONTRACT
        .replace("JPY per 1,000 impressions", "JPY per impression")
        .replace("[10.0, 50.0, 100.0]", "[0.01, 0.05, 0.1]");
    plant(&world, &other, &WEIGHTS.replace("floor = 60.0", "floor = 0.06"));
    // A floor price of 7 x 7.5.
    let line = mismatch(&world, 7);
    assert!(line.starts_with("ml: feature differs") && line.contains("served `floor`"), "{line}");
    let said = world.failed("log replay served --files other.omomi");
    assert!(said.contains("its contract is another one, too: compare units"), "{said}");
}

#[test]
fn a_row_that_was_changed_after_the_answer_is_found_with_and_without_details() {
    for details in [1_000_000, 0] {
        let world = World::new(&[]);
        let mut server = world.serve(|it| it.details_per_million = details);
        server.serve(1);
        server.predict(3);
        // The server corrects a value too late.
        let changed = omomi::request::Row::from([("site".to_owned(), FieldValue::Id(4))]);
        server.request.context().set_all(&changed).unwrap();
        let served = Served::of("request-3").with(|it| it.at_unix_ms = Some(at(3)));
        server.ring.record(&mut server.request, crate::world::chosen(3), &served).unwrap();
        server.close();
        let said = world.failed("log replay served --files 7.omomi");
        let line = said.lines().find(|line| line.contains(&id_of(3).to_string())).unwrap();
        assert!(line.starts_with("delivery: feature differs"), "{line}");
        assert!(line.contains("the logged row is not the one that was scored"), "{line}");
        assert!(said.contains("1 prediction differs"), "{said}");
    }
}

#[test]
fn what_cannot_be_computed_again_is_counted_by_reason() {
    let world = served(&[("title", "never")]);
    let output = world.omomi("log replay served --files 7.omomi");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("not computed: of a contract with a field that is never logged"), "{said}");

    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve(1);
    server.request.clear();
    let served = Served::of("off").with(|it| (it.source, it.own_probability) = (Source::Off, Some(0.5)));
    server.ring.record(&mut server.request, 0, &served).unwrap();
    server.close();
    let said = world.done("log replay served --files 7.omomi");
    assert!(said.contains("not computed: of the server, not of a model"), "{said}");
    // Another generation.
    fs::create_dir(world.path("store")).unwrap();
    let said = world.failed("log replay served --store store");
    assert!(said.contains("ml: ") && said.contains("the file of generation 7 cannot be read"), "{said}");
    let other = omomi_train::toml::parse_contract(&contract_with(&[])).unwrap();
    write_fixture(&other, WEIGHTS, 8, "ctr-a", world.path("8.omomi")).unwrap();
    let said = world.failed("log replay served --files 8.omomi");
    assert!(said.contains("expected a file of generation 7, found none"), "{said}");
}
