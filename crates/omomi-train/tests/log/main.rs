//! Tests of the log reader: it reads every format, and rejects what it cannot read.

mod extra_columns;
mod formats;
mod importance;
mod parquet_types;
mod parts;
mod refusals;
mod rows;
