//! `omomi counterfactual`: what another weight file would have earned.

use std::path::PathBuf;

use omomi_train::read_out::{Counterfactual, CounterfactualOptions, Revenue, Reward, TargetPolicy, counterfactual};

use crate::Failure;
use crate::ab::{Blocked, interval, note_json, parse_alpha, parse_revenue, print_blocks, print_or_write};
use crate::output::{one_line, say};
use crate::text::{grouped, table};

/// Estimate what another weight file would have earned, from logs of choices that were partly random
///
/// Counts the requests whose details are logged, because only they have all candidates: what the file would choose is
/// then known. The chosen candidate, its propensity and what it earned are from the joined log. Without propensities
/// there is no answer: a server that always takes the best candidate never shows what others earn.
///
/// Exit code 3: the propensities contradict the log. 4: cannot tell, and the output says what it would take.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Outputs of `omomi log join`, as paths or quoted patterns
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    logs: Vec<String>,
    /// Segments of the serving log, or folders of them: they have the details
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1.., required = true)]
    details: Vec<PathBuf>,
    /// The weight file
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// What a request earns: click, click-price, win-price or conversion-value
    #[arg(long, value_name = "WHAT", default_value = "click", value_parser = parse_reward)]
    reward: Reward,
    /// Choose by softmax of the logits with this temperature, not always the highest logit
    #[arg(long, value_name = "T", value_parser = parse_above_zero)]
    temperature: Option<f64>,
    /// Cut weights above this: less variance, and a bias
    #[arg(long, value_name = "WEIGHT", value_parser = parse_above_zero)]
    clip: Option<f64>,
    /// Column of what depends on itself over several requests, such as user_id
    #[arg(long, value_name = "COLUMN", default_value = "request_id")]
    unit: String,
    /// Column that is 1 for a click [default: rows with a click_delay_ms]
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Smallest effective sample size with an answer
    #[arg(long, value_name = "REQUESTS", default_value_t = 100.0, value_parser = parse_above_zero)]
    min_effective: f64,
    /// Share of intervals that may miss the truth
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = parse_alpha)]
    alpha: f64,
    /// Write all figures as JSON, for `omomi report --counterfactual`; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Replace the file of --json if it exists
    #[arg(long)]
    force: bool,
}

fn parse_reward(text: &str) -> Result<Reward, String> {
    if text == Reward::Click.name() {
        return Ok(Reward::Click);
    }
    let names = Revenue::ALL.map(Revenue::name).join(", ");
    parse_revenue(text).map(Reward::Money).map_err(|_| format!("expected one of click, {names}"))
}

fn parse_above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "expected a number above 0".to_owned())
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let options = CounterfactualOptions::new(&arguments.logs, &arguments.details, &arguments.weights).with(|it| {
        if let Some(temperature) = arguments.temperature {
            it.policy = TargetPolicy::Softmax { temperature };
        }
        it.reward = arguments.reward;
        it.unit.clone_from(&arguments.unit);
        it.label.clone_from(&arguments.label);
        it.clip = arguments.clip;
        it.min_effective_sample_size = arguments.min_effective;
        it.alpha = arguments.alpha;
    });
    let found = counterfactual(&options)?;
    if print_or_write(arguments.json.as_deref(), arguments.force, &serde_json::to_value(&found)?)? {
        print(&found);
        note_json(arguments.json.as_deref());
    } else {
        print_blocks(&found.blocked);
    }
    Blocked::of("the counterfactual estimate", &found.blocked).map_or(Ok(()), |blocked| Err(blocked.into()))
}

fn print(found: &Counterfactual) {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let file = &found.weights;
    let mut rows = vec![
        vec!["weight file".to_owned(), format!("{}, generation {}", file.logic_id, file.generation)],
        vec!["policy".to_owned(), found.policy.clone()],
        vec!["requests with details".to_owned(), grouped(found.detailed_requests)],
        vec!["requests that count".to_owned(), grouped(found.requests)],
    ];
    rows.extend(found.left_out.iter().map(|(why, count)| vec![format!("left out: {why}"), grouped(*count)]));
    rows.extend([
        vec!["mean candidates".to_owned(), format!("{:.1}", found.mean_candidates)],
        vec!["same choice as the log's model".to_owned(), percent(found.agreement)],
        vec!["effective sample size".to_owned(), format!("{:.1}", found.effective_sample_size)],
        vec!["mean weight (1 is right)".to_owned(), format!("{:.3}", found.mean_weight)],
        vec!["largest weight".to_owned(), format!("{:.2}", found.largest_weight)],
        vec![
            "clipped".to_owned(),
            found.clip.map_or_else(
                || "not clipped".to_owned(),
                |clip| {
                    let cut = percent(found.clipped_weight_share);
                    format!("at {clip}: {} requests, {cut} of the weight", grouped(found.clipped_requests))
                },
            ),
        ],
    ]);
    say!("{}\n", table(&[], rows));
    found.notes.iter().for_each(|text| say!("note: {}", one_line(text)));
    print_blocks(&found.blocked);
    if !found.blocked.is_empty() {
        return;
    }
    let money = found.currency.as_ref().map_or_else(String::new, |currency| format!(" in {currency}"));
    let mut rows = vec![vec!["as served".to_owned(), interval(found.logged, 1.0, false, ""), String::new()]];
    rows.extend(found.methods.iter().map(|method| {
        let value = interval(Some(method.value), 1.0, false, "");
        vec![method.method.clone(), value, interval(Some(method.difference), 1.0, true, "")]
    }));
    say!("{} per request{money}, {:.0} % intervals\n", found.reward, (1.0 - found.alpha) * 100.0);
    say!("{}", table(&["method", "mean", "difference from what was served"], rows));
}
