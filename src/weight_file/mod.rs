#![doc = include_str!("FORMAT.md")]

#[doc(hidden)]
mod available_memory;
pub mod checksum;
pub mod golden;
#[doc(hidden)]
pub mod header;
pub mod layout;
pub(crate) mod load_mode;
pub mod map;
mod reader;
pub mod signature;
pub mod source;
pub mod table;

pub use header::{Header, Section};
#[doc(hidden)]
pub use reader::is_logic_id;
pub use reader::{Calibrator, Content, DefaultWeights, WeightFile};
