//! Feature groups: the fields of the contract, then its crosses, in contract order.

use omomi::contract::Contract;
use omomi::feature;

/// A feature group: a field or a cross.
#[derive(Debug)]
pub(super) struct FeatureGroup {
    /// Name of the field or the cross. The name of a cross is its members' names, joined by `*`.
    pub(super) name: String,
    pub(super) kind: GroupKind,
    pub(super) seed: u64,
}

#[derive(Debug)]
pub(super) enum GroupKind {
    /// Index into the contract's fields.
    Field(usize),
    /// Indices of the members among the contract's fields. Fields come first, so these are also indices of groups.
    Cross(Vec<usize>),
}

impl FeatureGroup {
    pub(super) fn list(contract: &Contract) -> Vec<Self> {
        let fields = contract.fields().iter().enumerate().map(|(index, field)| Self {
            name: field.name.clone(),
            kind: GroupKind::Field(index),
            seed: field.seed(),
        });
        let crosses = contract.crosses().iter().map(|cross| {
            let name = contract.cross_name(cross);
            Self { seed: feature::field_seed(&name), name, kind: GroupKind::Cross(cross.members.clone()) }
        });
        fields.chain(crosses).collect()
    }
}
