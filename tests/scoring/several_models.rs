//! One call for several models gives each model the answers that it would give alone.

use omomi::contract::Contract;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::score::{Request, Scorer};
use omomi::weight_file::table::Encoding;
use omomi::{Capacity, Instructions, RequestLayout, Schema};
use proptest::prelude::*;

use crate::kernel_equals_plain::{request_rows, row};
use crate::small_model::{contract, full_rows, model_for, model_with_defaults};

/// A contract with fewer fields than the small model's, in another order, and with other buckets for a number.
const OTHER_CONTRACT: &str = r#"
name = "other"
label = "clicked"

[[field]]
name = "title"
side = "candidate"
type = "text"
meaning = "what it says"

[[field]]
name = "floor_price"
side = "context"
type = "number"
unit = "JPY per 1,000 impressions"
range = [0.0, 1000.0]
buckets = [20.0]
meaning = "lowest bid"

[[field]]
name = "age_seconds"
side = "candidate"
type = "number"
unit = "s"
range = [0.0, 1e9]
buckets = [60.0]
meaning = "how long it has been shown"

[[field]]
name = "region"
side = "context"
type = "text"
meaning = "where the user is"

[[cross]]
fields = ["title", "region"]
[[cross]]
fields = ["title", "age_seconds"]
[[cross]]
fields = ["floor_price", "age_seconds"]
"#;

pub fn other_contract() -> Contract {
    omomi_train::toml::parse_contract(OTHER_CONTRACT).unwrap()
}

/// Returns the rows without the fields that the other contract does not have.
pub fn rows_of_other(rows: &RequestRows) -> RequestRows {
    let contract = other_contract();
    let kept = |row: &Row| -> Row {
        row.iter()
            .filter(|(name, _)| contract.field(name).is_some())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    RequestRows { context: kept(&rows.context), candidates: rows.candidates.iter().map(kept).collect() }
}

/// Returns the answers of model `model`: bits and statuses, and the counts.
pub fn answers(request: &Request, model: usize, count: usize) -> (Vec<(u64, u32, u32)>, String) {
    let answers = request.answers_of(model, count);
    let bits = answers.map(|answer| (answer.logit.to_bits(), answer.probability.to_bits(), answer.status.number()));
    (bits.collect(), format!("{:?} {}", request.counts_of(model), request.generation_of(model)))
}

struct Setting {
    alone: [(Scorer, Request); 2],
    together: Vec<Scorer>,
    request: Request,
}

/// The small model, the other one, and the small one again.
fn setting(rows: &RequestRows) -> Setting {
    let models = [model_for(rows), model_with_defaults(Encoding::I8, &other_contract(), &rows_of_other(rows))];
    let capacity = Capacity { candidates: rows.candidates.len().max(1), tail_len_bytes: 1 << 20 };
    let layout = RequestLayout::new(&Schema::of_contract(&contract()), capacity).unwrap();
    let alone = models.each_ref().map(|model| {
        let scorer = Scorer::new(model.clone(), &layout).unwrap();
        let request = scorer.new_request();
        (scorer, request)
    });
    let layout = layout.for_models(3).unwrap();
    let [small, other] = &models;
    let together = Instructions::all().into_iter().map(|instructions| {
        let models = vec![small.clone(), other.clone(), small.clone()];
        Scorer::for_models(models, &layout).unwrap().using(instructions)
    });
    Setting { alone, together: together.collect(), request: Request::new(&layout) }
}

fn assert_each_answers_as_alone(setting: &mut Setting, count: usize) {
    let expected: Vec<_> = setting
        .alone
        .iter_mut()
        .map(|(scorer, request)| scorer.predict(request, count).map(|()| answers(request, 0, count)))
        .collect();
    let request = &mut setting.request;
    for scorer in &setting.together {
        for plain in [false, true] {
            let result = if plain { scorer.predict_plain(request, count) } else { scorer.predict(request, count) };
            if let Some(Err(error)) = expected.iter().find(|answers| answers.is_err()) {
                assert_eq!(result.unwrap_err().code(), error.code());
                continue;
            }
            result.unwrap();
            for (model, alone) in [0, 1, 0].into_iter().enumerate() {
                assert_eq!(&answers(request, model, count), expected[alone].as_ref().unwrap(), "model {model}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn on_rows_of_every_kind(mut rows in request_rows()) {
        if rows.candidates.is_empty() {
            rows.candidates.push(Row::new());
        }
        let mut setting = setting(&rows);
        setting.alone.iter_mut().for_each(|(_, request)| request.fill(&rows).unwrap());
        setting.request.fill(&rows).unwrap();
        assert_each_answers_as_alone(&mut setting, rows.candidates.len());
    }

    /// A value that one model does not read does not affect it, whatever it does to the answers of another model.
    #[test]
    fn on_rows_that_one_of_them_cannot_read(
        damage in prop::collection::vec((0_usize..150, 0_usize..6, any::<u64>()), 1..20),
        context in row(&["media_id", "interest", "floor_price", "region"]),
    ) {
        let mut rows = full_rows(150);
        rows.context = context;
        let mut setting = setting(&rows);
        let mut requests: Vec<&mut Request> = setting.alone.iter_mut().map(|(_, request)| request).collect();
        requests.push(&mut setting.request);
        for request in requests {
            request.fill(&rows).unwrap();
            let offsets = request.layout().offsets();
            for &(candidate, word, value) in &damage {
                let at = offsets.candidates_offset + candidate * offsets.candidate_stride_bytes + word * 8;
                // SAFETY: the address is that of a word of a row, in the block that the request owns.
                unsafe { request.block_address().add(at).cast::<u64>().write(value) };
            }
        }
        assert_each_answers_as_alone(&mut setting, 150);
    }
}

#[test]
fn on_lists_that_leave_room_for_few_candidates_in_a_chunk() {
    let mut rows = full_rows(40);
    let lens = [0, 1_024, 3, 700].into_iter().cycle();
    for ((index, row), len) in (0..).zip(&mut rows.candidates).zip(lens) {
        row.insert("tag".to_owned(), FieldValue::Ids((0..len).map(|tag| tag * index).collect()));
    }
    let mut setting = setting(&rows);
    setting.alone.iter_mut().for_each(|(_, request)| request.fill(&rows).unwrap());
    setting.request.fill(&rows).unwrap();
    assert_each_answers_as_alone(&mut setting, 40);
}

#[test]
fn a_scorer_and_its_layout_have_the_same_number_of_models() {
    let rows = full_rows(1);
    let model = model_for(&rows);
    let layout = RequestLayout::new(&Schema::of_contract(&contract()), Capacity { candidates: 1, tail_len_bytes: 0 });
    let layout = layout.unwrap();
    let error = Scorer::new(model.clone(), &layout.for_models(2).unwrap()).unwrap_err();
    assert!(error.to_string().contains("it is for 2 models, found 1"), "{error}");
    let error = Scorer::for_models(vec![model.clone(), model], &layout).unwrap_err();
    assert!(error.to_string().contains("it is for 1 models, found 2"), "{error}");
    assert!(layout.for_models(0).is_err() && layout.for_models(17).is_err());
}
