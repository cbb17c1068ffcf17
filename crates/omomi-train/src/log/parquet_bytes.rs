//! The metadata of a Parquet file, changed so that some columns are decoded as bytes.
//!
//! The decoder checks that texts are UTF-8, and fails for a whole page if one is not. Where that happens, the texts are
//! decoded again as bytes, so that only the rows with the bad texts are lost.
//!
//! The decoder turns INT96, the times of Impala and of older Spark, into 64 bits without a check. Days that are 292,000
//! years away wrap, and may become a day of last week. So INT96 is decoded as its 12 bytes: nanoseconds in 8 and the
//! Julian day in 4, little-endian.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor, Type, TypePtr};

/// Bytes of an INT96.
pub(super) const INT96_LEN: i32 = 12;

/// Returns the metadata with the type of every text column changed to bytes.
pub(super) fn with_bytes(metadata: &ParquetMetaData) -> Result<ParquetMetaData> {
    with_types(metadata, bytes_type)
}

/// Returns the metadata with INT96 changed to 12 bytes, except in lists and maps.
pub(super) fn with_int96_bytes(metadata: &ParquetMetaData) -> Result<ParquetMetaData> {
    with_types(metadata, int96_bytes_type)
}

/// The microseconds from 1970-01-01 UTC to an INT96, or the Julian day that is too far away.
pub(super) fn int96_us(bytes: [u8; INT96_LEN as usize]) -> std::result::Result<i64, i32> {
    let [nanoseconds @ .., day_0, day_1, day_2, day_3] = bytes;
    let day = i32::from_le_bytes([day_0, day_1, day_2, day_3]);
    let time_us = (i128::from(day) - i128::from(JULIAN_DAY_OF_1970)) * 86_400_000_000
        + i128::from(i64::from_le_bytes(nanoseconds).div_euclid(1_000));
    i64::try_from(time_us).map_err(|_| day)
}

const JULIAN_DAY_OF_1970: i32 = 2_440_588;

/// Returns the metadata with another type for each column, which must have the same bytes in the file.
fn with_types(metadata: &ParquetMetaData, change: fn(TypePtr) -> Result<TypePtr>) -> Result<ParquetMetaData> {
    let file = metadata.file_metadata();
    let schema = Arc::new(SchemaDescriptor::new(change(file.schema_descr().root_schema_ptr())?));
    let groups = metadata.row_groups().iter().map(|group| {
        let columns = group.columns().iter().zip(schema.columns());
        let columns = columns.map(|(chunk, column)| with_column(chunk, column)).collect::<Result<Vec<_>>>()?;
        RowGroupMetaData::builder(Arc::clone(&schema))
            .set_num_rows(group.num_rows())
            .set_total_byte_size(group.total_byte_size())
            .set_column_metadata(columns)
            .build()
    });
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let created_by = file.created_by().map(str::to_owned);
    let file = FileMetaData::new(file.version(), file.num_rows(), created_by, None, schema, None);
    Ok(ParquetMetaData::new(file, groups))
}

fn with_column(chunk: &ColumnChunkMetaData, column: &ColumnDescPtr) -> Result<ColumnChunkMetaData> {
    ColumnChunkMetaData::builder(Arc::clone(column))
        .set_encodings_mask(*chunk.encodings_mask())
        .set_num_values(chunk.num_values())
        .set_compression_codec(chunk.compression_codec())
        .set_total_compressed_size(chunk.compressed_size())
        .set_total_uncompressed_size(chunk.uncompressed_size())
        .set_data_page_offset(chunk.data_page_offset())
        .set_dictionary_page_offset(chunk.dictionary_page_offset())
        .build()
}

fn bytes_type(schema: TypePtr) -> Result<TypePtr> {
    if schema.is_group() {
        return with_members(&schema, bytes_type);
    }
    let info = schema.get_basic_info();
    let is_text = schema.get_physical_type() == PhysicalType::BYTE_ARRAY
        && (info.converted_type() == ConvertedType::UTF8 || info.logical_type_ref() == Some(&LogicalType::String));
    if !is_text {
        return Ok(schema);
    }
    let id = info.has_id().then(|| info.id());
    let builder = Type::primitive_type_builder(info.name(), PhysicalType::BYTE_ARRAY).with_id(id);
    builder.with_repetition(info.repetition()).build().map(Arc::new)
}

fn int96_bytes_type(schema: TypePtr) -> Result<TypePtr> {
    let info = schema.get_basic_info();
    if info.has_repetition() && info.repetition() == Repetition::REPEATED {
        return Ok(schema);
    }
    if schema.is_group() {
        return with_members(&schema, int96_bytes_type);
    }
    if schema.get_physical_type() != PhysicalType::INT96 {
        return Ok(schema);
    }
    let id = info.has_id().then(|| info.id());
    let builder = Type::primitive_type_builder(info.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY).with_id(id);
    builder.with_length(INT96_LEN).with_repetition(info.repetition()).build().map(Arc::new)
}

/// Changes the members of a group.
fn with_members(group: &TypePtr, change: fn(TypePtr) -> Result<TypePtr>) -> Result<TypePtr> {
    let info = group.get_basic_info();
    let fields = group.get_fields().iter().cloned().map(change).collect::<Result<Vec<_>>>()?;
    let mut builder = Type::group_type_builder(info.name())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_converted_type(info.converted_type())
        .with_id(info.has_id().then(|| info.id()))
        .with_fields(fields);
    if info.has_repetition() {
        builder = builder.with_repetition(info.repetition());
    }
    builder.build().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int96(nanoseconds: i64, day: i32) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&nanoseconds.to_le_bytes());
        bytes[8..].copy_from_slice(&day.to_le_bytes());
        bytes
    }

    #[test]
    fn int96_is_a_julian_day_and_nanoseconds() {
        assert_eq!(int96_us(int96(0, JULIAN_DAY_OF_1970)), Ok(0));
        assert_eq!(int96_us(int96(17_004_101_999, JULIAN_DAY_OF_1970 + 18_224)), Ok(1_574_553_617_004_101));
        assert_eq!(int96_us(int96(-1, JULIAN_DAY_OF_1970)), Ok(-1));
    }

    /// Day 213,503,982 + 18,224 in 2^64 microseconds is a day of 2019 once more.
    #[test]
    fn days_beyond_64_bits_do_not_wrap() {
        for day in [i32::MIN, i32::MAX, JULIAN_DAY_OF_1970 + 106_751_992, JULIAN_DAY_OF_1970 - 106_751_993] {
            assert_eq!(int96_us(int96(0, day)), Err(day));
        }
        assert!(int96_us(int96(0, JULIAN_DAY_OF_1970 + 106_751_991)).is_ok());
        assert_eq!(int96_us(int96(i64::MAX, i32::MAX)), Err(i32::MAX));
    }
}
