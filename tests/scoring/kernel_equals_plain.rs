//! The kernel, with every set of instructions, and its plain twin give equal bits and equal counts.

use std::sync::Arc;

use omomi::Model;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::score::{Request, Scorer, WeightSource};
use omomi::weight_file::table::Encoding;
use omomi::{Capacity, Instructions, RequestLayout, Schema};
use proptest::prelude::*;

use crate::small_model::{bytes_with_defaults, contract, full_rows, model_in, model_with_defaults};

/// Returns the outcome of a request: the bits of each answer, and the counts or the error.
fn outcome(request: &Request, count: usize, result: Result<(), omomi::Error>) -> (Vec<(u64, u32, u32)>, String) {
    match result {
        Ok(()) => {
            let answers = request.answers(count);
            let bits =
                answers.map(|answer| (answer.logit.to_bits(), answer.probability.to_bits(), answer.status.number()));
            (bits.collect(), format!("{:?}", request.counts()))
        }
        Err(error) => (Vec::new(), error.to_string()),
    }
}

fn assert_all_paths_agree(scorers: &[Scorer], request: &mut Request, count: usize) {
    for scorers in scorers.chunk_by(|one, other| Arc::ptr_eq(one.model(), other.model())) {
        let plain = scorers[0].predict_plain(request, count);
        let expected = outcome(request, count, plain);
        for scorer in scorers {
            let result = scorer.predict(request, count);
            assert_eq!(outcome(request, count, result), expected);
        }
    }
}

/// Creates scorers of two models in each encoding, without and with default weights, f32 first, with every set of
/// instructions, and a request for any of them.
fn scorers(rows: &RequestRows) -> (Vec<Scorer>, Request) {
    let mut scorers = Vec::new();
    for encoding in Encoding::ALL {
        for model in [model_in(encoding, &contract(), rows), model_with_defaults(encoding, &contract(), rows)] {
            let scorer = |instructions| model.scorer_for(rows, instructions).unwrap().0;
            scorers.extend(Instructions::all().into_iter().map(scorer));
        }
    }
    let request = scorers[0].new_request();
    (scorers, request)
}

fn value(name: &'static str) -> BoxedStrategy<FieldValue> {
    let text = prop_oneof![Just(String::new()), "[ab]", "[a-d]{2,40}", Just("日本".to_owned())];
    match name {
        "interest" => prop::collection::vec(text, 0..4).prop_map(FieldValue::Texts).boxed(),
        "tag" => prop::collection::vec(0_i64..4, 0..4).prop_map(FieldValue::Ids).boxed(),
        "region" | "title" => text.prop_map(FieldValue::Text).boxed(),
        "floor_price" | "age_seconds" => {
            let number = prop_oneof![0.0..200.0, Just(-1.0), Just(f64::NAN), Just(1e300), Just(10.0)];
            number.prop_map(FieldValue::Number).boxed()
        }
        _ => prop_oneof![0_i64..5, Just(i64::MIN), Just(i64::MAX)].prop_map(FieldValue::Id).boxed(),
    }
}

pub fn row(names: &[&'static str]) -> impl Strategy<Value = Row> + use<> {
    let values: Vec<_> = names.iter().map(|&name| prop::option::weighted(0.8, value(name))).collect();
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    values.prop_map(move |values| {
        names.iter().zip(values).filter_map(|(name, value)| Some((name.clone(), value?))).collect()
    })
}

pub fn request_rows() -> impl Strategy<Value = RequestRows> {
    let context = row(&["media_id", "interest", "floor_price", "region"]);
    let candidates = prop::collection::vec(row(&["creative_id", "title", "tag", "age_seconds"]), 0..20);
    // The rows are repeated, so that there are requests of more than one chunk.
    (context, candidates, 1..20_usize).prop_map(|(context, candidates, times)| {
        let candidates = candidates.iter().cycle().take(candidates.len() * times).cloned().collect();
        RequestRows { context, candidates }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn on_rows_of_every_kind(mut rows in request_rows()) {
        if rows.candidates.is_empty() {
            rows.candidates.push(Row::new());
        }
        let (scorers, mut request) = scorers(&rows);
        request.fill(&rows).unwrap();
        assert_all_paths_agree(&scorers, &mut request, rows.candidates.len());
    }

    /// Data that one request left in the working memory must not affect the next one.
    #[test]
    fn on_one_request_after_another(requests in prop::collection::vec(request_rows(), 2..6)) {
        let all = RequestRows {
            context: requests[0].context.clone(),
            candidates: requests.iter().flat_map(|rows| rows.candidates.clone()).chain([Row::new()]).collect(),
        };
        let model = model_with_defaults(Encoding::F32, &contract(), &all);
        let capacity = Capacity { candidates: all.candidates.len(), tail_len_bytes: 1 << 16 };
        let layout = RequestLayout::new(&Schema::of_contract(&contract()), capacity).unwrap();
        let scorer = |instructions| Scorer::new(Arc::clone(&model), &layout).unwrap().using(instructions);
        let scorers: Vec<_> = Instructions::all().into_iter().map(scorer).collect();
        let mut request = Request::new(&layout);
        for rows in &requests {
            request.fill(rows).unwrap();
            assert_all_paths_agree(&scorers, &mut request, rows.candidates.len());
        }
    }

    #[test]
    fn on_blocks_with_words_that_no_caller_should_write(
        damage in prop::collection::vec((0_usize..10_000, prop_oneof![any::<u64>(), 0..5_000_u64, Just(u64::MAX)]), 1..20)
    ) {
        let rows = full_rows(150);
        let (scorers, mut request) = scorers(&rows);
        request.fill(&rows).unwrap();
        let offsets = request.layout().offsets();
        let block = request.block_address().cast::<u64>();
        for (at, word) in damage {
            // Rows and tail only. The header stays, because most values there are rejected immediately.
            let at = offsets.context_offset / 8 + at % ((offsets.len_bytes - offsets.context_offset) / 8);
            // SAFETY: the address is inside the block that the request owns.
            unsafe { block.add(at).write(word) };
        }
        assert_all_paths_agree(&scorers, &mut request, 150);
    }
}

#[test]
fn on_lists_that_overflow_a_batch() {
    let mut rows = full_rows(300);
    for (index, row) in (0..).zip(&mut rows.candidates) {
        row.insert("tag".to_owned(), FieldValue::Ids((0..40).map(|tag| tag * index).collect()));
    }
    rows.context.insert("interest".to_owned(), FieldValue::Texts((0..1_024).map(|n| format!("i{n}")).collect()));
    let (scorers, mut request) = scorers(&rows);
    request.fill(&rows).unwrap();
    assert_all_paths_agree(&scorers, &mut request, 300);
}

/// The sum is computed here from the tables of the page, not by the code that the kernel and its twin share.
#[test]
fn unseen_categories_and_missing_values_add_the_default_weights_in_their_places() {
    let empty: Row = Row::new();
    let of = |pairs: &[(&str, FieldValue)]| -> Row {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let rows = RequestRows {
        // Unseen; an empty list; out of range; missing.
        context: of(&[
            ("media_id", FieldValue::Id(5)),
            ("interest", FieldValue::Texts(Vec::new())),
            ("floor_price", FieldValue::Number(-1.0)),
        ]),
        candidates: vec![
            empty,
            of(&[
                ("creative_id", FieldValue::Id(1)),
                ("title", FieldValue::Text("t".to_owned())),
                ("tag", FieldValue::Ids(vec![3, 3])),
                ("age_seconds", FieldValue::Number(1.0)),
            ]),
        ],
    };
    let contract = contract();
    let bytes = bytes_with_defaults(Encoding::I8, &contract, &[], std::slice::from_ref(&rows));
    let model = Model::from_bytes(bytes).unwrap();
    let [media, interest, price, region, creative, title, tag, age] = model.default_weights() else { panic!() };
    let sum = |weights: &[f32]| weights.iter().fold(0.0, |sum, &weight| sum + f64::from(weight));
    let context = sum(&[media.unseen, interest.missing, price.missing, region.missing]);
    let missing = sum(&[creative.missing, title.missing, tag.missing, age.missing]);
    let unseen = sum(&[creative.unseen, title.unseen, tag.unseen, tag.unseen, age.unseen]);
    let expected = [missing, unseen].map(|own| ((model.bias() + context) + own) + 0.0);
    for instructions in Instructions::all() {
        let (scorer, mut request) = model.scorer_for(&rows, instructions).unwrap();
        request.fill(&rows).unwrap();
        scorer.predict(&mut request, 2).unwrap();
        let logits: Vec<u64> = request.answers(2).map(|answer| answer.logit.to_bits()).collect();
        assert_eq!(logits, expected.map(f64::to_bits), "{}", instructions.name());
        let counts = request.counts();
        // An empty list is a value, so it is not counted as missing.
        assert_eq!((counts.unseen_count, counts.missing_count, counts.invalid_number_count), (6, 6, 1));
        let explanation = scorer.explain(&mut request, 0).unwrap();
        assert_eq!(explanation.logit.to_bits(), expected[0].to_bits());
        let sources = explanation.contributions.iter().map(|part| part.source);
        assert_eq!(sources.filter(|source| *source == WeightSource::Missing).count(), 7);
        assert_eq!(explanation.contributions[0].source, WeightSource::Unseen);
    }
}

#[test]
fn an_explanation_has_every_feature_and_sums_to_the_same_logit() {
    let rows = full_rows(3);
    let (scorers, mut request) = scorers(&rows);
    request.fill(&rows).unwrap();
    scorers[0].predict(&mut request, 3).unwrap();
    let explanation = scorers[0].explain(&mut request, 2).unwrap();
    assert_eq!(explanation.logit.to_bits(), request.answer(2).logit.to_bits());
    assert_eq!(explanation.probability.to_bits(), request.answer(2).probability.to_bits());
    let sum: f64 = explanation.contributions.iter().map(|part| f64::from(part.weight)).sum();
    assert!((explanation.bias + sum - explanation.logit).abs() < 1e-12);
    let mut names: Vec<&str> = explanation.contributions.iter().map(|part| part.field.as_str()).collect();
    names.dedup();
    let contract = contract();
    assert_eq!(names.len(), contract.fields().len() + contract.crosses().len(), "{names:?}");
    assert!(names.contains(&"region*tag*media_id"));
}
