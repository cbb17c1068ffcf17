//! Whatever a caller passes, the process survives, the error says what is wrong, and a bad candidate affects only
//! itself. The C and JVM tests have the same table.

use std::sync::Arc;

use omomi::contract::Side;
use omomi::{CandidateStatus, Capacity, Code, Error, Request, RequestLayout, RowProblem, Schema, SchemaField, Scorer};

use crate::small_model::{contract, full_rows, model_for};

fn scorer_and_request() -> (Scorer, Request) {
    let schema = Schema::of_contract(&contract());
    let layout = RequestLayout::new(&schema, Capacity { candidates: 20, tail_len_bytes: 64 << 10 }).unwrap();
    let rows = full_rows(3);
    let scorer = Scorer::new(model_for(&rows), &layout).unwrap();
    let mut request = scorer.new_request();
    request.fill(&rows).unwrap();
    (scorer, request)
}

fn slot(request: &Request, name: &str) -> omomi::FieldSlot {
    request.layout().schema().slot(name).unwrap()
}

/// Writes a word of a row without going through the API.
fn write_slot(request: &mut Request, candidate: usize, name: &str, word: u64) {
    let offsets = request.layout().offsets();
    let at =
        offsets.candidates_offset + candidate * offsets.candidate_stride_bytes + 16 + slot(request, name).index() * 8;
    // SAFETY: the address is inside the block that the request owns, at a multiple of 8.
    unsafe { request.block_address().add(at).cast::<u64>().write(word) };
}

#[test]
fn a_bad_candidate_affects_only_itself() {
    let far = u64::from(u32::MAX);
    for (name, word, problem) in [
        ("title", far, RowProblem::OutsideTail),
        ("title", far << 32, RowProblem::OutsideTail),
        ("title", u64::MAX, RowProblem::OutsideTail),
        ("tag", 4 | 1 << 32, RowProblem::OutsideTail),
        ("tag", 20_000 << 32, RowProblem::TooManyValues),
        ("tag", 1_000 << 32, RowProblem::OutsideTail),
    ] {
        let (scorer, mut request) = scorer_and_request();
        scorer.predict(&mut request, 3).unwrap();
        let before: Vec<_> = request.answers(3).collect();
        write_slot(&mut request, 1, name, word);
        scorer.predict(&mut request, 3).unwrap();
        let answer = request.answer(1);
        assert_eq!(answer.status, CandidateStatus::Refused(problem), "{name} {word:#x}");
        assert!(answer.probability.is_nan() && answer.logit.is_nan());
        assert_eq!((request.answer(0), request.answer(2)), (before[0], before[2]));
        assert_eq!((request.counts().scored_count, request.counts().refused_count), (2, 1));
        assert_eq!(scorer.explain(&mut request, 1).unwrap_err().code(), Code::InvalidArgument);
    }
}

#[test]
fn one_bad_byte_in_a_text_affects_only_its_candidate() {
    let (scorer, mut request) = scorer_and_request();
    let title = slot(&request, "title");
    request.candidate(1).unwrap().set_text(title, "broken: ab").unwrap();
    let offsets = request.layout().offsets();
    // SAFETY: reads and writes inside the block that the request owns.
    unsafe {
        let block = request.block_address();
        let row = offsets.candidates_offset + offsets.candidate_stride_bytes + 16 + title.index() * 8;
        let text_offset = block.add(row).cast::<u32>().read() as usize;
        block.add(offsets.tail_offset + text_offset).write(0xff);
    }
    scorer.predict(&mut request, 3).unwrap();
    assert_eq!(request.answer(1).status, CandidateStatus::Refused(RowProblem::NotUtf8));
    assert_eq!(request.counts().scored_count, 2);
}

#[test]
fn a_malformed_context_fails_the_call_and_leaves_no_answer_of_the_call_before() {
    let (scorer, mut request) = scorer_and_request();
    scorer.predict(&mut request, 3).unwrap();
    assert_eq!(request.answer(0).status, CandidateStatus::Scored);
    let at = request.layout().offsets().context_offset + 16 + slot(&request, "region").index() * 8;
    // SAFETY: inside the block that the request owns.
    unsafe { request.block_address().add(at).cast::<u64>().write(u64::MAX) };
    let error = scorer.predict(&mut request, 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the context is malformed in field `region`: a text or list is outside the part of the tail that is in use"
    );
    assert_eq!(request.answer(0).status, CandidateStatus::NotComputed);
    assert!(request.answer(0).probability.is_nan() && request.answer(0).logit.is_nan());
    assert_eq!((request.answered_count(), request.generation(), request.counts().scored_count), (0, 0, 0));
}

#[test]
fn misuse_of_the_call_is_an_error() {
    let (scorer, mut request) = scorer_and_request();
    assert_eq!(scorer.predict(&mut request, 21).unwrap_err().code(), Code::TooManyCandidates);
    let block = request.block_address();
    // SAFETY: null and misaligned addresses are rejected before they are read.
    unsafe {
        assert_eq!(scorer.predict_block(std::ptr::null_mut(), 1, None).unwrap_err().code(), Code::NullArgument);
        assert_eq!(scorer.predict_block(block.wrapping_add(1), 1, None).unwrap_err().code(), Code::Misaligned);
        block.cast::<u32>().write(9);
        assert_eq!(scorer.predict_block(block, 1, None).unwrap_err().code(), Code::InvalidArgument);
        block.cast::<u32>().write(1);
        block.cast::<u32>().add(1).write(u32::MAX);
        assert_eq!(scorer.predict_block(block, 1, None).unwrap_err().code(), Code::TailFull);
    }
    let mut other = Request::new(
        &RequestLayout::new(&Schema::of_contract(&contract()), Capacity { candidates: 1, tail_len_bytes: 0 }).unwrap(),
    );
    assert_eq!(scorer.predict(&mut other, 1).unwrap_err().code(), Code::InvalidArgument);
    scorer.predict(&mut scorer.new_request(), 0).unwrap();
}

#[test]
fn setters_reject_wrong_values_and_keep_the_last_of_two_values() {
    let (scorer, mut request) = scorer_and_request();
    let (creative_id, title, tag) = (slot(&request, "creative_id"), slot(&request, "title"), slot(&request, "tag"));
    let (region, age) = (slot(&request, "region"), slot(&request, "age_seconds"));
    request.clear();
    assert_eq!(request.candidate(20).unwrap_err().code(), Code::TooManyCandidates);
    {
        let mut row = request.candidate(0).unwrap();
        assert_eq!(row.set_id(title, 1).unwrap_err().code(), Code::WrongFieldUse);
        assert_eq!(row.set_id(tag, 1).unwrap_err().code(), Code::WrongFieldUse);
        assert_eq!(row.set_text(region, "x").unwrap_err().code(), Code::WrongFieldUse);
        assert_eq!(row.set_ids(tag, &[0; 20_000]).unwrap_err().code(), Code::TooManyValues);
        assert_eq!(row.set_text(title, &"x".repeat(70_000)).unwrap_err().code(), Code::TailFull);
        row.set_id(creative_id, 0).unwrap();
        row.set_id(creative_id, 1).unwrap();
        row.set_number(age, f64::NAN).unwrap();
    }
    request.candidate(1).unwrap().set_id(creative_id, 1).unwrap();
    scorer.predict(&mut request, 2).unwrap();
    assert_eq!(request.answer(0), request.answer(1));
    assert_eq!(request.counts().invalid_number_count, 1);
}

#[test]
fn only_candidates_that_were_filled_since_the_request_was_cleared_have_a_probability() {
    // 490 empty rows were once scored at 0.1457 each, or the rows of the request before.
    let (scorer, mut request) = scorer_and_request();
    let rows = full_rows(3);
    request.fill(&full_rows(20)).unwrap();
    scorer.predict_filled(&mut request).unwrap();
    assert_eq!((request.answered_count(), request.counts().scored_count), (20, 20));

    request.fill(&rows).unwrap();
    assert_eq!((request.filled_count(), request.answered_count()), (3, 0), "clearing forgets the answers");
    for run in [Scorer::predict, Scorer::predict_plain] {
        run(&scorer, &mut request, 20).unwrap();
        assert!(request.answers(3).all(|answer| answer.status == CandidateStatus::Scored));
        for answer in request.answers(20).skip(3) {
            assert_eq!(answer.status, CandidateStatus::Refused(RowProblem::NotFilled));
            assert!(answer.probability.is_nan() && answer.logit.is_nan());
        }
        assert_eq!((request.counts().scored_count, request.counts().refused_count), (3, 17));
        run(&scorer, &mut request, omomi::score::ALL_FILLED).unwrap();
        assert_eq!((request.answered_count(), request.counts().refused_count), (3, 0));
        assert_eq!(request.answer(3).status, CandidateStatus::NotComputed);
    }
    assert_eq!(scorer.explain(&mut request, 7).unwrap_err().code(), Code::InvalidArgument);
    request.clear();
    scorer.predict_filled(&mut request).unwrap();
    assert_eq!((request.answered_count(), request.generation()), (0, 7));
}

#[test]
fn a_candidate_that_was_skipped_is_a_gap_until_it_is_filled() {
    let (scorer, mut request) = scorer_and_request();
    let (creative_id, rows) = (slot(&request, "creative_id"), full_rows(5));
    let fill_like = |request: &mut Request, order: &[usize]| {
        request.fill(&rows).unwrap();
        request.clear();
        request.context().set_all(&rows.context).unwrap();
        for &index in order {
            request.candidate(index).unwrap().set_all(&rows.candidates[index]).unwrap();
        }
    };
    let mut expected = request.clone();
    expected.fill(&rows).unwrap();
    scorer.predict(&mut expected, 5).unwrap();
    fill_like(&mut request, &[3, 1]);
    for run in [Scorer::predict, Scorer::predict_plain] {
        run(&scorer, &mut request, omomi::score::ALL_FILLED).unwrap();
        let statuses: Vec<_> = request.answers(4).map(|answer| answer.status).collect();
        let gap = CandidateStatus::Refused(RowProblem::NotFilled);
        assert_eq!(statuses, [gap, CandidateStatus::Scored, gap, CandidateStatus::Scored]);
        assert_eq!([request.answer(1), request.answer(3)], [expected.answer(1), expected.answer(3)]);
        assert_eq!((request.counts().scored_count, request.counts().refused_count), (2, 2));
    }
    fill_like(&mut request, &[4, 0, 3, 1, 2]);
    scorer.predict_filled(&mut request).unwrap();
    assert!(request.answers(5).eq(expected.answers(5)), "the order of filling does not matter");

    // A candidate without a single field is filled all the same: its fields are missing.
    request.clear();
    request.candidate(1).unwrap();
    scorer.predict_filled(&mut request).unwrap();
    assert_eq!(request.answer(1).status, CandidateStatus::Scored);
    // A row is kept until it is cleared.
    request.candidate(1).unwrap().set_id(creative_id, 1).unwrap();
    scorer.predict_filled(&mut request).unwrap();
    let with_id = request.answer(1);
    request.candidate(1).unwrap();
    scorer.predict_filled(&mut request).unwrap();
    assert_eq!(request.answer(1), with_id);
    let missing_before = request.counts().missing_count;
    request.candidate(1).unwrap().clear();
    scorer.predict_filled(&mut request).unwrap();
    assert_eq!(request.counts().missing_count, missing_before + 1);
}

#[test]
fn slots_of_another_schema_are_refused_and_those_of_an_equal_one_fit() {
    let (_, mut request) = scorer_and_request();
    let other = Schema::new(vec![SchemaField::id("creative_id", Side::Candidate)]).unwrap();
    let foreign = other.slot("creative_id").unwrap();
    let error = request.candidate(0).unwrap().set_id(foreign, 1).unwrap_err();
    assert!(error.code() == Code::WrongFieldUse && error.to_string().contains("another schema"), "{error}");
    let own = slot(&request, "creative_id");
    let error = request.context().set_id(own, 1).unwrap_err();
    assert!(error.to_string().contains("a field of the other side"), "{error}");
    let equal = Schema::of_contract(&contract()).slot("creative_id").unwrap();
    request.candidate(0).unwrap().set_id(equal, 1).unwrap();
}

#[test]
fn setting_a_text_or_a_list_again_reuses_the_tail() {
    let (scorer, mut request) = scorer_and_request();
    let (title, tag, interest) = (slot(&request, "title"), slot(&request, "tag"), slot(&request, "interest"));
    let rows = full_rows(3);
    request.fill(&rows).unwrap();
    let used = |request: &mut Request| {
        // SAFETY: inside the block that the request owns.
        unsafe { request.block_address().cast::<u32>().add(1).read() }
    };
    let used_before = used(&mut request);
    // 64 kB of tail: 10,000 rounds of some 60 bytes filled it.
    for _ in 0..10_000 {
        request.context().set_all(&rows.context).unwrap();
        for (index, row) in rows.candidates.iter().enumerate() {
            request.candidate(index).unwrap().set_all(row).unwrap();
        }
    }
    assert_eq!(used(&mut request), used_before);
    let mut expected = request.clone();
    expected.fill(&rows).unwrap();
    for request in [&mut request, &mut expected] {
        scorer.predict_filled(request).unwrap();
    }
    assert!(request.answers(3).eq(expected.answers(3)));

    // A value that is not the last of the tail may also grow and shrink without end.
    for round in 0..10_000 {
        request.candidate(1).unwrap().set_text(title, &"x".repeat(round % 40)).unwrap();
        request.candidate(0).unwrap().set_ids(tag, &vec![1; round % 9]).unwrap();
        request.context().set_texts(interest, &vec!["a text"; round % 5]).unwrap();
    }
    assert!(used(&mut request) < used_before + 1_000, "{}", used(&mut request));
    request.context().set_all(&rows.context).unwrap();
    for (index, row) in rows.candidates.iter().enumerate() {
        request.candidate(index).unwrap().set_all(row).unwrap();
    }
    scorer.predict_filled(&mut request).unwrap();
    assert!(request.answers(3).eq(expected.answers(3)));
    scorer.predict_plain(&mut request, 3).unwrap();
    assert!(request.answers(3).eq(expected.answers(3)));
    request.clear();
    for round in 0..100_000 {
        let len = round % 40;
        request.candidate(0).unwrap().set_text(title, &"x".repeat(len)).unwrap();
    }
    request.clear();
    for round in 0..10_000 {
        request.candidate(0).unwrap().set_ids(tag, &vec![1; round % 9]).unwrap();
    }
    request.clear();
    for round in 0..10_000 {
        request.context().set_texts(interest, &vec!["a text"; round % 5]).unwrap();
    }
    let full = "x".repeat(70_000);
    let used_before = used(&mut request);
    assert_eq!(request.candidate(0).unwrap().set_text(title, &full).unwrap_err().code(), Code::TailFull);
    let texts = ["a", full.as_str()];
    assert_eq!(request.context().set_texts(interest, &texts).unwrap_err().code(), Code::TailFull);
    assert_eq!(used(&mut request), used_before, "a setter that fails takes nothing");
}

#[test]
fn two_threads_on_one_scorer_get_an_error_or_the_right_answer() {
    let (scorer, request) = scorer_and_request();
    let expected: Vec<_> = {
        let mut request = request.clone();
        scorer.predict(&mut request, 3).unwrap();
        request.answers(3).collect()
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut request = request.clone();
                for _ in 0..2_000 {
                    match scorer.predict(&mut request, 3) {
                        Ok(()) => assert!(request.answers(3).eq(expected.iter().copied())),
                        Err(Error::ScorerBusy) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let mut request = request.clone();
    scorer.predict(&mut request, 3).unwrap();
}

#[test]
fn scorers_keep_a_dropped_model_alive() {
    let (scorer, mut request) = scorer_and_request();
    let weak = Arc::downgrade(scorer.model());
    scorer.predict(&mut request, 3).unwrap();
    drop(scorer);
    assert!(weak.upgrade().is_none());
}

#[test]
fn an_invalid_schema_is_rejected() {
    let id = |name: &str| SchemaField::id(name, Side::Context);
    for (fields, expected) in [
        (vec![id("a"), id("a")], "the schema is not valid: the field `a` is declared twice"),
        (vec![id("")], "the schema is not valid: a field has no name"),
        (
            vec![SchemaField::number("n", Side::Context, "s", [1.0, 1.0])],
            "the schema is not valid: the range of field `n` must be two finite numbers, the smaller first, found [1.0, 1.0]",
        ),
        (
            vec![SchemaField::number("n", Side::Context, "s", [0.0, 1.0]).many()],
            "the schema is not valid: the number field `n` cannot be `many`",
        ),
    ] {
        assert_eq!(Schema::new(fields).unwrap_err().to_string(), expected);
    }
    let many: Vec<_> = (0..65).map(|index| id(&format!("f{index}"))).collect();
    assert_eq!(
        Schema::new(many).unwrap_err().to_string(),
        "the schema is not valid: more than 64 context fields are declared"
    );
}
