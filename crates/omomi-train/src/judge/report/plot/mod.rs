//! The plots, each from plain series to an SVG whose colours are the page's.

mod axis;
mod calibration;
mod canvas;
mod entropy_by_hour;
mod field_sizes;
mod file_sizes;
mod frame;
mod reliability;
mod shard_spread;
mod size_curve;
mod weight_changes;

pub(super) use calibration::{Ratio, RatioRow, calibration};
pub(super) use canvas::PlotError;
pub(super) use entropy_by_hour::{HourPoint, entropy_by_hour};
pub(super) use field_sizes::{FieldSize, FieldSizeRow, field_sizes};
pub(super) use file_sizes::{FileSize, FileSizes, file_sizes};
pub(super) use reliability::{ReliabilityBin, reliability};
pub(super) use shard_spread::{SpreadRow, shard_spread};
pub(super) use size_curve::{SizeCurve, SizePoint, SizeSeries, size_curve};
pub(super) use weight_changes::{WeightChange, weight_changes};
