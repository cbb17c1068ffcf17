//! How the values of fields were in the rows of all states: missing, out of range, unseen.

use serde_json::{Value, json};

use super::Shard;

/// The shares of a field, as far as all states say them.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldRates {
    /// Name of the field.
    pub field: String,
    /// Share of the rows without a value.
    pub missing: Option<f64>,
    /// Share of the rows with a number out of range.
    pub out_of_range: Option<f64>,
    /// Share of the values that the start state did not know. Each state counts by its rows.
    pub unseen: Option<f64>,
}

impl FieldRates {
    pub(super) fn to_json(&self) -> Value {
        let Self { field, missing, out_of_range, unseen } = self;
        json!({ "field": field, "missing": missing, "out_of_range": out_of_range, "unseen": unseen })
    }
}

/// The provenances of all states.
pub(super) struct ValueSums<'a>(&'a [Shard]);

impl<'a> ValueSums<'a> {
    pub(super) fn of(shards: &'a [Shard]) -> Self {
        Self(shards)
    }

    /// Returns the rates of a field of the contract.
    pub(super) fn rates(&self, field: &str) -> FieldRates {
        // A field without such values is not among the counts.
        let count = |counts: &Value| counts.as_object().map(|counts| counts.get(field).map_or(0.0, as_number));
        let of = |shard: &Shard, key: &str| shard.metadata.provenance.get(key).cloned().unwrap_or(Value::Null);
        let missing = self
            .share(|shard| Some((count(&of(shard, "missing_values"))?, of(shard, "missing_rows").as_u64()? as f64)));
        let out_of_range =
            self.share(|shard| Some((count(&of(shard, "invalid_numbers"))?, of(shard, "rows").as_u64()? as f64)));
        let unseen = self.share(|shard| {
            let fields = of(shard, "fields");
            let found = fields.as_array()?.iter().find(|it| it["field"] == field)?;
            Some((found["unseen_rate"].as_f64()? * shard.rows as f64, shard.rows as f64))
        });
        FieldRates { field: field.to_owned(), missing, out_of_range, unseen }
    }

    /// Divides the sum of the counts by the sum of what they are shares of. `None` if a state does not say it.
    fn share(&self, of: impl Fn(&Shard) -> Option<(f64, f64)>) -> Option<f64> {
        let (mut count, mut all) = (0.0, 0.0);
        for shard in self.0 {
            let own = of(shard)?;
            (count, all) = (count + own.0, all + own.1);
        }
        (all > 0.0).then(|| count / all)
    }
}

fn as_number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}
