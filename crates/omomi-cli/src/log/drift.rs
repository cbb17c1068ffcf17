//! `omomi log drift`.

use std::fmt;
use std::path::PathBuf;

use omomi_train::evaluate::evaluate_files;
use omomi_train::judge::drift::{Drift, drift};

use crate::Failure;
use crate::evaluate::{EvaluateProgress, LogArguments};
use crate::output::{one_line, say};
use crate::text::table;

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("rows").required(true).arg("logs")))]
pub(super) struct Arguments {
    /// Weight file that was served
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Logs that the model learned, as paths or quoted patterns; --logs are those that `omomi log join` wrote
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    learned: Vec<String>,
    #[command(flatten)]
    logs: LogArguments,
    /// Factor by which all bands are widened
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    band: f64,
}

/// A figure differs.
#[derive(Debug)]
pub(crate) struct Drifted(usize);

impl fmt::Display for Drifted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(formatter, "what was served differs from what was learned, by {} figure{plural}", self.0)
    }
}

impl std::error::Error for Drifted {}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !(arguments.band > 0.0 && arguments.band.is_finite()) {
        return Err(format!("--band: expected a factor above 0, found {}", arguments.band).into());
    }
    let served = arguments.logs.options(std::slice::from_ref(&arguments.model), None);
    let mut learned = served.clone();
    learned.logs.clone_from(&arguments.learned);
    let [learned, served] = [learned, served].map(|options| {
        let mut progress = EvaluateProgress::new(arguments.logs.quiet);
        let evaluation = evaluate_files(&options, &mut |reader| progress.watch(reader));
        progress.finish();
        evaluation
    });
    let (learned, served) = (learned?, served?);
    let found = drift((&learned.rows, &learned.models[0]), (&served.rows, &served.models[0]), arguments.band);
    print(&found);
    if found.jumps.is_empty() { Ok(()) } else { Err(Drifted(found.jumps.len()).into()) }
}

fn print(drift: &Drift) {
    let rows = drift.served.figures.iter().map(|(figure, served)| {
        let learned = drift.learned.figures.get(figure);
        vec![figure.clone(), learned.map_or_else(|| "-".to_owned(), |it| format!("{it:.4}")), format!("{served:.4}")]
    });
    say!("{}", table(&["figure", "learned", "served"], rows.collect()));
    for jump in &drift.jumps {
        let [low, high] = jump.expected;
        say!("\n{}\n  expected {low:.4} to {high:.4}, found {:.4}", one_line(&jump.figure), jump.found);
        say!("  who must act: {}\n  what to do: {}", jump.owner.word(), jump.action);
    }
}
