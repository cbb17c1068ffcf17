//! Shared work is done once. These tests count the work, because the answers would be equal even if it were repeated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{CandidateSet, Model, Request, RequestCounts, Scorer, TimeLimit};
use crate::error::Error;
use crate::instructions::Instructions;
use crate::request::{CandidateStatus, FieldValue, RequestLayout, RequestRows, Row};
use crate::test_weight_file::without_weights;
use crate::weight_file::WeightFile;
use crate::weight_file::map::FileBytes;
use crate::work_counter::{Work, work_of};

const CONTRACT: &str = r#"{"name":"small","label":"clicked","field":[
    {"name":"media_id","side":"context","type":"id","meaning":"m"},
    {"name":"region","side":"context","type":"text","meaning":"m"},
    {"name":"interest","side":"context","type":"text","many":true,"meaning":"m"},
    {"name":"creative_id","side":"candidate","type":"id","meaning":"m"},
    {"name":"title","side":"candidate","type":"text","meaning":"m"}],
    "cross":[
    {"fields":["media_id","region"]},
    {"fields":["creative_id","title"]},
    {"fields":["media_id","creative_id"]},
    {"fields":["interest","title"]}]}"#;

/// Features of the context: one id, one text, three interests, one cross.
const CONTEXT_FEATURE_COUNT: u64 = 1 + 1 + 3 + 1;
/// Crosses of each candidate with the context: one with the media and three with the interests.
const MIXED_FEATURE_COUNT: u64 = 1 + 3;
/// Features of each candidate: one id, one text, their cross, and those with the context.
const CANDIDATE_FEATURE_COUNT: u64 = 1 + 1 + 1 + MIXED_FEATURE_COUNT;
/// Texts of the context.
const CONTEXT_TEXT_COUNT: u64 = 1 + 3;

fn rows(candidate_count: u64) -> RequestRows {
    let row = |values: &[(&str, FieldValue)]| -> Row {
        values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let text = |text: &str| FieldValue::Text(text.to_owned());
    let interests = FieldValue::Texts(["news", "travel", "food"].map(str::to_owned).to_vec());
    let candidate = |id: u64| row(&[("creative_id", FieldValue::Id(id.cast_signed())), ("title", text("a title"))]);
    RequestRows {
        context: row(&[("media_id", FieldValue::Id(7)), ("region", text("tokyo")), ("interest", interests)]),
        candidates: (0..candidate_count).map(candidate).collect(),
    }
}

/// Creates a scorer for a model without weights. Even to find nothing, it must look every feature up.
fn scorer_for(rows: &RequestRows, instructions: Instructions) -> (Scorer, Request) {
    let model: Arc<Model> = Model::from_bytes(without_weights(CONTRACT, 1, rows)).unwrap();
    let (scorer, mut request) = model.scorer_for(rows, instructions).unwrap();
    request.fill(rows).unwrap();
    (scorer, request)
}

#[test]
fn the_context_is_processed_once_for_all_candidates_of_a_request() {
    for instructions in Instructions::all() {
        // Counts around the possible sizes of a kernel's chunk.
        for candidate_count in [1, 2, 127, 128, 129, 500] {
            let (scorer, mut request) = scorer_for(&rows(candidate_count), instructions);
            let count = usize::try_from(candidate_count).unwrap();
            let work = work_of(|| scorer.predict(&mut request, count).unwrap());
            let expected = Work {
                look_up_count: CONTEXT_FEATURE_COUNT + candidate_count * CANDIDATE_FEATURE_COUNT,
                hashed_text_count: CONTEXT_TEXT_COUNT + candidate_count,
            };
            assert_eq!(work, expected, "{candidate_count} candidates, {instructions:?}");
        }
    }
}

#[test]
fn prepared_candidates_look_up_only_their_crosses_with_the_context() {
    let rows = rows(300);
    let (inline, mut request) = scorer_for(&rows, Instructions::detect());
    let set = Arc::new(CandidateSet::new(inline.layout(), 300, 0).unwrap());
    (0..300).for_each(|candidate| assert!(set.add(&mut request, candidate).is_ok()));
    let layout = RequestLayout::prepared(inline.layout().schema(), inline.layout().capacity()).unwrap();
    let scorer = Scorer::with_candidates(vec![Arc::clone(inline.model())], &layout, &set).unwrap();
    let mut request = scorer.new_request();
    request.context().set_all(&rows.context).unwrap();
    (0..300).for_each(|index| request.set_candidate(index as usize, index).unwrap());
    let work = work_of(|| scorer.predict(&mut request, 300).unwrap());
    let look_up_count = CONTEXT_FEATURE_COUNT + 300 * MIXED_FEATURE_COUNT;
    assert_eq!(work, Work { look_up_count, hashed_text_count: CONTEXT_TEXT_COUNT });
}

#[test]
fn several_models_share_the_keys_and_look_up_their_own_weights() {
    let rows = rows(300);
    let (alone, mut request) = scorer_for(&rows, Instructions::detect());
    let work_alone = work_of(|| alone.predict(&mut request, 300).unwrap());
    let layout = alone.layout().for_models(3).unwrap();
    let models = (0..3).map(|_| Arc::clone(alone.model())).collect();
    let together = Scorer::for_models(models, &layout).unwrap();
    let mut request = together.new_request();
    request.fill(&rows).unwrap();
    let work = work_of(|| together.predict(&mut request, 300).unwrap());
    assert_eq!(work, Work { look_up_count: 3 * work_alone.look_up_count, ..work_alone });
}

/// An arm and a shadow of `request`, with the layouts of their results.
fn with_shadow(contract_of_shadow: &str, rows: &RequestRows) -> (Scorer, Scorer, Request) {
    let of = |contract: &str| Model::from_bytes(without_weights(contract, 1, rows)).unwrap();
    let (alone, _) = scorer_for(rows, Instructions::detect());
    let layout = alone.layout().for_models(2).unwrap();
    let mut request = Request::new(&layout);
    request.fill(rows).unwrap();
    let scorer = |result, contract| Scorer::new(of(contract), &layout.of_result(result)).unwrap();
    (scorer(0, CONTRACT), scorer(1, contract_of_shadow), request)
}

/// Scores with the arm and the shadow, whose time is limited to `budget`. Returns what they counted.
fn predict(arm: &Scorer, shadow: &Scorer, request: &mut Request, budget: Option<Duration>) -> [RequestCounts; 2] {
    let limit = budget.map(|budget| TimeLimit { started: Instant::now(), budget });
    let shadow = [None, shadow.shadow_of(arm, 1, limit)];
    // SAFETY: the request owns a block of this layout.
    let counts = unsafe { arm.predict_counting(request.block_address(), 300, None, &shadow) };
    [counts.unwrap(), shadow[1].as_ref().unwrap().counts()]
}

#[test]
fn a_shadow_of_the_same_contract_makes_no_keys_and_answers_as_it_would_alone() {
    let rows = rows(300);
    let (arm, shadow, mut request) = with_shadow(CONTRACT, &rows);
    let block = request.block_address();
    // SAFETY: the request owns a block of this layout.
    let work_alone = work_of(|| unsafe { shadow.predict_block(block, 300, None) }.unwrap());
    let alone: Vec<_> = request.answers_of(1, 300).collect();
    let mut counts = None;
    let work = work_of(|| counts = Some(predict(&arm, &shadow, &mut request, None)));
    assert_eq!(work, Work { look_up_count: 2 * work_alone.look_up_count, ..work_alone });
    let [of_arm, of_shadow] = counts.unwrap();
    assert_eq!((of_arm, of_shadow.scored_count), (of_shadow, 300));
    assert!(request.answers(300).eq(alone.iter().copied()) && request.answers_of(1, 300).eq(alone));
}

#[test]
fn a_shadow_without_time_stops_and_the_arm_does_not() {
    let rows = rows(300);
    let (arm, shadow, mut request) = with_shadow(CONTRACT, &rows);
    let [of_arm, of_shadow] = predict(&arm, &shadow, &mut request, Some(Duration::ZERO));
    assert_eq!((of_arm.scored_count, of_arm.late_count), (300, 0));
    assert_eq!((of_shadow.scored_count, of_shadow.late_count), (0, 300));
    assert!(request.answers(300).all(|it| it.status == CandidateStatus::Scored));
    assert!(request.answers_of(1, 300).all(|it| it.status == CandidateStatus::Late));
}

#[test]
fn a_shadow_that_reads_other_fields_scores_on_its_own() {
    let rows = rows(300);
    let other = CONTRACT.replace(r#"{"fields":["creative_id","title"]},"#, "");
    let (arm, shadow, _) = with_shadow(&other, &rows);
    assert!(shadow.shadow_of(&arm, 1, None).is_none());
}

#[test]
fn a_separate_call_for_each_candidate_looks_the_context_up_each_time() {
    let (scorer, mut request) = scorer_for(&rows(100), Instructions::detect());
    let features_of = |index| scorer.explain(&mut request, index).unwrap().contributions.len() as u64;
    let look_up_count: u64 = (0..100).map(features_of).sum();
    assert_eq!(look_up_count, 100 * (CONTEXT_FEATURE_COUNT + CANDIDATE_FEATURE_COUNT));
    let shared = work_of(|| scorer.predict(&mut request, 100).unwrap());
    assert_eq!(look_up_count - shared.look_up_count, 99 * CONTEXT_FEATURE_COUNT);
}

/// Golden requests of one file took 29 s, during which a live model heard no order.
#[test]
fn each_stage_of_opening_a_file_asks_whether_to_go_on() {
    let file = without_weights(CONTRACT, 1, &rows(1_000));
    let opened = |stop_at: usize| {
        let mut asked = 0;
        let mut go_on = || {
            asked += 1;
            if asked == stop_at { Err(Stopped::Here) } else { Ok(()) }
        };
        let bytes = WeightFile::open(FileBytes::from(file.clone())).unwrap();
        let model = Model::with_unchecked_answers_of(bytes, None, &mut go_on);
        let verified = model.and_then(|model| model.check_golden_asking(&mut go_on).map(drop));
        (verified, asked)
    };
    let (outcome, asked) = opened(usize::MAX);
    outcome.unwrap();
    // Once for each of the 7 chunks and the two stages of decoding, and then for each 64 candidates.
    assert!(asked >= 1_000 / 64 + 9, "{asked}");
    for stop_at in 1..=asked {
        let (outcome, asked) = opened(stop_at);
        assert!(matches!(outcome, Err(Stopped::Here)), "{stop_at}: {outcome:?}");
        assert_eq!(asked, stop_at, "went on");
    }
}

#[derive(Debug)]
enum Stopped {
    Here,
    #[expect(dead_code, reason = "shown if the test fails")]
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
