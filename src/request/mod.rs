//! A request: the fields that a server declares, the memory block that carries their values, and rows outside a block.

pub mod layout;
mod rows;
mod schema;

pub use layout::{
    CandidateStatus, Candidates, Capacity, MAX_CANDIDATES, MAX_MODELS, MAX_TAIL_LEN_BYTES, MAX_VALUES_PER_FIELD,
    Offsets, RequestLayout,
};
pub(crate) use rows::row_from_text;
pub use rows::{FieldValue, RequestRows, Row, row_from_json, row_tail_len_bytes, row_to_json};
pub use schema::{FieldSlot, Schema, SchemaField, SchemaKind};
pub(crate) use schema::{RowType, ValueType, check_texts};
