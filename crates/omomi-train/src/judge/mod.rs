//! Judges weight files: how good their predictions are, why they are what they are, and whether a file may be
//! published.

pub mod drift;
pub mod explain;
pub mod gate;
pub mod history;
pub mod power;
pub mod report;
