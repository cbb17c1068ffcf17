//! Texts with one weight in each line: those that servers load into a `HashMap`, and the models of Vowpal Wabbit.

use std::io::{self, BufRead};

use omomi::printable::quoted;

use super::rows::{Faults, Named, Row, is_bias, next_line, weight_of};
use crate::learn::category::FeatureNames;

/// Reads `field=category<TAB>weight`. A cross is `a*b=x*y` or `a=x*b=y`. Lines that are empty or begin with `#` are
/// skipped.
pub(super) fn read_map(
    input: &mut dyn BufRead,
    names: &FeatureNames,
    faults: &mut Faults,
    take: &mut dyn FnMut(&mut Faults, Row<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let (mut bytes, mut line) = (Vec::new(), 0);
    while next_line(input, &mut bytes)? {
        line += 1;
        let Some(text) = text_of(&bytes, line, faults) else { continue };
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let Some((key, weight)) = text.rsplit_once('\t') else {
            let found = quoted(text);
            faults.add(line, format!("expected `field=category`, a tab, and a weight, found `{found}`"));
            continue;
        };
        let weight = match weight_of(weight) {
            Ok(weight) => weight,
            Err(problem) => {
                faults.add(line, format!("`{}`: {problem}", quoted(key)));
                continue;
            }
        };
        let row = |named| Row { line, named, weight, impressions: None, clicks: 0 };
        if is_bias(key) {
            take(faults, row(Named::Bias))?;
            continue;
        }
        if let Some(members) = members(key, names) {
            take(faults, row(Named::Cross(&members)))?;
            continue;
        }
        match key.split_once('=') {
            Some((field, category)) => take(faults, row(Named::Feature { field, category }))?,
            None => faults.add(line, format!("expected `field=category` before the tab, found `{}`", quoted(key))),
        }
    }
    Ok(())
}

/// Splits `a=x*b=y` if the contract has such a cross.
fn members<'a>(key: &'a str, names: &FeatureNames) -> Option<Vec<(&'a str, &'a str)>> {
    if !key.contains('*') {
        return None;
    }
    let members: Option<Vec<_>> = key.split('*').map(|part| part.split_once('=')).collect();
    let members = members.filter(|members| members.len() > 1)?;
    let joined = members.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("*");
    names.has(&joined).then_some(members)
}

fn text_of<'a>(bytes: &'a [u8], line: u64, faults: &mut Faults) -> Option<&'a str> {
    let bytes = if line == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes };
    let text = str::from_utf8(bytes);
    if text.is_err() {
        faults.add(line, "expected text in UTF-8, found other bytes");
    }
    text.ok()
}

/// Reads what `vw --invert_hash` writes: a header that ends with the line `:0` or `:1`, then `name:hash:weight`. A name
/// is `namespace^feature`, and an interaction joins them with `*`. A feature `field=category` names its field;
/// otherwise the namespace is the field. Returns warnings.
pub(super) fn read_vowpal_wabbit(
    input: &mut dyn BufRead,
    names: &FeatureNames,
    faults: &mut Faults,
    take: &mut dyn FnMut(&mut Faults, Row<'_>) -> io::Result<()>,
) -> io::Result<Vec<String>> {
    let mut warnings = Vec::new();
    let (mut bytes, mut line, mut is_header) = (Vec::new(), 0, true);
    while next_line(input, &mut bytes)? {
        line += 1;
        let Some(text) = text_of(&bytes, line, faults) else { continue };
        if is_header {
            is_header = !matches!(text, ":0" | ":1");
            // With the logistic loss, labels are limited to 50.
            if let Some(label) = text.strip_prefix("Max label:").filter(|label| label.trim() != "50") {
                warnings.push(format!(
                    "the largest label is {}, not 50: the model was not trained with --loss_function logistic, and its \
                     weights are no logits",
                    quoted(label.trim())
                ));
            }
            continue;
        }
        // After the weight there may be what the optimizer keeps of it.
        let Some(first) = text.split_ascii_whitespace().next() else { continue };
        let mut parts = first.rsplitn(3, ':');
        let (weight, hash, name) = (parts.next(), parts.next(), parts.next());
        let is_hash = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (Some(weight), Some(name)) = (weight, name.filter(|_| hash.is_some_and(is_hash))) else {
            if name.is_none() && hash.is_some_and(is_hash) {
                faults.add(
                    line,
                    "expected `name:hash:weight`, found a weight without a name: write the model with \
                     --invert_hash instead of --readable_model",
                );
                // Every other line has this fault, too.
                return Ok(warnings);
            }
            if !is_counter(text) {
                faults.add(line, format!("expected `name:hash:weight`, found `{}`", quoted(text)));
            }
            continue;
        };
        let weight = match weight_of(weight) {
            Ok(weight) => weight,
            Err(problem) => {
                faults.add(line, format!("`{}`: {problem}", quoted(name)));
                continue;
            }
        };
        let row = |named| Row { line, named, weight, impressions: None, clicks: 0 };
        if is_bias(name) {
            take(faults, row(Named::Bias))?;
            continue;
        }
        let members: Option<Vec<_>> = name.split('*').map(member).collect();
        let members = members.filter(|members| {
            let joined = members.iter().map(|(field, _)| *field).collect::<Vec<_>>().join("*");
            members.len() > 1 && names.has(&joined)
        });
        match (members, member(name)) {
            (Some(members), _) => take(faults, row(Named::Cross(&members)))?,
            (None, Some((field, category))) => take(faults, row(Named::Feature { field, category }))?,
            (None, None) => {
                let found = quoted(name);
                faults.add(line, format!("expected `field=category` or `field^category`, found `{found}`"));
            }
        }
    }
    if is_header {
        faults.add(line.max(1), "expected the line `:0` or `:1` at the end of the header, found the end of the file");
    }
    Ok(warnings)
}

/// Splits `namespace^field=category`, `field=category`, `namespace^field^category` or `field^category`.
fn member(name: &str) -> Option<(&str, &str)> {
    let feature = name.split_once('^').map_or(name, |(_, feature)| feature);
    feature.split_once('=').or_else(|| feature.split_once('^')).or_else(|| name.split_once('^'))
}

/// Whether a line is one of the counters that are written before the weights, such as `initial_t 0`, with which
/// training goes on.
fn is_counter(text: &str) -> bool {
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    text.rsplit_once(' ').is_some_and(|(name, number)| is_number(number) && !name.contains(['=', '^']))
}
