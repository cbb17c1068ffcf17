//! Evaluating, judging and explaining weight files, from logs to what is published, as a user walks it.
#![cfg(feature = "train")]

mod explain;
mod figures;
mod gate;
mod world;

#[path = "../damage/sealing.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod sealing;
