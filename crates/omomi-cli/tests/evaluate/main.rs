//! Tests evaluating, judging and explaining weight files on the command line, from logs to the published file.

mod dialect;
mod explain;
mod figures;
mod gate;
mod history;
mod hold_out;
mod importance;
mod world;

#[path = "../../../../tests/damage/sealing.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod sealing;
