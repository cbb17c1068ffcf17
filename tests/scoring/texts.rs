//! Texts passed by their bytes give the same answers as texts passed by their values, which are the values of training.

use omomi::feature::{feature_key, field_seed, text_value};
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::{CandidateStatus, Instructions, Request, RowProblem, Scorer};

use crate::small_model::model_for;

/// Texts of every length up to 150 bytes, in ASCII only and with other characters too.
fn texts() -> Vec<String> {
    let of_len = |len: u8| (0..len).map(|place| char::from(b' ' + (place ^ len) % 95)).collect::<String>();
    let ascii = (0..=150).map(of_len);
    let mixed = (0..=147).map(|len| of_len(len) + "旅");
    ascii.chain(mixed).collect()
}

/// Returns candidates with these titles.
fn rows_of(texts: &[String]) -> RequestRows {
    let row = |text: &String| Row::from([("title".to_owned(), FieldValue::Text(text.clone()))]);
    RequestRows { context: Row::new(), candidates: texts.iter().map(row).collect() }
}

fn scorer_and_request(texts: &[String], instructions: Instructions) -> (Scorer, Request) {
    let rows = rows_of(texts);
    let (scorer, mut request) = model_for(&rows).scorer_for(&rows, instructions).unwrap();
    request.fill(&rows).unwrap();
    (scorer, request)
}

#[test]
fn a_text_of_any_length_has_the_key_that_training_gives_it() {
    let texts = texts();
    let (scorer, mut request) = scorer_and_request(&texts, Instructions::detect());
    for (index, text) in texts.iter().enumerate() {
        let explanation = scorer.explain(&mut request, index).unwrap();
        let title = explanation.contributions.iter().find(|contribution| contribution.field == "title").unwrap();
        assert_eq!(title.key, feature_key(field_seed("title"), text_value(text.as_bytes())), "{text}");
    }
}

#[test]
fn lists_of_texts_by_their_bytes_and_by_their_values_get_the_same_bits() {
    let rows = crate::small_model::full_rows(3);
    let Some(FieldValue::Texts(interests)) = rows.context.get("interest") else { panic!("{rows:?}") };
    let values: Vec<u64> = interests.iter().map(|text| text_value(text.as_bytes())).collect();
    for instructions in Instructions::all() {
        let (scorer, mut request) = model_for(&rows).scorer_for(&rows, instructions).unwrap();
        let interest = request.layout().schema().slot("interest").unwrap();
        request.fill(&rows).unwrap();
        scorer.predict(&mut request, 3).unwrap();
        let bits =
            |request: &Request| -> Vec<u64> { request.answers(3).map(|answer| answer.logit.to_bits()).collect() };
        let by_bytes = bits(&request);
        // In place of texts, then in place of values, and of fewer.
        for values in [&values[..], &values[..1], &values[..]] {
            request.context().set_text_values(interest, values).unwrap();
            scorer.predict(&mut request, 3).unwrap();
        }
        assert_eq!(bits(&request), by_bytes, "{}", instructions.name());
        request.context().set_text_values(interest, &[]).unwrap();
        scorer.predict(&mut request, 3).unwrap();
        assert_ne!(bits(&request), by_bytes, "the texts have weights");
    }
    let (_, mut request) = scorer_and_request(&["a".to_owned()], Instructions::detect());
    let title = request.layout().schema().slot("title").unwrap();
    assert!(request.candidate(0).unwrap().set_text_values(title, &[1]).is_err(), "no list");
}

#[test]
fn texts_by_their_bytes_and_by_their_values_get_the_same_bits() {
    let texts = texts();
    for instructions in Instructions::all() {
        let (scorer, mut by_bytes) = scorer_and_request(&texts, instructions);
        scorer.predict(&mut by_bytes, texts.len()).unwrap();
        let mut by_values = scorer.new_request();
        let title = by_values.layout().schema().slot("title").unwrap();
        for (index, text) in texts.iter().enumerate() {
            by_values.candidate(index).unwrap().set_text_value(title, text_value(text.as_bytes())).unwrap();
        }
        scorer.predict(&mut by_values, texts.len()).unwrap();
        let bits = |request: &Request| request.answers(texts.len()).map(|answer| answer.logit.to_bits()).collect();
        let (by_bytes, by_values): (Vec<u64>, Vec<u64>) = (bits(&by_bytes), bits(&by_values));
        assert_eq!(by_bytes, by_values, "{}", instructions.name());
        assert!(by_bytes.iter().any(|&logit| logit != by_bytes[0]), "some of the texts have a weight");
    }
}

#[test]
fn a_text_that_cannot_be_read_affects_only_its_candidate_at_any_place_in_a_column() {
    let texts = texts();
    let (scorer, mut request) = scorer_and_request(&texts, Instructions::detect());
    scorer.predict(&mut request, texts.len()).unwrap();
    let before: Vec<_> = request.answers(texts.len()).collect();
    let offsets = request.layout().offsets();
    let title = request.layout().schema().slot("title").unwrap();
    for index in (1..texts.len()).step_by(13) {
        let slot = offsets.candidates_offset + index * offsets.candidate_stride_bytes + 16 + title.index() * 8;
        // SAFETY: the addresses are inside the block that the request owns, at multiples of their sizes.
        let first_byte = unsafe {
            let block = request.block_address();
            block.add(offsets.tail_offset + block.add(slot).cast::<u32>().read() as usize)
        };
        // SAFETY: the address is that of the first byte of a text that is not empty.
        let good = unsafe { first_byte.replace(0xff) };
        scorer.predict(&mut request, texts.len()).unwrap();
        // SAFETY: as above.
        unsafe { first_byte.write(good) };
        for (place, (answer, before)) in request.answers(texts.len()).zip(&before).enumerate() {
            if place == index {
                assert_eq!(answer.status, CandidateStatus::Refused(RowProblem::NotUtf8));
            } else {
                assert_eq!(answer, *before);
            }
        }
    }
}
