//! Ad logs, read as a stream of checked batches.

mod batch;

pub use batch::{Categories, FieldColumn, RowBatch};
