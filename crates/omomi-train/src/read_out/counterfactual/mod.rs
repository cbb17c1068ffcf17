//! What another weight file would have earned, from logs of choices that were partly random.
//!
//! The population is the requests whose *details* are logged: they have all candidates, so what the file would choose
//! is known. The chosen candidate, its propensity and its reward are from the joined log.
//!
//! With reward `r`, propensity `m`, the policy's probability `p` of the chosen candidate, weight `w = p / m`, and the
//! direct model `q` (the logged probability, times the value of a click):
//!
//! ```text
//! IPS    mean of w r
//! SNIPS  sum of w r / sum of w
//! DR     mean of sum over candidates c of p(c) q(c) + w (r - q)
//! ```

mod choice;
mod estimate;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::PathBuf;

use omomi::error::Owner;
use omomi::feature::text_value;
use omomi::serving_log::RecordBody;
use serde::{Deserialize, Serialize};

use super::error::ReadOutError;
use super::interval::Estimate;
use super::result::{Block, BlockKind};
use super::rows::{Columns, Named, Purpose, Revenue, each_row};
use super::units::ByUnit;
use crate::evaluate::file_facts;
use crate::readable::grouped;
use crate::serving_logs::Segments;
use choice::Chooser;
pub use choice::TargetPolicy;
use estimate::{Chosen, Estimates, estimates};

/// Fewest clicks on candidates that the policy would choose, too.
const MIN_CLICKS: u64 = 5;
/// How many standard errors the mean weight may be away from 1.
const MAX_DISTANCE: f64 = 4.0;
/// Shares of requests for which the output says what exploring them would need.
const SHARES: [f64; 4] = [0.01, 0.02, 0.05, 0.1];

/// What a request earns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reward {
    /// 1 for a click.
    Click,
    /// Money, in units of the currency.
    Money(Revenue),
}

impl Reward {
    /// Returns its name in flags and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Money(revenue) => revenue.name(),
        }
    }
}

/// What is judged, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CounterfactualOptions {
    /// Patterns of outputs of `omomi log join`.
    pub logs: Vec<String>,
    /// Segments of the serving log, or their folders, which have the details.
    pub details: Vec<PathBuf>,
    /// The weight file.
    pub weights: PathBuf,
    /// How it would choose.
    pub policy: TargetPolicy,
    /// What a request earns.
    pub reward: Reward,
    /// Column of the unit whose rows may depend on each other.
    pub unit: String,
    /// Column that is 1 for a click. `None`: `click_delay_ms` has a value.
    pub label: Option<String>,
    /// The largest weight. `None`: weights are not clipped.
    pub clip: Option<f64>,
    /// The smallest effective sample size with an answer.
    pub min_effective_sample_size: f64,
    /// The share of intervals that may miss the truth.
    pub alpha: f64,
}

impl CounterfactualOptions {
    /// Returns options for the greedy policy, clicks, and independent requests.
    #[must_use]
    pub fn new(logs: &[String], details: &[PathBuf], weights: impl Into<PathBuf>) -> Self {
        Self {
            logs: logs.to_vec(),
            details: details.to_vec(),
            weights: weights.into(),
            policy: TargetPolicy::Greedy,
            reward: Reward::Click,
            unit: "request_id".to_owned(),
            label: None,
            clip: None,
            min_effective_sample_size: 100.0,
            alpha: 0.05,
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// What another weight file would have earned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counterfactual {
    /// Version of this form.
    pub version: u32,
    /// The judged file.
    pub weights: JudgedFile,
    /// The judged policy, in words.
    pub policy: String,
    /// What a request earns.
    pub reward: String,
    /// The currency of the reward.
    pub currency: Option<String>,
    /// Column of the unit.
    pub unit: String,
    /// The share of intervals that may miss the truth.
    pub alpha: f64,
    /// Requests whose details are in the log.
    pub detailed_requests: u64,
    /// Requests that count: with details, one choice, and its propensity.
    pub requests: u64,
    /// Requests with details that do not count, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// Mean number of candidates.
    pub mean_candidates: f64,
    /// Share of requests in which the file prefers the candidate that the logged probabilities prefer.
    pub agreement: f64,
    /// The largest weight that was allowed.
    pub clip: Option<f64>,
    /// Requests whose weight was clipped.
    pub clipped_requests: u64,
    /// Share of the weight that was cut off.
    pub clipped_weight_share: f64,
    /// The largest weight that was used.
    pub largest_weight: f64,
    /// The mean weight before clipping. It is near 1 if the propensities are right, and the log could choose what the
    /// policy chooses.
    pub mean_weight: f64,
    /// How many independent requests of the policy itself would tell as much: (sum w)^2 / sum w^2.
    pub effective_sample_size: f64,
    /// What the requests earned, on average.
    pub logged: Option<Estimate>,
    /// What they would have earned.
    pub methods: Vec<MethodEstimate>,
    /// Why there are no estimates. Empty if there are.
    pub blocked: Vec<Block>,
    /// What looks odd, and does not block.
    pub notes: Vec<String>,
    /// How many requests with details it takes for the smallest effective sample size, at some shares of exploration.
    pub needs: Vec<ExplorationNeed>,
}

impl Counterfactual {
    /// The version that this library writes and reads.
    pub const VERSION: u32 = 1;
}

/// A weight file that is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedFile {
    /// The file.
    pub path: String,
    /// Its logic id.
    pub logic_id: String,
    /// Its generation.
    pub generation: u64,
    /// SHA-256 of its bytes.
    pub digest: String,
}

/// One estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodEstimate {
    /// `ips`, `snips` or `doubly_robust`.
    pub method: String,
    /// The mean reward of a request.
    pub value: Estimate,
    /// The difference from what was earned.
    pub difference: Estimate,
}

/// What it takes to judge a file like this one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExplorationNeed {
    /// The share of requests that choose at random among the candidates.
    pub share: f64,
    /// Requests with details.
    pub requests: u64,
}

/// A request whose candidates are known.
struct Detailed {
    /// The probability of each candidate under the judged policy.
    target: Box<[f32]>,
    /// The logged probability of each candidate; NaN where there is none.
    direct: Box<[f32]>,
    choice: Option<Choice>,
    choice_count: u32,
}

/// What was chosen.
#[derive(Clone, Copy)]
struct Choice {
    id: u64,
    is_late: bool,
    candidate: usize,
    propensity: Option<f64>,
    unit: u64,
    reward: f64,
    is_clicked: bool,
}

/// Estimates what a weight file would have earned. A result that is [blocked](Counterfactual::blocked) has no
/// estimates.
///
/// # Errors
///
/// Returns [`ReadOutError`] if logs or the file cannot be read, or if what the file would choose cannot be known.
pub fn counterfactual(options: &CounterfactualOptions) -> Result<Counterfactual, ReadOutError> {
    let mut chooser = Chooser::open(&options.weights)?;
    let (mut requests, window_ms) = read_details(options, &mut chooser)?;
    let detailed_requests = requests.len() as u64;
    let (without_details, currency) = read_choices(options, &mut requests)?;
    let mut left_out: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut rows: Vec<(&Detailed, Choice)> = Vec::new();
    for request in requests.values() {
        let reason = match request.choice {
            None => "without a row in the joined log",
            Some(_) if request.choice_count > 1 => "with several choices",
            Some(choice) if choice.propensity.is_none() => "without a propensity",
            Some(choice) if request.direct.get(choice.candidate).is_none_or(|direct| direct.is_nan()) => {
                "whose choice was not scored"
            }
            Some(choice) => {
                rows.push((request, choice));
                continue;
            }
        };
        *left_out.entry(reason).or_default() += 1;
    }
    // The map has no order, and sums depend on it in their last bits.
    rows.sort_unstable_by_key(|(_, choice)| choice.id);
    let clicks: u64 = rows.iter().map(|(_, choice)| u64::from(choice.is_clicked)).sum();
    let earned: f64 = rows.iter().map(|(_, choice)| choice.reward).sum();
    let value_of_click = match options.reward {
        Reward::Click => 1.0,
        Reward::Money(_) => earned / clicks.max(1) as f64,
    };
    let chosen: Vec<Chosen> = rows.iter().map(|(request, choice)| chosen(request, choice, value_of_click)).collect();
    let found = estimates(&chosen, options.clip, options.alpha);
    let facts = file_facts(chooser.model(), &options.weights);
    let all = requests.values().map(|request| request.target.len()).sum::<usize>();
    let agreeing = requests.values().filter(|request| best(&request.target) == best(&request.direct)).count();
    let mut result = Counterfactual {
        version: Counterfactual::VERSION,
        weights: JudgedFile {
            path: facts.path,
            logic_id: facts.logic_id,
            generation: facts.generation,
            digest: facts.digest,
        },
        policy: match options.policy {
            TargetPolicy::Greedy => "the candidate with the highest logit".to_owned(),
            TargetPolicy::Softmax { temperature } => format!("softmax of the logits, temperature {temperature}"),
        },
        reward: options.reward.name().to_owned(),
        currency,
        unit: options.unit.clone(),
        alpha: options.alpha,
        detailed_requests,
        requests: chosen.len() as u64,
        left_out: left_out.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
        mean_candidates: all as f64 / detailed_requests.max(1) as f64,
        agreement: agreeing as f64 / detailed_requests.max(1) as f64,
        clip: options.clip,
        clipped_requests: 0,
        clipped_weight_share: 0.0,
        largest_weight: 0.0,
        mean_weight: 0.0,
        effective_sample_size: 0.0,
        logged: None,
        methods: Vec::new(),
        blocked: Vec::new(),
        notes: Vec::new(),
        needs: needs(options, requests.values()),
    };
    if without_details > 0 {
        result.notes.push(format!(
            "{} rows of the joined log are of requests without details: their candidates are not known",
            grouped(without_details)
        ));
    }
    if let Some([first, last]) = facts.training_window_us
        && first <= window_ms[1].saturating_mul(1_000)
        && last >= window_ms[0].saturating_mul(1_000)
    {
        result.notes.push(
            "the file was trained on rows of this time: it may have learned these very clicks, and the estimates are \
             then too high"
                .to_owned(),
        );
    }
    fill(&mut result, found, options);
    Ok(result)
}

fn chosen(request: &Detailed, choice: &Choice, value_of_click: f64) -> Chosen {
    let expected = |(target, direct): (&f32, &f32)| {
        if *target > 0.0 { f64::from(*target) * f64::from(*direct) * value_of_click } else { 0.0 }
    };
    Chosen {
        unit: choice.unit,
        reward: choice.reward,
        is_clicked: choice.is_clicked,
        propensity: choice.propensity.unwrap_or(1.0),
        target: f64::from(request.target[choice.candidate]),
        direct: f64::from(request.direct[choice.candidate]) * value_of_click,
        direct_of_policy: request.target.iter().zip(&request.direct).map(expected).sum(),
    }
}

/// Reads the details: what the file would choose in each request, and when the requests were served.
fn read_details(
    options: &CounterfactualOptions,
    chooser: &mut Chooser,
) -> Result<(ByUnit<Detailed>, [i64; 2]), ReadOutError> {
    let segments = Segments::find(&options.details)?;
    let mut requests: ByUnit<Detailed> = HashMap::default();
    let mut window_ms = [i64::MAX, i64::MIN];
    let mut problem = None;
    segments.read(&mut |_, block, record| {
        let RecordBody::Detail(detail) = &record.body else { return ControlFlow::Continue(()) };
        let Some(model) = record.head.model.and_then(|model| block.models.get(model)) else {
            return ControlFlow::Continue(());
        };
        let request = text_value(detail.request_id.as_bytes());
        if requests.contains_key(&request) {
            return ControlFlow::Continue(());
        }
        match chooser.logits(model, detail) {
            Ok(logits) => {
                window_ms = [window_ms[0].min(record.head.at_unix_ms), window_ms[1].max(record.head.at_unix_ms)];
                #[expect(clippy::cast_possible_truncation, reason = "a probability, of which 24 bits are enough")]
                let target = options.policy.probabilities(&logits).into_iter().map(|it| it as f32).collect();
                let direct = detail.candidates.iter().map(|candidate| candidate.probability).collect();
                requests.insert(request, Detailed { target, direct, choice: None, choice_count: 0 });
                ControlFlow::Continue(())
            }
            Err(error) => {
                problem = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    problem.map_or(Ok((requests, window_ms)), Err)
}

/// Reads what was chosen in these requests, and what it earned. Returns how many rows are of other requests, and the
/// currency.
fn read_choices(
    options: &CounterfactualOptions,
    requests: &mut ByUnit<Detailed>,
) -> Result<(u64, Option<String>), ReadOutError> {
    let revenue = if let Reward::Money(revenue) = options.reward { revenue } else { Revenue::ClickPrice };
    let named = Named {
        unit: &options.unit,
        label: options.label.as_deref(),
        revenue,
        numbers: Vec::new(),
        slices: Vec::new(),
        purpose: Purpose::Choices,
    };
    let columns = Columns::of(&options.logs, &named)?;
    let (mut others, mut currency): (u64, Option<String>) = (0, None);
    let (mut repeated, mut looked_at, mut first) = (0, 0, String::new());
    each_row(&options.logs, &columns, &mut |row, _| {
        let Some(request) = row.request.and_then(|request| requests.get_mut(&request)) else {
            others += 1;
            return Ok(());
        };
        looked_at += 1;
        let (Some(candidate), Some(unit)) = (row.candidate, row.unit) else { return Ok(()) };
        if let (Reward::Money(_), Some(other)) = (options.reward, row.currency) {
            match &currency {
                Some(one) if one != other => {
                    return Err(ReadOutError::SeveralCurrencies { one: one.clone(), other: other.to_owned() });
                }
                Some(_) => {}
                None => currency = Some(other.to_owned()),
            }
        }
        let choice = Choice {
            id: text_value(row.id.as_bytes()),
            is_late: row.is_late,
            candidate: candidate as usize,
            propensity: row.propensity,
            unit,
            reward: match options.reward {
                Reward::Click => f64::from(u8::from(row.is_clicked)),
                Reward::Money(_) => row.revenue_micros.unwrap_or(0.0) / 1e6,
            },
            is_clicked: row.is_clicked,
        };
        match request.choice {
            Some(known) if known.id == choice.id => {
                if !choice.is_late && !known.is_late {
                    repeated += 1;
                    if first.is_empty() {
                        row.id.clone_into(&mut first);
                    }
                }
                // A late row has the events that came late, and replaces the earlier one.
                if choice.is_late {
                    request.choice = Some(choice);
                }
            }
            _ => {
                request.choice_count += 1;
                request.choice = Some(choice);
            }
        }
        Ok(())
    })?;
    if repeated > 0 {
        return Err(ReadOutError::RepeatedRows { found: repeated, looked_at, first });
    }
    Ok((others, currency))
}

/// Returns the index of the largest value; of equal ones, of the first.
fn best(values: &[f32]) -> Option<usize> {
    let known = values.iter().enumerate().filter(|(_, value)| !value.is_nan());
    known.fold(None, |best: Option<usize>, (index, value)| match best {
        Some(best) if values[best] >= *value => Some(best),
        _ => Some(index),
    })
}

/// Returns how many requests it takes with some shares of exploration: the effective sample size of `n` requests is
/// about `n` divided by the mean squared weight, which is the mean of the sum over candidates of `p^2 / m`.
fn needs<'a>(
    options: &CounterfactualOptions,
    requests: impl Iterator<Item = &'a Detailed> + Clone,
) -> Vec<ExplorationNeed> {
    let of_share = |share: f64| {
        let (mut squares, mut count) = (0.0, 0_u64);
        for request in requests.clone() {
            let eligible = request.direct.iter().filter(|direct| !direct.is_nan()).count();
            let greedy = best(&request.direct);
            let square = |(index, target): (usize, &f32)| {
                let own = if Some(index) == greedy { 1.0 - share } else { 0.0 };
                f64::from(*target).powi(2) / (own + share / eligible.max(1) as f64)
            };
            squares += request.target.iter().enumerate().map(square).sum::<f64>();
            count += 1;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let needed = (options.min_effective_sample_size * squares / count.max(1) as f64).ceil() as u64;
        ExplorationNeed { share, requests: needed }
    };
    SHARES.into_iter().map(of_share).collect()
}

/// Fills in the estimates, or why there are none.
fn fill(result: &mut Counterfactual, found: Option<Estimates>, options: &CounterfactualOptions) {
    let needs: Vec<String> = result
        .needs
        .iter()
        .map(|need| format!("{} with {:.0} % explored", grouped(need.requests), need.share * 100.0))
        .collect();
    let take = format!(
        "it takes about this many requests with details and propensities: {}; servers log details of 1,000 requests in \
         a million, which the option `details_per_million` changes",
        needs.join(", ")
    );
    let cannot_tell =
        |message: String, action: &str| Block::new(BlockKind::CannotTell, Owner::Delivery, message, action);
    if result.detailed_requests == 0 {
        result.blocked.push(cannot_tell(
            "the serving log has no details of any request: expected some, with all candidates".to_owned(),
            "let servers log details (`details_per_million` above 0), and pass the segments with --details",
        ));
        return;
    }
    let Some(found) = found else {
        let message = format!(
            "none of the {} requests with details has a propensity: a server that always takes the best candidate has \
             none, and what other choices earn cannot be known from its log",
            grouped(result.detailed_requests)
        );
        result
            .blocked
            .push(cannot_tell(message, &format!("let the server explore on a share of its requests; {take}")));
        return;
    };
    result.clipped_requests = found.clipped_count;
    result.clipped_weight_share = found.clipped_weight_share;
    result.largest_weight = found.largest_weight;
    result.mean_weight = found.mean_weight;
    result.effective_sample_size = found.effective_sample_size;
    if found.effective_sample_size < options.min_effective_sample_size {
        let factor = options.min_effective_sample_size / found.effective_sample_size;
        let more = if factor.is_finite() {
            format!("at the exploration of this log, {:.0} requests; ", result.requests as f64 * factor)
        } else {
            String::new()
        };
        result.blocked.push(cannot_tell(
            format!(
                "the effective sample is too small: expected {:.0} requests, found {:.1}, of {} requests",
                options.min_effective_sample_size,
                found.effective_sample_size,
                grouped(result.requests)
            ),
            &format!("wait, or explore more: {more}{take}"),
        ));
    } else if found.telling_clicks < MIN_CLICKS {
        result.blocked.push(cannot_tell(
            format!(
                "there are too few clicks on candidates that the file would choose: expected {MIN_CLICKS}, found {}",
                found.telling_clicks
            ),
            "wait for more requests with details and propensities",
        ));
    } else if found.mean_weight_distance.abs() > MAX_DISTANCE {
        let mut block = Block::new(
            BlockKind::Broken,
            Owner::Delivery,
            format!(
                "the weights contradict the propensities: expected a mean of 1, found {:.3}, {:.1} standard \
                 errors away",
                found.mean_weight,
                found.mean_weight_distance.abs()
            ),
            "log the total probability of the chosen candidate, in every request, explored or not",
        );
        block.causes.push("the server can not choose some candidates that the file chooses (eligibility)".to_owned());
        block.causes.push("the propensity is that of an explored request only, not of the whole policy".to_owned());
        block.causes.push("requests lack their propensity depending on what was chosen".to_owned());
        result.blocked.push(block);
    }
    if result.blocked.is_empty() {
        result.logged = Some(found.logged);
        result.methods = found
            .methods
            .into_iter()
            .map(|(method, value, difference)| MethodEstimate { method: method.to_owned(), value, difference })
            .collect();
    }
}
