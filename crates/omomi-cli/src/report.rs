//! `omomi report`: how good a model is, as a page.

use std::path::PathBuf;

use omomi_train::judge::report::{ReportInputs, write};

use crate::Failure;
use crate::gate::settings;
use crate::text::say;

/// Write an evaluation as one HTML page with its plots, to read and to mail
///
/// The page needs nothing else: no script, no font and no picture from outside. Everything but the evaluation is optional; what is
/// missing is listed at the end of the page, with what would bring it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What `omomi evaluate --json` wrote
    #[arg(long, value_name = "FILE")]
    evaluation: PathBuf,
    /// The page to write, such as report.html
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What `omomi prune` wrote beside the pruned state (PRUNED.bill.json): brings bytes against normalized entropy
    #[arg(long, value_name = "FILE")]
    bill: Option<PathBuf>,
    /// The training state that the weight file comes from: with --baseline-state it brings the largest changes of weights
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The training state that the baseline comes from
    #[arg(long, value_name = "FILE")]
    baseline_state: Option<PathBuf>,
    /// The provenance of the state, where it is not beside it (STATE.provenance.json): of an average, it brings the spread of the shards
    #[arg(long, value_name = "FILE")]
    provenance: Option<PathBuf>,
    /// The store of the serving logic: brings the history of file sizes
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The blessing of the weight file (NAME.blessing.json): what omomi gate said of it
    #[arg(long, value_name = "FILE")]
    blessing: Option<PathBuf>,
    /// By what a file without a blessing is judged; without it gate.toml in the current directory, or the usual settings where there is none
    #[arg(long, value_name = "FILE", conflicts_with = "blessing")]
    gate: Option<PathBuf>,
    /// Replace the page if it is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let inputs = ReportInputs {
        evaluation: arguments.evaluation.clone(),
        bill: arguments.bill.clone(),
        state: arguments.state.clone(),
        baseline_state: arguments.baseline_state.clone(),
        provenance: arguments.provenance.clone(),
        store: arguments.store.clone(),
        blessing: arguments.blessing.clone(),
        gate: settings(arguments.gate.as_deref())?,
        replace: arguments.force,
    };
    write(&inputs, &arguments.out)?;
    say!("Wrote {}", arguments.out.display());
    Ok(())
}
