//! Click-through-rate scoring without a weight on the JVM heap.

pub mod contract;
pub mod feature;
#[cfg(feature = "train")]
pub mod log_reader;
