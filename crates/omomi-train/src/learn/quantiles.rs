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
    sample: Vec<(u64, f64)>,
    value_count: u64,
}

/// Returns `text`, a `contract.toml`, with each `{ quantiles = N }` replaced by the edges of N buckets. The buckets
/// hold about equally many rows of `logs`. Everything else stays the same, including comments. A very frequent value
/// fills a bucket of its own, so there may be fewer than N buckets.
///
/// # Errors
///
/// Returns [`QuantileError`] if the contract has other faults, a log cannot be read, or a field has fewer than two
/// different values.
pub fn fill_quantiles(text: &str, logs: &[impl AsRef<str>], options: ReadOptions) -> Result<String, QuantileError> {
    let mut open = open_fields(text)?;
    let stand_ins: Vec<String> = open.iter().map(|field| field.stand_in.clone()).collect();
    let contract = crate::toml::parse_contract(&replaced(text, &open, &stand_ins))?;
    let mut reader = LogReader::open(&contract, logs, options)?;
    while let Some(batch) = reader.next_batch()? {
        for (field, column) in contract.fields().iter().zip(&batch.columns) {
            let field =
                open.iter_mut().find(|open| open.name == field.name && matches!(field.kind, FieldKind::Number { .. }));
            if let (Some(field), Categories::Numbers(numbers)) = (field, &column.categories) {
                numbers.iter().for_each(|&number| field.take(number));
            }
        }
    }
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
    fn take(&mut self, number: f64) {
        let hash = xxh3_64(&self.value_count.to_le_bytes());
        self.value_count += 1;
        self.sample.push((hash, number));
        // Cutting now and then is enough: a value that is cut off would never be in the final sample.
        if self.sample.len() == 2 * SAMPLE_LEN {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.sample.len() > SAMPLE_LEN {
            self.sample.select_nth_unstable_by_key(SAMPLE_LEN, |(hash, _)| *hash);
            self.sample.truncate(SAMPLE_LEN);
        }
    }

    fn edges(&mut self) -> Result<String, QuantileError> {
        self.cut();
        let mut numbers: Vec<f64> = self.sample.iter().map(|(_, number)| *number).collect();
        numbers.sort_by(f64::total_cmp);
        let quantile = |index: usize| numbers.get(numbers.len() * index / self.bucket_count).copied();
        let mut edges: Vec<f64> = (1..self.bucket_count).filter_map(quantile).collect();
        edges.dedup();
        // A bucket begins at its edge, so an edge at the smallest value would leave an empty bucket before it.
        edges.retain(|edge| numbers.first().is_some_and(|min| edge > min));
        if edges.is_empty() {
            let max = numbers.last().filter(|max| numbers.first().is_some_and(|min| max > &min));
            let edge = max.ok_or_else(|| QuantileError::NoValues { field: self.name.clone() })?;
            edges.push(*edge);
        }
        let texts: Vec<String> = edges.iter().map(|edge| format!("{edge:?}")).collect();
        Ok(format!("[{}]", texts.join(", ")))
    }
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
        fill_quantiles(text, &[log.display().to_string()], ReadOptions::default())
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
        assert!(filled.contains("buckets = [300.0]"), "{filled}");
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
