//! Features to look up, their popularity, and the memory of a table.

use memmap2::MmapMut;
use omomi::feature::{feature_key, field_seed, id_value};
use omomi::weight_file::table::{Geometry, Table};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// How often the features of a model occur.
#[derive(Clone, Copy)]
pub enum Popularity {
    /// All equally often.
    Even,
    /// The `k`-th most popular one occurs `k^-exponent` times as often as the first.
    Zipf(f64),
}

impl Popularity {
    pub fn name(self) -> String {
        match self {
            Self::Even => "uniform".to_owned(),
            Self::Zipf(exponent) => format!("Zipf {exponent:.1}"),
        }
    }

    /// Returns the rank, from 0, that `at` in [0, 1) selects. Zipf uses the area under the power law between `k` and `k
    /// + 1`, which nearly equals the value at `k`, except for the first few ranks.
    fn rank(self, at: f64, count: u64) -> u64 {
        let last = count as f64 + 1.0;
        let point = match self {
            Self::Even => 1.0 + at * count as f64,
            Self::Zipf(1.0) => last.powf(at),
            Self::Zipf(exponent) => {
                let power = 1.0 - exponent;
                (1.0 + at * (last.powf(power) - 1.0)).powf(1.0 / power)
            }
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and `count` + 1")]
        let rank = point as u64;
        rank.clamp(1, count) - 1
    }
}

/// Returns the key of category `id`. Ids below the number of weights are known, the most popular first. Larger ids are
/// unseen.
pub fn key_of(id: u64) -> u64 {
    feature_key(field_seed("creative_id"), id_value(id.cast_signed()))
}

/// Returns the weight of category `id`.
pub fn weight_of(id: u64) -> f32 {
    (id % 4_001) as f32 * 0.001 - 2.0 + 0.000_5
}

/// Returns `count` weights, in ascending order of key.
pub fn weights(count: u64) -> Vec<(u64, f32)> {
    let seed = field_seed("creative_id");
    let mut weights: Vec<_> = (0..count).map(|id| (feature_key(seed, id), weight_of(id))).collect();
    weights.sort_unstable_by_key(|weight| weight.0);
    weights
}

/// Draws categories to look up. 9 of 10 are known and drawn by popularity. Each of the others is new.
pub fn ids(popularity: Popularity, weight_count: u64, count: usize) -> Vec<u64> {
    let mut random = Pcg64Mcg::seed_from_u64(11);
    let id = |index: usize| match random.random_range(0..10) {
        0 => weight_count + index as u64,
        _ => popularity.rank(random.random(), weight_count),
    };
    (0..count).map(id).collect()
}

/// The page size of the memory of a table.
#[derive(Clone, Copy, PartialEq)]
pub enum Pages {
    /// 4 KiB, as for a mapped file.
    Small,
    /// 2 MiB if the system has them, as for a copied file.
    Huge,
}

impl Pages {
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "4 KiB pages",
            Self::Huge => "2 MiB pages",
        }
    }

    /// Copies `bytes` into memory with such pages.
    pub fn hold(self, bytes: &[u8]) -> MmapMut {
        let mut memory = MmapMut::map_anon(bytes.len()).expect("memory");
        #[cfg(target_os = "linux")]
        memory
            .advise(if self == Self::Huge { memmap2::Advice::HugePage } else { memmap2::Advice::NoHugePage })
            .expect("advice on pages");
        memory.copy_from_slice(bytes);
        memory
    }
}

/// Lines of 64 bytes in the order in which a table touches them. Any lookup in that table has to wait for them.
pub struct Touches {
    lines: Vec<u32>,
    /// End of each batch in `lines`.
    ends: Vec<usize>,
}

impl Touches {
    /// How many lines ahead to prefetch. Of 48, 96 and 160, the last is a fifth faster for 2 MiB pages, and no slower
    /// for 4 KiB pages.
    const AHEAD: usize = 160;

    /// Returns what `table` touches to look up `keys` in batches: all first lines, then the second lines of the keys
    /// that need them. The formulas are in section 4 of `FORMAT.md`.
    pub fn of(table: &Table<'_>, geometry: Geometry, keys: &[u64], batch: usize) -> Self {
        let (shard_count, shard_lines) = (u64::from(geometry.shard_count), u64::from(geometry.shard_lines));
        let first = |key: u64| ((key >> 32) * shard_count * shard_lines) >> 32;
        let second = |key: u64| {
            let place = first(key) % shard_lines;
            let step = 1 + (((key & 0xffff_ffff) * (shard_lines - 1)) >> 32);
            first(key) - place + (place + step) % shard_lines
        };
        let mut touches = Self { lines: Vec::new(), ends: vec![0] };
        for batch in keys.chunks(batch) {
            let overflowing = batch.iter().filter(|&&key| table.lines_touched(key) == 2);
            let lines = batch.iter().map(|&key| first(key)).chain(overflowing.map(|&key| second(key)));
            touches.lines.extend(lines.map(|line| u32::try_from(line).expect("fewer than 2^32 lines")));
            touches.ends.push(touches.lines.len());
        }
        touches
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn batch_count(&self) -> usize {
        self.ends.len() - 1
    }

    /// The memory floor: prefetches every line of a batch, reads one number from each, and does nothing else.
    pub fn touch(&self, table: &[u8], batch: usize) -> u32 {
        let lines = &self.lines[self.ends[batch]..self.ends[batch + 1]];
        let (words, _) = table.as_chunks::<64>();
        let mut sum = 0_u32;
        for &line in lines.iter().take(Self::AHEAD) {
            prefetch(words.as_ptr().wrapping_add(line as usize));
        }
        for (index, &line) in lines.iter().enumerate() {
            if let Some(&ahead) = lines.get(index + Self::AHEAD) {
                prefetch(words.as_ptr().wrapping_add(ahead as usize));
            }
            sum = sum.wrapping_add(u32::from(words[line as usize][0]));
        }
        sum
    }
}

/// Prefetches the cache line of `at` into the L2 cache, as the table does.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and cannot fault, and SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
