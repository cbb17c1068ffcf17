//! Click-through-rate scoring without a weight on the JVM heap.

pub mod contract;
pub mod error;
pub mod feature;
mod jni;
#[cfg(feature = "train")]
pub mod log_reader;
pub mod math;
pub mod schema;
pub mod score;
pub mod value;
pub mod weight_file;
pub use error::{Code, Error, Owner, RowProblem};
pub use schema::{CandidateStatus, Capacity, FieldSlot, RequestLayout, Schema, SchemaField, SchemaKind};
pub use score::{Answer, Counts, Explanation, Model, Request, Scorer};
pub use weight_file::map::LoadMode;
