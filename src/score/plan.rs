//! Binds contracts to a schema: finds each field of the models in the server's rows, and plans which feature keys are
//! made of them.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::contract::{Buckets, Contract, Field, FieldKind, Side};
use crate::error::Error;
use crate::feature::field_seed;
use crate::request::{Schema, SchemaField, SchemaKind};

/// The fields and crosses that the models of a scorer read. Each is listed once, even if several models read it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct KeyPlan {
    pub(super) context: Vec<PlannedField>,
    pub(super) candidate: Vec<PlannedField>,
    /// Crosses that have a candidate field among their members.
    pub(super) crosses: Vec<PlannedCross>,
    /// Crosses of context fields only.
    pub(super) context_crosses: Vec<PlannedCross>,
    /// For each candidate field: where its keys are stored.
    pub(super) field_columns: Vec<Column>,
    /// For each cross with a candidate field: the column of its keys, or nothing if a member is `many`.
    pub(super) cross_columns: Vec<Option<usize>>,
    /// Number of columns with one key per candidate: first those of fields, then those of crosses.
    pub(super) column_count: usize,
    /// Number of columns with any number of keys per candidate.
    pub(super) many_column_count: usize,
}

/// Where the keys of a candidate field are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// One key per candidate, in this single column.
    Single(usize),
    /// Any number of keys per candidate, in this `many` column.
    Many(usize),
}

/// The keys that one model uses, in contract order.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) context: Vec<Use>,
    pub(super) candidate: Vec<Use>,
    pub(super) context_crosses: Vec<Use>,
    pub(super) candidate_crosses: Vec<Use>,
    pub(super) mixed_crosses: Vec<Use>,
    /// Ranges of adjacent columns of candidate fields, which are looked up together.
    pub(super) field_runs: Vec<Range<usize>>,
    /// Ranges of adjacent columns of candidate crosses.
    pub(super) candidate_cross_runs: Vec<Range<usize>>,
    /// Ranges of adjacent columns of mixed crosses.
    pub(super) mixed_cross_runs: Vec<Range<usize>>,
}

/// The candidate fields whose keys mixed crosses need, with their columns. For the same contract in another scorer, it
/// names the same fields in the same order.
#[derive(Debug, Clone, Default)]
pub(super) struct Needed {
    pub(super) single_fields: Vec<usize>,
    pub(super) single_columns: Vec<usize>,
    pub(super) many_fields: Vec<usize>,
    pub(super) many_columns: Vec<usize>,
}

/// A field or cross that a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    /// Its index in the corresponding list of the [`KeyPlan`].
    pub(super) index: usize,
    /// Its index in the contract, fields first, then crosses. The scale of its weights has this index.
    pub(super) group: usize,
}

/// A field that some model reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlannedField {
    /// Shared, so that an error on the request path can contain it without allocating.
    pub(super) name: Arc<str>,
    pub(super) seed: u64,
    /// Index of its slot in the server's row.
    pub(super) slot: usize,
    pub(super) reading: Reading,
    pub(super) many: bool,
}

/// How a slot is converted to a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    Id,
    Text,
    Number { range: [f64; 2], buckets: Buckets },
}

/// A cross that some model reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlannedCross {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) members: Vec<Member>,
    /// Position of the `many` member, if there is one.
    pub(super) many: Option<usize>,
    /// Number of leading members that are context fields with one value each. The steps over them are equal for all
    /// candidates.
    pub(super) leading_count: usize,
}

/// A member of a cross: the index of its field in [`KeyPlan::context`] or [`KeyPlan::candidate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) side: Side,
    pub(super) index: usize,
}

impl KeyPlan {
    /// Binds each contract to the schema. Fields and crosses that contracts have in common are shared.
    pub(super) fn bind<'c>(
        contracts: impl Iterator<Item = &'c Contract>,
        schema: &Schema,
    ) -> Result<(Self, Vec<Plan>), Error> {
        let mut keys = Self::default();
        let mut plans = contracts.map(|contract| keys.add(contract, schema)).collect::<Result<Vec<_>, _>>()?;
        keys.lay_columns();
        for plan in &mut plans {
            let field_columns = plan.candidate.iter().map(|field| match keys.field_columns[field.index] {
                Column::Single(column) => Some(column),
                Column::Many(_) => None,
            });
            plan.field_runs = runs(field_columns);
            plan.candidate_cross_runs =
                runs(plan.candidate_crosses.iter().map(|cross| keys.cross_columns[cross.index]));
            plan.mixed_cross_runs = runs(plan.mixed_crosses.iter().map(|cross| keys.cross_columns[cross.index]));
        }
        Ok((keys, plans))
    }

    /// Returns the plan of this process that equals this one, so that scorers tell by its address whether they make the
    /// same keys. Waits for other threads that do the same, so it is not for request threads.
    pub(super) fn shared(self) -> Arc<Self> {
        static PLANS: Mutex<Vec<Weak<KeyPlan>>> = Mutex::new(Vec::new());
        let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        plans.retain(|plan| plan.strong_count() > 0);
        if let Some(plan) = plans.iter().filter_map(Weak::upgrade).find(|plan| **plan == self) {
            return plan;
        }
        let plan = Arc::new(self);
        plans.push(Arc::downgrade(&plan));
        plan
    }

    fn add(&mut self, contract: &Contract, schema: &Schema) -> Result<Plan, Error> {
        check_fields(contract, schema)?;
        let mut plan = Plan::default();
        let mut members = Vec::new();
        for (group, field) in contract.fields().iter().enumerate() {
            let planned = bind_field(field, schema)?;
            let (fields, uses) = match field.side {
                Side::Context => (&mut self.context, &mut plan.context),
                Side::Candidate => (&mut self.candidate, &mut plan.candidate),
            };
            let index = index_of_or_push(fields, planned);
            members.push(Member { side: field.side, index });
            uses.push(Use { index, group });
        }
        for (cross, group) in contract.crosses().iter().zip(contract.fields().len()..) {
            let name = contract.cross_name(cross);
            let members: Vec<_> = cross.members.iter().map(|&member| members[member]).collect();
            let many = members.iter().position(|&member| self.field(member).many);
            let is_fixed =
                |(position, member): &(usize, &Member)| member.side == Side::Context && Some(*position) != many;
            let leading_count = members.iter().enumerate().take_while(is_fixed).count();
            let planned = PlannedCross { seed: field_seed(&name), name, members, many, leading_count };
            let side = contract.cross_side(cross);
            let crosses = if side == Some(Side::Context) { &mut self.context_crosses } else { &mut self.crosses };
            let index = index_of_or_push(crosses, planned);
            let uses = match side {
                Some(Side::Context) => &mut plan.context_crosses,
                Some(Side::Candidate) => &mut plan.candidate_crosses,
                None => &mut plan.mixed_crosses,
            };
            uses.push(Use { index, group });
        }
        Ok(plan)
    }

    fn lay_columns(&mut self) {
        let take = |count: &mut usize| {
            *count += 1;
            *count - 1
        };
        for field in &self.candidate {
            self.field_columns.push(match field.many {
                false => Column::Single(take(&mut self.column_count)),
                true => Column::Many(take(&mut self.many_column_count)),
            });
        }
        for cross in &self.crosses {
            self.cross_columns.push(cross.many.is_none().then(|| take(&mut self.column_count)));
        }
    }

    /// Returns the column with the keys of a member, if it is a candidate field with at most one key per candidate.
    #[inline]
    pub(super) fn column_of(&self, member: Member) -> Option<usize> {
        match (member.side, self.field_columns.get(member.index)) {
            (Side::Candidate, Some(&Column::Single(column))) => Some(column),
            _ => None,
        }
    }

    /// Returns the candidate fields whose keys the mixed crosses of `plan` need, each once, in order of first use:
    /// those with at most one key per candidate, and those that are `many`.
    pub(super) fn needed(&self, plan: &Plan) -> Needed {
        let mut needed = Needed::default();
        for cross in &plan.mixed_crosses {
            for member in self.crosses[cross.index].members.iter().filter(|member| member.side == Side::Candidate) {
                let (fields, columns, column) = match self.field_columns[member.index] {
                    Column::Single(column) => (&mut needed.single_fields, &mut needed.single_columns, column),
                    Column::Many(column) => (&mut needed.many_fields, &mut needed.many_columns, column),
                };
                index_of_or_push(fields, member.index);
                index_of_or_push(columns, column);
            }
        }
        needed
    }

    pub(super) fn field(&self, member: Member) -> &PlannedField {
        match member.side {
            Side::Context => &self.context[member.index],
            Side::Candidate => &self.candidate[member.index],
        }
    }
}

fn index_of_or_push<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|other| *other == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

/// Joins adjacent columns into ranges.
fn runs(columns: impl Iterator<Item = Option<usize>>) -> Vec<Range<usize>> {
    let mut columns: Vec<_> = columns.flatten().collect();
    columns.sort_unstable();
    let mut runs: Vec<Range<usize>> = Vec::new();
    for column in columns {
        match runs.last_mut() {
            Some(run) if run.end == column => run.end += 1,
            _ => runs.push(column..column + 1),
        }
    }
    runs
}

/// Rejects a contract with fields that `schema` does not declare, or declares differently. Names all of them, so that a
/// declaration is corrected in one round.
fn check_fields(contract: &Contract, schema: &Schema) -> Result<(), Error> {
    let (mut missing, mut differences) = (Vec::new(), Vec::new());
    for field in contract.fields() {
        let many = if field.many { "many " } else { "" };
        match schema.slot(&field.name) {
            Some(slot) => differences.extend(difference(field, slot.side(), &schema.fields(slot.side())[slot.index()])),
            None => {
                missing.push(format!("the {} field `{}` ({many}{})", field.side.word(), field.name, field.kind.word()));
            }
        }
    }
    let mut mismatch = None;
    for (field, aspect, expected, found) in differences.into_iter().rev() {
        let more = mismatch.map_or_else(String::new, |later: Error| format!("; {later}"));
        let (expected, found, more) = (expected.into(), found.into(), more.into());
        mismatch = Some(Error::FieldMismatch { field, aspect, expected, found, more });
    }
    match mismatch {
        _ if !missing.is_empty() => {
            let more = mismatch.map_or_else(String::new, |mismatch| format!("; and {mismatch}"));
            Err(Error::FieldMissing { fields: missing.join(", "), more })
        }
        Some(mismatch) => Err(mismatch),
        None => Ok(()),
    }
}

/// Returns the first aspect in which a declared field differs from the contract's: name, aspect, expected and found.
fn difference(field: &Field, side: Side, declared: &SchemaField) -> Option<(String, &'static str, String, String)> {
    let aspects = [
        ("side", field.side.word().to_owned(), side.word().to_owned()),
        ("type", field.kind.word().to_owned(), kind_word(&declared.kind).to_owned()),
        ("many", field.many.to_string(), declared.many.to_string()),
        ("unit", contract_unit(field), schema_unit(declared)),
        ("range", contract_range(field), schema_range(declared)),
    ];
    let differing = aspects.into_iter().find(|(_, expected, found)| expected != found);
    differing.map(|(aspect, expected, found)| (field.name.clone(), aspect, expected, found))
}

/// Plans a field of a contract that was checked.
fn bind_field(field: &Field, schema: &Schema) -> Result<PlannedField, Error> {
    let slot = schema.slot(&field.name).ok_or_else(|| Error::UnknownField { field: field.name.clone() })?;
    let reading = match &field.kind {
        FieldKind::Id => Reading::Id,
        FieldKind::Text => Reading::Text,
        FieldKind::Number { range, buckets, .. } => Reading::Number { range: *range, buckets: buckets.clone() },
    };
    Ok(PlannedField {
        name: Arc::from(field.name.as_str()),
        seed: field.seed(),
        slot: slot.index(),
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
