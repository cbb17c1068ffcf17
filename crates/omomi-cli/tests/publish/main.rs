//! What people do to a store, and what must not happen to it meanwhile: a publisher that dies, a disk that is full, a file that is not
//! what it should be, a reader that looks at any moment.

mod blessing;
mod command_line;
mod control;
mod disk_full;
mod fixture;
mod kill;
mod limits;
mod readers;
mod refusals;
#[path = "../../../../tests/damage/sealing.rs"]
#[allow(dead_code, reason = "shared with the tests of damage, which use more of it")]
mod sealing;
mod signature;
mod status;
