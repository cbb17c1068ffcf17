//! Columns inside nested records of Parquet files: the column name `user.id` leads to the member `id` of the column
//! `user`, unless a column is named `user.id`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, make_array};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema};
use parquet::schema::types::SchemaDescriptor;

use super::parquet_schema::simplified_type;
use super::wanted_columns::{Target, Wanted};
use omomi::contract::FieldKind;

/// A wanted column inside the records of another column.
pub(super) struct Nested {
    /// Name of the wanted column.
    pub(super) name: String,
    /// Index of the column of the file that contains it.
    pub(super) root: usize,
    /// Names from the column of the file to the member, both included.
    pub(super) path: Vec<String>,
}

impl Nested {
    /// Finds the wanted columns that are no columns of the file, but members of one. Each is listed once.
    pub(super) fn find(schema: &Schema, wanted: &Wanted) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for (name, _) in wanted.columns() {
            let is_known = schema.fields().iter().any(|field| field.name() == name)
                || found.iter().any(|nested| nested.name == *name);
            if !is_known && let Some(path) = path_of(schema.fields(), name) {
                let root = schema.fields().iter().position(|field| *field.name() == path[0]);
                found.extend(root.map(|root| Self { name: name.clone(), root, path }));
            }
        }
        found
    }

    /// The type of the member in `schema`.
    pub(super) fn data_type<'a>(&self, schema: &'a Schema) -> &'a DataType {
        let mut data_type = schema.field(self.root).data_type();
        for name in &self.path[1..] {
            if let DataType::Struct(fields) = data_type
                && let Some((_, field)) = fields.find(name)
            {
                data_type = field.data_type();
            }
        }
        data_type
    }
}

/// Splits `name` at dots into a path of members. Names of members may have dots of their own.
fn path_of(fields: &Fields, name: &str) -> Option<Vec<String>> {
    for (dot, _) in name.match_indices('.') {
        let (first, rest) = (&name[..dot], &name[dot + 1..]);
        let Some((_, field)) = fields.find(first) else { continue };
        let DataType::Struct(members) = field.data_type() else { continue };
        if members.find(rest).is_some() {
            return Some(vec![first.to_owned(), rest.to_owned()]);
        }
        if let Some(inner) = path_of(members, rest) {
            return Some([vec![first.to_owned()], inner].concat());
        }
    }
    None
}

/// Returns the indices of the leaves to decode: all leaves of the columns `roots`, and those below the paths `nested`.
pub(super) fn leaves(columns: &SchemaDescriptor, roots: &[usize], nested: &[&[String]]) -> Vec<usize> {
    let is_wanted = |&leaf: &usize| {
        let parts = columns.column(leaf);
        let parts = parts.path().parts();
        roots.contains(&columns.get_column_root_idx(leaf)) || nested.iter().any(|path| parts.starts_with(path))
    };
    (0..columns.num_columns()).filter(is_wanted).collect()
}

/// Simplifies the types of nested columns, like [`simplified`](super::parquet_schema::simplified) does for others.
pub(super) fn with_nested(schema: Schema, places: &[(&Nested, Target)], wanted: &Wanted) -> Schema {
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    for (nested, target) in places {
        let is_text = match *target {
            Target::Field(field) => wanted.fields()[field].kind == FieldKind::Text,
            Target::Extra(_) => true,
            Target::Keys(_) | Target::Label | Target::Time | Target::Importance => false,
        };
        fields[nested.root] = with_member(&fields[nested.root], &nested.path[1..], is_text);
    }
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn with_member(field: &FieldRef, path: &[String], is_text: bool) -> FieldRef {
    let data_type = match (path.split_first(), field.data_type()) {
        (None, data_type) => simplified_type(data_type, is_text),
        (Some((name, rest)), DataType::Struct(members)) => {
            let member = |member: &FieldRef| {
                if member.name() == name { with_member(member, rest, is_text) } else { Arc::clone(member) }
            };
            DataType::Struct(members.iter().map(member).collect())
        }
        (Some(_), other) => other.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

/// Returns the values of a member. A record that is null has a null member.
pub(super) fn inner_array(array: &ArrayRef, path: &[String]) -> Result<ArrayRef, ArrowError> {
    let mut array = Arc::clone(array);
    for name in path {
        let record = array.as_struct();
        let lost = || ArrowError::SchemaError(format!("the member `{name}` is missing"));
        let member = record.column_by_name(name).ok_or_else(lost)?;
        let nulls = arrow_buffer::NullBuffer::union(record.nulls(), member.nulls());
        array = make_array(member.to_data().into_builder().nulls(nulls).build()?);
    }
    Ok(array)
}
