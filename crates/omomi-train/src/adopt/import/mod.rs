//! Makes a training state of weights that were trained elsewhere.
//!
//! [`import`] reads the weights in one of several [formats](WeightsFormat), checks every row against the contract, and
//! writes a training state, which [packing](crate::pack), pruning, recalibration and the report take like any other.
//!
//! # What a row says
//!
//! A row has a field, a category and a weight on the logit scale. The bias is the row of the field `(bias)`, without a
//! category; `bias`, `intercept` and `Constant` are read as well. A cross has the names of its members joined by `*`,
//! in any order, and its categories joined in the same way, with `\` before a `*` or `\` of their own. A category of a
//! number field is its bucket as a state has it, such as `[10.0, 50.0)`, or a number in the bucket. A row of the field
//! `(unseen)` or `(missing)`, with the name of a field as its category, says what unseen categories or missing values
//! of that field add. Without such rows they add 0, as in a map that returns 0 for what it does not have.
//!
//! A weight of 0 is kept where unseen categories add something else: then it is stored as a number so small that it
//! changes no logit.
//!
//! # What is known of the weights
//!
//! Weights alone do not say how much was learned, and training that goes on would not know how far to move them. So the
//! state is marked, and `train --start` refuses it. With impressions, by a column of the table or one number for all
//! ([`ImportOptions::impressions`]), each weight counts as if FTRL had learned it from so many rows:
//!
//! ```text
//! n = impressions c (1 - c), where c is the click rate    the sum of squared gradients of rows that are predicted well
//! d = (beta + sqrt(n)) / alpha
//! z = -weight (d + l2) - sign(weight) l1                  so that the rule of the optimizer gives the weight back
//! ```
//!
//! # Limits
//!
//! Memory is bounded: about 150 MB for any number of weights up to some 100 million, plus what a writer of Parquet
//! takes. Above 48 MiB of weights, they are sorted through a file without a name beside the state.

mod input;
mod rows;
mod sorted;
mod table;
mod text;

use std::io;
use std::path::PathBuf;

use omomi::contract::{Contract, UnseenWeight};
use omomi::error::Owner;
use omomi::math::sigmoid;
use omomi::printable::quoted;
use omomi::weight_file::layout::MAX_WEIGHT;
use serde_json::{Map, Value, json};

use crate::bucket::Source;
use crate::learn::category::FeatureNames;
use crate::learn::state::{
    BIAS_FIELD, BIAS_KEY, MISSING_FIELD, Metadata, StateError, StateRow, StateWriter, UNSEEN_FIELD, default_key,
};
use crate::learn::{Settings, TrainError, WeightRule, refuse_existing_state, whole_provenance, write_provenance};
use crate::lineage::{LearnedLog, content_digest};

pub use input::WeightsFormat;
use input::{Input, tell};
use rows::{Faults, Named, Row};
use sorted::{Record, Sorter};

/// Group of the default rows of unseen categories.
const UNSEEN_GROUP: u16 = u16::MAX - 1;
/// Group of the default rows of missing values.
const MISSING_GROUP: u16 = u16::MAX;
/// What to import, and where to write it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImportOptions {
    /// File with the weights, which may be compressed with gzip or zstd; `-` for standard input.
    pub weights: PathBuf,
    /// How they are written; `None` tells it by the first bytes.
    pub format: Option<WeightsFormat>,
    /// The training state to write.
    pub out: PathBuf,
    /// Whether an existing state is replaced.
    pub replace: bool,
    /// The bias, if the weights do not have it.
    pub bias: Option<f64>,
    /// Number of rows that every weight counts as learned from, if the table has no such column.
    pub impressions: Option<u64>,
    /// Click rate of the rows that the weights were learned from; `None` takes the sigmoid of the bias. Without
    /// impressions it means nothing.
    pub click_rate: Option<f64>,
    /// Settings with which training can go on, if there are impressions.
    pub settings: Settings,
    /// Fields and crosses whose rows are left out, because the contract does not have them. They are counted.
    pub leave_out: Vec<String>,
    /// The command line, for the provenance.
    pub arguments: Vec<String>,
}

impl ImportOptions {
    /// Options that read everything from the file, for packing.
    #[must_use]
    pub fn new(weights: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            weights: weights.into(),
            format: None,
            out: out.into(),
            replace: false,
            bias: None,
            impressions: None,
            click_rate: None,
            settings: Settings::default(),
            leave_out: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// What was imported.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportReport {
    /// How the weights were written.
    pub format: WeightsFormat,
    /// The bias.
    pub bias: f64,
    /// Number of weights, without the bias and the default weights.
    pub weight_count: u64,
    /// Number of them that are 0.
    pub zero_count: u64,
    /// Number of weights of each field and cross, in contract order. None is left out.
    pub field_sizes: Vec<(String, u64)>,
    /// Number of rows that say what unseen categories and missing values add.
    pub default_count: u64,
    /// Largest difference between a weight and what is served of it, which is the nearest f32.
    pub largest_difference: f64,
    /// The field and category with this difference; `None` if no weight differs.
    pub most_different: Option<(String, String)>,
    /// Number of rows that were left out.
    pub left_out: u64,
    /// Columns of a table that were not read.
    pub unread_columns: Vec<String>,
    /// Whether training can continue from the state.
    pub has_evidence: bool,
    /// What is odd.
    pub warnings: Vec<String>,
    /// Size of the state in bytes.
    pub state_len_bytes: u64,
}

impl ImportReport {
    const fn new(format: WeightsFormat) -> Self {
        Self {
            format,
            bias: 0.0,
            weight_count: 0,
            zero_count: 0,
            field_sizes: Vec::new(),
            default_count: 0,
            largest_difference: 0.0,
            most_different: None,
            left_out: 0,
            unread_columns: Vec::new(),
            has_evidence: false,
            warnings: Vec::new(),
            state_len_bytes: 0,
        }
    }
}

/// Why weights could not be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The weights cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Rows of the weights are faulty.
    #[error(
        "{} has {count} fault{}{}",
        path.display(), if *count == 1 { "" } else { "s" }, listed(unit, shown, *count)
    )]
    Rows {
        /// The file.
        path: PathBuf,
        /// What the numbers of the faults count: `line` or `row`.
        unit: &'static str,
        /// The first faults, with their lines or rows.
        shown: Vec<(u64, String)>,
        /// Number of all faults.
        count: u64,
    },
    /// The format is not known.
    #[error("{}: cannot tell how the weights are written: {problem}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
    /// The bias is not known, or it is given twice.
    #[error("{}: {problem}", path.display())]
    Bias {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
    /// A setting is out of bounds.
    #[error("{name} must be {expected}, found {found:?}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its bounds, in words.
        expected: &'static str,
        /// Its value.
        found: f64,
    },
    /// The settings of the optimizer are out of bounds.
    #[error(transparent)]
    Settings(Box<TrainError>),
    /// The state cannot be written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl ImportError {
    /// Returns who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Unreadable { .. } => Owner::Infra,
            Self::State(error) => error.owner(),
            _ => Owner::Ml,
        }
    }
}

fn listed(unit: &str, shown: &[(u64, String)], count: u64) -> String {
    let mut text: String = shown.iter().map(|(line, problem)| format!("\n  {unit} {line}: {problem}")).collect();
    let more = count - shown.len() as u64;
    if more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

/// Reads weights and writes them as a training state. Calls `watch` with the number of rows from time to time.
///
/// # Errors
///
/// Returns [`ImportError`] with every fault of the weights; no state is written then.
pub fn import(
    contract: &Contract,
    options: &ImportOptions,
    watch: &mut dyn FnMut(u64),
) -> Result<ImportReport, ImportError> {
    options.settings.check().map_err(|error| ImportError::Settings(Box::new(error)))?;
    if let Some(found) = options.click_rate.filter(|rate| !(*rate > 0.0 && *rate < 1.0)) {
        return Err(ImportError::Setting { name: "click_rate", expected: "between 0 and 1", found });
    }
    if let Some(found) = options.bias.filter(|bias| bias.is_nan() || bias.abs() > f64::from(MAX_WEIGHT)) {
        return Err(ImportError::Setting { name: "bias", expected: "a number from -700 to 700", found });
    }
    refuse_existing_state(&options.out, options.replace)?;
    let names = FeatureNames::new(contract);
    let unreadable = |source| ImportError::Unreadable { path: options.weights.clone(), source };
    let mut collected = Collected::new(&names, options);
    let mut faults = Faults::default();
    let input = Input::open(&options.weights).map_err(unreadable)?;
    let format = match options.format {
        Some(format) => format,
        None => tell(&input).map_err(|problem| {
            let path = options.weights.clone();
            ImportError::UnknownFormat { path, problem }
        })?,
    };
    let (mut unread_columns, mut warnings) = (Vec::new(), Vec::new());
    let mut row_count = 0;
    let mut take = |faults: &mut Faults, row: Row<'_>| {
        row_count += 1;
        if row_count % (1 << 16) == 0 {
            watch(row_count);
        }
        collected.take(faults, &row)
    };
    let read = match (format, input) {
        (WeightsFormat::Parquet, Input { file: Some(file), .. }) => {
            table::read_parquet(Source::File(file), &names, &mut faults, &mut take)
                .map(|columns| unread_columns = columns)
        }
        (WeightsFormat::Parquet, _) => {
            Err(io::Error::other("Parquet cannot be read from a pipe or within another compression"))
        }
        (WeightsFormat::Csv, mut input) => {
            let delimiter = input.delimiter();
            table::read_csv(&mut input.text, delimiter, &names, &mut faults, &mut take)
                .map(|columns| unread_columns = columns)
        }
        (WeightsFormat::JsonLines, mut input) => {
            table::read_json_lines(&mut input.text, &names, &mut faults, &mut take)
        }
        (WeightsFormat::Map, mut input) => text::read_map(&mut input.text, &names, &mut faults, &mut take),
        (WeightsFormat::VowpalWabbit, mut input) => {
            text::read_vowpal_wabbit(&mut input.text, &names, &mut faults, &mut take).map(|found| warnings = found)
        }
    };
    read.map_err(unreadable)?;
    let unit = if format == WeightsFormat::Parquet { "row" } else { "line" };
    let rows = |faults: Faults| ImportError::Rows {
        path: options.weights.clone(),
        unit,
        shown: faults.shown,
        count: faults.count,
    };
    let report = ImportReport { unread_columns, warnings, ..ImportReport::new(format) };
    collected.write(faults, report, &rows, None)
}

/// What is known of weights that were not read from a file.
#[derive(Debug, Clone)]
pub(super) struct SourceFacts {
    /// Key of the provenance.
    pub(super) key: &'static str,
    pub(super) provenance: Value,
    pub(super) lineage: Vec<LearnedLog>,
    pub(super) window_us: Option<(i64, i64)>,
    pub(super) rows: u64,
    pub(super) clicks: u64,
    pub(super) importance_column: Option<String>,
}

/// Writes a state with a bias and weights of one field or cross: category, weight, impressions and clicks. Returns the
/// size of the state in bytes.
pub(super) fn write_rates(
    names: &FeatureNames,
    options: &ImportOptions,
    facts: SourceFacts,
    bias: f64,
    field: &str,
    weights: &[(&str, f64, u64, u64)],
) -> Result<u64, ImportError> {
    let failed = |source| StateError::io("write", &options.out, source);
    let (mut collected, mut faults) = (Collected::new(names, options), Faults::default());
    let row =
        |line, named, weight, impressions, clicks| Row { line, named, weight, impressions: Some(impressions), clicks };
    collected.take(&mut faults, &row(0, Named::Bias, bias, facts.rows, facts.clicks)).map_err(failed)?;
    for (line, &(category, weight, impressions, clicks)) in (1..).zip(weights) {
        let row = row(line, Named::Feature { field, category }, weight, impressions, clicks);
        collected.take(&mut faults, &row).map_err(failed)?;
    }
    let rows = |faults: Faults| ImportError::Rows {
        path: options.weights.clone(),
        unit: "category",
        shown: faults.shown,
        count: faults.count,
    };
    let report = collected.write(faults, ImportReport::new(WeightsFormat::Csv), &rows, Some(facts))?;
    Ok(report.state_len_bytes)
}

/// The weights that were read so far.
struct Collected<'a> {
    names: &'a FeatureNames,
    options: &'a ImportOptions,
    sorter: Sorter,
    /// The bias with its line, impressions and clicks.
    bias: Option<(f64, u64, u64, u64)>,
    sizes: Vec<u64>,
    /// Impressions of each field and cross.
    impressions: Vec<u64>,
    /// Clicks of each field and cross.
    clicks: Vec<u64>,
    has_impressions: bool,
    /// What unseen categories and missing values of each field add.
    defaults: Vec<[Option<f64>; 2]>,
    zero_count: u64,
    empty_count: u64,
    left_out: u64,
    largest_difference: f64,
    most_different: Option<(String, String)>,
    /// The category of the row that was read last.
    text: String,
}

/// How `z` and `d` follow from a weight.
struct Evidence {
    settings: Settings,
    click_rate: f64,
    impressions: Option<u64>,
}

impl<'a> Collected<'a> {
    fn new(names: &'a FeatureNames, options: &'a ImportOptions) -> Self {
        let contract = names.contract();
        let group_count = contract.fields().len() + contract.crosses().len();
        Self {
            names,
            options,
            sorter: Sorter::new(&options.out),
            bias: None,
            sizes: vec![0; group_count],
            impressions: vec![0; group_count],
            clicks: vec![0; group_count],
            has_impressions: false,
            defaults: vec![[None; 2]; contract.fields().len()],
            zero_count: 0,
            empty_count: 0,
            left_out: 0,
            largest_difference: 0.0,
            most_different: None,
            text: String::new(),
        }
    }

    fn take(&mut self, faults: &mut Faults, row: &Row<'_>) -> io::Result<()> {
        let &Row { line, weight, clicks, .. } = row;
        self.has_impressions |= row.impressions.is_some();
        let impressions = row.impressions.unwrap_or(0);
        if weight.abs() > f64::from(MAX_WEIGHT) {
            let max = MAX_WEIGHT;
            faults.add(
                line,
                format!("expected a weight from -{max} to {max}, as no logit can use more, found {weight:?}"),
            );
            return Ok(());
        }
        let mut text = std::mem::take(&mut self.text);
        let taken = match row.named {
            Named::Bias => {
                match self.bias {
                    Some((_, first, ..)) => faults.add(line, format!("the bias is in line {first} already")),
                    None => self.bias = Some((weight, line, impressions, clicks)),
                }
                Ok(())
            }
            Named::Feature { field: source @ (UNSEEN_FIELD | MISSING_FIELD), category: field } => {
                self.take_default(faults, line, source, field, weight, (impressions, clicks))
            }
            Named::Feature { field, category } => {
                if self.options.leave_out.iter().any(|name| name == field) {
                    self.left_out += 1;
                    Ok(())
                } else {
                    match self.names.feature(field, category, &mut text) {
                        Ok(feature) => self.take_feature(feature, &text, row),
                        Err(problem) => {
                            faults.add(line, problem);
                            Ok(())
                        }
                    }
                }
            }
            Named::Cross(members) => match self.names.feature_of_members(members, &mut text) {
                Ok(feature) => self.take_feature(feature, &text, row),
                Err(problem) => {
                    faults.add(line, problem);
                    Ok(())
                }
            },
        };
        self.text = text;
        taken
    }

    fn take_feature(&mut self, feature: crate::learn::category::Feature, text: &str, row: &Row<'_>) -> io::Result<()> {
        let crate::learn::category::Feature { group, key } = feature;
        let &Row { line, weight, clicks, .. } = row;
        let impressions = row.impressions.unwrap_or(0);
        let place = usize::from(group);
        self.sizes[place] += 1;
        self.impressions[place] = self.impressions[place].saturating_add(impressions);
        self.clicks[place] = self.clicks[place].saturating_add(clicks);
        self.zero_count += u64::from(weight == 0.0);
        self.empty_count += u64::from(text.is_empty());
        self.note_difference(weight, place, text);
        self.sorter.push(Record { key, weight, impressions, clicks, line, group }, text)
    }

    fn note_difference(&mut self, weight: f64, group: usize, text: &str) {
        let difference = (f64::from(served(weight)) - weight).abs();
        if difference > self.largest_difference {
            self.largest_difference = difference;
            self.most_different = Some((group_name(self.names.contract(), group), text.to_owned()));
        }
    }

    fn take_default(
        &mut self,
        faults: &mut Faults,
        line: u64,
        source: &str,
        name: &str,
        weight: f64,
        (impressions, clicks): (u64, u64),
    ) -> io::Result<()> {
        let contract = self.names.contract();
        let Some(index) = contract.fields().iter().position(|field| field.name == name) else {
            let found = quoted(name);
            faults.add(line, format!("expected the name of a field after `{source}`, found `{found}`"));
            return Ok(());
        };
        if contract.fields()[index].unseen == UnseenWeight::Zero {
            let problem = "the contract says unseen = \"zero\", so that unseen and missing values add 0";
            faults.add(line, format!("`{source}` of `{name}`: {problem}"));
            return Ok(());
        }
        let group = if source == UNSEEN_FIELD { UNSEEN_GROUP } else { MISSING_GROUP };
        self.defaults[index][usize::from(group == MISSING_GROUP)] = Some(weight);
        self.note_difference(weight, index, source);
        let key = default_key(source, name);
        self.sorter.push(Record { key, weight, impressions, clicks, line, group }, name)
    }

    fn write(
        self,
        mut faults: Faults,
        mut report: ImportReport,
        rows: &dyn Fn(Faults) -> ImportError,
        facts: Option<SourceFacts>,
    ) -> Result<ImportReport, ImportError> {
        let path = || self.options.weights.clone();
        let (bias, bias_impressions, bias_clicks) = match (self.bias, self.options.bias) {
            (Some((bias, _, impressions, clicks)), None) => (bias, impressions, clicks),
            (None, Some(bias)) => (bias, 0, 0),
            (Some((_, line, ..)), Some(_)) => {
                let problem =
                    format!("the bias is in {} {line}: expected it there or by --bias, not both", report.format.unit());
                return Err(ImportError::Bias { path: path(), problem });
            }
            // Other faults say more.
            (None, None) if faults.count > 0 => (0.0, 0, 0),
            (None, None) => {
                let problem = "the bias is missing: expected a row of the field `(bias)`; pass --bias X if it is known \
                               otherwise, 0 if there is none";
                return Err(ImportError::Bias { path: path(), problem: problem.to_owned() });
            }
        };
        report.has_evidence = self.has_impressions || self.options.impressions.is_some();
        let contract = self.names.contract();
        let click_rate = self.options.click_rate.unwrap_or_else(|| sigmoid(bias));
        let evidence = report.has_evidence.then_some(Evidence {
            settings: self.options.settings,
            click_rate,
            impressions: self.options.impressions.filter(|_| !self.has_impressions),
        });
        // Each row has at most one category of a field that is not `many`.
        let of_fields = contract.fields().iter().zip(&self.impressions).filter(|(field, _)| !field.many);
        let most = of_fields.map(|(_, impressions)| *impressions).max().unwrap_or(0);
        let counted = if bias_impressions > 0 { bias_impressions } else { most };
        let row_count = evidence.as_ref().map_or(0, |evidence| evidence.impressions.unwrap_or(counted));
        let most_clicks = self.clicks.iter().copied().max().unwrap_or(0);
        let clicks = if bias_clicks > 0 { bias_clicks } else { most_clicks }.min(row_count);

        report.bias = bias;
        report.weight_count = self.sizes.iter().sum();
        report.zero_count = self.zero_count;
        report.left_out = self.left_out;
        report.largest_difference = self.largest_difference;
        report.most_different = self.most_different.clone();
        report.field_sizes =
            self.sizes.iter().enumerate().map(|(group, &size)| (group_name(contract, group), size)).collect();
        report.default_count = self.defaults.iter().flatten().flatten().count() as u64;
        report.warnings.extend(self.warnings(&report));

        let metadata = self.metadata(&report, row_count, clicks, facts);
        let Self { sorter, defaults, names, options, .. } = self;
        let rule = metadata.weight_rule;
        let mut writer = StateWriter::create(&options.out, &metadata, options.replace)?;
        let (z, d) = coordinates(evidence.as_ref(), Kind::Bias, bias, row_count);
        let weight = rule.bias_weight(z, d);
        let bias_row = StateRow {
            field: BIAS_FIELD,
            category: "",
            key: BIAS_KEY,
            z,
            d,
            impressions: row_count,
            clicks,
            last_seen_us: None,
            weight,
        };
        writer.push(&bias_row)?;
        let group_names: Vec<String> = (0..names.contract().fields().len() + names.contract().crosses().len())
            .map(|group| group_name(names.contract(), group))
            .collect();
        let mut before: Option<Record> = None;
        let visited = sorter.visit(&mut |record, text| {
            if let Some(first) = before.replace(*record).filter(|first| first.key == record.key) {
                let name = name_of(record.group, &group_names);
                // Two categories of one key would be as hard to tell apart for a server.
                faults.add(record.line, format!("`{name}` = `{}` is in line {} already", quoted(text), first.line));
            }
            if faults.count > 0 {
                return Ok(());
            }
            let impressions =
                evidence.as_ref().map_or(0, |evidence| evidence.impressions.unwrap_or(record.impressions));
            let (kind, field) = match record.group {
                UNSEEN_GROUP => (Kind::Default, UNSEEN_FIELD),
                MISSING_GROUP => (Kind::Default, MISSING_FIELD),
                group => {
                    let unseen = defaults.get(usize::from(group)).and_then(|[unseen, _]| *unseen);
                    let kind = if unseen.unwrap_or(0.0) == 0.0 { Kind::Feature } else { Kind::FeatureBesideUnseen };
                    (kind, group_names[usize::from(group)].as_str())
                }
            };
            let (z, d) = coordinates(evidence.as_ref(), kind, record.weight, impressions);
            let mut row = StateRow {
                field,
                category: text,
                key: record.key,
                z,
                d,
                impressions,
                clicks: record.clicks.min(impressions),
                last_seen_us: None,
                weight: 0.0,
            };
            row.weight = row.weight_by(&rule);
            writer.push(&row).map_err(Stopped::State)
        });
        match visited {
            Ok(()) => {}
            Err(Stopped::State(error)) => return Err(error.into()),
            Err(Stopped::Sorting(source)) => return Err(StateError::io("write", &options.out, source).into()),
        }
        if faults.count > 0 {
            faults.shown.sort_by_key(|(line, _)| *line);
            return Err(rows(faults));
        }
        let finished = writer.finish_with(&metadata.provenance)?;
        let mut provenance = whole_provenance(&metadata);
        provenance.insert("arguments".to_owned(), json!(options.arguments));
        write_provenance(&options.out, &finished, Value::Object(provenance))?;
        report.state_len_bytes = finished.len_bytes;
        Ok(report)
    }

    fn warnings(&self, report: &ImportReport) -> Vec<String> {
        let mut warnings = Vec::new();
        let without: Vec<&str> =
            report.field_sizes.iter().filter(|(_, size)| *size == 0).map(|(name, _)| name.as_str()).collect();
        if !without.is_empty() && report.weight_count > 0 {
            warnings.push(format!("no weight of {}: they add nothing to any logit", without.join(", ")));
        }
        if report.weight_count == 0 {
            warnings.push("there is no weight besides the bias: every answer will be the same".to_owned());
        }
        if self.empty_count > 0 {
            warnings.push(format!(
                "{} categories are empty texts, which a server must send as such; what a field without a value adds \
                 is the row of `{MISSING_FIELD}` with the name of the field",
                self.empty_count
            ));
        }
        if self.has_impressions && self.options.impressions.is_some() {
            warnings.push("the impressions are those of the table, not the given ones".to_owned());
        }
        warnings
    }

    fn metadata(&self, report: &ImportReport, rows: u64, clicks: u64, facts: Option<SourceFacts>) -> Metadata {
        let settings = self.options.settings;
        let weight_rule = if report.has_evidence {
            WeightRule::of(&settings)
        } else {
            // A threshold would be one of the evidence, which is not known.
            WeightRule { l1: 0.0, l2: 0.0, min_magnitude: 0.0, scale: 1.0, shift: 0.0 }
        };
        let facts = facts.unwrap_or_else(|| self.facts_of_file(report, rows, clicks));
        let mut provenance = Map::new();
        provenance.insert(facts.key.to_owned(), facts.provenance);
        Metadata {
            contract: self.names.contract().clone(),
            settings,
            weight_rule,
            pruned: false,
            without_evidence: !report.has_evidence,
            negative_rate: 1.0,
            importance_column: facts.importance_column,
            log_dialect: None,
            shards: 1,
            window_us: facts.window_us,
            rows: facts.rows,
            effective_rows: facts.rows,
            clicks: facts.clicks,
            passes: 1,
            start: None,
            lineage: facts.lineage,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            provenance,
        }
    }

    fn facts_of_file(&self, report: &ImportReport, rows: u64, clicks: u64) -> SourceFacts {
        let digest = match self.options.weights.to_str() {
            Some("-") => None,
            _ => content_digest(&self.options.weights).ok(),
        };
        let provenance = json!({
            "format": report.format.name(),
            "content": digest,
            "weights": report.weight_count,
            "zero_weights": report.zero_count,
            "left_out": report.left_out,
            "largest_difference": report.largest_difference,
            "has_evidence": report.has_evidence,
        });
        SourceFacts {
            key: "imported",
            provenance,
            lineage: Vec::new(),
            window_us: None,
            rows,
            clicks,
            importance_column: None,
        }
    }
}

/// Why the rows of a state could not be written.
enum Stopped {
    Sorting(io::Error),
    State(StateError),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Sorting(error)
    }
}

/// What a weight is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bias,
    /// The default of unseen categories or missing values.
    Default,
    Feature,
    /// A feature whose weight may not become 0, because unseen categories of its field add something else.
    FeatureBesideUnseen,
}

/// Returns the `z` and `d` of a weight.
fn coordinates(evidence: Option<&Evidence>, kind: Kind, weight: f64, impressions: u64) -> (f64, f64) {
    let weight = match kind {
        Kind::FeatureBesideUnseen if weight == 0.0 => f64::from(f32::MIN_POSITIVE),
        _ => weight,
    };
    // Then the weight is exactly what was imported.
    let Some(evidence) = evidence else { return (0.0 - weight, 1.0) };
    let settings = &evidence.settings;
    let variance = evidence.click_rate * (1.0 - evidence.click_rate);
    let d = settings.curvature(impressions as f64 * variance);
    let (l1, l2) = match kind {
        Kind::Bias => (0.0, 0.0),
        Kind::Default => (0.0, settings.l2),
        Kind::Feature | Kind::FeatureBesideUnseen => (settings.l1, settings.l2),
    };
    if weight == 0.0 {
        return (0.0, d);
    }
    let z = -weight * (d + l2) - l1.copysign(weight);
    // A tiny weight must not vanish beside the threshold.
    let z = if z.abs() <= l1 { -(l1.next_up().copysign(weight)) } else { z };
    (z, d)
}

#[expect(clippy::cast_possible_truncation, reason = "weights are served as f32")]
fn served(weight: f64) -> f32 {
    weight as f32
}

fn group_name(contract: &Contract, group: usize) -> String {
    match contract.fields().get(group) {
        Some(field) => field.name.clone(),
        None => contract.cross_name(&contract.crosses()[group - contract.fields().len()]),
    }
}

fn name_of(group: u16, names: &[String]) -> &str {
    match group {
        UNSEEN_GROUP => UNSEEN_FIELD,
        MISSING_GROUP => MISSING_FIELD,
        group => &names[usize::from(group)],
    }
}

#[cfg(test)]
mod tests;
