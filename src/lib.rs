//! Click-through-rate scoring without a weight on the JVM heap.

pub mod contract;
pub mod error;
#[cfg(feature = "train")]
pub mod evaluate;
pub mod feature;
#[cfg(feature = "train")]
pub mod generate_log;
#[cfg(feature = "train")]
pub mod log_reader;
pub mod math;
#[cfg(feature = "train")]
mod new_file;
pub mod schema;
#[cfg(feature = "train")]
pub mod train;
pub use error::{Code, Error, Owner, RowProblem};
pub use schema::{CandidateStatus, Capacity, FieldSlot, RequestLayout, Schema, SchemaField, SchemaKind};
