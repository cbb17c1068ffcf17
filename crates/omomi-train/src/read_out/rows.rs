//! Reads the rows of joined logs, as far as an experiment needs them.

use std::collections::BTreeMap;

use omomi::feature::text_value;

use super::error::ReadOutError;
use crate::log::{KEY_ENDING, LogReader, ReadOptions, RowBatch, log_columns, parse_time_us};

/// What counts as revenue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revenue {
    /// What was paid for clicks: `click_price_micros`.
    ClickPrice,
    /// What was paid for wins: `win_price_micros`, by its basis.
    WinPrice,
    /// What conversions are worth: `conversion_value_micros`.
    ConversionValue,
}

impl Revenue {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClickPrice, Self::WinPrice, Self::ConversionValue];

    /// Returns its name in flags and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClickPrice => "click-price",
            Self::WinPrice => "win-price",
            Self::ConversionValue => "conversion-value",
        }
    }

    /// Returns the columns of the price and of its currency.
    pub(super) const fn columns(self) -> [&'static str; 2] {
        match self {
            Self::ClickPrice => ["click_price_micros", "click_currency"],
            Self::WinPrice => ["win_price_micros", "currency"],
            Self::ConversionValue => ["conversion_value_micros", "conversion_currency"],
        }
    }
}

/// Which columns have what.
#[derive(Debug, Clone)]
pub(super) struct Named<'a> {
    pub(super) unit: &'a str,
    /// The column that is 1 for a click; `None`: `click_delay_ms` has a value.
    pub(super) label: Option<&'a str>,
    pub(super) revenue: Revenue,
    /// Numeric columns, then columns of slices.
    pub(super) numbers: Vec<&'a str>,
    pub(super) slices: Vec<&'a str>,
    pub(super) purpose: Purpose,
}

/// What rows are read for: which columns they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To compare arms.
    Arms,
    /// To learn what units did before an experiment.
    Past,
    /// To judge choices.
    Choices,
}

/// The columns that are read, and the place of each among them.
#[derive(Debug, Default)]
pub(super) struct Columns {
    names: Vec<String>,
    found: Vec<String>,
    unit: usize,
    /// Whether the unit is in the logs as a hash.
    is_unit_hashed: bool,
    time: usize,
    experiment: Option<usize>,
    arm: Option<usize>,
    id: Option<usize>,
    bucket: Option<usize>,
    request: Option<usize>,
    candidate: Option<usize>,
    propensity: Option<usize>,
    late: Option<usize>,
    shadow: Option<usize>,
    shown: Option<usize>,
    won: Option<usize>,
    converted: Option<usize>,
    click: usize,
    is_label: bool,
    probability: Option<usize>,
    logit: Option<usize>,
    price: Option<usize>,
    currency: Option<usize>,
    basis: Option<usize>,
    numbers: Vec<usize>,
    slices: Vec<usize>,
}

const JOIN: &str = "`omomi log join`";

impl Columns {
    /// Finds the columns in the logs.
    pub(super) fn of(patterns: &[String], named: &Named<'_>) -> Result<Self, ReadOutError> {
        let found = log_columns(patterns, &ReadOptions::default())?;
        let mut columns = Self { found: found.into_iter().map(|(name, _)| name).collect(), ..Self::default() };
        let any = "a value that says to which unit a row belongs";
        columns.unit = columns.need(named.unit, any, "`omomi log join`, if the contract has this field,")?;
        columns.is_unit_hashed = columns.names[columns.unit].ends_with(KEY_ENDING);
        columns.time = columns.need("timestamp", "when the prediction was served", JOIN)?;
        match named.purpose {
            Purpose::Arms => {
                columns.experiment = Some(columns.need("experiment", "the name of the experiment", JOIN)?);
                columns.arm = Some(columns.need("arm", "the arm that answered", JOIN)?);
                columns.bucket = columns.add("bucket");
            }
            Purpose::Choices => {
                columns.request = Some(columns.need("request_id", "the request of a row", JOIN)?);
                columns.candidate = Some(columns.need("candidate", "which candidate was chosen", JOIN)?);
                columns.propensity = Some(columns.need("propensity", "how likely the choice was", JOIN)?);
            }
            Purpose::Past => {}
        }
        if named.purpose != Purpose::Past {
            columns.id = Some(columns.need("prediction_id", "the id of the row, to find repeated ones", JOIN)?);
        }
        columns.late = columns.add("late");
        columns.shadow = columns.add("shadow");
        columns.shown = columns.add("shown");
        columns.won = columns.add("won");
        columns.converted = columns.add("converted");
        columns.is_label = named.label.is_some();
        let purpose = "whether there was a click (name another column with --label)";
        columns.click = columns.need(named.label.unwrap_or("click_delay_ms"), purpose, JOIN)?;
        columns.probability = columns.add("probability");
        columns.logit = columns.add("logit");
        let [price, currency] = named.revenue.columns();
        columns.price = columns.add(price);
        columns.currency = columns.add(currency);
        columns.basis = if named.revenue == Revenue::WinPrice { columns.add("win_price_basis") } else { None };
        for (places, names, purpose) in
            [(false, &named.numbers, "a number to compare"), (true, &named.slices, "a value to split by")]
        {
            for name in names {
                let place = columns.need(name, purpose, "the server or the contract")?;
                if places { columns.slices.push(place) } else { columns.numbers.push(place) }
            }
        }
        Ok(columns)
    }

    /// Adds a column if the logs have it. A contract with a field of that name moves the logged one to `served_...`,
    /// and a hashed field is in `..._key`.
    fn add(&mut self, name: &str) -> Option<usize> {
        let names = [format!("served_{name}"), name.to_owned(), format!("{name}{KEY_ENDING}")];
        let name = names.into_iter().find(|name| self.found.contains(name))?;
        if let Some(place) = self.names.iter().position(|known| *known == name) {
            return Some(place);
        }
        self.names.push(name);
        Some(self.names.len() - 1)
    }

    fn need(&mut self, name: &str, purpose: &'static str, writer: &'static str) -> Result<usize, ReadOutError> {
        let no_column =
            || ReadOutError::NoColumn { column: name.to_owned(), purpose, writer, found: self.found.clone() };
        let error = no_column();
        self.add(name).ok_or(error)
    }

    /// Whether the logs have hashes of units.
    pub(super) const fn is_unit_hashed(&self) -> bool {
        self.is_unit_hashed
    }

    /// Whether the logs say which model gave a probability.
    pub(super) const fn has_probabilities(&self) -> bool {
        self.probability.is_some()
    }

    /// Whether the logs say what was won.
    pub(super) const fn has_wins(&self) -> bool {
        self.won.is_some()
    }
}

/// A row of a joined log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    /// Number of the row over all files, from 1.
    pub(super) number: u64,
    pub(super) experiment: Option<&'a str>,
    pub(super) arm: Option<&'a str>,
    pub(super) id: &'a str,
    pub(super) bucket: Option<u32>,
    /// Hash of the request id.
    pub(super) request: Option<u64>,
    pub(super) candidate: Option<u32>,
    /// The probability with which the server chose the candidate.
    pub(super) propensity: Option<f64>,
    /// Hash of the unit.
    pub(super) unit: Option<u64>,
    pub(super) unit_text: Option<&'a str>,
    pub(super) time_us: i64,
    pub(super) is_late: bool,
    pub(super) is_shown: bool,
    pub(super) is_won: bool,
    pub(super) is_clicked: bool,
    /// The probability that a model answered.
    pub(super) probability: Option<f64>,
    /// In millionths of the currency's unit.
    pub(super) revenue_micros: Option<f64>,
    pub(super) currency: Option<&'a str>,
}

/// The texts of more columns of a row.
pub(super) struct More<'a> {
    batch: &'a RowBatch,
    row: usize,
    columns: &'a Columns,
}

impl<'a> More<'a> {
    /// Returns the finite number of the named column at `index`.
    pub(super) fn number(&self, index: usize) -> Option<f64> {
        let number = match self.batch.extra[self.columns.numbers[index]].text(self.row)? {
            "true" => 1.0,
            "false" => 0.0,
            text => text.parse().ok()?,
        };
        Some(number).filter(|number: &f64| number.is_finite())
    }

    /// Returns the value of the column of slices at `index`.
    pub(super) fn slice(&self, index: usize) -> Option<&'a str> {
        self.batch.extra[self.columns.slices[index]].text(self.row)
    }
}

/// Reads every row of a prediction that a server used. A shadow's answers were not: they never count. Returns how many
/// there are.
pub(super) fn each_row(
    patterns: &[String],
    columns: &Columns,
    visit: &mut dyn FnMut(&Row<'_>, &More<'_>) -> Result<(), ReadOutError>,
) -> Result<u64, ReadOutError> {
    let mut shadow_count = 0;
    let options = ReadOptions::default().with(|it| it.extra_columns.clone_from(&columns.names));
    let mut reader = LogReader::open_lists(&BTreeMap::new(), patterns, options)?;
    let mut number = 0;
    while let Some(batch) = reader.next_batch()? {
        for row in 0..batch.row_count() {
            number += 1;
            if is_set(&batch, columns.shadow, row) {
                shadow_count += 1;
                continue;
            }
            let more = More { batch: &batch, row, columns };
            let read = columns.row(&batch, row, number)?;
            visit(&read, &more)?;
        }
    }
    Ok(shadow_count)
}

fn is_set(batch: &RowBatch, column: Option<usize>, row: usize) -> bool {
    matches!(column.and_then(|place| batch.extra[place].text(row)), Some("1" | "true" | "True" | "TRUE"))
}

impl Columns {
    fn row<'b>(&self, batch: &'b RowBatch, row: usize, number: u64) -> Result<Row<'b>, ReadOutError> {
        let text = |place: usize| batch.extra[place].text(row).filter(|text| !text.is_empty());
        let given = |place: Option<usize>| place.and_then(text);
        let bad = |place: usize, expected: &'static str| ReadOutError::BadRow {
            row: number,
            column: self.names[place].clone(),
            expected,
            found: text(place).unwrap_or_default().chars().take(64).collect(),
        };
        let time = text(self.time).and_then(|text| parse_time_us(text, None, true));
        let time_us = time.ok_or_else(|| bad(self.time, "a time in RFC 3339, or as an integer"))?;
        let is_clicked = match (self.is_label, text(self.click)) {
            (false, delay) => delay.is_some(),
            (true, Some("1" | "true")) => true,
            (true, Some("0" | "false")) => false,
            (true, _) => return Err(bad(self.click, "a label of 0 or 1")),
        };
        let number_of = |place: Option<usize>, expected: &'static str| match place.zip(given(place)) {
            None => Ok(None),
            Some((place, text)) => {
                let number = text.parse().ok().filter(|number: &f64| !number.is_infinite());
                number.map(|number| Some(number).filter(|number| !number.is_nan())).ok_or_else(|| bad(place, expected))
            }
        };
        // Without a logit, the probability is one that the server made up.
        let is_of_model = self.logit.is_none() || given(self.logit).is_some_and(|logit| logit != "NaN");
        let probability = number_of(self.probability, "a probability")?.filter(|_| is_of_model);
        if let Some((place, _)) = self.probability.zip(probability.filter(|it| !(*it > 0.0 && *it < 1.0))) {
            return Err(bad(place, "a probability in (0, 1)"));
        }
        let propensity = number_of(self.propensity, "a probability")?;
        if let Some((place, _)) = self.propensity.zip(propensity.filter(|it| !(*it > 0.0 && *it <= 1.0))) {
            return Err(bad(place, "a propensity in (0, 1]"));
        }
        let price = number_of(self.price, "an integer of millionths")?;
        let revenue_micros = price.map(|micros| match given(self.basis) {
            Some("thousand_impressions") => micros / 1_000.0,
            Some("click") if !is_clicked => 0.0,
            Some("conversion") if !is_set(batch, self.converted, row) => 0.0,
            _ => micros,
        });
        Ok(Row {
            number,
            experiment: given(self.experiment),
            arm: given(self.arm),
            id: given(self.id).unwrap_or_default(),
            bucket: given(self.bucket).and_then(|bucket| bucket.parse().ok()),
            request: given(self.request).map(|request| text_value(request.as_bytes())),
            candidate: given(self.candidate).and_then(|candidate| candidate.parse().ok()),
            propensity,
            unit: text(self.unit).map(|unit| text_value(unit.as_bytes())),
            unit_text: text(self.unit),
            time_us,
            is_late: is_set(batch, self.late, row),
            is_shown: is_set(batch, self.shown, row),
            is_won: is_set(batch, self.won, row),
            is_clicked,
            probability,
            revenue_micros,
            currency: given(self.currency).filter(|_| price.is_some()),
        })
    }
}
