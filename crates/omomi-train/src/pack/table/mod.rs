//! Builds the table of a weight file: rounds weights to an encoding, and places each key in one of its two lines.

mod build;
mod encode;

pub use build::{BuildOptions, BuiltTable, TableFull, build, build_with, bytes_per_weight};
pub(super) use build::{fill, geometries, scales_section};
pub use encode::{EncodeError, EncodedWeights, Entry, Rounding, popularity_of};

#[cfg(test)]
mod tests;
