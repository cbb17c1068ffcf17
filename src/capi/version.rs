//! The release, for C.

use std::ffi::c_char;

/// Release of this header, as in "MAJOR.MINOR.PATCH".
pub const OMOMI_VERSION_MAJOR: u32 = 0;
/// See `OMOMI_VERSION_MAJOR`.
pub const OMOMI_VERSION_MINOR: u32 = 2;
/// See `OMOMI_VERSION_MAJOR`.
pub const OMOMI_VERSION_PATCH: u32 = 0;
/// Release of this header as a number that grows with it, also for `#if`: 1,002,003 for release 1.2.3. Compare it with
/// `omomi_version_number()`, that of the library.
pub const OMOMI_VERSION: u32 = OMOMI_VERSION_MAJOR * 1000000 + OMOMI_VERSION_MINOR * 1000 + OMOMI_VERSION_PATCH;

/// Returns the release of the library, for example "1.2.3". The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Returns the release of the library as a number: 1,002,003 for release 1.2.3. `OMOMI_VERSION` is that of the header.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_version_number() -> u32 {
    OMOMI_VERSION
}

/// The numbers are those of `Cargo.toml`. They are written out above because the header is made from these lines.
const _: () = {
    assert!(OMOMI_VERSION_MAJOR == number(env!("CARGO_PKG_VERSION_MAJOR")));
    assert!(OMOMI_VERSION_MINOR == number(env!("CARGO_PKG_VERSION_MINOR")));
    assert!(OMOMI_VERSION_PATCH == number(env!("CARGO_PKG_VERSION_PATCH")));
};

const fn number(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) if number < 1000 => number,
        _ => panic!("a number of the version is not below 1000"),
    }
}
