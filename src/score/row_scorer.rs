//! Reads rows and looks up their features, one at a time: what the plain twin, explanations and prepared candidates are
//! built on. It is short enough to be obviously right.

use std::sync::Arc;

use super::Model;
use super::block::{Block, RowView, Single};
use super::plan::{KeyPlan, Plan, PlannedCross, PlannedField, Use};
use crate::contract::Side;
use crate::error::{Error, RowProblem};
use crate::feature::{cross_step, feature_key};
use crate::weight_file::DefaultWeights;

/// The feature keys of a row, one list for each field of the key plan. The list is empty for a field that the model
/// does not read.
pub(super) struct RowKeys {
    fields: Vec<Vec<u64>>,
    pub(super) missing_count: u64,
    pub(super) invalid_number_count: u64,
}

impl RowKeys {
    pub(super) fn of(&self, field: usize) -> &[u64] {
        &self.fields[field]
    }
}

/// Where a weight is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum WeightSource {
    /// The file has no weight for the category: its field's weight for unseen categories, or 0.
    Unseen = 0,
    /// The file has it for this category.
    Found = 1,
    /// The field has no value: its weight for that, which only files with default weights have.
    Missing = 2,
}

impl WeightSource {
    /// Returns the word for this source: `unseen`, `found` or `missing`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Found => "found",
            Self::Missing => "missing",
        }
    }
}

/// A term of a sum.
pub(super) struct Term<'a> {
    /// Name of the field or cross.
    pub(super) name: &'a str,
    /// The feature key; 0 for a field without a value.
    pub(super) key: u64,
    /// What it adds.
    pub(super) weight: f32,
    pub(super) source: WeightSource,
}

/// Called for each term of a sum.
pub(super) type Observer<'a> = &'a mut dyn FnMut(&Term<'_>);

impl<'a> Term<'a> {
    /// Returns the term of a feature with a weight, or with `unseen` instead.
    fn of(name: &'a str, key: u64, weight: Option<f32>, unseen: f32) -> Self {
        let source = if weight.is_some() { WeightSource::Found } else { WeightSource::Unseen };
        Self { name, key, weight: weight.unwrap_or(unseen), source }
    }
}

/// A sum of weights, and the number of features without a weight.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) logit: f64,
    pub(super) unseen_count: u64,
}

/// A model, with the plan of what it reads.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) model: &'a Model,
    pub(super) keys: &'a KeyPlan,
    pub(super) plan: &'a Plan,
}

impl<'a> Reader<'a> {
    pub(super) fn context_keys(&self, block: &Block<'_>) -> Result<RowKeys, Error> {
        self.keys_of_context(block.context())
    }

    pub(super) fn keys_of_context(&self, row: RowView<'_>) -> Result<RowKeys, Error> {
        row_keys(row, &self.keys.context, &self.plan.context)
            .map_err(|(field, problem)| Error::ContextMalformed { field: Arc::clone(field), problem })
    }

    pub(super) fn candidate_keys(&self, row: RowView<'_>) -> Result<RowKeys, (&'a Arc<str>, RowProblem)> {
        row_keys(row, &self.keys.candidate, &self.plan.candidate)
    }

    pub(super) fn context_sum(&self, context: &RowKeys, observer: Observer<'_>) -> Sum {
        let mut sum = Sum::default();
        self.add_fields(&self.keys.context, &self.plan.context, context, &mut sum, observer);
        self.add_crosses(&self.keys.context_crosses, &self.plan.context_crosses, context, None, &mut sum, observer);
        sum
    }

    /// Returns the sum over a candidate's fields and over the crosses among them.
    pub(super) fn own_sum(&self, candidate: &RowKeys, observer: Observer<'_>) -> Sum {
        let mut sum = Sum::default();
        self.add_fields(&self.keys.candidate, &self.plan.candidate, candidate, &mut sum, observer);
        self.add_crosses(&self.keys.crosses, &self.plan.candidate_crosses, candidate, None, &mut sum, observer);
        sum
    }

    /// Returns the sum over a candidate's crosses with the context.
    pub(super) fn crossed_sum(&self, context: &RowKeys, candidate: &RowKeys, observer: Observer<'_>) -> Sum {
        let mut sum = Sum::default();
        self.add_crosses(&self.keys.crosses, &self.plan.mixed_crosses, candidate, Some(context), &mut sum, observer);
        sum
    }

    fn add_fields(&self, fields: &[PlannedField], uses: &[Use], keys: &RowKeys, sum: &mut Sum, observer: Observer<'_>) {
        for field in uses {
            let name = &fields[field.index].name;
            let default = self.model.default_weights().get(field.group).copied();
            let keys = keys.of(field.index);
            for &key in keys {
                let weight = self.weight(key, field.group);
                let term = Term::of(name, key, weight, default.map_or(0.0, |default| default.unseen));
                observer(&term);
                sum.logit += f64::from(term.weight);
                sum.unseen_count += u64::from(weight.is_none());
            }
            if let Some(DefaultWeights { missing, .. }) = default.filter(|_| keys.is_empty()) {
                observer(&Term { name, key: 0, weight: missing, source: WeightSource::Missing });
                sum.logit += f64::from(missing);
            }
        }
    }

    /// Adds crosses whose members are in `row`. If `context` is given, their context members are there instead.
    fn add_crosses(
        &self,
        crosses: &[PlannedCross],
        uses: &[Use],
        row: &RowKeys,
        context: Option<&RowKeys>,
        sum: &mut Sum,
        observer: Observer<'_>,
    ) {
        for Use { index, group } in uses {
            let cross = &crosses[*index];
            // A member without categories leaves no state, and so no feature.
            let mut states = vec![cross.seed];
            for member in &cross.members {
                let keys = context.filter(|_| member.side == Side::Context).unwrap_or(row).of(member.index);
                states = states.iter().flat_map(|&state| keys.iter().map(move |&key| cross_step(state, key))).collect();
            }
            for key in states {
                let term = Term::of(&cross.name, key, self.weight(key, *group), 0.0);
                observer(&term);
                sum.logit += f64::from(term.weight);
            }
        }
    }

    fn weight(&self, key: u64, group: usize) -> Option<f32> {
        let table = self.model.table();
        table.get(key).map(|weight| weight * table.scale(group))
    }
}

/// Returns the keys of the `fields` that `uses` names, or the name of the first one that cannot be read, and why.
fn row_keys<'p>(
    row: RowView<'_>,
    fields: &'p [PlannedField],
    uses: &[Use],
) -> Result<RowKeys, (&'p Arc<str>, RowProblem)> {
    let mut keys = RowKeys { fields: vec![Vec::new(); fields.len()], missing_count: 0, invalid_number_count: 0 };
    for Use { index, .. } in uses {
        let field = &fields[*index];
        let at_field = |problem| (&field.name, problem);
        let own = &mut keys.fields[*index];
        if field.many {
            let present =
                row.each_of_many(field, |value| own.push(feature_key(field.seed, value))).map_err(at_field)?;
            keys.missing_count += u64::from(!present);
        } else {
            match row.single(field).map_err(at_field)? {
                Single::Value(value) => own.push(feature_key(field.seed, value)),
                Single::Missing => keys.missing_count += 1,
                Single::InvalidNumber => {
                    keys.missing_count += 1;
                    keys.invalid_number_count += 1;
                }
            }
        }
    }
    Ok(keys)
}
