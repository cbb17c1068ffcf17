//! Tests of the log reader: it reads every format, and rejects what it cannot read.

mod extra_columns;
mod formats;
mod importance;
mod notations;
mod parquet_types;
mod parts;
mod refusals;
mod rows;
