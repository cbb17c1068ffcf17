//! How a weight is stored in a line: as f32, as f16, or as an i8 that is multiplied by the scale of its field.

use crate::weight_file::layout::{ENCODING_F16, ENCODING_F32, ENCODING_I8};

/// How weights are stored in the lines of a table. Smaller weights leave room for more slots in a line; `FORMAT.md` (4)
/// has the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Encoding {
    /// 32-bit floats, unchanged: 8 slots in a line, at most 8.5 bytes per weight.
    #[default]
    F32 = ENCODING_F32,
    /// 16-bit floats: 12 slots in a line, at most 5.4 bytes per weight. A weight keeps 11 significant bits. Magnitudes
    /// of 65,520 and above cannot be stored.
    F16 = ENCODING_F16,
    /// Whole numbers from -127 to 127, times the scale of their field or cross: 15 slots in a line, at most 4.4 bytes
    /// per weight.
    I8 = ENCODING_I8,
}

impl Encoding {
    /// Every encoding, from the most precise to the least.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::I8];

    /// Returns the number in the table section.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Returns the encoding with that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.number() == number)
    }

    /// Returns `f32`, `f16` or `i8`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
        }
    }

    /// Returns the number of slots in a line.
    #[must_use]
    pub const fn slot_count(self) -> usize {
        match self {
            Self::F32 => 8,
            Self::F16 => 12,
            Self::I8 => 15,
        }
    }

    /// Returns whether each field and cross has a scale.
    #[must_use]
    pub const fn has_scales(self) -> bool {
        matches!(self, Self::I8)
    }
}

/// Converts an f16 to f32, which is always exact. Processors without an instruction for it use this function, and it
/// defines the result for the others.
#[inline]
#[must_use]
pub const fn f16_value(bits: u16) -> f32 {
    const EXPONENT_SHIFT: u32 = f32::MANTISSA_DIGITS - 1 - 10;
    /// The difference between the exponent biases of f32 and f16.
    const REBIAS: u32 = (127 - 15) << 23;
    let sign = (bits as u32 & 0x8000) << 16;
    let magnitude = (bits as u32 & 0x7fff) << EXPONENT_SHIFT;
    let value = match bits >> 10 & 31 {
        // Zero and the subnormal numbers have no leading 1: it is added to the mantissa and subtracted from the value.
        0 => {
            const ONE_TOO_MUCH: u32 = REBIAS + (1 << 23);
            f32::from_bits(magnitude + ONE_TOO_MUCH) - f32::from_bits(ONE_TOO_MUCH)
        }
        // Infinity and NaN have all exponent bits set in both formats.
        31 => f32::from_bits(magnitude + 2 * REBIAS),
        _ => f32::from_bits(magnitude + REBIAS),
    };
    f32::from_bits(value.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_has_the_value_that_the_half_crate_gives_it() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (f16_value(bits), half::f16::from_bits(bits).to_f32());
            let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
            assert!(same, "{bits:#06x}: expected {expected:e}, found {found:e}");
        }
    }

    #[test]
    fn numbers_and_names_of_encodings_are_unique() {
        for encoding in Encoding::ALL {
            assert_eq!(Encoding::from_number(encoding.number()), Some(encoding));
            assert_eq!(Encoding::ALL.iter().filter(|other| other.name() == encoding.name()).count(), 1);
        }
        assert_eq!(Encoding::from_number(3), None);
    }
}
