//! Calibration of what was served: the sum of probabilities next to the clicks, by logic id and hour, from joined logs.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use omomi::contract::Contract;
use omomi::serving_log::PredictionId;
use serde::{Deserialize, Serialize};

use super::error::ServingLogError;
use super::join::{RowPlan, read_columns};
use crate::learn::utc;
use crate::log::{ReadOptions, RowBatch, parse_time_us};

const HOUR_US: i64 = 3_600_000_000;
/// Version of the JSON.
pub(crate) const VERSION: u32 = 1;

/// How well the served probabilities fit the clicks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServedCalibration {
    /// Version of this form.
    pub version: u32,
    /// Whether only predictions that were shown count: so it is if the log has impressions.
    pub of_impressions: bool,
    /// By logic id and hour.
    pub hours: Vec<ServedHour>,
}

/// What one serving logic answered in one hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServedHour {
    /// Logic id; nothing for values of the server itself.
    pub logic_id: Option<String>,
    /// Start of the hour, in microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// Predictions, or those that were shown.
    pub predictions: u64,
    /// Those of them with a click.
    pub clicks: u64,
    /// Sum of their probabilities.
    pub probability_sum: f64,
}

impl ServedHour {
    /// Returns the sum of probabilities divided by the clicks: 1 is right. Nothing without clicks.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 clicks")]
    pub fn ratio(&self) -> Option<f64> {
        (self.clicks > 0).then(|| self.probability_sum / self.clicks as f64)
    }

    /// Returns the start of the hour, such as `2026-10-01T13:00:00Z`.
    #[must_use]
    pub fn hour(&self) -> String {
        utc(self.start_us).unwrap_or_default()
    }
}

/// A row of a joined log, as far as it matters here.
struct Row<'a> {
    id: PredictionId,
    logic_id: Option<&'a str>,
    time_us: i64,
    probability: Option<f32>,
    is_clicked: bool,
    is_shown: bool,
    is_late: bool,
}

/// Adds up the outputs of `omomi log join` that `patterns` name. A row that a later run wrote again, because an event
/// came late, replaces the earlier one.
///
/// # Errors
///
/// Returns [`ServingLogError`] if a file cannot be read, or is no output of a join under this contract.
pub fn served_calibration(patterns: &[String], contract: &Contract) -> Result<ServedCalibration, ServingLogError> {
    let names = RowPlan::new(contract).names;
    let mut columns: Vec<String> = ["prediction_id", "logic_id", "timestamp", "probability", "logit", "shown", "late"]
        .map(|name| names.of(name))
        .into();
    columns.push(contract.label_column().to_owned());
    let mut of_impressions = false;
    // Late rows are few. The last one of a prediction says everything.
    let mut late: HashMap<PredictionId, u64> = HashMap::new();
    let mut place = 0;
    each_row(patterns, &columns, &mut |row| {
        place += 1;
        of_impressions |= row.is_shown;
        if row.is_late {
            late.insert(row.id, place);
        }
    })?;
    let mut hours: BTreeMap<(Option<String>, i64), ServedHour> = BTreeMap::new();
    place = 0;
    each_row(patterns, &columns, &mut |row| {
        place += 1;
        let is_replaced = late.get(&row.id).is_some_and(|last| *last != place);
        let Some(probability) = row.probability else { return };
        if is_replaced || (of_impressions && !row.is_shown) {
            return;
        }
        let start_us = row.time_us.div_euclid(HOUR_US) * HOUR_US;
        let logic_id = row.logic_id.map(str::to_owned);
        let hour = hours.entry((logic_id.clone(), start_us)).or_insert_with(|| ServedHour {
            logic_id,
            start_us,
            predictions: 0,
            clicks: 0,
            probability_sum: 0.0,
        });
        hour.predictions += 1;
        hour.clicks += u64::from(row.is_clicked);
        hour.probability_sum += f64::from(probability);
    })?;
    Ok(ServedCalibration { version: VERSION, of_impressions, hours: hours.into_values().collect() })
}

fn each_row(patterns: &[String], columns: &[String], visit: &mut dyn FnMut(&Row<'_>)) -> Result<(), ServingLogError> {
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut rows = 0;
    read_columns(patterns, &columns, ReadOptions::default(), &mut |batch, _| {
        for row in 0..batch.row_count() {
            rows += 1;
            let row = row_of(batch, row).map_err(|(column, expected, found)| ServingLogError::BadEvent {
                row: rows,
                column,
                expected,
                found: found.chars().take(64).collect(),
            })?;
            visit(&row);
        }
        Ok(())
    })
    .map(drop)
}

fn row_of(batch: &RowBatch, row: usize) -> Result<Row<'_>, (&'static str, &'static str, String)> {
    let text = |place: usize| batch.extra[place].text(row).unwrap_or_default();
    let is_set = |place: usize| matches!(text(place), "1" | "true");
    let wrong = |column, place: usize| (column, "what `omomi log join` wrote", text(place).to_owned());
    let id = text(0).parse().map_err(|_| wrong("prediction_id", 0))?;
    let time_us = parse_time_us(text(2), None, true).ok_or_else(|| wrong("timestamp", 2))?;
    let probability = match text(3) {
        "" => None,
        probability => Some(probability.parse().map_err(|_| wrong("probability", 3))?),
    };
    // Without a logit, the probability is one that the server made up.
    let logic_id = Some(text(1)).filter(|logic_id| !logic_id.is_empty() && !text(4).is_empty());
    Ok(Row { id, logic_id, time_us, probability, is_shown: is_set(5), is_late: is_set(6), is_clicked: is_set(7) })
}

impl ServedCalibration {
    /// Returns the figures as Prometheus text, for a collector that reads files.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        type Figure = fn(&ServedHour) -> f64;
        #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
        let families: [(&str, &str, Figure); 3] = [
            ("omomi_served_predictions", "Predictions that count.", |hour| hour.predictions as f64),
            ("omomi_served_clicks", "Clicks on them.", |hour| hour.clicks as f64),
            ("omomi_served_probability_sum", "Sum of their probabilities.", |hour| hour.probability_sum),
        ];
        for (name, help, figure) in families {
            // Writing to a text cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
            for hour in &self.hours {
                let logic_id = escaped(hour.logic_id.as_deref().unwrap_or_default());
                let _ = writeln!(text, "{name}{{logic_id=\"{logic_id}\",hour=\"{}\"}} {}", hour.hour(), figure(hour));
            }
        }
        text
    }
}

/// Escapes the value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_prometheus_text() {
        let hour = ServedHour {
            logic_id: Some("a\"b".to_owned()),
            start_us: 1_790_812_800_000_000,
            predictions: 3,
            clicks: 2,
            probability_sum: 0.5,
        };
        assert_eq!((hour.ratio(), hour.hour().as_str()), (Some(0.25), "2026-10-01T00:00:00Z"));
        let text = ServedCalibration { version: VERSION, of_impressions: false, hours: vec![hour] }.to_prometheus();
        let series = "omomi_served_probability_sum{logic_id=\"a\\\"b\",hour=\"2026-10-01T00:00:00Z\"} 0.5\n";
        assert!(text.contains(series) && text.contains("omomi_served_clicks{"), "{text}");
    }
}
