//! Schemas: the fields that a server declares, for C.

use super::boundary::{Growing, close, growing, into_handle, output, read, reference, size_of_struct, status, text};
use super::model::OmomiModel;
use super::text::OmomiText;
use super::{OmomiError, OmomiStatus};
use crate::contract::{MAX_FIELDS_PER_SIDE, MAX_NAME_LEN_BYTES, Side};
use crate::error::Error;
use crate::memory::with_room;
use crate::printable::printable;
use crate::request::{Schema, SchemaField, SchemaKind, check_texts};

/// The fields that a server can supply: declared once, valid for every later model. Immutable: any number of threads
/// may use one schema.
#[derive(Debug)]
pub struct OmomiSchema(pub(super) Schema);

/// The side of a request that a field belongs to: one of `OMOMI_SIDE_...`.
pub type OmomiSide = u32;
/// Shared by all candidates of a request: user, media, slot, time.
pub const OMOMI_SIDE_CONTEXT: OmomiSide = 0;
/// Specific to one candidate: creative, campaign, advertiser.
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
#[derive(Debug, Clone, Copy)]
pub struct OmomiField {
    /// `sizeof(OmomiField)`, set by the caller.
    pub size_bytes: usize,
    /// Name as in the contract.
    pub name: OmomiText,
    /// One of `OMOMI_SIDE_...`.
    pub side: OmomiSide,
    /// One of `OMOMI_KIND_...`.
    pub kind: OmomiKind,
    /// 1 if a row has zero or more values of the field, otherwise 0.
    pub many: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Unit as in the contract. Only read for numbers.
    pub unit: OmomiText,
    /// Minimum as in the contract. Only read for numbers.
    pub range_min: f64,
    /// Maximum as in the contract. Only read for numbers.
    pub range_max: f64,
}

growing!(OmomiField from unit);

impl OmomiField {
    /// What a shorter struct lacks.
    pub(super) const DEFAULT: Self = Self {
        size_bytes: 0,
        name: OmomiText::EMPTY,
        side: OMOMI_SIDE_CONTEXT,
        kind: OMOMI_KIND_ID,
        many: 0,
        reserved: 0,
        unit: OmomiText::EMPTY,
        range_min: 0.0,
        range_max: 0.0,
    };
}

/// The position of a declared field in the rows of its side, and its type. Get it once from `omomi_schema_slot`, keep
/// it, and pass it to the setters. Requests of another schema refuse it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiSlot {
    /// The schema and the side of the rows that have the slot. 0 in a slot that nothing filled.
    pub row_type: u32,
    /// Index of the slot in a row of that side, from 0.
    pub index: u32,
    /// One of `OMOMI_KIND_...`.
    pub kind: OmomiKind,
    /// 1 if a row has zero or more values of the field, otherwise 0.
    pub many: u32,
}

/// Declares the fields that a server can supply. The order of the fields of a side is kept. Close the schema with
/// `omomi_schema_close`.
///
/// Returns `OMOMI_STATUS_SCHEMA_INVALID` for an empty or duplicate name, more than 64 fields on a side, a number that
/// is `many`, or a range that is not two finite numbers with the lower one first.
///
/// # Safety
///
/// `fields` is null or points to `field_count` structs whose texts are as long as they say; `out_schema` and `error`
/// are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_schema_open(
    fields: *const OmomiField,
    field_count: usize,
    out_schema: *mut *mut OmomiSchema,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        let max = 2 * MAX_FIELDS_PER_SIDE;
        if field_count > max {
            let problem = format!("expected at most {max} fields on both sides, found {field_count}");
            return Err(Error::SchemaInvalid { problem });
        }
        // SAFETY: the caller's promise.
        let fields = unsafe { declared_fields(fields, field_count) }?;
        let out_schema = output(out_schema, "out_schema")?;
        let schema = OmomiSchema(Schema::new(fields)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_schema.write(into_handle(schema)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Declares exactly the fields that a model needs, in contract order. For tools and tests: a server that declares its
/// own fields notices when the other team changes them. Close the schema with `omomi_schema_close`.
///
/// # Safety
///
/// `model` is null or open; `out_schema` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
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

/// Closes a schema. Layouts that were created from it continue to work. Ignores null.
///
/// # Safety
///
/// `schema` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_schema_close(schema: *mut OmomiSchema) {
    // SAFETY: the caller's promise.
    unsafe { close(schema) };
}

/// Writes the slot of the field called `name`. Returns `OMOMI_STATUS_UNKNOWN_FIELD` if it is not declared.
///
/// # Safety
///
/// `schema` is null or open; `name` is as long as it says; `out_slot` and `error` are
/// null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_schema_slot(
    schema: *const OmomiSchema,
    name: OmomiText,
    out_slot: *mut OmomiSlot,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let schema = &unsafe { reference(schema, "schema") }?.0;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name") }?;
        let out_slot = output(out_slot, "out_slot")?;
        let slot = slot_of(schema, name)?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_slot.write(slot) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Returns the slot of the field called `name`.
pub(super) fn slot_of(schema: &Schema, name: &str) -> Result<OmomiSlot, Error> {
    let Some((slot, index)) = schema.slot(name).and_then(|slot| Some((slot, u32::try_from(slot.index()).ok()?))) else {
        // Nothing that long is declared, and it may be of any length.
        return Err(Error::UnknownField { field: printable(name, 4 * MAX_NAME_LEN_BYTES) });
    };
    let field = &schema.fields(slot.side())[slot.index()];
    let kind = match field.kind {
        SchemaKind::Id => OMOMI_KIND_ID,
        SchemaKind::Text => OMOMI_KIND_TEXT,
        SchemaKind::Number { .. } => OMOMI_KIND_NUMBER,
    };
    Ok(OmomiSlot { row_type: slot.row_type.0, index, kind, many: u32::from(field.many) })
}

/// Reads an array of declared fields. Its elements are as far apart as the first one is long: an older or newer header
/// has shorter or longer ones.
///
/// # Safety
///
/// `fields` must be null or point to `count` structs, as long as the first one says, whose texts are as long as they
/// say.
unsafe fn declared_fields(fields: *const OmomiField, count: usize) -> Result<Vec<SchemaField>, Error> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let first = output(fields.cast_mut(), "fields")?;
    // SAFETY: the caller promises at least one struct.
    let distance = unsafe { size_of_struct(first, "fields[0]") }?;
    let mut declared_fields = with_room(count, "the fields of a schema")?;
    for index in 0..count {
        // SAFETY: the caller promises `count` structs at this distance, and `count` is small.
        let field = unsafe { first.byte_add(index * distance) };
        // SAFETY: as above.
        let size_bytes = unsafe { size_of_struct(field, "a field") }?;
        if size_bytes != distance {
            let (expected, found) = (distance as u64, size_bytes as u64);
            return Err(Error::WrongSize { what: "a field", expected, found });
        }
        // SAFETY: as above.
        let field = unsafe { read(field, OmomiField::DEFAULT, "a field") }?;
        // SAFETY: the caller's promise.
        declared_fields.push(unsafe { declared(&field) }?);
    }
    Ok(declared_fields)
}

/// # Safety
///
/// The texts of `field` must be as long as they say.
unsafe fn declared(field: &OmomiField) -> Result<SchemaField, Error> {
    let invalid = |argument, problem| Error::InvalidArgument { argument, problem };
    // SAFETY: the caller's promise.
    let name = unsafe { text(field.name, "field.name") }?;
    check_texts(name, "")?;
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
            let unit = unsafe { text(field.unit, "field.unit") }?;
            check_texts(name, unit)?;
            SchemaKind::Number { unit: unit.to_owned(), range: [field.range_min, field.range_max] }
        }
        found => {
            let problem = format!("expected one of OMOMI_KIND_... for the field `{name}`, found {found}");
            return Err(invalid("field.kind", problem));
        }
    };
    Ok(SchemaField { name: name.to_owned(), side, kind, many: field.many == 1 })
}
