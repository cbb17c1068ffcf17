//! Logs of every format, as the trainer sees them, and how the reader refuses what it cannot read.

mod extra_columns;
mod formats;
mod importance;
mod parquet_types;
mod parts;
mod refusals;
mod rows;
