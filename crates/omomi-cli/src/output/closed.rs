//! Tells whether standard output was closed when the process began, as by `omomi inspect FILE >&-`.
//!
//! Before `main`, Rust opens `/dev/null` in place of a standard stream that is closed, so that no other file gets its
//! number. From then on, output that is lost looks like output that was written. So this looks before Rust does.

use std::io;

/// Returns an error if standard output was closed when the process began.
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(super) fn check() -> io::Result<()> {
    match WAS_CLOSED.load(Ordering::Relaxed) {
        true => Err(io::Error::other("it is closed")),
        false => Ok(()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) fn check() -> io::Result<()> {
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(any(target_os = "linux", target_os = "macos"))]
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Called by the loader of the operating system, before Rust's own start.
// SAFETY: the section holds pointers to functions of the C ABI. The loader calls each once, before there is another
// thread. It passes arguments that the function does not take, as the C ABI allows.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static LOOK: extern "C" fn() = {
    extern "C" fn look() {
        // SAFETY: the call only asks for the flags of a file number, and fails if there is no such file.
        let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
        WAS_CLOSED.store(flags == -1, Ordering::Relaxed);
    }
    look
};
