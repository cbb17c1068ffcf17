//! Prepared candidates give, bit for bit, the answers of inline rows, even while rows are added and removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use omomi::request::{FieldValue, RequestRows, Row};
use omomi::score::{Model, Request, Scorer};
use omomi::weight_file::table::Encoding;
use omomi::{
    CandidateSet, CandidateStatus, Candidates, Capacity, Code, Instructions, RequestLayout, RowProblem, Schema,
};
use proptest::prelude::*;

use crate::kernel_equals_plain::request_rows;
use crate::several_models::{answers, other_contract, rows_of_other};
use crate::small_model::{contract, full_rows, model_for, model_with_defaults};

const NO_CANDIDATE: CandidateStatus = CandidateStatus::Refused(RowProblem::NoCandidate);

fn inline_layout(candidates: usize) -> RequestLayout {
    let capacity = Capacity { candidates, tail_len_bytes: 1 << 20 };
    RequestLayout::new(&Schema::of_contract(&contract()), capacity).unwrap()
}

fn prepared_layout(candidates: usize) -> RequestLayout {
    let capacity = Capacity { candidates, tail_len_bytes: 4_096 };
    RequestLayout::prepared(&Schema::of_contract(&contract()), capacity).unwrap()
}

/// Creates a set with the candidates of `rows`, at their indices.
fn set_with(rows: &RequestRows) -> Arc<CandidateSet> {
    let layout = inline_layout(rows.candidates.len());
    let set = CandidateSet::new(&layout, rows.candidates.len() + 10, 8).unwrap();
    let mut request = Request::new(&layout);
    request.fill(rows).unwrap();
    for candidate in 0..rows.candidates.len() {
        assert_eq!(set.add(&mut request, candidate).unwrap() as usize, candidate);
    }
    Arc::new(set)
}

fn request_naming(layout: &RequestLayout, context: &Row, indices: &[u32]) -> Request {
    let mut request = Request::new(layout);
    request.context().set_all(context).unwrap();
    // Both ways to name candidates.
    if indices.len().is_multiple_of(2) {
        request.set_candidates(indices).unwrap();
    } else {
        for (candidate, &index) in indices.iter().enumerate() {
            request.set_candidate(candidate, index).unwrap();
        }
    }
    request
}

fn inline_answers(model: &Arc<Model>, rows: &RequestRows) -> Request {
    let scorer = Scorer::new(Arc::clone(model), &inline_layout(rows.candidates.len())).unwrap();
    let mut request = scorer.new_request();
    request.fill(rows).unwrap();
    scorer.predict(&mut request, rows.candidates.len()).unwrap();
    request
}

/// Returns two models that prepare candidates differently. One keeps lists of keys, which take any number of cache
/// lines. The other keeps a few keys, which are in one cache line and are read by a separate loop.
fn models_for(rows: &RequestRows) -> [Arc<Model>; 2] {
    [model_for(rows), model_with_defaults(Encoding::I8, &other_contract(), &rows_of_other(rows))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_subset_in_any_order_gives_the_answers_of_inline_rows(
        mut rows in request_rows(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..400),
    ) {
        if rows.candidates.is_empty() {
            rows.candidates.push(Row::new());
        }
        let set = set_with(&rows);
        let models = models_for(&rows);
        let indices: Vec<u32> =
            picks.iter().map(|pick| u32::try_from(pick.index(rows.candidates.len())).unwrap()).collect();
        let named = RequestRows {
            context: rows.context.clone(),
            candidates: indices.iter().map(|&index| rows.candidates[index as usize].clone()).collect(),
        };
        let layout = prepared_layout(indices.len()).for_models(2).unwrap();
        let mut request = request_naming(&layout, &rows.context, &indices);
        for instructions in Instructions::all() {
            let scorer = Scorer::with_candidates(models.to_vec(), &layout, &set).unwrap().using(instructions);
            for plain in [false, true] {
                if plain {
                    scorer.predict_plain(&mut request, indices.len()).unwrap();
                } else {
                    scorer.predict(&mut request, indices.len()).unwrap();
                }
                for (index, model) in models.iter().enumerate() {
                    let inline = inline_answers(model, &named);
                    prop_assert_eq!(answers(&request, index, indices.len()), answers(&inline, 0, indices.len()));
                }
            }
        }
    }
}

#[test]
fn rows_may_be_replaced_and_removed_and_a_gap_affects_only_itself() {
    let rows = full_rows(20);
    for model in models_for(&rows) {
        replace_and_remove(&rows, &model);
    }
}

fn replace_and_remove(rows: &RequestRows, model: &Arc<Model>) {
    let set = set_with(rows);
    let layout = prepared_layout(4);
    let scorer = Scorer::with_candidates(vec![Arc::clone(model)], &layout, &set).unwrap();
    let expected = |candidate: usize| inline_answers(model, rows).answer(candidate);

    let mut request = request_naming(&layout, &rows.context, &[3, 29, u32::MAX, 5]);
    scorer.predict(&mut request, 4).unwrap();
    assert_eq!([request.answer(0), request.answer(3)], [expected(3), expected(5)]);
    assert_eq!([1, 2].map(|candidate| request.answer(candidate).status), [NO_CANDIDATE; 2]);
    assert!(request.answer(1).logit.is_nan() && request.answer(1).probability.is_nan());
    assert_eq!((request.counts().scored_count, request.counts().refused_count), (2, 2));

    let mut carrier = Request::new(set.layout());
    carrier.candidate(0).unwrap().set_all(&rows.candidates[7]).unwrap();
    set.put(29, &mut carrier, 0).unwrap();
    set.put(3, &mut carrier, 0).unwrap();
    assert!(set.remove(5).unwrap());
    assert!(!set.remove(5).unwrap());
    scorer.predict(&mut request, 4).unwrap();
    assert_eq!([request.answer(0), request.answer(1)], [expected(7); 2]);
    assert_eq!(request.answer(3).status, NO_CANDIDATE);
    assert_eq!(set.candidate_count(), 20);
    assert_eq!(set.add(&mut carrier, 0).unwrap(), 5, "the lowest free index");
    assert_eq!(set.add(&mut carrier, 0).unwrap(), 20);
    let explanation = scorer.explain(&mut request, 0).unwrap();
    assert_eq!(explanation.logit.to_bits(), expected(7).logit.to_bits());
}

#[test]
fn a_candidate_that_was_not_named_since_the_request_was_cleared_is_not_scored() {
    // It was once scored as candidate 0 of the set, or as the one that the request before had named.
    let rows = full_rows(20);
    for model in models_for(&rows) {
        let set = set_with(&rows);
        let layout = prepared_layout(6);
        let scorer = Scorer::with_candidates(vec![Arc::clone(&model)], &layout, &set).unwrap();
        let mut request = request_naming(&layout, &rows.context, &[3, 4, 5, 6, 7, 8]);
        scorer.predict_filled(&mut request).unwrap();
        let expected = request.answer(1);
        request.clear();
        request.context().set_all(&rows.context).unwrap();
        request.set_candidate(2, 4).unwrap();
        for run in [Scorer::predict, Scorer::predict_plain] {
            run(&scorer, &mut request, 5).unwrap();
            let not_filled = CandidateStatus::Refused(RowProblem::NotFilled);
            for index in [0, 1, 3, 4] {
                assert_eq!(request.answer(index).status, not_filled, "candidate {index}");
                assert!(request.answer(index).probability.is_nan());
            }
            assert_eq!(request.answer(2), expected);
            assert_eq!((request.counts().scored_count, request.counts().refused_count), (1, 4));
        }
        scorer.predict_filled(&mut request).unwrap();
        assert_eq!(request.answered_count(), 3);
    }
}

#[test]
fn careless_use_is_rejected_and_leaves_the_set_unchanged() {
    let rows = full_rows(3);
    let set = set_with(&rows);
    let mut carrier = Request::new(set.layout());
    let refused = |result: Result<u32, omomi::Error>, needle: &str| {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(needle), "{error}");
        error.code()
    };
    carrier.candidate(0).unwrap().set_all(&rows.candidates[0]).unwrap();
    assert_eq!(
        refused(set.put(13, &mut carrier, 0).map(|()| 0), "below the set's capacity of 13"),
        Code::InvalidArgument
    );
    assert_eq!(refused(set.remove(13).map(u32::from), "found 13"), Code::InvalidArgument);
    for nowhere in [3, usize::MAX] {
        assert_eq!(refused(set.add(&mut carrier, nowhere), "3"), Code::TooManyCandidates);
    }
    let many: Vec<i64> = (0..9).collect();
    let tag = set.layout().schema().slot("tag").unwrap();
    carrier.candidate(0).unwrap().set_ids(tag, &many).unwrap();
    refused(
        set.add(&mut carrier, 0),
        "`tag`: a list has more values than one field of a row may have (up to 8 in this set)",
    );
    refused(set.add(&mut carrier, 1), "candidate 1 cannot be put into a set: the candidate was not filled");
    carrier.candidate(1).unwrap();
    for _ in 3..13 {
        set.add(&mut carrier, 1).unwrap();
    }
    // The message once spoke of the rows of the request's layout.
    assert_eq!(refused(set.add(&mut carrier, 1), "set is full: it has room for 13"), Code::TooManyCandidates);
    assert_eq!(set.candidate_count(), 13);

    let mut other = Request::new(&inline_layout(4));
    refused(set.add(&mut other, 0), "another layout");
    let mut named = Request::new(&prepared_layout(3));
    refused(named.candidate(0).map(|_| 0), "named by index");
    refused(named.set_candidate(3, 0).map(|()| 0), "3");
    refused(named.set_candidate(usize::MAX, 0).map(|()| 0), "3");
    refused(named.set_candidates(&[0; 4]).map(|()| 0), "3");
    refused(carrier.set_candidates(&[]).map(|()| 0), "rows in the request");
    refused(carrier.set_candidate(0, 0).map(|()| 0), "rows in the request");
    refused(CandidateSet::new(&prepared_layout(1), 1, 0).map(|_| 0), "its candidates are indices");
    refused(CandidateSet::new(set.layout(), 0, 0).map(|_| 0), "found 0");
    refused(CandidateSet::new(set.layout(), 1, 1_025).map(|_| 0), "at most 1024");

    let model = model_for(&rows);
    let refused = |result: Result<Scorer, omomi::Error>, needle: &str| {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(needle), "{error}");
    };
    refused(Scorer::new(Arc::clone(&model), &prepared_layout(1)), "no candidate set was given");
    let models = || vec![Arc::clone(&model)];
    refused(Scorer::with_candidates(models(), &inline_layout(1), &set), "a candidate set was given");
    let schema = Schema::of_contract(&other_contract());
    let layout = RequestLayout::prepared(&schema, Capacity { candidates: 1, tail_len_bytes: 0 }).unwrap();
    refused(Scorer::with_candidates(models(), &layout, &set), "not that of the candidate set");
    assert_eq!(layout.candidates(), Candidates::Prepared);
}

/// Two threads score without pause while a third one replaces, removes and adds rows. Each answer must belong to a row
/// that was in the set.
#[test]
fn every_answer_belongs_to_one_row_while_rows_are_replaced_without_pause() {
    let rows = full_rows(20);
    for model in models_for(&rows) {
        let [one, other] = of_unlike_crosses(&rows, &model);
        let candidates = vec![rows.candidates[one].clone(), rows.candidates[other].clone()];
        score_while_rows_are_replaced(&RequestRows { context: rows.context.clone(), candidates }, &model);
    }
}

/// Finds two candidates whose crosses with the context add different amounts, so that a mixture of one row's own sum
/// and another row's keys would be noticed.
fn of_unlike_crosses(rows: &RequestRows, model: &Arc<Model>) -> [usize; 2] {
    let (scorer, mut request) = model.scorer_for(rows, Instructions::PLAIN).unwrap();
    request.fill(rows).unwrap();
    let mut crossed = |candidate: usize| -> f32 {
        let contributions = scorer.explain(&mut request, candidate).unwrap().contributions;
        let mixed = contributions.iter().filter(|contribution| contribution.field.contains('*'));
        mixed.map(|contribution| contribution.weight).sum()
    };
    let first = crossed(0);
    let other = (1..rows.candidates.len()).find(|&candidate| crossed(candidate) != first);
    [0, other.expect("some of twenty rows differ")]
}

fn score_while_rows_are_replaced(rows: &RequestRows, model: &Arc<Model>) {
    let set = set_with(rows);
    let inline = inline_answers(model, rows);
    let known =
        [inline.answer(0), inline.answer(1)].map(|answer| (answer.logit.to_bits(), answer.probability.to_bits()));
    assert_ne!(known[0], known[1]);
    // The same two candidates are repeated, so that something is being read at any moment.
    let indices: Vec<u32> = (0..200).map(|place| place & 1).collect();
    let layout = prepared_layout(indices.len());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let scorer = Scorer::with_candidates(vec![Arc::clone(model)], &layout, &set).unwrap();
                let mut request = request_naming(&layout, &rows.context, &indices);
                while !done.load(Ordering::Relaxed) {
                    scorer.predict(&mut request, indices.len()).unwrap();
                    for answer in request.answers(indices.len()) {
                        match answer.status {
                            CandidateStatus::Scored => {
                                assert!(known.contains(&(answer.logit.to_bits(), answer.probability.to_bits())));
                            }
                            status => assert_eq!(status, NO_CANDIDATE),
                        }
                    }
                }
            });
        }
        let mut carrier = Request::new(set.layout());
        carrier.fill(rows).unwrap();
        for turn in 0..100_000_u32 {
            set.put(turn & 1, &mut carrier, usize::from(turn & 2 == 0)).unwrap();
            if turn % 7 == 0 {
                set.remove(turn & 1).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_model_without_scorers_is_released() {
    let rows = full_rows(5);
    let set = set_with(&rows);
    let model = model_for(&rows);
    let layout = prepared_layout(1);
    let scorers = [0, 1].map(|_| Scorer::with_candidates(vec![Arc::clone(&model)], &layout, &set).unwrap());
    // The references: this one, two scorers, and the data prepared for both.
    assert_eq!(Arc::strong_count(&model), 4);
    drop(scorers);
    assert_eq!(Arc::strong_count(&model), 1);
}

#[test]
fn lists_in_crosses_are_prepared() {
    let mut rows = full_rows(300);
    for (index, row) in (0..).zip(&mut rows.candidates) {
        row.insert("tag".to_owned(), FieldValue::Ids((0..index % 9).collect()));
    }
    let set = set_with(&rows);
    let model = model_for(&rows);
    let layout = prepared_layout(300);
    let scorer = Scorer::with_candidates(vec![Arc::clone(&model)], &layout, &set).unwrap();
    let indices: Vec<u32> = (0..300).rev().collect();
    let mut request = request_naming(&layout, &rows.context, &indices);
    scorer.predict(&mut request, 300).unwrap();
    let inline = inline_answers(&model, &rows);
    for candidate in 0..300 {
        assert_eq!(request.answer(candidate), inline.answer(299 - candidate));
    }
}
