//! Maps feature keys back to the categories of a request.

use std::collections::HashMap;

use super::Member;
use crate::learn::state::join_category;
use crate::learn::table::write_bucket;
use omomi::contract::{Contract, Field, FieldKind, Side};
use omomi::feature::{cross_step, feature_key, field_seed, id_value, text_value};
use omomi::request::{FieldValue, Row};

/// A category as text.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    pub(super) category: String,
    pub(super) members: Vec<Member>,
}

/// Returns all categories of one candidate and its context.
#[derive(Debug, Default)]
pub(super) struct Categories {
    by_feature: HashMap<(String, u64), Named>,
    pub(super) missing: Vec<String>,
    pub(super) invalid_numbers: Vec<String>,
}

impl Categories {
    pub(super) fn of(contract: &Contract, context: &Row, candidate: &Row) -> Self {
        let mut categories = Self::default();
        let mut by_field: Vec<Vec<(u64, String)>> = Vec::new();
        for field in contract.fields() {
            let row = if field.side == Side::Context { context } else { candidate };
            let own = row.get(&field.name).map(|value| keys_of(field, value));
            match own {
                None => categories.missing.push(field.name.clone()),
                Some(None) => {
                    categories.missing.push(field.name.clone());
                    categories.invalid_numbers.push(field.name.clone());
                }
                Some(Some(_)) => {}
            }
            by_field.push(own.flatten().unwrap_or_default());
        }
        for (field, own) in contract.fields().iter().zip(&by_field) {
            for (key, category) in own {
                let named = Named { category: category.clone(), members: Vec::new() };
                categories.by_feature.insert((field.name.clone(), *key), named);
            }
        }
        for cross in contract.crosses() {
            let name = contract.cross_name(cross);
            let mut crossed = vec![(field_seed(&name), Named::default())];
            for &member in &cross.members {
                let field = &contract.fields()[member].name;
                crossed = crossed
                    .iter()
                    .flat_map(|(state, named)| {
                        by_field[member].iter().map(|(key, category)| {
                            (cross_step(*state, *key), with_member(named.clone(), field, category))
                        })
                    })
                    .collect();
            }
            categories.by_feature.extend(crossed.into_iter().map(|(key, named)| ((name.clone(), key), named)));
        }
        categories
    }

    pub(super) fn named(&self, field: &str, key: u64) -> Option<&Named> {
        self.by_feature.get(&(field.to_owned(), key))
    }
}

fn with_member(mut named: Named, field: &str, category: &str) -> Named {
    join_category(named.members.is_empty(), category, &mut named.category);
    named.members.push(Member { field: field.to_owned(), category: category.to_owned() });
    named
}

/// Returns the feature keys of a value with their categories; none for a number that is treated as missing.
fn keys_of(field: &Field, value: &FieldValue) -> Option<Vec<(u64, String)>> {
    let seed = field.seed();
    let id = |&id: &i64| (feature_key(seed, id_value(id)), id.to_string());
    let text = |text: &String| (feature_key(seed, text_value(text.as_bytes())), text.clone());
    Some(match (value, &field.kind) {
        (FieldValue::Id(value), _) => vec![id(value)],
        (FieldValue::Ids(values), _) => values.iter().map(id).collect(),
        (FieldValue::Text(value), _) => vec![text(value)],
        (FieldValue::Texts(values), _) => values.iter().map(text).collect(),
        (FieldValue::Number(number), FieldKind::Number { range, buckets, .. }) => {
            let bucket = buckets.index(*range, *number)?;
            let mut category = String::new();
            write_bucket(buckets, *range, bucket, &mut category);
            vec![(feature_key(seed, bucket), category)]
        }
        (FieldValue::Number(_), _) => return None,
    })
}
