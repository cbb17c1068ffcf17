//! Detects which vector instructions this processor has, once, and carries the result as a value.

/// Vector instructions that were found on this machine. Only [`Instructions::detect`] and [`Instructions::all`] return
/// a value other than [`Instructions::PLAIN`], so holding one proves that the processor has the instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instructions(Set);

/// The instruction sets for which this library has a code path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    Plain,
    /// AVX2, BMI1, BMI2, F16C and POPCNT: any x86-64 server since 2013.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The instructions of `Avx2`, and AVX-512 F, VL, BW and DQ: every server with AVX-512 since 2017.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON: every aarch64 server.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Instructions {
    /// The instructions that every processor has.
    pub const PLAIN: Self = Self(Set::Plain);

    /// Returns the best set that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if has_avx512() {
            return Self(Set::Avx512);
        } else if has_avx2() {
            return Self(Set::Avx2);
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return Self(Set::Neon);
        }
        Self::PLAIN
    }

    /// Returns every set that this processor has, the plain one first and the best one last. Property tests run over
    /// all of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::PLAIN];
        #[cfg(target_arch = "x86_64")]
        if has_avx512() {
            all.push(Self(Set::Avx2));
        }
        if Self::detect() != Self::PLAIN {
            all.push(Self::detect());
        }
        all
    }

    /// Returns the set, for code that has a path for each.
    #[inline]
    pub(crate) const fn set(self) -> Set {
        self.0
    }

    /// Returns `plain`, `avx2`, `avx512` or `neon`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            Set::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("f16c")
        && std::is_x86_feature_detected!("popcnt")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512vl")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512dq")
}

#[cfg(all(test, target_arch = "aarch64"))]
mod tests {
    use super::*;

    /// Tests that run over every set compare NEON with the plain set only if NEON was found.
    #[test]
    fn neon_is_found_on_every_aarch64_processor() {
        assert_eq!(Instructions::all().into_iter().map(Instructions::name).collect::<Vec<_>>(), ["plain", "neon"]);
    }
}
