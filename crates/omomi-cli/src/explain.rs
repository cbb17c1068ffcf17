//! `omomi explain`: shows which weights lead to a probability.

use std::path::PathBuf;

use omomi::LoadMode;
use omomi_train::bucket::read_to_string;
use omomi_train::judge::explain::{Account, DefaultEvidence, Feature, explain, request_of_json, request_of_row};
use omomi_train::log::{LogDialect, LogReader, ReadOptions, contract_of};
use serde_json::json;

use crate::Failure;
use crate::csv_flags::CsvFlags;
use crate::output::{one_line, say};
use crate::places::FileFailure;
use crate::progress::say_noticed;
use crate::refusal::print_json;
use crate::text::{grouped, table};
use crate::verify::load;

/// Explain a probability: show the weights that add up to it, largest first
///
/// The request is a row of a log, or JSON in the form of golden requests: {"context": {..}, "candidates": [{..}, ..]}.
/// With --state, the output also shows how often each feature was seen and clicked.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("asked").required(true).args(["logs", "request"])))]
pub(crate) struct Arguments {
    /// Weight file to score with
    file: PathBuf,
    /// Log that contains the row, as paths or quoted patterns
    #[arg(long, value_name = "GLOB", num_args = 1.., requires = "row")]
    logs: Vec<String>,
    /// Number of the row, from 1, counted over all files of the log
    #[arg(long, value_name = "N", requires = "logs", value_parser = clap::value_parser!(u64).range(1..))]
    row: Option<u64>,
    /// File with the request as JSON
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Index of the candidate in the request, from 0
    #[arg(long, value_name = "N", requires = "request", default_value_t = 0)]
    candidate: usize,
    /// Training state that the weight file was packed from
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    csv: CsvFlags,
    /// Print the explanation as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let model = load(&arguments.file, LoadMode::Map)?;
    let (rows, clicked) = match &arguments.request {
        Some(path) => {
            let text = read_to_string(path).map_err(FileFailure::reading(path))?;
            (request_of_json(&model, &text)?, None)
        }
        None => {
            let options = arguments.csv.applied_to(ReadOptions::default().with(|it| it.unweighted = true));
            let options = options.with_trained(LogDialect::of_model(&model));
            let mut reader = LogReader::open(&contract_of(&model), &arguments.logs, options)?;
            say_noticed(&reader);
            let (rows, clicked) = request_of_row(&model, &mut reader, arguments.row.unwrap_or(1))?;
            (rows, Some(clicked))
        }
    };
    let account = explain(&model, &rows, arguments.candidate, arguments.state.as_deref())?;
    if arguments.json {
        print_json(&json!({ "explanation": account, "clicked": clicked }));
    } else {
        print_account(&account, clicked, arguments.state.is_some());
    }
    Ok(())
}

fn print_account(account: &Account, clicked: Option<bool>, with_counts: bool) {
    let mut header = vec!["weight", "field", "category", "source"];
    if with_counts {
        header.extend(["impressions", "clicks"]);
    }
    let mut rows = vec![vec![format!("{:+.6}", account.bias), "(bias)".to_owned()]];
    rows.extend(account.features.iter().map(|feature| {
        let mut row = vec![
            format!("{:+.6}", feature.weight),
            feature.field.clone(),
            category(feature),
            feature.source.to_owned(),
        ];
        if with_counts {
            row.extend(
                [feature.impressions, feature.clicks].map(|count| count.map_or_else(|| "-".to_owned(), grouped)),
            );
        }
        row
    }));
    say!(
        "generation {} of the logic `{}`\n\n{}\n",
        account.generation,
        one_line(&account.logic_id),
        table(&header, rows)
    );
    for DefaultEvidence { field, source, impressions, clicks } in &account.defaults {
        let (impressions, clicks) = (grouped(*impressions), grouped(*clicks));
        say!("{source} in `{}`: learned from {impressions} impressions, {clicks} clicks", one_line(field));
    }
    if !account.missing.is_empty() {
        say!("without a value: {}", one_line(&account.missing.join(", ")));
    }
    if !account.invalid_numbers.is_empty() {
        say!("out of range or NaN: {}", one_line(&account.invalid_numbers.join(", ")));
    }
    say!("sum of all   {:+.6}  (the logit)", account.logit);
    say!("sigmoid       {:.6}", account.sigmoid);
    say!("probability   {:.6}", account.probability);
    if let Some(clicked) = clicked {
        say!("the row was {}", if clicked { "clicked" } else { "not clicked" });
    }
}

/// Returns the category of a feature. For a cross, it returns the field and category of each member.
fn category(feature: &Feature) -> String {
    if feature.members.is_empty() {
        return feature.category.clone();
    }
    let members = feature.members.iter().map(|member| format!("{} = {}", member.field, member.category));
    members.collect::<Vec<_>>().join(", ")
}
