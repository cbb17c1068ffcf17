//! `omomi import`: makes a training state of weights that were trained elsewhere.

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use indicatif::ProgressBar;
use omomi_train::adopt::import::{ImportOptions, ImportReport, WeightsFormat, import};
use omomi_train::learn::Settings;

use crate::Failure;
use crate::contract::read_either;
use crate::output::{note, one_line, say};
use crate::text::{bytes, grouped, table};

/// Make a training state of weights that were trained elsewhere
///
/// Then pack it: `omomi pack --state FILE` makes golden requests of the weights themselves, or of rows given with
/// --held-out.
///
/// The weights are a table (CSV, TSV, JSON lines or Parquet) with the columns field, category and weight; or lines of
/// `field=category`, a tab and the weight; or what `vw --invert_hash` writes. They may be compressed with gzip or zstd.
/// A cross is named like its members, joined by `*`: `media_id*creative_id`, with the categories `7*4001`. The bias is
/// the row of the field `(bias)`. Rows of the fields `(unseen)` and `(missing)`, with a field's name as category, say
/// what unseen categories and missing values add; without them, that is 0.
///
/// Every row is checked: a field that is not in the contract, a category that the field cannot have, a weight that is
/// not a number or beyond 700, a duplicate. If there is a fault, all are counted, the first 20 are shown with their
/// lines, and no state is written.
///
/// `train --start` refuses the state, because nobody knows how much each weight has learned; unless impressions say it,
/// by the table's column `impressions` or by --impressions.
///
/// Exit code 0: the state was written. 1: it was not. 2: misuse of the command line.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Contract that names the fields, or a weight file that has it
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
    /// File with the weights, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Training state to write, such as state.parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How the weights are written [default: told by the first bytes]
    #[arg(long, value_name = "FORMAT")]
    format: Option<FormatName>,
    /// The bias, if the weights do not have it
    #[arg(long, value_name = "X")]
    bias: Option<f64>,
    /// Field or cross whose rows are left out, because the contract does not have it. They are counted. May be given
    /// several times
    #[arg(long, value_name = "FIELD")]
    leave_out: Vec<String>,
    /// Number of rows that each weight counts as learned from, if the table has no column `impressions`
    #[arg(long, value_name = "N")]
    impressions: Option<u64>,
    /// Click rate of the rows that the weights were learned from, for the evidence [default: that of the bias]
    #[arg(long, value_name = "RATE")]
    click_rate: Option<f64>,
    /// Learning rate with which training may go on
    #[arg(long, value_name = "X", default_value_t = Settings::default().alpha)]
    alpha: f64,
    /// Damping with which training may go on
    #[arg(long, value_name = "X", default_value_t = Settings::default().beta)]
    beta: f64,
    /// L1 penalty with which training may go on
    #[arg(long, value_name = "X", default_value_t = Settings::default().l1)]
    l1: f64,
    /// L2 penalty with which training may go on
    #[arg(long, value_name = "X", default_value_t = Settings::default().l2)]
    l2: f64,
    /// Replace the state if it exists
    #[arg(long)]
    force: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

/// A format, as the command line names it.
#[derive(Clone, Copy)]
struct FormatName(WeightsFormat);

impl ValueEnum for FormatName {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [FormatName; 5] = [
            FormatName(WeightsFormat::Csv),
            FormatName(WeightsFormat::JsonLines),
            FormatName(WeightsFormat::Parquet),
            FormatName(WeightsFormat::Map),
            FormatName(WeightsFormat::VowpalWabbit),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            WeightsFormat::Csv => "CSV or TSV with a header: field, category, weight",
            WeightsFormat::JsonLines => "JSON lines with these keys",
            WeightsFormat::Parquet => "Parquet with these columns",
            WeightsFormat::Map => "lines of field=category, a tab and the weight",
            WeightsFormat::VowpalWabbit => "the model of vw --invert_hash",
        };
        Some(PossibleValue::new(self.0.name()).help(help))
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let contract = read_either(&arguments.contract)?;
    let options = ImportOptions::new(&arguments.weights, &arguments.out).with(|it| {
        it.format = arguments.format.map(|FormatName(format)| format);
        it.replace = arguments.force;
        it.bias = arguments.bias;
        it.impressions = arguments.impressions;
        it.click_rate = arguments.click_rate;
        it.settings = Settings { alpha: arguments.alpha, beta: arguments.beta, l1: arguments.l1, l2: arguments.l2 };
        it.leave_out.clone_from(&arguments.leave_out);
        it.arguments = std::env::args().collect();
    });
    let spinner = if arguments.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let report = import(&contract, &options, &mut |row_count| {
        spinner.set_message(format!("read {} weights", grouped(row_count)));
        spinner.tick();
    })?;
    spinner.finish_and_clear();
    print_report(&report, arguments);
    Ok(())
}

fn print_report(report: &ImportReport, arguments: &Arguments) {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("format", report.format.name().to_owned());
    row("bias", format!("{:?}", report.bias));
    row("weights", grouped(report.weight_count));
    row("  of them 0", grouped(report.zero_count));
    if report.left_out > 0 {
        row("rows left out", grouped(report.left_out));
    }
    let defaults = match report.default_count {
        0 => "add 0, because the weights do not say".to_owned(),
        count => format!("{} rows say what they add", grouped(count)),
    };
    row("unseen and missing", defaults);
    row("largest change by f32", format!("{:.3e}", report.largest_difference));
    if let Some((field, category)) = &report.most_different {
        row("  of", one_line(&format!("{field} = {category}")));
    }
    let evidence = match report.has_evidence {
        true => "training can go on from the impressions",
        false => "none: train --start will refuse the state",
    };
    row("evidence", evidence.to_owned());
    row("state", format!("{} ({})", arguments.out.display(), bytes(report.state_len_bytes)));
    for (field, size) in &report.field_sizes {
        row(&format!("  weights of {field}"), grouped(*size));
    }
    say!("{}", table(&[], rows));
    say!("next: omomi pack --contract {} --state {} ...", arguments.contract.display(), arguments.out.display());
    if !report.unread_columns.is_empty() {
        note!("columns that were not read: {}", one_line(&report.unread_columns.join(", ")));
    }
    for warning in &report.warnings {
        note!("warning: {}", one_line(warning));
    }
}
