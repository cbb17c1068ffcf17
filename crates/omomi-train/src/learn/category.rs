//! Reads names of features as people and other tools write them: a field or cross, and its category as text in the form
//! of a [training state](crate::learn::state). A category of which only the feature key is known has the name
//! `(key 0123456789abcdef)`. No text of exactly this form can be named otherwise.

use std::borrow::Cow;
use std::collections::HashMap;

use omomi::contract::{Buckets, Contract, Field, FieldKind, Reading, Side};
use omomi::feature::{self, cross_step, feature_key};
use omomi::printable::quoted;
use omomi::request::{FieldValue, RequestRows, Row};

use super::feature_table::write_bucket;
use super::state::{join_category, split_categories};
use crate::log::{key_of_name, nfc, number_of, text_id, value_of_key, write_key_name};

/// The feature that a field or cross and a category name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feature {
    /// Index of the field or cross: fields first, then crosses, in contract order.
    pub(crate) group: u16,
    pub(crate) key: u64,
}

/// Everything that can be named under a contract.
#[derive(Debug)]
pub(crate) struct FeatureNames {
    contract: Contract,
    fields: Vec<FieldNames>,
    groups: HashMap<String, Group>,
}

#[derive(Debug)]
struct Group {
    index: u16,
    seed: u64,
    /// Indices of the fields, in the order in which the name has them.
    members: Vec<usize>,
}

#[derive(Debug)]
struct FieldNames {
    seed: u64,
    nfc: bool,
    /// For a number field: its buckets by the interval that names them.
    buckets: HashMap<String, u64>,
}

/// One category of a field.
#[derive(Debug, Clone)]
struct Category<'a> {
    bits: u64,
    /// The category of a text field, in the form in which it is hashed.
    text: Cow<'a, str>,
    /// The feature key, if the category is named by it.
    key: Option<u64>,
}

impl FeatureNames {
    pub(crate) fn new(contract: &Contract) -> Self {
        let reading: &Reading = contract.reading();
        let mut fields = Vec::new();
        let mut groups = HashMap::new();
        for (index, field) in contract.fields().iter().enumerate() {
            let nfc = reading.fields.get(index).is_some_and(|reading| reading.nfc);
            fields.push(FieldNames { seed: field.seed(), nfc, buckets: bucket_names(field) });
            let group = Group { index: narrow(index), seed: field.seed(), members: vec![index] };
            groups.insert(field.name.clone(), group);
        }
        for (index, cross) in contract.crosses().iter().enumerate() {
            let index = narrow(contract.fields().len() + index);
            let seed = feature::field_seed(&contract.cross_name(cross));
            for members in orders(&cross.members) {
                let names: Vec<&str> = members.iter().map(|&member| contract.fields()[member].name.as_str()).collect();
                let name = names.join(feature::CROSS_JOINER);
                groups.insert(name, Group { index, seed, members });
            }
        }
        Self { contract: contract.clone(), fields, groups }
    }

    pub(crate) fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Returns whether the contract has a field or cross of this name. The members of a cross may be in any order.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }

    /// Returns the name of the field or cross with this index, with the members of a cross in contract order.
    pub(crate) fn name(&self, group: u16) -> String {
        let fields = self.contract.fields();
        match fields.get(usize::from(group)) {
            Some(field) => field.name.clone(),
            None => self.contract.cross_name(&self.contract.crosses()[usize::from(group) - fields.len()]),
        }
    }

    /// Returns the index of a field or cross of this name.
    pub(crate) fn group(&self, name: &str) -> Option<u16> {
        self.groups.get(name).map(|group| group.index)
    }

    /// Returns the feature that `name` and `category` name, and writes the category to `text` in the form in which a
    /// training state has it. Returns what is wrong otherwise, in words.
    pub(crate) fn feature(&self, name: &str, category: &str, text: &mut String) -> Result<Feature, String> {
        let group = self.group_of(name)?;
        text.clear();
        if let [field] = group.members[..] {
            let category = self.category(field, category)?;
            self.write(field, &category, text);
            return Ok(Feature { group: group.index, key: feature_key(group.seed, category.bits) });
        }
        let parts = self.parts(name, group, category)?;
        self.cross_feature(group, &parts, text)
    }

    /// Returns the feature of a cross whose members are named one by one, like [`feature`](Self::feature).
    pub(crate) fn feature_of_members(&self, parts: &[(&str, &str)], text: &mut String) -> Result<Feature, String> {
        let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        let group = self.group_of(&names.join(feature::CROSS_JOINER))?;
        text.clear();
        let parts: Vec<String> = parts.iter().map(|(_, category)| (*category).to_owned()).collect();
        self.cross_feature(group, &parts, text)
    }

    /// Returns a request of one candidate that has the feature.
    pub(crate) fn request(&self, name: &str, category: &str) -> Result<RequestRows, String> {
        let (mut context, mut candidate) = (Row::new(), Row::new());
        for (field, value) in self.values(name, category)? {
            let field = &self.contract.fields()[field];
            let row = if field.side == Side::Context { &mut context } else { &mut candidate };
            row.insert(field.name.clone(), value);
        }
        Ok(RequestRows { context, candidates: vec![candidate] })
    }

    /// Returns a value that has the category, for each field of the feature.
    pub(crate) fn values(&self, name: &str, category: &str) -> Result<Vec<(usize, FieldValue)>, String> {
        let group = self.group_of(name)?;
        let parts =
            if group.members.len() == 1 { vec![category.to_owned()] } else { self.parts(name, group, category)? };
        let values = group.members.iter().zip(&parts);
        values.map(|(&member, part)| Ok((member, self.value(member, part)?))).collect()
    }

    fn group_of(&self, name: &str) -> Result<&Group, String> {
        self.groups.get(name).ok_or_else(|| {
            let kind = if name.contains(feature::CROSS_JOINER) { "cross" } else { "field" };
            format!("the contract `{}` has no {kind} `{}`", self.contract.name(), quoted(name))
        })
    }

    fn parts(&self, name: &str, group: &Group, category: &str) -> Result<Vec<String>, String> {
        let parts = split_categories(category).filter(|parts| parts.len() == group.members.len());
        parts.ok_or_else(|| {
            format!(
                "expected {} categories joined by `*` for `{}`, and `\\*` for a `*` of their own, found `{}`",
                group.members.len(),
                quoted(name),
                quoted(category)
            )
        })
    }

    fn cross_feature(&self, group: &Group, parts: &[String], text: &mut String) -> Result<Feature, String> {
        // The key takes the members in contract order.
        let mut places: Vec<usize> = (0..parts.len()).collect();
        places.sort_unstable_by_key(|&place| group.members[place]);
        let mut key = group.seed;
        let mut own = String::new();
        for (position, place) in places.into_iter().enumerate() {
            let member = group.members[place];
            let category = self.category(member, &parts[place])?;
            own.clear();
            self.write(member, &category, &mut own);
            join_category(position == 0, &own, text);
            key = cross_step(key, feature_key(self.fields[member].seed, category.bits));
        }
        Ok(Feature { group: group.index, key })
    }

    /// Appends a category to `text` as a state has it.
    fn write(&self, field: usize, category: &Category<'_>, text: &mut String) {
        if let Some(key) = category.key {
            return write_key_name(key, text);
        }
        match &self.contract.fields()[field].kind {
            FieldKind::Id => text.push_str(&category.bits.cast_signed().to_string()),
            FieldKind::Text => text.push_str(&category.text),
            FieldKind::Number { range, buckets, .. } => write_bucket(buckets, *range, category.bits, text),
        }
    }

    fn category<'a>(&self, field: usize, category: &'a str) -> Result<Category<'a>, String> {
        let own = &self.contract.fields()[field];
        let found = || format!("found `{}`", quoted(category));
        if let Some(key) = key_of_name(category) {
            let bits = value_of_key(self.fields[field].seed, key);
            if matches!(own.kind, FieldKind::Number { .. }) && !self.buckets(field).any(|bucket| bucket == bits) {
                return Err(format!("expected the key of a bucket of `{}`, {}", own.name, found()));
            }
            return Ok(Category { bits, text: Cow::Borrowed(""), key: Some(key) });
        }
        match &own.kind {
            FieldKind::Id => {
                let id = text_id(category).ok_or_else(|| {
                    format!("expected a whole number of 64 bits, because `{}` is an id, {}", own.name, found())
                })?;
                Ok(Category { bits: feature::id_value(id), text: Cow::Borrowed(""), key: None })
            }
            FieldKind::Text => {
                // Texts are read like those of logs.
                let text = if self.fields[field].nfc { nfc(category) } else { Cow::Borrowed(category) };
                Ok(Category { bits: feature::text_value(text.as_bytes()), text, key: None })
            }
            FieldKind::Number { range, buckets, .. } => {
                if let Some(&bits) = self.fields[field].buckets.get(category) {
                    return Ok(Category { bits, text: Cow::Borrowed(""), key: None });
                }
                let number = number_of(category, self.contract.reading().number_format);
                let bits = number.and_then(|number| buckets.index(*range, number));
                let bits = bits.ok_or_else(|| {
                    format!(
                        "expected a bucket of `{}`, such as `{}`, or a number from {} to {}, {}",
                        own.name,
                        self.first_bucket(field),
                        range[0],
                        range[1],
                        found()
                    )
                })?;
                Ok(Category { bits, text: Cow::Borrowed(""), key: None })
            }
        }
    }

    fn first_bucket(&self, field: usize) -> String {
        let first = self.fields[field].buckets.iter().min_by_key(|(_, bits)| **bits);
        first.map_or_else(String::new, |(name, _)| name.clone())
    }

    /// Returns a value of the field with index `field` that has this category.
    fn value(&self, field: usize, category: &str) -> Result<FieldValue, String> {
        let Category { bits, text, key } = self.category(field, category)?;
        let own = &self.contract.fields()[field];
        if key.is_some() {
            return Err(format!("`{}` of `{}` names a feature key: its plain value is not known", category, own.name));
        }
        Ok(match &own.kind {
            FieldKind::Id if own.many => FieldValue::Ids(vec![bits.cast_signed()]),
            FieldKind::Id => FieldValue::Id(bits.cast_signed()),
            FieldKind::Text if own.many => FieldValue::Texts(vec![text.into_owned()]),
            FieldKind::Text => FieldValue::Text(text.into_owned()),
            FieldKind::Number { range, buckets, .. } => {
                let start = match buckets {
                    Buckets::Edges(edges) => match usize::try_from(bits).unwrap_or(0) {
                        0 => range[0],
                        bucket => edges[bucket - 1],
                    },
                    Buckets::Log2 => f64::from_bits(bits << 52),
                };
                FieldValue::Number(start.max(range[0]))
            }
        })
    }

    /// Returns the bits of every bucket of a number field; nothing for other fields.
    pub(crate) fn buckets(&self, field: usize) -> impl Iterator<Item = u64> + '_ {
        self.fields[field].buckets.values().copied()
    }
}

/// Names the buckets of a number field that some number of its range has.
fn bucket_names(field: &Field) -> HashMap<String, u64> {
    let FieldKind::Number { range, buckets, .. } = &field.kind else { return HashMap::new() };
    let (first, last) = (buckets.index(*range, range[0]), buckets.index(*range, range[1]));
    let (Some(first), Some(last)) = (first, last) else { return HashMap::new() };
    let name = |bucket: u64| {
        let mut name = String::new();
        write_bucket(buckets, *range, bucket, &mut name);
        (name, bucket)
    };
    (first..=last).map(name).collect()
}

/// Returns every order of the members of a cross, of which there are at most 24.
fn orders(members: &[usize]) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for _ in members {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<usize>| {
                let rest = members.iter().filter(|member| !order.contains(member));
                rest.map(|&member| order.iter().copied().chain([member]).collect())
            })
            .collect();
    }
    orders
}

fn narrow(index: usize) -> u16 {
    u16::try_from(index).expect("a contract has few fields and crosses")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> FeatureNames {
        let json = br#"{"name":"n","label":"clicked","field":[
            {"name":"a","side":"context","type":"id","meaning":"m"},
            {"name":"b","side":"candidate","type":"text","meaning":"m"},
            {"name":"c","side":"context","type":"number","unit":"JPY","range":[0.0,9.0],"buckets":[1.0,2.5],
             "meaning":"m"},
            {"name":"d","side":"context","type":"number","unit":"B","range":[3.0,9.0],"buckets":{"log2":true},
             "meaning":"m"}],
            "cross":[{"fields":["a","b"]},{"fields":["b","c"]}]}"#;
        FeatureNames::new(&Contract::from_json(json).unwrap())
    }

    #[test]
    fn names_of_a_state_give_its_keys_and_other_notations_the_same() {
        let names = names();
        let mut text = String::new();
        let mut feature = |name: &str, category: &str| {
            let feature = names.feature(name, category, &mut text).unwrap();
            (feature.group, feature.key, text.clone())
        };
        let a = feature_key(feature::field_seed("a"), 7);
        let b = feature_key(feature::field_seed("b"), feature::text_value(b"x*y"));
        assert_eq!(feature("a", "7"), (0, a, "7".to_owned()));
        assert_eq!(feature("a", "7.0"), (0, a, "7".to_owned()));
        assert_eq!(feature("b", "x*y"), (1, b, "x*y".to_owned()));
        let cross = cross_step(cross_step(feature::field_seed("a*b"), a), b);
        assert_eq!(feature("a*b", r"7*x\*y"), (4, cross, r"7*x\*y".to_owned()));
        assert_eq!(feature("b*a", r"x\*y*7"), (4, cross, r"7*x\*y".to_owned()));
        let c = (2, feature_key(feature::field_seed("c"), 1), "[1.0, 2.5)".to_owned());
        assert_eq!(feature("c", "[1.0, 2.5)"), c);
        assert_eq!(feature("c", "1.75"), c);
        assert_eq!(feature("d", "3"), feature("d", "[2.0, 4.0)"));
        assert_eq!(names.values("c", "[1.0, 2.5)").unwrap(), [(2, FieldValue::Number(1.0))]);
        // The first bucket of the logarithm begins before the range.
        assert_eq!(names.values("d", "[2.0, 4.0)").unwrap(), [(3, FieldValue::Number(3.0))]);
        let members = names.feature_of_members(&[("b", "x*y"), ("a", "7")], &mut text).unwrap();
        assert_eq!((members.key, text.as_str()), (cross, r"7*x\*y"));
    }

    #[test]
    fn a_category_named_by_its_key_is_that_feature_in_fields_and_crosses() {
        let names = names();
        let mut text = String::new();
        let named = |field: &str, value: u64| format!("(key {:016x})", feature_key(feature::field_seed(field), value));
        let (id, title) = (named("a", 7), named("b", feature::text_value("旅行".as_bytes())));
        for (name, plain, keys) in [
            ("a", "7".to_owned(), id.clone()),
            ("b", "旅行".to_owned(), title.clone()),
            ("c", "[1.0, 2.5)".to_owned(), named("c", 1)),
            ("a*b", "7*旅行".to_owned(), format!("{id}*{title}")),
            ("b*c", "旅行*[1.0, 2.5)".to_owned(), format!("{title}*{}", named("c", 1))),
        ] {
            let expected = names.feature(name, &plain, &mut text).unwrap();
            assert_eq!(names.feature(name, &keys, &mut text).unwrap(), expected, "{name}");
            assert_eq!(text, keys);
            assert!(names.values(name, &keys).unwrap_err().contains("its plain value is not known"));
        }
        let none = names.feature("c", &named("c", 9), &mut text).unwrap_err();
        assert!(none.contains("the key of a bucket of `c`"), "{none}");
    }

    #[test]
    fn what_no_server_could_send_is_said() {
        let names = names();
        for (name, category, expected) in [
            ("e", "1", "the contract `n` has no field `e`"),
            ("a*c", "1*2", "the contract `n` has no cross `a*c`"),
            ("a", "x", "expected a whole number of 64 bits, because `a` is an id, found `x`"),
            ("a", "1.5", "expected a whole number of 64 bits"),
            ("a*b", "1", "expected 2 categories joined by `*`"),
            ("a*b", "1*2*3", "expected 2 categories joined by `*`"),
            ("a*b", "x*2", "because `a` is an id, found `x`"),
            ("c", "9.5", "expected a bucket of `c`, such as `[0.0, 1.0)`, or a number from 0 to 9, found `9.5`"),
            ("c", "NaN", "expected a bucket"),
        ] {
            let problem = names.feature(name, category, &mut String::new()).unwrap_err();
            assert!(problem.starts_with(expected) || problem.contains(expected), "{name}={category}: {problem}");
            assert!(names.values(name, category).is_err());
        }
    }
}
