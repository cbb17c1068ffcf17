//! Which vector instructions this processor has, found once and carried as a value.

/// Instructions that were found on this machine. A value other than [`Instructions::PLAIN`] can only be had from
/// [`Instructions::detect`], so holding it is the proof that the processor has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instructions(Set);

/// The sets that some path of this library makes use of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Instructions {
    /// What every processor has.
    pub const PLAIN: Self = Self(Set::Plain);

    /// The best that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("bmi2")
            && std::is_x86_feature_detected!("f16c")
            && std::is_x86_feature_detected!("popcnt")
        {
            return Self(Set::Avx2);
        }
        Self::PLAIN
    }

    /// Every set that this processor has, the plain one first: what a property test runs over.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::PLAIN];
        if Self::detect() != Self::PLAIN {
            all.push(Self::detect());
        }
        all
    }

    /// Which set it is, for the places that have a path for each.
    #[inline]
    pub(crate) const fn set(self) -> Set {
        self.0
    }

    /// `plain` or `avx2`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            Set::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
        }
    }
}
