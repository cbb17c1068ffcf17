//! Reads the rows on which settings are tried, and holds them in memory.

use crate::learn::TrainOptions;
use crate::learn::shards::OneOf;
use crate::log::{LogReader, RowBatch};
use omomi::contract::Contract;

use super::{Event, TuneError, TuneOptions};

/// The rows of every shard, and the held-out rows.
pub(super) struct Sample {
    /// The batches of each shard. Without sharding, there is one shard with all rows.
    pub(super) shards: Vec<Vec<RowBatch>>,
    pub(super) held_out: Vec<RowBatch>,
}

impl Sample {
    pub(super) fn read(
        contract: &Contract,
        options: &TuneOptions,
        watch: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Self, TuneError> {
        let TuneOptions { train, sharding, row_count, .. } = options;
        let mut of_shards = Vec::new();
        match sharding {
            None => of_shards.push(rows_of(contract, train, &train.logs, *row_count, watch)?),
            Some(sharding) => {
                let count = sharding.shard_count;
                let split = sharding.split.clone().completed(contract, train, &mut |_| ())?;
                for number in 1..=count {
                    let mut narrowed = train.clone();
                    split.narrow(OneOf { number, count }, contract, &mut narrowed)?;
                    let row_count = row_count.div_ceil(u64::from(count));
                    of_shards.push(rows_of(contract, &narrowed, &narrowed.logs, row_count, watch)?);
                }
            }
        }
        let held_out = match train.held_out.as_slice() {
            [] => Vec::new(),
            patterns => rows_of(contract, train, patterns, *row_count, watch)?,
        };
        Ok(Self { shards: of_shards, held_out })
    }

    pub(super) fn row_count(&self) -> u64 {
        self.shards.iter().map(|batches| row_count(batches)).sum()
    }

    pub(super) fn held_out_row_count(&self) -> u64 {
        row_count(&self.held_out)
    }
}

fn row_count(batches: &[RowBatch]) -> u64 {
    batches.iter().map(|batch| batch.row_count() as u64).sum()
}

/// Returns the first `max` rows of logs, plus up to one batch.
fn rows_of(
    contract: &Contract,
    train: &TrainOptions,
    patterns: &[String],
    max: u64,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<Vec<RowBatch>, TuneError> {
    let mut reader = LogReader::open(contract, patterns, train.read.clone())?;
    let mut batches = Vec::new();
    while reader.rows_read() < max
        && let Some(batch) = reader.next_batch()?
    {
        batches.push(batch);
        watch(&Event::Read(&reader));
    }
    if batches.is_empty() { Err(TuneError::NoRows) } else { Ok(batches) }
}
