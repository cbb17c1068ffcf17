//! Golden requests: requests that are stored in a weight file, with the exact answers that the file must give.

use serde_json::{Value, json};

use super::reader::json_object;
use crate::contract::{Contract, Side};
use crate::error::Error;
use crate::request::MAX_CANDIDATES;
use crate::request::{RequestRows, row_from_json, row_to_json};

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

/// Reads the golden requests section.
///
/// # Errors
///
/// Returns [`Error::Malformed`], which names the request.
pub fn from_json(contract: &Contract, bytes: &[u8]) -> Result<Vec<GoldenRequest>, Error> {
    let root = json_object(bytes, "golden requests")?;
    let list = root.get("requests").and_then(Value::as_array).filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| Error::Malformed { problem: "it has no golden requests".to_owned() })?;
    let read = |(index, value): (usize, &Value)| {
        golden_request(contract, value)
            .map_err(|problem| Error::Malformed { problem: format!("golden request {index}: {problem}") })
    };
    list.iter().enumerate().map(read).collect()
}

fn golden_request(contract: &Contract, value: &Value) -> Result<GoldenRequest, String> {
    let row = |side, value: &Value| {
        row_from_json(contract, side, value.as_object().ok_or_else(|| "a row is not an object".to_owned())?)
    };
    let list = |name: &str| {
        value.get(name).and_then(Value::as_array).ok_or_else(|| format!("`{name}` is missing or not a list"))
    };
    let context = row(Side::Context, value.get("context").unwrap_or(&Value::Null))?;
    let candidates: Vec<_> =
        list("candidates")?.iter().map(|value| row(Side::Candidate, value)).collect::<Result<_, _>>()?;
    let logits = list("logits")?.iter().map(|text| hex(text, 16).map(f64::from_bits)).collect::<Option<Vec<_>>>();
    let logits = logits.ok_or_else(|| "a logit is not 16 hexadecimal digits".to_owned())?;
    let probabilities = list("probabilities")?
        .iter()
        .map(|text| hex(text, 8).and_then(|bits| u32::try_from(bits).ok()).map(f32::from_bits))
        .collect::<Option<Vec<_>>>();
    let probabilities = probabilities.ok_or_else(|| "a probability is not 8 hexadecimal digits".to_owned())?;
    if candidates.is_empty() || candidates.len() > MAX_CANDIDATES {
        return Err(format!("expected 1 to {MAX_CANDIDATES} candidates, found {}", candidates.len()));
    }
    if logits.len() != candidates.len() || probabilities.len() != candidates.len() {
        return Err("the numbers of candidates, logits and probabilities differ".to_owned());
    }
    Ok(GoldenRequest { rows: RequestRows { context, candidates }, logits, probabilities })
}

fn hex(text: &Value, digit_count: usize) -> Option<u64> {
    let text = text.as_str().filter(|text| text.len() == digit_count && !text.starts_with('+'))?;
    u64::from_str_radix(text, 16).ok()
}
