//! Encodes and decodes blocks of rows and of features. Bytes from a file are hostile: the checksum of a block is
//! verified first, then its content.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::learn::learner::IndexedRows;

use super::{
    BLOCK_CHECKSUM_OFFSET, BLOCK_HEADER_LEN, FEATURE_LEN, FLAG_CLICKED, FLAG_REPEATS, HAS_HOURS, HAS_IMPORTANCE,
    HOUR_LEN, IMPORTANCE_LEN, NUMBER_LEN, ROW_LEN,
};

/// The header of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHeader {
    /// Number of rows or features.
    pub(super) count: u32,
    /// Total number of features of the rows, or bytes of all categories.
    pub(super) part_count: u32,
    /// Whether rows have importances.
    pub(super) has_importance: bool,
    /// Whether rows have hours.
    pub(super) has_hours: bool,
    /// Index of the block among those of its kind.
    pub(super) index: u32,
    checksum: u64,
}

impl BlockHeader {
    /// Decodes a header. An error says what was expected and what was found.
    pub(super) fn decode(bytes: &[u8; BLOCK_HEADER_LEN]) -> Result<Self, String> {
        let mut rest = bytes.as_slice();
        let [count, part_count, columns, index] = [(); 4].map(|()| u32::from_le_bytes(take(&mut rest)));
        if count == 0 {
            return Err("expected a block with at least 1 entry, found one with none".to_owned());
        }
        if columns > HAS_IMPORTANCE + HAS_HOURS {
            return Err(format!("expected 0 to 3 to say whether rows have importances and hours, found {columns}"));
        }
        Ok(Self {
            count,
            part_count,
            has_importance: columns & HAS_IMPORTANCE != 0,
            has_hours: columns & HAS_HOURS != 0,
            index,
            checksum: u64::from_le_bytes(take(&mut rest)),
        })
    }

    /// Returns the length of the payload of a block of rows in bytes. It is at most 94 GB, so it cannot overflow.
    pub(super) fn rows_len(&self) -> u64 {
        let row_len =
            ROW_LEN + if self.has_importance { IMPORTANCE_LEN } else { 0 } + if self.has_hours { HOUR_LEN } else { 0 };
        u64::from(self.count) * row_len + u64::from(self.part_count) * NUMBER_LEN
    }

    /// Returns the length of the payload of a block of features in bytes.
    pub(super) fn features_len(&self) -> u64 {
        u64::from(self.count) * FEATURE_LEN + u64::from(self.part_count)
    }

    /// Returns whether the checksum matches the header and the payload.
    pub(super) fn matches(&self, header: &[u8; BLOCK_HEADER_LEN], payload: &[u8]) -> bool {
        checksum(&header[..BLOCK_CHECKSUM_OFFSET], payload) == self.checksum
    }
}

fn checksum(header: &[u8], payload: &[u8]) -> u64 {
    xxh3_64_with_seed(payload, xxh3_64(header))
}

/// Writes the header at the front of `bytes`, before the payload.
fn seal(bytes: &mut [u8], numbers: [u32; 4]) {
    let (header, payload) = bytes.split_at_mut(BLOCK_HEADER_LEN);
    for (place, number) in header.chunks_exact_mut(size_of::<u32>()).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let checksum = checksum(&header[..BLOCK_CHECKSUM_OFFSET], payload);
    header[BLOCK_CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
}

/// Encodes `rows`, at least one, as a block and stores it in `bytes`.
pub(super) fn encode_rows(rows: &IndexedRows, index: u32, bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.resize(BLOCK_HEADER_LEN, 0);
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let flags = rows.clicked.iter().zip(&rows.repeats);
    bytes.extend(flags.map(|(&clicked, &repeats)| flag(clicked, FLAG_CLICKED) + flag(repeats, FLAG_REPEATS)));
    let mut start = 0;
    for &end in &rows.ends {
        bytes.extend_from_slice(&(end - start).to_le_bytes());
        start = end;
    }
    #[expect(clippy::float_cmp, reason = "rows without an importance count exactly 1")]
    let has_importance = rows.importance.iter().any(|&importance| importance != 1.0);
    if has_importance {
        bytes.extend(rows.importance.iter().flat_map(|importance| importance.to_le_bytes()));
    }
    let has_hours = !rows.hours.is_empty();
    bytes.extend(rows.hours.iter().flat_map(|hour| hour.to_le_bytes()));
    bytes.extend(rows.numbers.iter().flat_map(|number| number.to_le_bytes()));
    let columns = u32::from(has_importance) * HAS_IMPORTANCE + u32::from(has_hours) * HAS_HOURS;
    seal(bytes, [narrow(rows.row_count()), narrow(rows.numbers.len()), columns, index]);
}

/// Decodes a payload into `rows`. Its length and checksum must match the header.
pub(super) fn decode_rows(
    header: &BlockHeader,
    payload: &[u8],
    feature_count: u64,
    rows: &mut IndexedRows,
) -> Result<(), String> {
    let count = header.count as usize;
    let mut rest = payload;
    rows.clear();
    let flags = cut(&mut rest, count);
    rows.clicked.extend(flags.iter().map(|flags| flags & FLAG_CLICKED != 0));
    rows.repeats.extend(flags.iter().map(|flags| flags & FLAG_REPEATS != 0));
    let mut end = 0_u64;
    for len in cut(&mut rest, count * size_of::<u32>()).chunks_exact(size_of::<u32>()) {
        end += u64::from(u32::from_le_bytes(array(len)));
        rows.ends.push(u32::try_from(end).map_err(|_| "expected fewer than 2^32 features in a block".to_owned())?);
    }
    if end != u64::from(header.part_count) {
        return Err(format!("expected rows with {} features in total, found {end}", header.part_count));
    }
    if header.has_importance {
        let importances = cut(&mut rest, count * size_of::<f64>()).chunks_exact(size_of::<f64>());
        rows.importance.extend(importances.map(|bytes| f64::from_le_bytes(array(bytes))));
    } else {
        rows.importance.resize(count, 1.0);
    }
    if header.has_hours {
        let hours = cut(&mut rest, count * size_of::<i32>()).chunks_exact(size_of::<i32>());
        rows.hours.extend(hours.map(|bytes| i32::from_le_bytes(array(bytes))));
    }
    rows.numbers.extend(rest.chunks_exact(size_of::<u32>()).map(|bytes| u32::from_le_bytes(array(bytes))));
    let max = rows.numbers.iter().copied().max().map_or(0, u64::from);
    if max >= feature_count && !rows.numbers.is_empty() {
        return Err(format!("expected feature numbers below {feature_count}, found {max}"));
    }
    Ok(())
}

/// A feature of the cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct CachedFeature<'a> {
    pub(in crate::learn) key: u64,
    pub(in crate::learn) impressions: f64,
    pub(in crate::learn) clicks: f64,
    pub(in crate::learn) last_seen_us: i64,
    /// Index of its feature group.
    pub(in crate::learn) group: u16,
    pub(in crate::learn) category: &'a str,
}

/// Features of a block under construction, column by column.
#[derive(Debug, Default)]
pub(super) struct FeatureColumns {
    words: [Vec<u8>; 4],
    groups: Vec<u8>,
    lengths: Vec<u8>,
    categories: Vec<u8>,
    count: u32,
}

impl FeatureColumns {
    pub(super) fn push(&mut self, feature: &CachedFeature<'_>) {
        let words = [
            feature.key.to_le_bytes(),
            feature.impressions.to_le_bytes(),
            feature.clicks.to_le_bytes(),
            feature.last_seen_us.to_le_bytes(),
        ];
        for (column, word) in self.words.iter_mut().zip(words) {
            column.extend_from_slice(&word);
        }
        self.groups.extend_from_slice(&feature.group.to_le_bytes());
        self.lengths.extend_from_slice(&narrow(feature.category.len()).to_le_bytes());
        self.categories.extend_from_slice(feature.category.as_bytes());
        self.count += 1;
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn len_bytes(&self) -> usize {
        self.categories.len()
    }

    /// Encodes the features as a block, stores it in `bytes`, and starts the next block.
    pub(super) fn encode(&mut self, index: u32, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.resize(BLOCK_HEADER_LEN, 0);
        let part_count = narrow(self.categories.len());
        let columns = [&mut self.groups, &mut self.lengths, &mut self.categories];
        for column in self.words.iter_mut().chain(columns) {
            bytes.append(column);
        }
        seal(bytes, [std::mem::take(&mut self.count), part_count, 0, index]);
    }
}

/// Calls `visit` with each feature of a payload, whose length and checksum must match the header.
pub(super) fn decode_features(
    header: &BlockHeader,
    payload: &[u8],
    mut visit: impl FnMut(CachedFeature<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let count = header.count as usize;
    let mut rest = payload;
    let words = [(); 4].map(|()| cut(&mut rest, count * size_of::<u64>()));
    let groups = cut(&mut rest, count * size_of::<u16>());
    let lengths = cut(&mut rest, count * size_of::<u32>());
    let mut categories = std::str::from_utf8(rest).map_err(|_| "expected categories in UTF-8".to_owned())?;
    for index in 0..count {
        let word = |column: usize| array(&words[column][index * 8..index * 8 + 8]);
        let length = u32::from_le_bytes(array(&lengths[index * 4..index * 4 + 4]));
        let category = categories.get(..length as usize).ok_or("expected categories of the stated lengths")?;
        categories = &categories[category.len()..];
        visit(CachedFeature {
            key: u64::from_le_bytes(word(0)),
            impressions: f64::from_le_bytes(word(1)),
            clicks: f64::from_le_bytes(word(2)),
            last_seen_us: i64::from_le_bytes(word(3)),
            group: u16::from_le_bytes(array(&groups[index * 2..index * 2 + 2])),
            category,
        })?;
    }
    Ok(())
}

/// Cuts the first `len` bytes off a payload. It is long enough, because its length was computed from its header.
fn cut<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (bytes, tail) = rest.split_at(len);
    *rest = tail;
    bytes
}

fn take<const LEN: usize>(rest: &mut &[u8]) -> [u8; LEN] {
    array(cut(rest, LEN))
}

fn array<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    bytes.try_into().expect("a slice of this length")
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("a block is full long before 2^32 entries")
}
