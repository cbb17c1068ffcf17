#![doc = include_str!("FORMAT.md")]

mod checksum;
#[cfg(feature = "train")]
mod draft;
pub mod golden;
mod header;
pub mod layout;
pub mod map;
mod reader;
pub mod signature;
#[cfg(feature = "train")]
pub mod signing;
pub mod source;
pub mod table;
#[cfg(feature = "train")]
pub mod writer;

pub use header::{Header, Section};
pub use reader::{Calibrator, Content, WeightFile};
