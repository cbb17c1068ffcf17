//! Golden requests: requests that are stored in a weight file, with the exact answers that the file must give.

use serde_json::{Value, json};

use super::layout::{self, MAX_GOLDEN_ROW_LEN};
use crate::bounded_json::{each_item, each_member};
use crate::contract::{Contract, Cross, Field, Side};
use crate::error::Error;
use crate::request::{MAX_CANDIDATES, RequestRows, Row, row_from_text, row_tail_len_bytes, row_to_json};

/// A request and its expected answers.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenRequest {
    /// The rows of the request.
    pub rows: RequestRows,
    /// The logit of each candidate.
    pub logits: Vec<f64>,
    /// The probability of each candidate.
    pub probabilities: Vec<f32>,
}

/// Writes the golden requests section.
#[must_use]
pub fn to_json(requests: &[GoldenRequest]) -> String {
    let requests: Vec<Value> = requests
        .iter()
        .map(|request| {
            let logits: Vec<String> = request.logits.iter().map(|logit| format!("{:016x}", logit.to_bits())).collect();
            let probabilities: Vec<String> =
                request.probabilities.iter().map(|probability| format!("{:08x}", probability.to_bits())).collect();
            json!({
                "context": row_to_json(&request.rows.context),
                "candidates": request.rows.candidates.iter().map(row_to_json).collect::<Vec<_>>(),
                "logits": logits,
                "probabilities": probabilities,
            })
        })
        .collect();
    json!({ "requests": requests }).to_string()
}

/// Some consecutive candidates of a golden request, with its context.
#[derive(Debug)]
pub(crate) struct GoldenBatch {
    /// Index of the request.
    pub request: usize,
    /// Index of the first candidate in the request.
    pub first_candidate: usize,
    /// The context, the candidates and their answers.
    pub golden: GoldenRequest,
}

/// The work that the golden requests of a file may cause, and what they have caused so far.
#[derive(Debug)]
pub struct LookupBudget {
    max: u64,
    used: u64,
}

impl LookupBudget {
    /// Returns the budget of a file.
    #[must_use]
    pub fn of_file(len_bytes: u64) -> Self {
        let in_proportion = len_bytes.saturating_mul(layout::GOLDEN_LOOKUPS_PER_BYTE);
        let max = layout::FREE_GOLDEN_LOOKUPS.saturating_add(in_proportion).min(layout::MAX_GOLDEN_LOOKUPS);
        Self { max, used: 0 }
    }

    /// Returns the look-ups of one candidate: one for each category of each field, and one for each feature of each
    /// cross.
    #[must_use]
    pub fn lookups(contract: &Contract, context: &Row, candidate: &Row) -> u64 {
        let count = |field: &Field| -> u64 {
            let row = if field.side == Side::Context { context } else { candidate };
            row.get(&field.name).map_or(0, |value| value.category_count() as u64)
        };
        let of_fields: u64 = contract.fields().iter().map(count).sum();
        // At most one member has more than one category, so the product is small.
        let of_cross =
            |cross: &Cross| -> u64 { cross.members.iter().map(|&member| count(&contract.fields()[member])).product() };
        of_fields + contract.crosses().iter().map(of_cross).sum::<u64>()
    }

    fn count(&mut self, contract: &Contract, context: &Row, candidate: &Row) -> Result<(), String> {
        self.used = self.used.saturating_add(Self::lookups(contract, context, candidate));
        let max = self.max;
        if self.used <= max {
            return Ok(());
        }
        Err(format!("expected at most {max} look-ups for the golden requests of a file of this size, found more"))
    }
}

/// Reads the golden requests section. The reader of the file must have checked that it is JSON.
///
/// # Errors
///
/// Returns [`Error::Malformed`], which names the request.
pub fn from_json(contract: &Contract, bytes: &[u8]) -> Result<Vec<GoldenRequest>, Error> {
    let mut requests = Vec::new();
    each_batch::<Error>(contract, bytes, &mut LookupBudget { max: u64::MAX, used: 0 }, usize::MAX, &mut |batch| {
        requests.push(batch.golden);
        Ok(())
    })?;
    Ok(requests)
}

/// Reads the golden requests section and passes it to `take`, at most `max_candidates` candidates at a time, so that
/// the memory does not depend on the file. Requests are refused before they are computed if they need more look-ups
/// than `budget`.
pub(crate) fn each_batch<E: From<Error>>(
    contract: &Contract,
    bytes: &[u8],
    budget: &mut LookupBudget,
    max_candidates: usize,
    take: &mut dyn FnMut(GoldenBatch) -> Result<(), E>,
) -> Result<(), E> {
    let malformed = |problem: String| E::from(Error::Malformed { problem });
    let mut list = None;
    let Ok(_) = each_member::<std::convert::Infallible>(bytes, &mut |name, value| {
        if name == "requests" {
            list = Some(value.get());
        }
        Ok(())
    });
    let mut request = 0;
    let list = list.unwrap_or("");
    each_item::<E>(list.as_bytes(), &mut |value| {
        let mut reader = RequestReader { contract, request, budget: &mut *budget, max_candidates, take: &mut *take };
        reader.read(value.get()).map_err(|stop| match stop {
            Stop::Problem(problem) => malformed(format!("golden request {request}: {problem}")),
            Stop::Taken(error) => error,
        })?;
        request += 1;
        Ok(())
    })?;
    if request == 0 { Err(malformed("it has no golden requests".to_owned())) } else { Ok(()) }
}

/// Why the reading of a request ended.
enum Stop<E> {
    /// The request cannot be read.
    Problem(String),
    /// The error of the function that takes the batches.
    Taken(E),
}

impl<E> From<String> for Stop<E> {
    fn from(problem: String) -> Self {
        Self::Problem(problem)
    }
}

struct RequestReader<'a, E> {
    contract: &'a Contract,
    request: usize,
    budget: &'a mut LookupBudget,
    max_candidates: usize,
    take: &'a mut dyn FnMut(GoldenBatch) -> Result<(), E>,
}

impl<E> RequestReader<'_, E> {
    fn read(&mut self, text: &str) -> Result<(), Stop<E>> {
        let [mut context, mut candidates, mut logits, mut probabilities] = [None; 4];
        let Ok(_) = each_member::<std::convert::Infallible>(text.as_bytes(), &mut |name, value| {
            match name {
                "context" => context = Some(value.get()),
                "candidates" => candidates = Some(value.get()),
                "logits" => logits = Some(value.get()),
                "probabilities" => probabilities = Some(value.get()),
                _ => {}
            }
            Ok(())
        });
        let context = row(self.contract, Side::Context, context.unwrap_or("null"))?;
        let logits = answers(logits, "logits", 16, "a logit is not 16 hexadecimal digits", f64::from_bits)?;
        let bits = |bits| f32::from_bits(u32::try_from(bits).unwrap_or(0));
        let probabilities =
            answers(probabilities, "probabilities", 8, "a probability is not 8 hexadecimal digits", bits)?;
        let candidates = candidates.ok_or_else(|| missing("candidates"))?;
        let mut count = 0;
        let mut rows: Vec<Row> = Vec::new();
        let mut rows_len = 0;
        let different = || "the numbers of candidates, logits and probabilities differ".to_owned();
        let is_list = each_item(candidates.as_bytes(), &mut |value| {
            if count >= MAX_CANDIDATES {
                return Err(Stop::Problem(format!("expected 1 to {MAX_CANDIDATES} candidates, found more")));
            }
            let candidate = row(self.contract, Side::Candidate, value.get())?;
            self.budget.count(self.contract, &context, &candidate)?;
            rows_len += row_tail_len_bytes(&candidate);
            rows.push(candidate);
            count += 1;
            if rows.len() >= self.max_candidates || (self.max_candidates < usize::MAX && rows_len >= MAX_GOLDEN_ROW_LEN)
            {
                let first = count - rows.len();
                rows_len = 0;
                let range = (logits.get(first..count)).zip(probabilities.get(first..count));
                let (logits, probabilities) = range.ok_or_else(different)?;
                self.take(first, &context, std::mem::take(&mut rows), logits, probabilities)?;
            }
            Ok(())
        })?;
        if !is_list {
            return Err(missing("candidates").into());
        }
        if count == 0 {
            return Err(format!("expected 1 to {MAX_CANDIDATES} candidates, found 0").into());
        }
        if logits.len() != count || probabilities.len() != count {
            return Err(different().into());
        }
        if rows.is_empty() {
            return Ok(());
        }
        let first = count - rows.len();
        self.take(first, &context, rows, &logits[first..], &probabilities[first..])
    }

    fn take(
        &mut self,
        first_candidate: usize,
        context: &Row,
        candidates: Vec<Row>,
        logits: &[f64],
        probabilities: &[f32],
    ) -> Result<(), Stop<E>> {
        let rows = RequestRows { context: context.clone(), candidates };
        let golden = GoldenRequest { rows, logits: logits.to_vec(), probabilities: probabilities.to_vec() };
        (self.take)(GoldenBatch { request: self.request, first_candidate, golden }).map_err(Stop::Taken)
    }
}

fn missing(name: &str) -> String {
    format!("`{name}` is missing or not a list")
}

fn row(contract: &Contract, side: Side, text: &str) -> Result<Row, String> {
    let row = row_from_text(contract, side, text)?;
    let found = row_tail_len_bytes(&row);
    if found > MAX_GOLDEN_ROW_LEN {
        return Err(format!(
            "expected a row whose texts and lists take at most {MAX_GOLDEN_ROW_LEN} bytes, found {found}"
        ));
    }
    Ok(row)
}

/// Reads a list of answers, each as hexadecimal digits.
fn answers<T>(
    text: Option<&str>,
    name: &str,
    digit_count: usize,
    problem: &str,
    of_bits: impl Fn(u64) -> T,
) -> Result<Vec<T>, String> {
    let text = text.ok_or_else(|| missing(name))?;
    let mut list = Vec::new();
    let is_list = each_item(text.as_bytes(), &mut |item| {
        if list.len() >= MAX_CANDIDATES {
            return Err(format!("expected at most {MAX_CANDIDATES} `{name}`, found more"));
        }
        list.push(of_bits(hex(item.get(), digit_count).ok_or_else(|| problem.to_owned())?));
        Ok(())
    })?;
    if is_list { Ok(list) } else { Err(missing(name)) }
}

fn hex(text: &str, digit_count: usize) -> Option<u64> {
    let text = serde_json::from_str::<String>(text).ok()?;
    let is_number = text.len() == digit_count && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_number { u64::from_str_radix(&text, 16).ok() } else { None }
}
