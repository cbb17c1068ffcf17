//! `omomi report`: writes an evaluation as an HTML page.

use std::path::{Path, PathBuf};

use omomi::store::Store;
use omomi_train::judge::report::{ReportInputs, write};
use omomi_train::operate::bucket_store::Needs;

use crate::Failure;
use crate::gate::settings;
use crate::output::say;
use crate::stores::NamedStore;

/// Write an evaluation as one self-contained HTML page with plots, to read and to mail
///
/// The page loads no script, font or picture. All inputs except the evaluation are optional: the end of the page lists
/// what is missing and which input adds it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Evaluation, as written by `omomi evaluate --json`
    #[arg(long, value_name = "FILE")]
    evaluation: PathBuf,
    /// Page to write, such as report.html
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Bill of `omomi prune` (PRUNED.bill.json): adds a plot of bytes against normalized entropy
    #[arg(long, value_name = "FILE")]
    bill: Option<PathBuf>,
    /// Training state of the weight file: with --baseline-state, adds the largest changes of weights
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Training state of the baseline
    #[arg(long, value_name = "FILE")]
    baseline_state: Option<PathBuf>,
    /// Copy of the provenance of the state (STATE.provenance.json), without --state: for an average, adds the spread of
    /// the shards
    #[arg(long, value_name = "FILE")]
    provenance: Option<PathBuf>,
    /// Output of `omomi log calibration --json`: adds the calibration of what was served, by hour
    #[arg(long, value_name = "FILE")]
    served: Option<PathBuf>,
    /// Output of `omomi ab --json`: adds the arms of an experiment, with their differences over time
    #[arg(long, value_name = "FILE")]
    ab: Option<PathBuf>,
    /// Output of `omomi counterfactual --json`: adds what another weight file would have earned
    #[arg(long, value_name = "FILE")]
    counterfactual: Option<PathBuf>,
    /// Directory of the store of the serving logic: adds the history of file sizes
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Blessing of the weight file (NAME.blessing.json): adds the verdict of omomi gate
    #[arg(long, value_name = "FILE")]
    blessing: Option<PathBuf>,
    /// Settings of the gate for a file without a blessing [default: gate.toml in --store, or the built-in
    /// ones]
    #[arg(long, value_name = "FILE", conflicts_with = "blessing")]
    gate: Option<PathBuf>,
    /// Replace the page if it exists
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let needs = Needs { last_files: true, history: true, ..Needs::default() };
    let named = arguments.store.as_deref().map(NamedStore::open).transpose()?;
    let store = named.as_ref().map(|named| named.read(needs)).transpose()?.map(Store::dir);
    let inputs = ReportInputs {
        evaluation: arguments.evaluation.clone(),
        bill: arguments.bill.clone(),
        state: arguments.state.clone(),
        baseline_state: arguments.baseline_state.clone(),
        provenance: arguments.provenance.clone(),
        served: arguments.served.clone(),
        ab: arguments.ab.clone(),
        counterfactual: arguments.counterfactual.clone(),
        store: store.map(Path::to_owned),
        blessing: arguments.blessing.clone(),
        gate: settings(arguments.gate.as_deref(), store)?.0,
        replace: arguments.force,
    };
    write(&inputs, &arguments.out)?;
    say!("Wrote {}", arguments.out.display());
    Ok(())
}
