//! Evaluating, judging and explaining weight files, from logs to what is published, as a user walks it.

mod explain;
mod figures;
mod gate;
mod world;

#[path = "../../../../tests/damage/sealing.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod sealing;
