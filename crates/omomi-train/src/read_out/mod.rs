//! Reads experiments out of joined logs, and judges a weight file by logs with propensities.
//!
//! ```text
//!     joined logs --rows--> sums of each unit --moments of each arm--> estimates, differences, intervals
//!                              |
//!                              +--numbers of units--> sample-ratio test, which blocks the read-out
//!
//!     details of requests, propensities --the file's choice--> IPS, SNIPS, doubly robust
//! ```
//!
//! The formulas, with their sources, are in `docs/experiments.md`.
//!
//! # Limits
//!
//! Memory grows with the number of units: about 115 bytes each ([`ReadOut::bytes_per_unit`]), and as much again
//! for each value of a slice that a unit has. Each interval holds by itself: with many metrics or arms, some will miss.

mod blocks;
mod comparison;
mod counterfactual;
#[cfg(test)]
mod coverage_tests;
mod error;
mod fit;
mod interval;
mod metric;
mod moments;
mod plan;
mod result;
mod rows;
mod run;
mod sample_ratio;
mod survey;
mod units;

pub use counterfactual::{
    Counterfactual, CounterfactualOptions, ExplorationNeed, JudgedFile, MethodEstimate, Reward, TargetPolicy,
    counterfactual,
};
pub use error::ReadOutError;
pub use interval::{Estimate, Validity};
pub use metric::Metric;
pub use plan::{Baseline, Plan, PlanOptions, plan};
pub use result::{
    ArmDifference, ArmUnits, Block, BlockKind, Look, LookMetric, MetricReadOut, ReadOut, SharesFrom, SliceDifference,
    SliceReadOut,
};
pub use rows::Revenue;
pub use run::{ReadOutOptions, read_out};
pub use sample_ratio::{SAMPLE_RATIO_ALPHA, SampleRatio};
