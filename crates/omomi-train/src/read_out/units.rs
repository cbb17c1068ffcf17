//! The sums of every unit, in flat memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::moments::Moments;

/// A hasher of keys that are hashes already.
#[derive(Debug, Default)]
pub(super) struct OfHashes(u64);

impl Hasher for OfHashes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A map by the hash of a unit.
pub(super) type ByUnit<V> = HashMap<u64, V, BuildHasherDefault<OfHashes>>;

/// The arm of a unit that was in more than one.
const SEVERAL: u16 = u16::MAX;

/// Units by the hash of their name. Two of 10 million units share a hash with a probability of 3e-6.
#[derive(Debug)]
pub(super) struct Units {
    width: usize,
    places: ByUnit<u32>,
    units: Vec<u64>,
    arms: Vec<u16>,
    sums: Vec<f64>,
    several_count: u64,
}

impl Units {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            places: ByUnit::default(),
            units: Vec::new(),
            arms: Vec::new(),
            sums: Vec::new(),
            several_count: 0,
        }
    }

    /// Returns the sums of a unit of an arm, which are 0 if it is new.
    pub(super) fn sums_of(&mut self, unit: u64, arm: u16) -> &mut [f64] {
        let place = *self.places.entry(unit).or_insert_with(|| {
            self.units.push(unit);
            self.arms.push(arm);
            self.sums.resize(self.sums.len() + self.width, 0.0);
            u32::try_from(self.arms.len() - 1).unwrap_or(u32::MAX)
        }) as usize;
        if self.arms[place] != arm && self.arms[place] != SEVERAL {
            self.arms[place] = SEVERAL;
            self.several_count += 1;
        }
        &mut self.sums[place * self.width..(place + 1) * self.width]
    }

    /// Number of units that were in more than one arm.
    pub(super) const fn several_count(&self) -> u64 {
        self.several_count
    }

    /// Number of units.
    pub(super) fn len(&self) -> usize {
        self.arms.len()
    }

    /// Returns the memory that units take. Room that is reserved for more of them is not touched yet, so it does not
    /// count, except in the map.
    pub(super) fn len_bytes(&self) -> u64 {
        // A slot of the map has a key, a place and a byte of control; 8 of 7 slots are filled at most.
        let slots = (self.places.capacity() as u64 * 8 / 7) * (size_of::<(u64, u32)>() as u64 + 1);
        let flat = self.units.len() * size_of::<u64>() + self.arms.len() * size_of::<u16>();
        slots + flat as u64 + (self.sums.len() * size_of::<f64>()) as u64
    }

    /// Returns the arm of a unit, if it was in one only.
    pub(super) fn arm_of(&self, unit: u64) -> Option<u16> {
        let place = *self.places.get(&unit)? as usize;
        Some(self.arms[place]).filter(|arm| *arm != SEVERAL)
    }

    /// Returns the sums of a unit.
    pub(super) fn get(&self, unit: u64) -> Option<&[f64]> {
        let place = *self.places.get(&unit)? as usize;
        self.sums.get(place * self.width..(place + 1) * self.width)
    }

    /// Returns the moments of each arm, over the units for which `arm_of` gives one, with the sums of `more`, of width
    /// `more_width`, behind their own.
    pub(super) fn moments<'a>(
        &'a self,
        arm_count: usize,
        arm_of: impl Fn(u64, u16) -> Option<u16>,
        more: Option<(&'a Self, usize)>,
    ) -> Vec<Moments> {
        let more_width = more.map_or(0, |(_, width)| width);
        let mut moments = vec![Moments::new(self.width + more_width); arm_count];
        let mut row = vec![0.0; self.width + more_width];
        let mut add = |unit: u64, place: usize| {
            let Some(moments) = arm_of(unit, self.arms[place]).and_then(|arm| moments.get_mut(usize::from(arm))) else {
                return;
            };
            row[..self.width].copy_from_slice(&self.sums[place * self.width..(place + 1) * self.width]);
            if let Some((more, _)) = more {
                // A unit without a past has sums of 0 there.
                let none = |cell: &mut f64| *cell = 0.0;
                match more.get(unit) {
                    Some(sums) => row[self.width..].copy_from_slice(sums),
                    None => row[self.width..].iter_mut().for_each(none),
                }
            }
            moments.add(&row);
        };
        // In the order in which units came, so that equal logs give equal bits.
        self.units.iter().enumerate().for_each(|(place, &unit)| add(unit, place));
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_in_two_arms_is_in_none() {
        let mut units = Units::new(1);
        for (unit, arm) in [(1, 0), (2, 1), (3, 0), (3, 1), (3, 0)] {
            units.sums_of(unit, arm)[0] += 1.0;
        }
        assert_eq!((units.len(), units.several_count()), (3, 1));
        assert_eq!([1, 2, 3, 4].map(|unit| units.arm_of(unit)), [Some(0), Some(1), None, None]);
        let moments = units.moments(2, |_, arm| Some(arm), None);
        assert_eq!(moments.iter().map(Moments::unit_count).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn a_unit_takes_few_bytes() {
        let mut units = Units::new(super::super::metric::FIXED_COUNT);
        for unit in 0..1_000_000_u64 {
            units.sums_of(unit.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0)[0] += 1.0;
        }
        let per_unit = units.len_bytes() / units.len() as u64;
        assert!((72..=150).contains(&per_unit), "{per_unit}");
    }
}
