//! Keeps the signal that a file size limit raises from ending the host: the write then fails with an error instead.

/// Blocks SIGXFSZ on the calling thread.
pub(crate) fn block() {
    // SAFETY: the set is initialized before it is used; the calls take and fill plain memory.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGXFSZ);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}
