//! Click-through-rate scoring without a weight on the JVM heap.

pub mod contract;
#[cfg(feature = "train")]
pub mod evaluate;
pub mod feature;
#[cfg(feature = "train")]
pub mod log_reader;
#[cfg(feature = "train")]
mod new_file;
#[cfg(feature = "train")]
pub mod train;
