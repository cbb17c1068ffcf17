//! The fields that a server declares, by index: what counts per field are kept under.

use std::collections::HashMap;
use std::sync::Arc;

use crate::contract::{MAX_FIELDS_PER_SIDE, Side};
use crate::request::Schema;

/// Maximum number of fields of a schema.
pub(super) const MAX_FIELDS: usize = 2 * MAX_FIELDS_PER_SIDE;

/// The fields that a server declares: context fields first, then candidate fields.
#[derive(Debug)]
pub(super) struct FieldNames {
    names: Vec<Arc<str>>,
    indices: HashMap<Arc<str>, usize>,
}

impl FieldNames {
    pub(super) fn of(schema: &Schema) -> Self {
        let sides = [Side::Context, Side::Candidate].into_iter();
        let fields = sides.flat_map(|side| schema.fields(side)).map(|field| Arc::from(field.name.as_str()));
        let names: Vec<Arc<str>> = fields.collect();
        let indices = names.iter().enumerate().map(|(index, name)| (Arc::clone(name), index)).collect();
        Self { names, indices }
    }

    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.indices.get(name).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}
