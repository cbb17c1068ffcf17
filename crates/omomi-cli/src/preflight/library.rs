//! Opens a weight file through a shared library of the C interface, as a server that is written in C does.

use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::transmute;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

use omomi::capi::{OmomiError, OmomiModelInfo, OmomiText};

use crate::Failure;

/// The version of the C interface that this program was compiled with.
const ABI_VERSION: u32 = omomi::capi::OMOMI_ABI_VERSION;

type AbiVersion = unsafe extern "C" fn() -> u32;
type Version = unsafe extern "C" fn() -> *const c_char;
type ModelOpen = unsafe extern "C" fn(OmomiText, *const c_void, *mut *mut c_void, *mut OmomiError) -> i32;
type ModelInfo = unsafe extern "C" fn(*const c_void, *mut OmomiModelInfo, *mut OmomiError) -> i32;
type ModelClose = unsafe extern "C" fn(*mut c_void);

/// A shared library, which stays loaded until the process ends.
struct Library<'a> {
    handle: *mut c_void,
    path: &'a Path,
}

impl<'a> Library<'a> {
    fn load(path: &'a Path) -> Result<Self, Failure> {
        // Without a slash, the linker would look elsewhere.
        let path_text = CString::new(std::path::absolute(path)?.as_os_str().as_bytes())?;
        // SAFETY: the text ends with a null byte. The initializers of the library run: that is what is asked for.
        let handle = unsafe { libc::dlopen(path_text.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: after a failure, it returns a text that ends with a null byte, or null.
            let error = unsafe { libc::dlerror() };
            // SAFETY: see above; null is handled before.
            let words = if error.is_null() { "".into() } else { unsafe { CStr::from_ptr(error) }.to_string_lossy() };
            return Err(format!("{} cannot be loaded: {words}", path.display()).into());
        }
        Ok(Self { handle, path })
    }

    /// The address of a function, which is never null.
    fn function(&self, name: &CStr) -> Result<*mut c_void, Failure> {
        // SAFETY: the handle is of a loaded library, and the name ends with a null byte.
        let address = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        if address.is_null() {
            let (path, name) = (self.path.display(), name.to_string_lossy());
            return Err(format!("{path} has no function {name}: expected the shared library of omomi").into());
        }
        Ok(address)
    }
}

/// Opens a weight file. Returns the version of the library, the generation of the file and its number of weights.
pub(super) fn open(library: &Path, file: &Path) -> Result<(String, u64, u64), Failure> {
    let library = Library::load(library)?;
    let abi_version = library.function(c"omomi_abi_version")?;
    let version = library.function(c"omomi_version")?;
    let model_open = library.function(c"omomi_model_open")?;
    let model_info = library.function(c"omomi_model_info")?;
    let model_close = library.function(c"omomi_model_close")?;
    // SAFETY: in every version of the C interface, this function has this signature.
    let found = unsafe { transmute::<*mut c_void, AbiVersion>(abi_version)() };
    if found != ABI_VERSION {
        let path = library.path.display();
        return Err(format!("{path}: expected version {ABI_VERSION} of the C interface, found {found}").into());
    }
    // SAFETY: the version of the interface was checked, so the signatures are those of its header, which is made from
    // the declarations that the types above repeat. The text of the version is static and ends with a null byte.
    let (version, model_open, model_info, model_close) = unsafe {
        (
            CStr::from_ptr(transmute::<*mut c_void, Version>(version)()),
            transmute::<*mut c_void, ModelOpen>(model_open),
            transmute::<*mut c_void, ModelInfo>(model_info),
            transmute::<*mut c_void, ModelClose>(model_close),
        )
    };
    // SAFETY: all members are numbers, for which zero bytes are a value.
    let mut error: OmomiError = unsafe { std::mem::zeroed() };
    error.size_bytes = size_of::<OmomiError>();
    // SAFETY: as above.
    let mut info: OmomiModelInfo = unsafe { std::mem::zeroed() };
    info.size_bytes = size_of::<OmomiModelInfo>();
    let path = file.as_os_str().as_bytes();
    let text = OmomiText { text: path.as_ptr().cast(), len_bytes: path.len() };
    let mut model = null_mut();
    // SAFETY: the text is as long as it says, null options are allowed, and the outputs are writable.
    let mut status = unsafe { model_open(text, null(), &raw mut model, &raw mut error) };
    if status == 0 {
        // SAFETY: the model is open, and the outputs are writable.
        status = unsafe { model_info(model, &raw mut info, &raw mut error) };
        // SAFETY: the model is open, and not used after this.
        unsafe { model_close(model) };
    }
    if status != 0 {
        // SAFETY: a call that fails writes a text that ends with a null byte.
        let words = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_string_lossy().into_owned();
        return Err(words.into());
    }
    Ok((version.to_string_lossy().into_owned(), info.generation, info.weight_count))
}
