//! Collects rows of a generated log in Arrow columns.

use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, ListBuilder, UInt8Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, ListArray, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};

use super::clock::START_US;
use super::row::Row;
use super::vocabulary as texts;

/// Returns the columns of the log. Texts are dictionaries here, but plain UTF-8 in the file.
pub(super) fn schema() -> Schema {
    let text = || DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8));
    let present = |name: &str, data_type| Field::new(name, data_type, false);
    let missing = |name: &str, data_type| Field::new(name, data_type, true);
    Schema::new(vec![
        present("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        missing("user_id", DataType::Int64),
        present("device", text()),
        missing("os", text()),
        missing("region", text()),
        missing("segment", text()),
        missing("interest", DataType::List(Arc::new(present("element", text())))),
        present("hour", DataType::Int64),
        present("site_id", DataType::Int64),
        present("slot", text()),
        present("size", text()),
        missing("exchange", text()),
        missing("floor_price", DataType::Float64),
        present("creative_id", DataType::Int64),
        present("campaign_id", DataType::Int64),
        present("advertiser_id", DataType::Int64),
        present("category", text()),
        present("format", text()),
        missing("theme", text()),
        missing("landing", text()),
        present("creative_age", DataType::Float64),
        present("true_probability", DataType::Float64),
        present("clicked", DataType::Int64),
    ])
}

/// Collects rows until they are taken as arrays, one for each field of [`schema`], in the order of the schema.
pub(super) struct Columns {
    timestamp: Vec<i64>,
    user_id: Int64Builder,
    device: TextColumn,
    os: TextColumn,
    region: TextColumn,
    segment: TextColumn,
    interest: ListBuilder<UInt8Builder>,
    interest_texts: ArrayRef,
    hour: Int64Builder,
    site_id: Int64Builder,
    slot: TextColumn,
    size: TextColumn,
    exchange: TextColumn,
    floor_price: Float64Builder,
    creative_id: Int64Builder,
    campaign_id: Int64Builder,
    advertiser_id: Int64Builder,
    category: TextColumn,
    format: TextColumn,
    theme: TextColumn,
    landing: TextColumn,
    creative_age: Float64Builder,
    true_probability: Float64Builder,
    clicked: Int64Builder,
}

impl Columns {
    pub(super) fn new() -> Columns {
        Columns {
            timestamp: Vec::new(),
            user_id: Int64Builder::new(),
            device: TextColumn::new(texts::DEVICES),
            os: TextColumn::new(texts::OSES),
            region: TextColumn::new(texts::REGIONS),
            segment: TextColumn::new(texts::SEGMENTS),
            interest: ListBuilder::new(UInt8Builder::new()).with_field(Field::new("element", DataType::UInt8, false)),
            interest_texts: text_array(texts::INTERESTS),
            hour: Int64Builder::new(),
            site_id: Int64Builder::new(),
            slot: TextColumn::new(texts::SLOTS),
            size: TextColumn::new(texts::SIZES),
            exchange: TextColumn::new(texts::EXCHANGES),
            floor_price: Float64Builder::new(),
            creative_id: Int64Builder::new(),
            campaign_id: Int64Builder::new(),
            advertiser_id: Int64Builder::new(),
            category: TextColumn::new(texts::CATEGORIES),
            format: TextColumn::new(texts::FORMATS),
            theme: TextColumn::new(texts::THEMES),
            landing: TextColumn::new(texts::LANDINGS),
            creative_age: Float64Builder::new(),
            true_probability: Float64Builder::new(),
            clicked: Int64Builder::new(),
        }
    }

    pub(super) fn push(&mut self, row: &Row, true_probability: f64, clicked: bool) {
        let user = &row.user;
        self.timestamp.push(START_US + row.moment.elapsed_us);
        self.user_id.append_option(user.id);
        self.device.push(Some(user.device));
        self.os.push(row.os);
        self.region.push(row.region);
        self.segment.push(user.segment);
        if let Some(interests) = &user.interests {
            self.interest.values().append_slice(interests.as_slice());
        }
        self.interest.append(user.interests.is_some());
        self.hour.append_value(i64::from(row.moment.hour));
        // Ids begin at 1. The id of a campaign is a third of its creatives' ids, so ids of creatives begin at 3.
        self.site_id.append_value(i64::from(row.site) + 1);
        self.slot.push(Some(row.slot));
        self.size.push(Some(row.size));
        self.exchange.push(row.exchange);
        self.floor_price.append_option(row.floor_price);
        self.creative_id.append_value(i64::from(row.creative) + 3);
        self.campaign_id.append_value(i64::from(row.campaign) + 1);
        self.advertiser_id.append_value(i64::from(row.advertiser) + 1);
        self.category.push(Some(row.category));
        self.format.push(Some(row.format));
        self.theme.push(row.theme);
        self.landing.push(row.landing);
        self.creative_age.append_value(row.creative_age_hours);
        self.true_probability.append_value(true_probability);
        self.clicked.append_value(i64::from(clicked));
    }

    /// Takes the rows that were pushed so far. No rows are left.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let timestamp = TimestampMicrosecondArray::from(std::mem::take(&mut self.timestamp)).with_timezone("UTC");
        Ok(vec![
            Arc::new(timestamp),
            Arc::new(self.user_id.finish()),
            self.device.take()?,
            self.os.take()?,
            self.region.take()?,
            self.segment.take()?,
            self.take_interest()?,
            Arc::new(self.hour.finish()),
            Arc::new(self.site_id.finish()),
            self.slot.take()?,
            self.size.take()?,
            self.exchange.take()?,
            Arc::new(self.floor_price.finish()),
            Arc::new(self.creative_id.finish()),
            Arc::new(self.campaign_id.finish()),
            Arc::new(self.advertiser_id.finish()),
            self.category.take()?,
            self.format.take()?,
            self.theme.take()?,
            self.landing.take()?,
            Arc::new(self.creative_age.finish()),
            Arc::new(self.true_probability.finish()),
            Arc::new(self.clicked.finish()),
        ])
    }

    fn take_interest(&mut self) -> Result<ArrayRef, ArrowError> {
        let (_, offsets, indices, validity) = self.interest.finish().into_parts();
        let indices = indices.as_primitive::<UInt8Type>().clone();
        let values = DictionaryArray::try_new(indices, Arc::clone(&self.interest_texts))?;
        let element = Field::new("element", values.data_type().clone(), false);
        Ok(Arc::new(ListArray::try_new(Arc::new(element), offsets, Arc::new(values), validity)?))
    }
}

/// A column whose values are from one of the lists of texts.
struct TextColumn {
    indices: UInt8Builder,
    texts: ArrayRef,
}

impl TextColumn {
    fn new(texts: &[&str]) -> TextColumn {
        TextColumn { indices: UInt8Builder::new(), texts: text_array(texts) }
    }

    fn push(&mut self, index: Option<u8>) {
        self.indices.append_option(index);
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(DictionaryArray::try_new(self.indices.finish(), Arc::clone(&self.texts))?))
    }
}

fn text_array(texts: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(texts))
}
