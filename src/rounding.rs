//! The floating-point mode of the calling thread. The answers are defined for rounding to nearest with subnormal
//! numbers. A host may have set another mode: with `fesetround`, or by linking one library that was compiled with
//! `-ffast-math`, which flushes subnormal numbers to zero on every thread.

/// Runs `body` in the standard mode: rounding to nearest, with subnormal numbers and without traps. If the thread is in
/// another mode, restores that mode afterwards, even if `body` panics.
#[inline(always)]
pub(crate) fn in_standard_mode<T>(body: impl FnOnce() -> T) -> T {
    let found = control::read();
    if control::is_standard(found) { body() } else { in_other_mode(found, body) }
}

#[cold]
#[inline(never)]
fn in_other_mode<T>(found: u64, body: impl FnOnce() -> T) -> T {
    /// Sets the mode again when it is dropped.
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            control::write(self.0);
        }
    }
    let _restore = Restore(found);
    control::write(control::standard(found));
    apart(body)
}

/// Calls `body` where the compiler cannot mix its arithmetic with that of the caller, across a change of the mode.
#[inline(never)]
fn apart<T>(body: impl FnOnce() -> T) -> T {
    body()
}

#[cfg(target_arch = "x86_64")]
mod control {
    use std::arch::asm;

    /// In MXCSR: the bits that change results or trap: subnormal operands as zero, masks of exceptions, rounding, and
    /// subnormal results as zero.
    const MODE: u64 = 0xffc0;
    /// All exceptions masked, everything else off.
    const STANDARD: u64 = 0x1f80;

    pub(super) fn read() -> u64 {
        let mut word = 0_u32;
        // SAFETY: stores 4 bytes to a local variable; SSE is part of x86-64.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
        u64::from(word)
    }

    pub(super) const fn is_standard(word: u64) -> bool {
        word & MODE == STANDARD
    }

    /// Returns `word` with the standard mode. The other bits say which exceptions happened.
    pub(super) const fn standard(word: u64) -> u64 {
        word & !MODE | STANDARD
    }

    pub(super) fn write(word: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "it was read as 32 bits")]
        let word = word as u32;
        // SAFETY: loads 4 bytes of a local variable that `read` returned, with valid bits only.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod control {
    use std::arch::asm;

    /// In FPCR: alternative half precision, default NaN, flush to zero, rounding, half-precision flush, and traps.
    const MODE: u64 = 0x07c8_9f07;

    pub(super) fn read() -> u64 {
        let word: u64;
        // SAFETY: reads a register that every program may read.
        unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nomem, nostack, preserves_flags)) };
        word
    }

    pub(super) const fn is_standard(word: u64) -> bool {
        word & MODE == 0
    }

    pub(super) const fn standard(word: u64) -> u64 {
        word & !MODE
    }

    pub(super) fn write(word: u64) {
        // SAFETY: writes a register that every program may write, with bits that were read from it, or 0 for some.
        unsafe { asm!("msr fpcr, {}", in(reg) word, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub(super) const fn read() -> u64 {
        0
    }

    pub(super) const fn is_standard(_: u64) -> bool {
        true
    }

    pub(super) const fn standard(word: u64) -> u64 {
        word
    }

    pub(super) const fn write(_: u64) {}
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn any_mode_of_the_thread_is_set_aside_and_comes_back_even_after_a_panic() {
        let before = control::read();
        assert!(control::is_standard(before));
        let sum = || black_box(1.0) + black_box(f64::EPSILON / 4.0);
        let product = || black_box(f64::MIN_POSITIVE) * black_box(0.25);
        // Rounding up, down and to zero; flushing results and operands to zero.
        for bits in [0x4000, 0x2000, 0x6000, 0x8000, 0x0040, 0x8040] {
            control::write(before | bits);
            let (inside, tiny) = in_standard_mode(|| (sum(), product()));
            let found = control::read();
            let panic = std::panic::catch_unwind(|| in_standard_mode(|| panic!("a test asked for this panic")));
            let after = control::read();
            control::write(before);
            assert_eq!((inside, tiny), (1.0, f64::MIN_POSITIVE * 0.25), "{bits:#x}");
            assert!(panic.is_err());
            // The lowest bits say which exceptions happened.
            assert_eq!([found, after].map(|word| word & 0xffc0), [(before | bits) & 0xffc0; 2], "{bits:#x}");
        }
        control::write(before | 0x4000);
        let outside = sum();
        control::write(before);
        assert!(outside > 1.0, "the test sets the mode");
    }
}
