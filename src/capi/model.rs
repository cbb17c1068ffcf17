//! Opens weight files and describes models, for C.

use std::ffi::c_char;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::boundary::{Growing, Output, close, copy_text, growing, into_handle, output, read, reference, status, text};
use super::text::OmomiText;
use super::{OmomiError, OmomiStatus};
use crate::error::Error;
use crate::score::Model;
use crate::weight_file::map::LoadMode;

/// A verified weight file, ready to score. Immutable: any number of threads may use one model.
#[derive(Debug)]
pub struct OmomiModel(pub(super) Arc<Model>);

/// How a weight file is brought into memory: one of `OMOMI_LOAD_MODE_...`.
pub type OmomiLoadMode = u32;
/// A shared mapping: all processes of the machine share one copy. Replace the file by rename; never write to it.
pub const OMOMI_LOAD_MODE_MAP: OmomiLoadMode = 0;
/// A private copy, in huge pages if the operating system provides them. Later changes to the file have no effect.
pub const OMOMI_LOAD_MODE_COPY: OmomiLoadMode = 1;
/// A private copy while it fits a quarter of the available memory or the memory budget, and otherwise a shared mapping.
pub const OMOMI_LOAD_MODE_AUTO: OmomiLoadMode = 2;

/// Options for opening a weight file.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiOpenOptions {
    /// `sizeof(OmomiOpenOptions)`, set by the caller.
    pub size_bytes: usize,
    /// One of `OMOMI_LOAD_MODE_...`.
    pub load_mode: OmomiLoadMode,
}

// SAFETY: declared in this library, for C.
unsafe impl Growing for OmomiOpenOptions {
    const MIN_LEN_BYTES: usize = size_of::<Self>();
}

/// Description of a model.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiModelInfo {
    /// `sizeof(OmomiModelInfo)`, set by the caller.
    pub size_bytes: usize,
    /// Generation of the weight file.
    pub generation: u64,
    /// Number of weights, the bias excluded.
    pub weight_count: u64,
    /// Length of the file in bytes.
    pub file_len_bytes: u64,
    /// Fingerprint of the contract: the fields of two models mean the same exactly if these are equal.
    pub contract_fingerprint: u64,
    /// The weight that is always on, on the logit scale.
    pub bias: f64,
}

growing!(OmomiModelInfo from weight_count);

/// Opens the weight file at `path`, verifies every byte, and recomputes its golden requests. Fails unless all of this
/// succeeds, so an open model can always score. Reads the whole file, so do not call it from a request thread. Every
/// kind of damage has its own status. Close the model with `omomi_model_close`.
///
/// `options` may be null; then the file is mapped.
///
/// # Safety
///
/// `path` is as long as it says, `options` is null or points to its struct; `out_model`
/// and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_model_open(
    path: OmomiText,
    options: *const OmomiOpenOptions,
    out_model: *mut *mut OmomiModel,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        if path.text.is_null() {
            return Err(Error::NullArgument { argument: "path" });
        }
        // SAFETY: the caller's promise.
        let path = unsafe { text(path, "path") }?;
        // SAFETY: the caller's promise.
        let mode = unsafe { load_mode(options) }?;
        let out_model = output(out_model, "out_model")?;
        let model = OmomiModel(Model::load(Path::new(path), mode)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_model.write(into_handle(model)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes a model. Scorers that were opened on it continue to work. Ignores null.
///
/// # Safety
///
/// `model` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_model_close(model: *mut OmomiModel) {
    // SAFETY: the caller's promise.
    unsafe { close(model) };
}

/// Writes the description of a model. The caller sets `out_info->size_bytes` first.
///
/// # Safety
///
/// `model` is null or open; `out_info` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_model_info(
    model: *const OmomiModel,
    out_info: *mut OmomiModelInfo,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let model = &unsafe { reference(model, "model") }?.0;
        // SAFETY: the caller's promise.
        let out_info = unsafe { Output::new(out_info, "out_info") }?;
        let info = OmomiModelInfo {
            size_bytes: size_of::<OmomiModelInfo>(),
            generation: model.generation(),
            weight_count: model.weight_count(),
            file_len_bytes: model.header().total_len_bytes,
            contract_fingerprint: model.contract().fingerprint(),
            bias: model.bias(),
        };
        out_info.write(info);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Copies the logic id of a model, with a null byte, into the caller's buffer; see "Texts" above.
///
/// # Safety
///
/// `model` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are
/// null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_model_logic_id(
    model: *const OmomiModel,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let model = &unsafe { reference(model, "model") }?.0;
        // SAFETY: the caller's promise.
        unsafe { copy_text(model.logic_id(), out_text, capacity_bytes, out_len_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Copies the contract of a model as canonical JSON, with a null byte, into the caller's buffer; see "Texts" above.
///
/// # Safety
///
/// `model` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are
/// null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_model_contract_json(
    model: *const OmomiModel,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let model = &unsafe { reference(model, "model") }?.0;
        // SAFETY: the caller's promise.
        unsafe { copy_text(&model.contract().canonical_json(), out_text, capacity_bytes, out_len_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// # Safety
///
/// `options` is null or points to its struct.
unsafe fn load_mode(options: *const OmomiOpenOptions) -> Result<LoadMode, Error> {
    let Some(options) = NonNull::new(options.cast_mut()) else { return Ok(LoadMode::default()) };
    let default = OmomiOpenOptions { size_bytes: 0, load_mode: OMOMI_LOAD_MODE_MAP };
    // SAFETY: the caller's promise.
    checked_load_mode(unsafe { read(options, default, "options") }?.load_mode)
}

/// Translates a load mode, rejecting unknown numbers.
pub(super) fn checked_load_mode(load_mode: OmomiLoadMode) -> Result<LoadMode, Error> {
    match load_mode {
        OMOMI_LOAD_MODE_MAP => Ok(LoadMode::Map),
        OMOMI_LOAD_MODE_COPY => Ok(LoadMode::Copy),
        OMOMI_LOAD_MODE_AUTO => Ok(LoadMode::Auto),
        found => {
            let problem = format!("expected an OMOMI_LOAD_MODE_..., found {found}");
            Err(Error::InvalidArgument { argument: "options->load_mode", problem })
        }
    }
}

pub(super) const fn load_mode_number(load_mode: LoadMode) -> OmomiLoadMode {
    match load_mode {
        LoadMode::Map => OMOMI_LOAD_MODE_MAP,
        LoadMode::Copy => OMOMI_LOAD_MODE_COPY,
        LoadMode::Auto => OMOMI_LOAD_MODE_AUTO,
    }
}
