//! The metadata of a Parquet file, changed so that texts are decoded as bytes.
//!
//! The decoder checks that texts are UTF-8, and fails for a whole page if one is not. Where that happens, the texts are
//! decoded again as bytes, so that only the rows with the bad texts are lost.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor, Type, TypePtr};

/// Returns the metadata with the type of every text column changed to bytes.
pub(super) fn with_bytes(metadata: &ParquetMetaData) -> Result<ParquetMetaData> {
    let file = metadata.file_metadata();
    let schema = Arc::new(SchemaDescriptor::new(bytes_type(file.schema_descr().root_schema_ptr())?));
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
    let info = schema.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if schema.is_group() {
        let fields = schema.get_fields().iter().cloned().map(bytes_type).collect::<Result<Vec<_>>>()?;
        let mut builder = Type::group_type_builder(info.name())
            .with_logical_type(info.logical_type_ref().cloned())
            .with_converted_type(info.converted_type())
            .with_id(id)
            .with_fields(fields);
        if info.has_repetition() {
            builder = builder.with_repetition(info.repetition());
        }
        return builder.build().map(Arc::new);
    }
    let is_text = schema.get_physical_type() == PhysicalType::BYTE_ARRAY
        && (info.converted_type() == ConvertedType::UTF8 || info.logical_type_ref() == Some(&LogicalType::String));
    if !is_text {
        return Ok(schema);
    }
    let builder = Type::primitive_type_builder(info.name(), PhysicalType::BYTE_ARRAY).with_id(id);
    builder.with_repetition(info.repetition()).build().map(Arc::new)
}
