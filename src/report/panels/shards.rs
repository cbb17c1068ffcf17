//! The plot of an average.

use super::{Absent, Panel};
use crate::report::ReportError;

/// How far the shards lie apart.
pub(in crate::report) fn shard_spread() -> Result<Panel, ReportError> {
    let title = "Spread of the shards";
    Ok(Panel::Absent(Absent { title, how: "--merged MERGED.parquet" }))
}
