//! Runs job flows: state machines in a subset of Amazon States Language, whose tasks are commands.
//!
//! ```text
//!     flow.asl.json --definition--> state machine        (all faults at once, before the first step)
//!                                        |
//!                  inputs: ended, time --+--> execution --> events   --> history.jsonl --> status, page
//!                                                       --> commands --> processes
//! ```
//!
//! Step Functions runs the same file, with containers. [`execution`] decides what happens next, and is pure. [`run`]
//! has the processes, clocks and files.

mod choice;
pub mod definition;
pub mod execution;
pub mod figures;
pub mod history;
mod intrinsic;
pub mod page;
mod path;
mod payload;
pub mod run;
pub mod status;
pub mod task;

pub use payload::Failure;
