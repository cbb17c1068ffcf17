//! Checks a server's schema against a model's contract.

use omomi::contract::Side;
use omomi::{Capacity, Error, RequestLayout, Schema, SchemaField, Scorer};

use crate::small_model::{contract, full_rows, model_for};

fn fields() -> Vec<SchemaField> {
    let schema = Schema::of_contract(&contract());
    [schema.fields(Side::Candidate), schema.fields(Side::Context)].concat()
}

fn bind(fields: Vec<SchemaField>) -> Result<Scorer, Error> {
    let schema = Schema::new(fields)?;
    let layout = RequestLayout::new(&schema, Capacity { candidates: 10, tail_len_bytes: 4_096 })?;
    Scorer::new(model_for(&full_rows(2)), &layout)
}

#[test]
fn a_server_may_declare_extra_fields_in_any_order() {
    let mut all = fields();
    all.reverse();
    all.insert(0, SchemaField::text("unused", Side::Candidate));
    all.insert(5, SchemaField::id("unused_too", Side::Context));
    let scorer = bind(all).unwrap();
    let rows = full_rows(5);
    let mut request = scorer.new_request();
    request.fill(&rows).unwrap();
    scorer.predict(&mut request, 5).unwrap();
    let (own_scorer, mut own_request) = scorer.model().scorer_for(&rows, omomi::Instructions::PLAIN).unwrap();
    own_request.fill(&rows).unwrap();
    own_scorer.predict(&mut own_request, 5).unwrap();
    assert!(request.answers(5).eq(own_request.answers(5)));
}

#[test]
fn a_field_that_the_model_needs_and_the_server_lacks_is_named() {
    let without = fields().into_iter().filter(|field| field.name != "tag").collect();
    let error = bind(without).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model needs the candidate field `tag` (many id), which the schema does not declare"
    );
}

#[test]
fn all_fields_that_are_missing_or_differ_are_named_at_once() {
    // A new declaration once took a round for each of them.
    let none = bind(vec![SchemaField::id("creative_id", Side::Context)]).unwrap_err().to_string();
    for field in fields() {
        assert!(none.contains(&format!("`{}`", field.name)), "{} in {none}", field.name);
    }
    assert!(none.contains("; and field `creative_id` differs in its side"), "{none}");
    let as_text = |field: SchemaField| SchemaField::text(&field.name, field.side);
    let different = bind(fields().into_iter().map(as_text).collect()).unwrap_err();
    assert_eq!(different.code(), omomi::Code::FieldMismatch);
    let different = different.to_string();
    assert_eq!(different.matches("differs in its").count(), different.matches("; field").count() + 1);
    for name in ["media_id", "creative_id", "tag", "floor_price"] {
        assert!(different.contains(&format!("field `{name}` differs in its")), "{name} in {different}");
    }
}

#[test]
fn every_mismatch_is_an_error_that_names_the_field() {
    let replaced = |with: SchemaField| {
        let replace = |field: SchemaField| if field.name == with.name { with.clone() } else { field };
        bind(fields().into_iter().map(replace).collect()).unwrap_err().to_string()
    };
    let unit = "JPY per 1,000 impressions";
    let range = [0.0, 1_000.0];
    for (field, expected) in [
        (
            SchemaField::id("creative_id", Side::Context),
            "side: the model's contract says candidate, the schema says context",
        ),
        (SchemaField::text("creative_id", Side::Candidate), "type: the model's contract says id, the schema says text"),
        (SchemaField::id("tag", Side::Candidate), "many: the model's contract says true, the schema says false"),
        (
            SchemaField::number("floor_price", Side::Context, "USD", range),
            "unit: the model's contract says JPY per 1,000 impressions, the schema says USD",
        ),
        (
            SchemaField::number("floor_price", Side::Context, unit, [0.0, 1.0]),
            "range: the model's contract says [0.0, 1000.0], the schema says [0.0, 1.0]",
        ),
    ] {
        let name = field.name.clone();
        assert_eq!(replaced(field), format!("field `{name}` differs in its {expected}"));
    }
}
