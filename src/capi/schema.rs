//! What a server declares, and the layout of its request blocks.

use std::ffi::c_char;
use std::ptr::NonNull;

use super::boundary::{check_size, close, into_handle, output, reference, slice, status, text};
use super::model::OmomiModel;
use super::{OmomiError, OmomiStatus};
use crate::contract::{MAX_FIELDS_PER_SIDE, Side};
use crate::error::Error;
use crate::schema::{Capacity, RequestLayout, Schema, SchemaField, SchemaKind};

/// The fields that a server can supply, declared once and good for every later model. Immutable: any number of threads may
/// use one schema.
#[derive(Debug)]
pub struct OmomiSchema(pub(super) Schema);

/// The layout of request blocks of one schema and capacity. Immutable: any number of threads may use one layout.
#[derive(Debug)]
pub struct OmomiLayout(pub(super) RequestLayout);

/// The side of a request that a field belongs to: one of `OMOMI_SIDE_...`.
pub type OmomiSide = u32;
/// Shared by all candidates of a request: user, media, slot, time.
pub const OMOMI_SIDE_CONTEXT: OmomiSide = 0;
/// Of one candidate: creative, campaign, advertiser.
pub const OMOMI_SIDE_CANDIDATE: OmomiSide = 1;

/// The type of a field: one of `OMOMI_KIND_...`.
pub type OmomiKind = u32;
/// 64-bit integers.
pub const OMOMI_KIND_ID: OmomiKind = 0;
/// UTF-8 texts.
pub const OMOMI_KIND_TEXT: OmomiKind = 1;
/// Doubles.
pub const OMOMI_KIND_NUMBER: OmomiKind = 2;

/// One declared field. `omomi_id_field`, `omomi_text_field`, `omomi_number_field` and `omomi_many` fill it.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiField {
    /// `sizeof(OmomiField)`, set by the caller.
    pub size_bytes: usize,
    /// Name, as in the contract: UTF-8; needs no null byte.
    pub name: *const c_char,
    /// Length of the name.
    pub name_len_bytes: usize,
    /// One of `OMOMI_SIDE_...`.
    pub side: OmomiSide,
    /// One of `OMOMI_KIND_...`.
    pub kind: OmomiKind,
    /// 1 where a row has zero or more values of it, otherwise 0.
    pub many: u32,
    /// 0.
    pub reserved: u32,
    /// Of a number its unit, as in the contract; otherwise not read.
    pub unit: *const c_char,
    /// Length of the unit.
    pub unit_len_bytes: usize,
    /// Of a number its least value, as in the contract; otherwise not read.
    pub least: f64,
    /// Of a number its greatest value, as in the contract; otherwise not read.
    pub greatest: f64,
}

/// Where a declared field lies in the rows of its side, and what it holds. Ask once, keep it, and pass it to the setters.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiSlot {
    /// One of `OMOMI_SIDE_...`.
    pub side: OmomiSide,
    /// Index of the slot in a row of that side, counted from 0.
    pub index: u32,
    /// One of `OMOMI_KIND_...`.
    pub kind: OmomiKind,
    /// 1 where a row has zero or more values of it, otherwise 0.
    pub many: u32,
}

/// Byte offsets of a request block, all multiples of 8, and its capacity.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiOffsets {
    /// `sizeof(OmomiOffsets)`, set by the caller.
    pub size_bytes: usize,
    /// Start of the context row.
    pub context_offset: usize,
    /// Start of the first candidate row.
    pub candidates_offset: usize,
    /// From one candidate row to the next.
    pub candidate_stride_bytes: usize,
    /// Start of the first model's result: its outcome, then its answers.
    pub results_offset: usize,
    /// From one model's result to the next one's.
    pub result_stride_bytes: usize,
    /// Start of the tail.
    pub tail_offset: usize,
    /// Length of the whole block: what to allocate, aligned to 8 bytes, better 64.
    pub len_bytes: usize,
    /// Number of candidate rows.
    pub candidate_capacity: usize,
    /// Length of the tail.
    pub tail_len_bytes: usize,
}

/// Declares the fields that a server can supply. Each side keeps the order given. Close the schema with
/// `omomi_schema_close`.
///
/// `OMOMI_STATUS_SCHEMA_INVALID` for a name that stands twice or is empty, more than 64 fields on a side, a number that is
/// `many`, or a range that is not two finite numbers, the lesser first.
///
/// # Safety
///
/// `fields` is null or points to `field_count` structs whose texts are as long as they say; `out_schema` and `error` are
/// null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_schema_open(
    fields: *const OmomiField,
    field_count: usize,
    out_schema: *mut *mut OmomiSchema,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        let most = 2 * MAX_FIELDS_PER_SIDE;
        if field_count > most {
            let problem = format!("expected at most {most} fields on both sides, found {field_count}");
            return Err(Error::SchemaInvalid { problem });
        }
        if let (Some(first), 1..) = (NonNull::new(fields.cast_mut()), field_count) {
            // SAFETY: not null, and the caller promises that at least one struct is there. Where its size is right, the
            // array has the caller's elements where this library looks for them.
            unsafe { check_size(first, "fields[0]") }?;
        }
        // SAFETY: the caller's promise.
        let fields = unsafe { slice(fields, field_count, "fields") }?;
        let out_schema = output(out_schema, "out_schema")?;
        // SAFETY: the caller's promise.
        let fields = fields.iter().map(|field| unsafe { declared(field) }).collect::<Result<_, _>>()?;
        let schema = OmomiSchema(Schema::new(fields)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_schema.write(into_handle(schema)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Declares exactly what a model asks for, in contract order. For tools and tests; a server that declares its fields by
/// itself finds out when the other team changes its mind. Close the schema with `omomi_schema_close`.
///
/// # Safety
///
/// `model` is null or open; `out_schema` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_schema_of_model(
    model: *const OmomiModel,
    out_schema: *mut *mut OmomiSchema,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let model = unsafe { reference(model, "model") }?;
        let out_schema = output(out_schema, "out_schema")?;
        let schema = OmomiSchema(Schema::of_contract(model.0.contract()));
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_schema.write(into_handle(schema)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Gives a schema back. Layouts that were made of it go on working. Null is left alone.
///
/// # Safety
///
/// `schema` is null, or is open and used by nobody from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_schema_close(schema: *mut OmomiSchema) {
    // SAFETY: the caller's promise.
    unsafe { close(schema) };
}

/// Where the field called `name` lies; `OMOMI_STATUS_UNKNOWN_FIELD` if it is not declared.
///
/// # Safety
///
/// `schema` is null or open; `name` is null or points to `name_len_bytes` readable bytes; `out_slot` and `error` are null or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_schema_slot(
    schema: *const OmomiSchema,
    name: *const c_char,
    name_len_bytes: usize,
    out_slot: *mut OmomiSlot,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let schema = &unsafe { reference(schema, "schema") }?.0;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, name_len_bytes, "name") }?;
        let out_slot = output(out_slot, "out_slot")?;
        let Some((slot, index)) = schema.slot(name).and_then(|slot| Some((slot, u32::try_from(slot.index).ok()?)))
        else {
            return Err(Error::UnknownField { field: name.to_owned() });
        };
        let field = &schema.fields(slot.side)[slot.index];
        let side = match slot.side {
            Side::Context => OMOMI_SIDE_CONTEXT,
            Side::Candidate => OMOMI_SIDE_CANDIDATE,
        };
        let kind = match field.kind {
            SchemaKind::Id => OMOMI_KIND_ID,
            SchemaKind::Text => OMOMI_KIND_TEXT,
            SchemaKind::Number { .. } => OMOMI_KIND_NUMBER,
        };
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_slot.write(OmomiSlot { side, index, kind, many: u32::from(field.many) }) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// The layout of requests of up to `candidate_capacity` candidates (1 to 65,536), with a tail of `tail_len_bytes` (up to
/// 64 MiB) for texts and for the values of `many` fields. Close it with `omomi_layout_close`.
///
/// # Safety
///
/// `schema` is null or open; `out_layout` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_layout_open(
    schema: *const OmomiSchema,
    candidate_capacity: usize,
    tail_len_bytes: usize,
    out_layout: *mut *mut OmomiLayout,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let schema = &unsafe { reference(schema, "schema") }?.0;
        let out_layout = output(out_layout, "out_layout")?;
        let layout = RequestLayout::new(schema, Capacity { candidates: candidate_capacity, tail_len_bytes })?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_layout.write(into_handle(OmomiLayout(layout))) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Gives a layout back. Scorers that were opened with it go on working. Null is left alone.
///
/// # Safety
///
/// `layout` is null, or is open and used by nobody from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_layout_close(layout: *mut OmomiLayout) {
    // SAFETY: the caller's promise.
    unsafe { close(layout) };
}

/// Writes the offsets of a layout's request blocks. The caller sets `out_offsets->size_bytes`.
///
/// # Safety
///
/// `layout` is null or open; `out_offsets` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_layout_offsets(
    layout: *const OmomiLayout,
    out_offsets: *mut OmomiOffsets,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        let out_offsets = output(out_offsets, "out_offsets")?;
        // SAFETY: not null, and the caller promises the struct.
        unsafe { check_size(out_offsets, "out_offsets") }?;
        let (offsets, capacity) = (layout.offsets(), layout.capacity());
        let offsets = OmomiOffsets {
            size_bytes: size_of::<OmomiOffsets>(),
            context_offset: offsets.context_offset,
            candidates_offset: offsets.candidates_offset,
            candidate_stride_bytes: offsets.candidate_stride_bytes,
            results_offset: offsets.results_offset,
            result_stride_bytes: offsets.result_stride_bytes,
            tail_offset: offsets.tail_offset,
            len_bytes: offsets.len_bytes,
            candidate_capacity: capacity.candidates,
            tail_len_bytes: capacity.tail_len_bytes,
        };
        // SAFETY: as above.
        unsafe { out_offsets.write(offsets) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// # Safety
///
/// The texts of `field` are null or as long as it says.
unsafe fn declared(field: &OmomiField) -> Result<SchemaField, Error> {
    let invalid = |argument, problem| Error::InvalidArgument { argument, problem };
    // SAFETY: a reference points to its struct.
    unsafe { check_size(NonNull::from(field), "a field") }?;
    // SAFETY: the caller's promise.
    let name = unsafe { text(field.name, field.name_len_bytes, "field.name") }?;
    let side = match field.side {
        OMOMI_SIDE_CONTEXT => Side::Context,
        OMOMI_SIDE_CANDIDATE => Side::Candidate,
        found => {
            let problem =
                format!("expected OMOMI_SIDE_CONTEXT or OMOMI_SIDE_CANDIDATE for the field `{name}`, found {found}");
            return Err(invalid("field.side", problem));
        }
    };
    if field.many > 1 {
        return Err(invalid("field.many", format!("expected 0 or 1 for the field `{name}`, found {}", field.many)));
    }
    let kind = match field.kind {
        OMOMI_KIND_ID => SchemaKind::Id,
        OMOMI_KIND_TEXT => SchemaKind::Text,
        OMOMI_KIND_NUMBER => {
            // SAFETY: the caller's promise.
            let unit = unsafe { text(field.unit, field.unit_len_bytes, "field.unit") }?;
            SchemaKind::Number { unit: unit.to_owned(), range: [field.least, field.greatest] }
        }
        found => {
            let problem = format!("expected one of OMOMI_KIND_... for the field `{name}`, found {found}");
            return Err(invalid("field.kind", problem));
        }
    };
    Ok(SchemaField { name: name.to_owned(), side, kind, many: field.many == 1 })
}
