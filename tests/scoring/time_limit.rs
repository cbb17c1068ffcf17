//! A time limit: what is not reached is late, and nothing is half done.

use std::time::Duration;

use omomi::{CandidateStatus, Instructions};

use crate::small_model::{full_rows, model_for};

const COUNT: usize = 3_000;

#[test]
fn candidates_are_scored_from_the_first_on_or_late_and_nothing_between() {
    let rows = full_rows(i64::try_from(COUNT).unwrap());
    let (scorer, mut request) = model_for(&rows).scorer_for(&rows, Instructions::detect()).unwrap();
    request.fill(&rows).unwrap();
    scorer.predict(&mut request, COUNT).unwrap();
    let expected: Vec<_> = request.answers(COUNT).collect();
    // Where it stops depends on the machine; what it leaves behind does not.
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
