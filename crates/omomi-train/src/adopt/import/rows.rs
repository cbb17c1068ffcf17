//! What an import reads: rows in one of several formats, and the faults in them.

use std::io::{self, BufRead};

use omomi::printable::quoted;

/// Longest line of text, in bytes.
pub(super) const MAX_LINE_LEN: usize = 16 << 20;
/// Most faults that are kept with their words.
const MAX_SHOWN: usize = 20;

/// One row of the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    /// Line of a text, or row of a Parquet file, from 1.
    pub(super) line: u64,
    pub(super) named: Named<'a>,
    pub(super) weight: f64,
    /// `None` if the input has no such column.
    pub(super) impressions: Option<u64>,
    pub(super) clicks: u64,
}

/// What a row says the weight of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named<'a> {
    Bias,
    /// A field or a cross, by its name.
    Feature {
        field: &'a str,
        category: &'a str,
    },
    /// A cross, member by member.
    Cross(&'a [(&'a str, &'a str)]),
}

/// The faults of an input. All are counted, and the first ones are kept.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) shown: Vec<(u64, String)>,
    pub(super) count: u64,
}

impl Faults {
    pub(super) fn add(&mut self, line: u64, problem: impl Into<String>) {
        self.count += 1;
        if self.shown.len() < MAX_SHOWN {
            self.shown.push((line, problem.into()));
        }
    }
}

/// Names of the bias that tools write, unless the contract has a field of this name.
const BIAS_NAMES: [&str; 6] = ["(bias)", "bias", "intercept", "(intercept)", "Constant", "constant"];

pub(super) fn is_bias(name: &str) -> bool {
    BIAS_NAMES.contains(&name)
}

/// Parses a weight, or says what is wrong with it.
pub(super) fn weight_of(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(weight) if weight.is_finite() => Ok(weight),
        Ok(_) => Err(format!("expected a finite weight, found `{}`", quoted(text))),
        Err(_) if text.trim().is_empty() => Err("expected a weight, found nothing".to_owned()),
        Err(_) => Err(format!("expected a weight such as -0.125, found `{}`", quoted(text))),
    }
}

/// Parses a count, or says what is wrong with it. Nothing is 0.
pub(super) fn count_of(name: &str, text: &str) -> Result<u64, String> {
    let text = text.trim();
    let whole = text.split_once('.').map_or(
        text,
        |(whole, fraction)| {
            if fraction.bytes().all(|byte| byte == b'0') { whole } else { text }
        },
    );
    if text.is_empty() {
        return Ok(0);
    }
    whole.parse().map_err(|_| format!("expected a whole number of {name}, found `{}`", quoted(text)))
}

/// Reads the next line of a text into `line`, without its end. Returns false at the end of the text.
pub(super) fn next_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = memchr::memchr(b'\n', buffer);
        let taken = end.map_or(buffer.len(), |end| end + 1);
        line.extend_from_slice(&buffer[..taken]);
        input.consume(taken);
        if line.len() > MAX_LINE_LEN {
            let problem = format!("a line has more than {} MiB", MAX_LINE_LEN >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        if end.is_some() {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(true);
        }
    }
}
