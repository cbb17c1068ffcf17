//! Tests of the log reader: it reads every format, and rejects what it cannot read.

mod csv_python;
mod csv_strict;
mod extra_columns;
mod files;
mod formats;
mod hold_out;
mod hostile_parquet;
mod importance;
mod keys;
#[path = "../../../../tests/hostile/memory.rs"]
mod memory;
mod notations;
mod parquet_types;
mod parts;
mod pyarrow;
mod refusals;
mod rows;
mod same_categories;
mod time_python;
mod vowpal_wabbit;
