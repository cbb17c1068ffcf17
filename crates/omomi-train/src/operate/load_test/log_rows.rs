//! Rows out of a log.

use std::collections::HashSet;

use rand_pcg::Pcg64Mcg;
use xxhash_rust::xxh3::xxh3_64;

use super::draw::below;
use super::error::LatencyError;
use super::rotation::Rows;
use crate::log::LogReader;
use omomi::contract::{Contract, Side};
use omomi::request::row_to_json;

/// Rows after which a log is not read further.
pub const MAX_LOG_ROWS: usize = 500_000;
/// Distinct candidate rows that are kept, the first of the log.
pub const MAX_LOG_CANDIDATES: usize = 50_000;

/// `context_count` contexts, each row of the log as likely as any other, and the distinct candidates.
pub(super) fn sample(
    contract: &Contract,
    reader: &mut LogReader,
    context_count: usize,
    random: &mut Pcg64Mcg,
) -> Result<Rows, LatencyError> {
    let mut rows = Rows { contexts: Vec::new(), candidates: Vec::new() };
    let mut seen = HashSet::new();
    let mut row_count = 0;
    while row_count < MAX_LOG_ROWS
        && let Some(batch) = reader.next_batch()?
    {
        for index in 0..batch.row_count().min(MAX_LOG_ROWS - row_count) {
            row_count += 1;
            // A reservoir: row `n` stays with the probability context_count / n, in the place of any other.
            let place = if row_count <= context_count { row_count - 1 } else { below(random, row_count) };
            if place < context_count {
                let row = batch.row(contract, Side::Context, index);
                match rows.contexts.get_mut(place) {
                    Some(other) => *other = row,
                    None => rows.contexts.push(row),
                }
            }
            if rows.candidates.len() < MAX_LOG_CANDIDATES {
                let row = batch.row(contract, Side::Candidate, index);
                if seen.insert(xxh3_64(row_to_json(&row).to_string().as_bytes())) {
                    rows.candidates.push(row);
                }
            }
        }
    }
    Ok(rows)
}
