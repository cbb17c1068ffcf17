//! A contract bound to a schema: where each field of the model lies in the server's rows.

use std::sync::Arc;

use crate::contract::{Buckets, Contract, Field, FieldKind, Side};
use crate::error::Error;
use crate::feature::field_seed;
use crate::schema::{Schema, SchemaField, SchemaKind};

/// What a scorer does for a request, in contract order.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) context: Vec<PlannedField>,
    pub(super) candidate: Vec<PlannedField>,
    pub(super) context_crosses: Vec<PlannedCross>,
    pub(super) candidate_crosses: Vec<PlannedCross>,
    pub(super) mixed_crosses: Vec<PlannedCross>,
}

/// A field that the model reads.
#[derive(Debug, Clone)]
pub(super) struct PlannedField {
    /// Shared, so that an error on the request path can carry it without allocating.
    pub(super) name: Arc<str>,
    /// Its index in the contract, which its weights' scale goes by.
    pub(super) group: usize,
    pub(super) seed: u64,
    /// Index of its slot in the server's row.
    pub(super) slot: usize,
    pub(super) reading: Reading,
    pub(super) many: bool,
}

/// How a slot becomes a value.
#[derive(Debug, Clone)]
pub(super) enum Reading {
    Id,
    Text,
    Number { range: [f64; 2], buckets: Buckets },
}

/// A cross that the model reads.
#[derive(Debug, Clone)]
pub(super) struct PlannedCross {
    pub(super) name: String,
    /// Its index in the contract behind all fields, which its weights' scale goes by.
    pub(super) group: usize,
    pub(super) seed: u64,
    pub(super) members: Vec<Member>,
}

/// A member of a cross: the index of its field in [`Plan::context`] or [`Plan::candidate`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) side: Side,
    pub(super) index: usize,
}

impl Plan {
    pub(super) fn bind(contract: &Contract, schema: &Schema) -> Result<Self, Error> {
        let mut plan = Self {
            context: Vec::new(),
            candidate: Vec::new(),
            context_crosses: Vec::new(),
            candidate_crosses: Vec::new(),
            mixed_crosses: Vec::new(),
        };
        let mut members = Vec::new();
        for (group, field) in contract.fields().iter().enumerate() {
            let planned = bind_field(field, group, schema)?;
            let fields = match field.side {
                Side::Context => &mut plan.context,
                Side::Candidate => &mut plan.candidate,
            };
            members.push(Member { side: field.side, index: fields.len() });
            fields.push(planned);
        }
        for (group, cross) in (contract.fields().len()..).zip(contract.crosses()) {
            let name = contract.cross_name(cross);
            let seed = field_seed(&name);
            let members = cross.members.iter().map(|&member| members[member]).collect();
            let crosses = match contract.cross_side(cross) {
                Some(Side::Context) => &mut plan.context_crosses,
                Some(Side::Candidate) => &mut plan.candidate_crosses,
                None => &mut plan.mixed_crosses,
            };
            crosses.push(PlannedCross { name, group, seed, members });
        }
        Ok(plan)
    }

    pub(super) fn field(&self, member: Member) -> &PlannedField {
        match member.side {
            Side::Context => &self.context[member.index],
            Side::Candidate => &self.candidate[member.index],
        }
    }
}

fn bind_field(field: &Field, group: usize, schema: &Schema) -> Result<PlannedField, Error> {
    let Some(slot) = schema.slot(&field.name) else {
        return Err(Error::FieldMissing {
            field: field.name.clone(),
            side: field.side.word(),
            kind: format!("{}{}", if field.many { "many " } else { "" }, field.kind.word()),
        });
    };
    let declared = &schema.fields(slot.side)[slot.index];
    for (aspect, expected, found) in [
        ("side", field.side.word().to_owned(), slot.side.word().to_owned()),
        ("type", field.kind.word().to_owned(), kind_word(&declared.kind).to_owned()),
        ("many", field.many.to_string(), declared.many.to_string()),
        ("unit", contract_unit(field), schema_unit(declared)),
        ("range", contract_range(field), schema_range(declared)),
    ] {
        if expected != found {
            return Err(Error::FieldMismatch { field: field.name.clone(), aspect, expected, found });
        }
    }
    let reading = match &field.kind {
        FieldKind::Id => Reading::Id,
        FieldKind::Text => Reading::Text,
        FieldKind::Number { range, buckets, .. } => Reading::Number { range: *range, buckets: buckets.clone() },
    };
    Ok(PlannedField {
        name: Arc::from(field.name.as_str()),
        group,
        seed: field.seed(),
        slot: slot.index,
        reading,
        many: field.many,
    })
}

fn kind_word(kind: &SchemaKind) -> &'static str {
    match kind {
        SchemaKind::Id => "id",
        SchemaKind::Text => "text",
        SchemaKind::Number { .. } => "number",
    }
}

fn contract_unit(field: &Field) -> String {
    match &field.kind {
        FieldKind::Number { unit, .. } => unit.clone(),
        FieldKind::Id | FieldKind::Text => String::new(),
    }
}

fn schema_unit(field: &SchemaField) -> String {
    match &field.kind {
        SchemaKind::Number { unit, .. } => unit.clone(),
        SchemaKind::Id | SchemaKind::Text => String::new(),
    }
}

fn contract_range(field: &Field) -> String {
    match &field.kind {
        FieldKind::Number { range, .. } => format!("{range:?}"),
        FieldKind::Id | FieldKind::Text => String::new(),
    }
}

fn schema_range(field: &SchemaField) -> String {
    match &field.kind {
        SchemaKind::Number { range, .. } => format!("{range:?}"),
        SchemaKind::Id | SchemaKind::Text => String::new(),
    }
}
