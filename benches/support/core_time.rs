//! CPU time of the current thread. On a quiet machine it equals wall-clock time. On a busy one it leaves out the time
//! of other processes, which would otherwise hide what is measured.

use std::time::Duration;

/// A point on the CPU clock of the current thread.
#[derive(Clone, Copy)]
pub struct CoreTime(Duration);

impl CoreTime {
    /// Reads the clock. This is a system call that takes 0.2 to 0.3 us, so it cannot time work of less than 10 us.
    pub fn now() -> Self {
        Self(thread_time())
    }

    /// Returns the CPU time of this thread since then. Meaningless for a point of another thread.
    pub fn elapsed(self) -> Duration {
        thread_time().saturating_sub(self.0)
    }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn thread_time() -> Duration {
    /// `struct timespec` of 64-bit Linux.
    #[repr(C)]
    struct Timespec {
        seconds: u64,
        nanoseconds: u64,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, now: *mut Timespec) -> i32;
    }
    const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the C library has this function, and `now` is one writable `struct timespec`.
    let status = unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    assert_eq!(status, 0, "Linux has a clock for each thread");
    Duration::from_secs(now.seconds) + Duration::from_nanos(now.nanoseconds)
}

/// On other systems, this is wall-clock time.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn thread_time() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}
