//! `omomi fixture`: makes a weight file from a list of weights, for tests of a server.

use std::path::PathBuf;

use omomi_train::bucket::read_to_string;
use omomi_train::pack::{FixtureError, write_fixture};

use crate::Failure;
use crate::contract::read_either;
use crate::output::say;
use crate::places::FileFailure;
use crate::text::{bytes, grouped};

/// Make a weight file from a list of weights, for tests of a server
///
/// The list is TOML: `bias = -2.0`, and for each weight a table `[[weight]]` with `of = { site_id = 3 }` (several
/// fields for a cross) and `value = 0.5`. Every other category is unseen. The file is verified like any other, and its
/// answers are sums of the listed weights.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Contract, or a weight file that has it
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
    /// List of weights
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Name of the serving logic
    #[arg(long, value_name = "NAME", default_value = "fixture")]
    logic_id: String,
    /// Generation of the file
    #[arg(long, value_name = "N", default_value_t = 1)]
    generation: u64,
    /// Weight file to write; an existing file is not replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// A weight file that cannot be made of a file with weights.
#[derive(Debug, thiserror::Error)]
#[error("{}", weights.display())]
struct NoFixture {
    weights: PathBuf,
    source: FixtureError,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { contract, weights, logic_id, generation, out } = arguments;
    let contract = read_either(contract)?;
    let text = read_to_string(weights).map_err(FileFailure::reading(weights))?;
    let model = write_fixture(&contract, &text, *generation, logic_id, out)
        .map_err(|source| NoFixture { weights: weights.clone(), source })?;
    let len = model.header().total_len_bytes;
    say!("{}: {} weights, {}, verified", out.display(), grouped(model.weight_count()), bytes(len));
    Ok(())
}
