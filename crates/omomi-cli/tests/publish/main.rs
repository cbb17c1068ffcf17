//! Tests changes to a store under bad conditions: a publisher that dies, a full disk, a bad file, a reader that looks
//! at any moment.

mod blessing;
mod command_line;
mod control;
mod disk_full;
mod fixture;
mod gc;
mod hostile;
mod kill;
mod limits;
mod readers;
mod refusals;
#[path = "../../../../tests/damage/sealing.rs"]
#[allow(dead_code, reason = "shared with the tests of damage, which use more of it")]
mod sealing;
mod signature;
mod status;
