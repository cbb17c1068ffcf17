//! Finds quantile buckets. A contract may leave the bucket edges of a number field to the logs:
//! `buckets = { quantiles = 16 }`. The edges are found once, before training, and written back into the contract, so
//! that both teams agree on them.

use std::ops::Range;

use toml::de::DeTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::log::{Categories, LogError, LogReader, ReadOptions};
use omomi::contract::{ContractFaults, Fault, FieldKind, MAX_BUCKET_EDGES};

/// Size of the sample of a field's values from which its quantiles are taken. An edge is off by about 1 in 1,000 rows.
const SAMPLE_LEN: usize = 200_000;

/// Why quantiles cannot be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantileError {
    /// The contract has faults other than the missing edges.
    #[error(transparent)]
    Contract(#[from] ContractFaults),
    /// The logs cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A field has no two different values in the logs.
    #[error(
        "expected at least two different values of `{field}` within its range, to find quantiles; the logs have fewer"
    )]
    NoValues {
        /// Name of the field.
        field: String,
    },
}

/// A number of the log: the hash of its sequence number, the number, and how much its row counts.
type Sampled = (u64, f64, f64);

/// A field whose edges are to be found.
struct OpenField {
    name: String,
    bucket_count: usize,
    /// Position of its `{ quantiles = N }` in the text.
    span: Range<usize>,
    /// A valid list of edges that replaces it while the logs are read.
    stand_in: String,
    /// The values whose sequence numbers have the smallest hashes, with those hashes. This sample depends only on the
    /// rows.
    sample: Vec<Sampled>,
    value_count: u64,
}

/// Returns `text`, a `contract.toml`, with each `{ quantiles = N }` replaced by the edges of N buckets. The buckets
/// hold about equally many rows of `logs`; a row counts as its importance says. Everything else stays the same,
/// including comments. A value that is in more than one of N rows has a bucket of its own, so there may be fewer or
/// more than N buckets. Calls `finished` with the reader of the logs after the last row, so that the caller can tell
/// what was skipped and guessed.
///
/// # Errors
///
/// Returns [`QuantileError`] if the contract has other faults, a log cannot be read, or a field has fewer than two
/// different values.
pub fn fill_quantiles(
    text: &str,
    logs: &[impl AsRef<str>],
    options: ReadOptions,
    finished: &mut dyn FnMut(&LogReader),
) -> Result<String, QuantileError> {
    let mut open = open_fields(text)?;
    let stand_ins: Vec<String> = open.iter().map(|field| field.stand_in.clone()).collect();
    let contract = crate::toml::parse_contract(&replaced(text, &open, &stand_ins))?;
    let mut reader = LogReader::open(&contract, logs, options)?;
    while let Some(batch) = reader.next_batch()? {
        for (field, column) in contract.fields().iter().zip(&batch.columns) {
            if open.iter().any(|open| open.name == field.name) && matches!(column.categories, Categories::Keys) {
                let field = field.name.clone();
                return Err(LogError::KeysOnly { field, step: "a choice of buckets" }.into());
            }
            let field =
                open.iter_mut().find(|open| open.name == field.name && matches!(field.kind, FieldKind::Number { .. }));
            if let (Some(field), Categories::Numbers(numbers)) = (field, &column.categories) {
                for (row, _) in batch.clicked.iter().enumerate() {
                    let importance = batch.importance.as_ref().map_or(1.0, |importance| importance[row]);
                    numbers[column.range(row)].iter().for_each(|&number| field.take(number, importance));
                }
            }
        }
    }
    finished(&reader);
    let edges = open.iter_mut().map(OpenField::edges).collect::<Result<Vec<_>, _>>()?;
    Ok(replaced(text, &open, &edges))
}

fn open_fields(text: &str) -> Result<Vec<OpenField>, QuantileError> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // The reader of the contract reports where and why.
        return crate::toml::parse_contract(text).map(|_| Vec::new()).map_err(QuantileError::from);
    }
    let fields = root.get_ref().get("field").and_then(|fields| fields.get_ref().as_array());
    let mut open = Vec::new();
    for field in fields.into_iter().flat_map(|fields| fields.iter()) {
        let field = field.get_ref();
        let Some(buckets) = field.get("buckets") else { continue };
        let Some(quantiles) = buckets.get_ref().get("quantiles") else { continue };
        let name = field.get("name").and_then(|name| name.get_ref().as_str()).unwrap_or_default().to_owned();
        let count = quantiles.get_ref().as_integer().and_then(|count| count.as_str().parse().ok());
        let Some(bucket_count) = count.filter(|count| (2..=MAX_BUCKET_EDGES).contains(count)) else {
            let message = format!("`quantiles` must be a number of buckets from 2 to {MAX_BUCKET_EDGES}");
            let line = Some(text[..quantiles.span().start].matches('\n').count() + 1);
            return Err(ContractFaults(vec![Fault { line, place: format!("field {name}"), message }]).into());
        };
        let max = field.get("range").and_then(|range| range.get_ref().get(1)).map(|max| &text[max.span()]);
        let stand_in = format!("[{}]", max.unwrap_or("0"));
        open.push(OpenField { name, bucket_count, span: buckets.span(), stand_in, sample: Vec::new(), value_count: 0 });
    }
    Ok(open)
}

/// Returns the text with the buckets of each open field replaced by its `edges`.
fn replaced(text: &str, open: &[OpenField], edges: &[String]) -> String {
    let mut filled = String::new();
    let mut end = 0;
    for (field, edges) in open.iter().zip(edges) {
        filled.push_str(&text[end..field.span.start]);
        filled.push_str(edges);
        end = field.span.end;
    }
    filled + &text[end..]
}

impl OpenField {
    fn take(&mut self, number: f64, importance: f64) {
        let hash = xxh3_64(&self.value_count.to_le_bytes());
        self.value_count += 1;
        self.sample.push((hash, number, importance));
        // Cutting now and then is enough: a value that is cut off would never be in the final sample.
        if self.sample.len() == 2 * SAMPLE_LEN {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.sample.len() > SAMPLE_LEN {
            self.sample.select_nth_unstable_by_key(SAMPLE_LEN, |(hash, ..)| *hash);
            self.sample.truncate(SAMPLE_LEN);
        }
    }

    fn edges(&mut self) -> Result<String, QuantileError> {
        self.cut();
        let edges = edges_of(&sorted_numbers(&mut self.sample), self.bucket_count);
        if edges.is_empty() {
            return Err(QuantileError::NoValues { field: self.name.clone() });
        }
        let texts: Vec<String> = edges.iter().map(|edge| format!("{edge:?}")).collect();
        Ok(format!("[{}]", texts.join(", ")))
    }
}

/// Returns the sorted numbers of a sample, each once. If rows differ in importance, the numbers are those at equal
/// steps of importance, so that each is there as often as its rows count.
fn sorted_numbers(sample: &mut [Sampled]) -> Vec<f64> {
    sample.sort_by(|one, other| one.1.total_cmp(&other.1));
    let Some(&(.., first)) = sample.first() else { return Vec::new() };
    #[expect(clippy::float_cmp, reason = "rows without an importance count exactly 1")]
    if sample.iter().all(|&(.., importance)| importance == first) {
        return sample.iter().map(|&(_, number, _)| number).collect();
    }
    let total: f64 = sample.iter().map(|&(.., importance)| importance).sum();
    let step = total / SAMPLE_LEN as f64;
    let (mut numbers, mut sum) = (Vec::with_capacity(SAMPLE_LEN), 0.0);
    for &(_, number, importance) in &*sample {
        sum += importance;
        // The steps are at the middle of their parts, so that rounding adds or loses none.
        while numbers.len() < SAMPLE_LEN && (numbers.len() as f64 + 0.5) * step < sum {
            numbers.push(number);
        }
    }
    numbers
}

/// Returns the edges of about `bucket_count` buckets of sorted numbers. A number that is in more rows than a bucket
/// should hold gets a bucket of its own. The numbers between two such numbers are cut into equal parts.
fn edges_of(numbers: &[f64], bucket_count: usize) -> Vec<f64> {
    let mut min_len = numbers.len() / bucket_count + 1;
    loop {
        let edges = edges_around(numbers, bucket_count, min_len);
        // Many frequent numbers with others between them need up to two buckets each.
        if edges.len() <= MAX_BUCKET_EDGES {
            return edges;
        }
        min_len *= 2;
    }
}

/// Returns the edges if each number that occurs at least `min_len` times gets a bucket of its own.
fn edges_around(numbers: &[f64], bucket_count: usize, min_len: usize) -> Vec<f64> {
    // Equal numbers are together; zeros of both signs are equal.
    let runs: Vec<&[f64]> = numbers.chunk_by(|one, next| one == next).collect();
    let is_frequent = |run: &&[f64]| run.len() >= min_len;
    let frequent_count = runs.iter().filter(|run| is_frequent(run)).count();
    let rare_len: usize = runs.iter().filter(|run| !is_frequent(run)).map(|run| run.len()).sum();
    let rare_bucket_count = bucket_count.saturating_sub(frequent_count);
    let mut starts: Vec<f64> = Vec::new();
    // Rare numbers before the current group, and the buckets that they got.
    let (mut rare_before, mut buckets_before) = (0, 0);
    let mut place = 0;
    for group in runs.chunk_by(|one, next| !is_frequent(one) && !is_frequent(next)) {
        let group_len: usize = group.iter().map(|run| run.len()).sum();
        let members = &numbers[place..place + group_len];
        place += group_len;
        if group.iter().any(is_frequent) {
            starts.push(members[0]);
            continue;
        }
        rare_before += group_len;
        // The nearest whole number of buckets so far, but at least one for this group.
        let target = (2 * rare_bucket_count * rare_before + rare_len) / (2 * rare_len);
        let count = target.saturating_sub(buckets_before).max(1);
        buckets_before += count;
        starts.extend((0..count).map(|index| members[group_len * index / count]));
    }
    starts.dedup();
    // The first bucket begins at the lower end of the range, which is no edge.
    starts.into_iter().skip(1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# The agreement.
name = "quantiles"
label = "clicked"

[[field]]
name = "price"    # of the slot
side = "context"
type = "number"
unit = "JPY"
range = [0, 1000]
buckets = { quantiles = 4 } # found from last week
meaning = "lowest bid"
"#;

    fn fill(text: &str, prices: impl Iterator<Item = f64>) -> Result<String, QuantileError> {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.csv");
        let rows: String = prices.map(|price| format!("{price},0\n")).collect();
        std::fs::write(&log, format!("price,clicked\n{rows}")).unwrap();
        fill_quantiles(text, &[log.display().to_string()], ReadOptions::default(), &mut |_| ())
    }

    #[test]
    fn edges_cut_the_rows_into_equal_parts_and_the_rest_of_the_text_stays() {
        let filled = fill(TEXT, (0..400).map(f64::from)).unwrap();
        assert_eq!(filled, TEXT.replace("{ quantiles = 4 }", "[100.0, 200.0, 300.0]"));
        crate::toml::parse_contract(&filled).unwrap();
    }

    #[test]
    fn a_frequent_value_fills_a_bucket_of_its_own() {
        let filled = fill(TEXT, (0..400).map(|row| if row < 300 { 0.0 } else { f64::from(row) })).unwrap();
        assert!(filled.contains("buckets = [300.0, 333.0, 366.0]"), "{filled}");
    }

    #[test]
    fn the_lowest_a_middle_and_the_highest_value_fill_buckets_of_their_own_if_they_are_frequent() {
        let sorted = |mut numbers: Vec<f64>| {
            numbers.sort_by(f64::total_cmp);
            numbers
        };
        let with_frequent = |frequent: f64| {
            let others = (0..200).map(|index| f64::from(index) * 5.0 + 1.0);
            sorted(std::iter::repeat_n(frequent, 800).chain(others).collect())
        };
        // 80 % zeros: the rest is cut into the three buckets that are left.
        assert_eq!(edges_of(&with_frequent(0.0), 4), [1.0, 331.0, 666.0]);
        assert_eq!(edges_of(&with_frequent(500.0), 4), [251.0, 500.0, 501.0]);
        assert_eq!(edges_of(&with_frequent(1_000.0), 4), [331.0, 666.0, 1_000.0]);
        // Each frequent value is alone in its bucket, even if that takes more buckets.
        let numbers = sorted([vec![1.0; 300], vec![2.0; 20], vec![3.0; 300], vec![4.0; 20], vec![5.0; 300]].concat());
        assert_eq!(edges_of(&numbers, 4), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(edges_of(&[1.0, 1.0, 2.0], 2), [2.0]);
        assert_eq!(edges_of(&[-0.0, 0.0], 2), [0.0; 0]);
        assert_eq!(edges_of(&[], 2), [0.0; 0]);
    }

    #[test]
    fn thinned_rows_with_their_importance_give_the_edges_of_all_rows() {
        let folder = tempfile::tempdir().unwrap();
        let edges = |name: &str, importance: bool, keeps: fn(u32) -> bool| {
            let log = folder.path().join(name);
            // Rows of 0 to 199 are kept, of the others one in ten.
            let row = |row: u32| format!("{row},0,{}\n", if row < 200 { 1 } else { 10 });
            let rows: String = (0..1_000).filter(|&row| keeps(row)).map(row).collect();
            std::fs::write(&log, format!("price,clicked,stands_for\n{rows}")).unwrap();
            let options = ReadOptions {
                importance_column: importance.then(|| "stands_for".to_owned()),
                ..ReadOptions::default()
            };
            fill_quantiles(TEXT, &[log.display().to_string()], options, &mut |_| ()).unwrap()
        };
        let thin = |row| row < 200 || row % 10 == 0;
        let all = edges("all.csv", false, |_| true);
        assert!(all.contains("[250.0, 500.0, 750.0]"), "{all}");
        let weighted = edges("thin.csv", true, thin);
        assert!(weighted.contains("[250.0, 500.0, 750.0]"), "{weighted}");
        assert!(edges("thin.csv", false, thin).contains("[70.0, 140.0, 300.0]"));
    }

    #[test]
    fn edges_fit_a_contract_even_if_every_other_value_is_frequent() {
        let numbers: Vec<f64> = (0..1_000)
            .flat_map(|index| std::iter::repeat_n(f64::from(index), if index % 2 == 0 { 200 } else { 1 }))
            .collect();
        let edges = edges_of(&numbers, MAX_BUCKET_EDGES);
        assert!(!edges.is_empty() && edges.len() <= MAX_BUCKET_EDGES, "{}", edges.len());
        assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn quantiles_that_cannot_be_found_are_reported() {
        let error = fill(TEXT, std::iter::repeat_n(5.0, 10)).unwrap_err();
        assert!(error.to_string().contains("two different values of `price`"), "{error}");
        let error = fill(&TEXT.replace("= 4", "= 1"), std::iter::empty()).unwrap_err();
        assert!(error.to_string().contains("line 11: field price: `quantiles` must be"), "{error}");
        let error = fill(&TEXT.replace("unit = \"JPY\"\n", ""), std::iter::empty()).unwrap_err();
        assert!(error.to_string().contains("`unit` is missing"), "{error}");
    }

    #[test]
    fn a_contract_with_open_edges_is_not_valid_yet() {
        let faults = crate::toml::parse_contract(TEXT).unwrap_err();
        assert!(
            faults.to_string().contains("line 11: field 1 (price): the edges of the quantiles are not computed yet"),
            "{faults}"
        );
    }
}
