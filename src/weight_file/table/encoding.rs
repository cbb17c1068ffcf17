//! How a weight stands in a line: as f32, as f16, or as an i8 that its field's scale multiplies.

use crate::weight_file::layout::{ENCODING_F16, ENCODING_F32, ENCODING_I8};

/// How weights stand in the lines of a table. Smaller ones leave room for more slots in a line; `FORMAT.md` (4) has the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Encoding {
    /// Weights as they are: 8 slots a line, at most 8.5 bytes a weight.
    #[default]
    F32 = ENCODING_F32,
    /// Half precision: 12 slots a line, at most 5.4 bytes a weight. A weight keeps 11 significant bits; from 65,520 on there is none.
    F16 = ENCODING_F16,
    /// Whole numbers from -127 to 127, times the scale of their field or cross: 15 slots a line, at most 4.4 bytes a weight.
    I8 = ENCODING_I8,
}

impl Encoding {
    /// Every encoding, the most precise first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::I8];

    /// The number in the table section.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The encoding with that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.number() == number)
    }

    /// `f32`, `f16` or `i8`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
        }
    }

    /// Slots in a line.
    #[must_use]
    pub const fn slot_count(self) -> usize {
        match self {
            Self::F32 => 8,
            Self::F16 => 12,
            Self::I8 => 15,
        }
    }

    /// Whether each field and cross has a scale.
    #[must_use]
    pub const fn has_scales(self) -> bool {
        matches!(self, Self::I8)
    }
}

/// The f32 with the value of an f16, which always has one. The path of a processor without such an instruction, and the
/// definition for those that have it.
#[inline]
#[must_use]
pub const fn f16_value(bits: u16) -> f32 {
    const EXPONENT_SHIFT: u32 = f32::MANTISSA_DIGITS - 1 - 10;
    /// What the exponent of an f32 is greater by: the difference of the biases.
    const REBIAS: u32 = (127 - 15) << 23;
    let sign = (bits as u32 & 0x8000) << 16;
    let magnitude = (bits as u32 & 0x7fff) << EXPONENT_SHIFT;
    let value = match bits >> 10 & 31 {
        // Zero and the subnormal numbers have no leading 1: it is added to the mantissa and taken off the value.
        0 => {
            const ONE_TOO_MUCH: u32 = REBIAS + (1 << 23);
            f32::from_bits(magnitude + ONE_TOO_MUCH) - f32::from_bits(ONE_TOO_MUCH)
        }
        // Infinity and NaN have all exponent bits in either format.
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
    fn every_encoding_has_its_number_and_its_name_alone() {
        for encoding in Encoding::ALL {
            assert_eq!(Encoding::from_number(encoding.number()), Some(encoding));
            assert_eq!(Encoding::ALL.iter().filter(|other| other.name() == encoding.name()).count(), 1);
        }
        assert_eq!(Encoding::from_number(3), None);
    }
}
