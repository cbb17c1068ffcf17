//! With a time limit, candidates that are not reached are late, and no candidate is half scored.

use std::time::Duration;

use omomi::{CandidateStatus, Instructions};

use crate::small_model::{full_rows, model_for};

const COUNT: usize = 3_000;

#[test]
fn candidates_are_scored_in_order_and_the_rest_are_late() {
    let rows = full_rows(i64::try_from(COUNT).unwrap());
    let (scorer, mut request) = model_for(&rows).scorer_for(&rows, Instructions::detect()).unwrap();
    request.fill(&rows).unwrap();
    scorer.predict(&mut request, COUNT).unwrap();
    let expected: Vec<_> = request.answers(COUNT).collect();
    // Where scoring stops depends on the machine, but the state after it does not.
    for budget_us in [0, 1, 20, 100, 500, 1_000_000_000] {
        request.fill(&rows).unwrap();
        scorer.predict_within(&mut request, COUNT, Some(Duration::from_micros(budget_us))).unwrap();
        let counts = request.counts();
        let scored_count = counts.scored_count as usize;
        assert_eq!(scored_count + counts.late_count as usize, COUNT);
        assert!(budget_us != 0 || scored_count == 0);
        assert!(budget_us != 1_000_000_000 || scored_count == COUNT);
        for (index, expected) in expected.iter().enumerate() {
            let answer = request.answer(index);
            if index < scored_count {
                assert_eq!(answer, *expected, "candidate {index}");
            } else {
                assert_eq!(answer.status, CandidateStatus::Late);
                assert!(answer.logit.is_nan() && answer.probability.is_nan());
            }
        }
    }
}
