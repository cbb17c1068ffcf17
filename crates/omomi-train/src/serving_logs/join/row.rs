//! A prediction as a row of the output, in the bytes of a temporary file.

use std::io;

use omomi::contract::{Buckets, Contract, FieldKind, LogPolicy};
use omomi::feature;
use omomi::serving_log::{
    Block, LoggedKind, LoggedModel, LoggedPrediction, LoggedValue, Record, RecordBody, RowState, SegmentHeader,
};

use crate::log::KEY_ENDING;
use crate::serving_logs::bytes::{Put, Take};

/// How the rows of a contract are written.
pub(in crate::serving_logs) struct RowPlan {
    pub(in crate::serving_logs) fields: Vec<FieldPlan>,
    pub(in crate::serving_logs) names: Names,
}

/// How the values of a field are written.
pub(in crate::serving_logs) struct FieldPlan {
    name: String,
    pub(in crate::serving_logs) kind: LoggedKind,
    /// Of a number whose plain value becomes a key.
    buckets: Option<([f64; 2], Buckets)>,
    pub(in crate::serving_logs) many: bool,
    pub(in crate::serving_logs) policy: LogPolicy,
    seed: u64,
}

/// Names of the columns.
#[derive(Debug, Clone)]
pub(in crate::serving_logs) struct Names {
    pub(in crate::serving_logs) fields: Vec<String>,
    /// Nothing if the rows have no label.
    pub(in crate::serving_logs) label: Option<String>,
    /// Columns of the log that were renamed: before and after.
    pub(in crate::serving_logs) renamed: Vec<(String, String)>,
    taken: Vec<String>,
}

/// Returns the name of the column of a field.
fn column_of(column: &str, policy: LogPolicy) -> String {
    if policy == LogPolicy::Hashed { format!("{column}{KEY_ENDING}") } else { column.to_owned() }
}

impl Names {
    fn new(contract: &Contract, columns: &[&str]) -> Self {
        let plain = (0..contract.fields().len()).map(|index| contract.field_column(index));
        let fields = contract.fields().iter().zip(plain.clone()).map(|(field, column)| column_of(column, field.log));
        let mut names = Self::of_columns(fields.collect(), Some(contract.label_column().to_owned()));
        names.taken.extend(plain.map(str::to_owned));
        names.renamed = columns
            .iter()
            .map(|column| ((*column).to_owned(), names.of(column)))
            .filter(|(before, after)| before != after)
            .collect();
        names
    }

    fn of_columns(fields: Vec<String>, label: Option<String>) -> Self {
        let taken = fields.iter().cloned().chain(label.clone()).collect();
        Self { fields, label, renamed: Vec::new(), taken }
    }

    /// Returns the name of a column of the log: its own, unless the contract has a column of that name.
    pub(in crate::serving_logs) fn of(&self, column: &str) -> String {
        let mut name = column.to_owned();
        while self.taken.contains(&name) {
            name = format!("served_{name}");
        }
        name
    }
}

/// The facts of a row that are not fields of the contract.
#[derive(Debug, Clone)]
pub(in crate::serving_logs) struct Facts<'a> {
    pub(in crate::serving_logs) logic_id: &'a str,
    pub(in crate::serving_logs) generation: Option<u64>,
    pub(in crate::serving_logs) digest: Option<[u8; 8]>,
    pub(in crate::serving_logs) contract_fingerprint: Option<u64>,
    pub(in crate::serving_logs) server: &'a str,
    pub(in crate::serving_logs) model: u8,
    pub(in crate::serving_logs) logit: f64,
    pub(in crate::serving_logs) probability: f32,
    pub(in crate::serving_logs) source: u8,
    /// Whether a shadow said it.
    pub(in crate::serving_logs) is_shadow: bool,
    pub(in crate::serving_logs) is_clamped: bool,
    pub(in crate::serving_logs) candidate: u32,
    pub(in crate::serving_logs) candidate_count: u32,
    pub(in crate::serving_logs) position: Option<u32>,
    pub(in crate::serving_logs) bucket: Option<u32>,
    pub(in crate::serving_logs) unseen_count: u32,
    pub(in crate::serving_logs) missing_count: u32,
    pub(in crate::serving_logs) latency_ns: u64,
    pub(in crate::serving_logs) propensity: f64,
    pub(in crate::serving_logs) bid: Option<(i64, u8, [u8; 3])>,
    pub(in crate::serving_logs) texts: [&'a str; 4],
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::serving_logs) enum Value<'a> {
    Missing,
    /// An id, a key or the bits of a number.
    Word(u64),
    Text(&'a str),
    Words(Vec<u64>),
    Texts(Vec<&'a str>),
}

/// Words in place of a number that was not given.
const NOT_GIVEN: u64 = u64::MAX;

impl RowPlan {
    pub(in crate::serving_logs) fn new(contract: &Contract) -> Self {
        let fields = contract.fields().iter().map(|field| FieldPlan {
            name: field.name.clone(),
            kind: match &field.kind {
                FieldKind::Id => LoggedKind::Id,
                FieldKind::Text => LoggedKind::Text,
                FieldKind::Number { .. } => LoggedKind::Number,
            },
            buckets: match &field.kind {
                FieldKind::Number { range, buckets, .. } => Some((*range, buckets.clone())),
                FieldKind::Id | FieldKind::Text => None,
            },
            many: field.many,
            policy: field.log,
            seed: field.seed(),
        });
        Self { fields: fields.collect(), names: Names::new(contract, &super::columns::COLUMNS.map(|(name, _)| name)) }
    }

    /// Length of the writer, the ring and the number of a record, which follow its time.
    pub(in crate::serving_logs) const PLACE_LEN: usize = size_of::<u64>() + size_of::<u32>() + size_of::<u64>();

    /// Plans rows as a model has them, without fields that are never logged.
    pub(in crate::serving_logs) fn of_logged(model: Option<&LoggedModel<'_>>) -> Self {
        let logged = model.into_iter().flat_map(|model| &model.fields);
        let fields: Vec<FieldPlan> = logged
            .filter(|field| field.policy != LogPolicy::Never)
            .map(|field| FieldPlan {
                name: field.name.to_owned(),
                kind: field.kind,
                buckets: None,
                many: field.many,
                policy: field.policy,
                seed: feature::field_seed(field.name),
            })
            .collect();
        let columns = fields.iter().map(|field| column_of(&field.name, field.policy)).collect();
        Self { names: Names::of_columns(columns, None), fields }
    }

    /// Appends a prediction of the model that the plan is of, also one without a row: its fields then have no values.
    /// Returns the number of values that have no form in a table, which are left out.
    pub(in crate::serving_logs) fn encode_all(
        &self,
        header: &SegmentHeader,
        block: &Block<'_>,
        record: &Record<'_>,
        prediction: &LoggedPrediction<'_>,
        row: &mut Vec<u8>,
    ) -> u64 {
        put_place(header, block, record, row);
        let model = record.head.model.map(|model| &block.models[model]);
        put_facts(header, record, prediction, model, row);
        let values = if let RowState::Here(values) = &prediction.row { values.as_slice() } else { &[] };
        let logged = model.map_or(&[][..], |model| &model.fields);
        let mut left_out_count = 0;
        for field in &self.fields {
            let place = logged.iter().position(|logged| logged.name == field.name);
            let value = place.and_then(|place| values.get(place)?.as_ref());
            if put_value(field, value, row).is_err() {
                row.put(&[0]);
                left_out_count += 1;
            }
        }
        left_out_count
    }

    /// Appends a prediction: when it was served, where its record is, its facts, its values.
    ///
    /// # Errors
    ///
    /// Returns why it can be no row.
    pub(in crate::serving_logs) fn encode(
        &self,
        header: &SegmentHeader,
        block: &Block<'_>,
        record: &Record<'_>,
        prediction: &LoggedPrediction<'_>,
        row: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let RowState::Here(values) = &prediction.row else { return Err("without a row") };
        let Some(model) = record.head.model.map(|model| &block.models[model]) else { return Err("without a row") };
        put_place(header, block, record, row);
        put_facts(header, record, prediction, Some(model), row);
        for field in &self.fields {
            let place = model.fields.iter().position(|logged| logged.name == field.name);
            let Some(place) = place else { return Err("of a contract without one of the fields") };
            let logged = &model.fields[place];
            if logged.kind != field.kind || logged.many != field.many {
                return Err("of a contract with another type of a field");
            }
            put_value(field, values.get(place).and_then(Option::as_ref), row)?;
        }
        Ok(())
    }

    /// Reads what [`encode`](Self::encode) appended after the place of the record.
    pub(in crate::serving_logs) fn decode<'a>(&self, bytes: &mut Take<'a>) -> io::Result<(Facts<'a>, Vec<Value<'a>>)> {
        let facts = take_facts(bytes)?;
        let values = self.fields.iter().map(|_| take_value(bytes)).collect::<io::Result<_>>()?;
        Ok((facts, values))
    }
}

/// Appends when a prediction was served, and where its record is.
fn put_place(header: &SegmentHeader, block: &Block<'_>, record: &Record<'_>, row: &mut Vec<u8>) {
    row.put(&record.head.at_unix_ms.to_le_bytes());
    row.put(&header.writer_id.to_le_bytes());
    row.put(&block.ring.to_le_bytes());
    row.put(&record.head.sequence.to_le_bytes());
}

fn put_facts(
    header: &SegmentHeader,
    record: &Record<'_>,
    prediction: &LoggedPrediction<'_>,
    model: Option<&LoggedModel<'_>>,
    row: &mut Vec<u8>,
) {
    row.put(&[u8::from(model.is_some())]);
    row.put_bytes(model.map_or("", |model| model.logic_id).as_bytes());
    row.put(&model.map_or(0, |model| model.generation).to_le_bytes());
    row.put(&model.map_or([0; 8], |model| model.digest));
    row.put(&model.map_or(0, |model| model.contract_fingerprint).to_le_bytes());
    row.put_bytes(header.name.as_bytes());
    let is_shadow = u8::from(matches!(record.body, RecordBody::Shadow(_)));
    row.put(&[record.head.answer, prediction.source as u8, u8::from(prediction.is_clamped), is_shadow]);
    row.put(&prediction.logit.to_bits().to_le_bytes());
    row.put(&prediction.probability.to_bits().to_le_bytes());
    for number in [prediction.candidate, prediction.candidate_count, prediction.unseen_count, prediction.missing_count]
    {
        row.put(&number.to_le_bytes());
    }
    for number in [prediction.position, prediction.bucket] {
        row.put(&number.map_or(NOT_GIVEN, u64::from).to_le_bytes());
    }
    row.put(&prediction.latency_ns.to_le_bytes());
    row.put(&prediction.propensity.unwrap_or(f64::NAN).to_bits().to_le_bytes());
    put_money(prediction.bid, row);
    for text in [prediction.request_id, prediction.impression, prediction.experiment, prediction.arm] {
        row.put_bytes(text.as_bytes());
    }
}

fn take_facts<'a>(bytes: &mut Take<'a>) -> io::Result<Facts<'a>> {
    let has_model = bytes.u8()? == 1;
    let logic_id = bytes.text()?;
    let (generation, digest, contract_fingerprint) = (bytes.u64()?, bytes.array()?, bytes.u64()?);
    let server = bytes.text()?;
    let [model, source, is_clamped, is_shadow] = bytes.array()?;
    let (logit, probability) = (f64::from_bits(bytes.u64()?), f32::from_bits(bytes.u32()?));
    let [candidate, candidate_count, unseen_count, missing_count] =
        [bytes.u32()?, bytes.u32()?, bytes.u32()?, bytes.u32()?];
    let mut given = || bytes.u64().map(|number| u32::try_from(number).ok());
    let (position, bucket) = (given()?, given()?);
    let (latency_ns, propensity) = (bytes.u64()?, f64::from_bits(bytes.u64()?));
    let bid = take_money(bytes)?;
    let texts = [bytes.text()?, bytes.text()?, bytes.text()?, bytes.text()?];
    Ok(Facts {
        logic_id,
        generation: has_model.then_some(generation),
        digest: has_model.then_some(digest),
        contract_fingerprint: has_model.then_some(contract_fingerprint),
        server,
        model,
        logit,
        probability,
        source,
        is_shadow: is_shadow == 1,
        is_clamped: is_clamped == 1,
        candidate,
        candidate_count,
        position,
        bucket,
        unseen_count,
        missing_count,
        latency_ns,
        propensity,
        bid,
        texts,
    })
}

pub(in crate::serving_logs) fn put_money(money: Option<omomi::serving_log::Money>, row: &mut Vec<u8>) {
    let (micros, basis) = money.map_or((0, 0), |money| (money.micros, money.basis as u8));
    row.put(&micros.to_le_bytes());
    row.put(&[basis]);
    let mut letters = [0; 3];
    if let Some(money) = money {
        letters.copy_from_slice(money.currency.code().as_bytes());
    }
    row.put(&letters);
}

pub(in crate::serving_logs) fn take_money(bytes: &mut Take<'_>) -> io::Result<Option<(i64, u8, [u8; 3])>> {
    let (micros, basis, letters) = (bytes.i64()?, bytes.u8()?, bytes.array()?);
    Ok((basis != 0).then_some((micros, basis, letters)))
}

fn put_value(field: &FieldPlan, value: Option<&LoggedValue<'_>>, row: &mut Vec<u8>) -> Result<(), &'static str> {
    let words = |words: &mut dyn ExactSizeIterator<Item = u64>, row: &mut Vec<u8>| {
        row.put(&[3]);
        row.put(&u32::try_from(words.len()).unwrap_or(u32::MAX).to_le_bytes());
        words.for_each(|word| row.put(&word.to_le_bytes()));
    };
    let word = |word: u64, row: &mut Vec<u8>| {
        row.put(&[1]);
        row.put(&word.to_le_bytes());
    };
    let key = |value: u64| feature::feature_key(field.seed, value);
    let of_text = |text: &&str| key(feature::text_value(text.as_bytes()));
    let Some(value) = value else {
        row.put(&[0]);
        return Ok(());
    };
    if !is_of(field, value) {
        return Err("with a value of another type than its field");
    }
    match (field.policy, value) {
        (LogPolicy::Never, _) => row.put(&[0]),
        (LogPolicy::Plain, LoggedValue::Id(id)) => word(id.cast_unsigned(), row),
        (LogPolicy::Plain, LoggedValue::Number(number)) => word(number.to_bits(), row),
        (LogPolicy::Plain, LoggedValue::Text(text)) => {
            row.put(&[2]);
            row.put_bytes(text.as_bytes());
        }
        (LogPolicy::Plain, LoggedValue::Ids(ids)) => words(&mut ids.iter().map(|id| id.cast_unsigned()), row),
        (LogPolicy::Plain, LoggedValue::Texts(texts)) => {
            row.put(&[4]);
            row.put(&u32::try_from(texts.len()).unwrap_or(u32::MAX).to_le_bytes());
            texts.iter().for_each(|text| row.put_bytes(text.as_bytes()));
        }
        (LogPolicy::Plain, LoggedValue::TextValue(_) | LoggedValue::TextValues(_)) => {
            return Err("with the hash of a text instead of the text");
        }
        (LogPolicy::Plain, LoggedValue::Key(_) | LoggedValue::Keys(_)) => {
            return Err("with a key where the contract says plain");
        }
        (LogPolicy::Hashed, LoggedValue::Key(key)) => word(*key, row),
        (LogPolicy::Hashed, LoggedValue::Keys(keys)) => words(&mut keys.iter().copied(), row),
        // An older contract said plain.
        (LogPolicy::Hashed, LoggedValue::Id(id)) => word(key(feature::id_value(*id)), row),
        (LogPolicy::Hashed, LoggedValue::Text(text)) => word(of_text(text), row),
        (LogPolicy::Hashed, LoggedValue::TextValue(value)) => word(key(*value), row),
        (LogPolicy::Hashed, LoggedValue::Ids(ids)) => words(&mut ids.iter().map(|id| key(feature::id_value(*id))), row),
        (LogPolicy::Hashed, LoggedValue::Texts(texts)) => words(&mut texts.iter().map(of_text), row),
        (LogPolicy::Hashed, LoggedValue::TextValues(values)) => words(&mut values.iter().map(|value| key(*value)), row),
        (LogPolicy::Hashed, LoggedValue::Number(number)) => match &field.buckets {
            Some((range, buckets)) => match buckets.index(*range, *number) {
                Some(bucket) => word(key(bucket), row),
                None => row.put(&[0]),
            },
            None => return Err("of a contract with another type of a field"),
        },
    }
    Ok(())
}

/// Whether a value has the type of its field. The reader of segments does not compare them.
fn is_of(field: &FieldPlan, value: &LoggedValue<'_>) -> bool {
    let (kind, is_many) = match value {
        LoggedValue::Id(_) => (Some(LoggedKind::Id), false),
        LoggedValue::Number(_) => (Some(LoggedKind::Number), false),
        LoggedValue::Text(_) | LoggedValue::TextValue(_) => (Some(LoggedKind::Text), false),
        LoggedValue::Ids(_) => (Some(LoggedKind::Id), true),
        LoggedValue::Texts(_) | LoggedValue::TextValues(_) => (Some(LoggedKind::Text), true),
        LoggedValue::Key(_) => (None, false),
        LoggedValue::Keys(_) => (None, true),
    };
    let is_of_kind = kind.is_none_or(|kind| kind == field.kind);
    is_of_kind && is_many == field.many
}

fn take_value<'a>(bytes: &mut Take<'a>) -> io::Result<Value<'a>> {
    Ok(match bytes.u8()? {
        1 => Value::Word(bytes.u64()?),
        2 => Value::Text(bytes.text()?),
        3 => {
            let count = bytes.u32()?;
            Value::Words((0..count).map(|_| bytes.u64()).collect::<io::Result<_>>()?)
        }
        4 => {
            let count = bytes.u32()?;
            Value::Texts((0..count).map(|_| bytes.text()).collect::<io::Result<_>>()?)
        }
        _ => Value::Missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_than_its_field_is_never_written_as_no_value() {
        let field = |kind, many, policy| FieldPlan { name: "a".to_owned(), kind, buckets: None, many, policy, seed: 1 };
        let id = LoggedValue::Id(3);
        for (kind, many, value) in [
            (LoggedKind::Text, false, &id),
            (LoggedKind::Number, false, &id),
            (LoggedKind::Id, true, &id),
            (LoggedKind::Id, false, &LoggedValue::Ids(vec![3])),
            (LoggedKind::Text, true, &LoggedValue::Ids(vec![3])),
            (LoggedKind::Id, true, &LoggedValue::Key(3)),
        ] {
            for policy in [LogPolicy::Plain, LogPolicy::Hashed] {
                let mut row = Vec::new();
                assert!(put_value(&field(kind, many, policy), Some(value), &mut row).is_err(), "{kind:?} {value:?}");
                assert!(row.is_empty());
            }
        }
        let mut row = Vec::new();
        put_value(&field(LoggedKind::Id, false, LogPolicy::Plain), Some(&id), &mut row).unwrap();
        assert_eq!(take_value(&mut Take(&row)).unwrap(), Value::Word(3));
    }
}
