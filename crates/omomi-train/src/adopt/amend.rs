//! Changes single weights of a weight file: the emergency repair of what is served, in seconds and without the state.
//!
//! The golden requests are computed again, and the provenance says who changed what and why. The file gets a
//! [blessing](crate::operate::publish) of its own kind: publishing accepts it only if the store serves the file that
//! was amended.
//!
//! A weight file knows the keys of its weights only in part. So a named weight is stored in an exact list that readers
//! look at first, of at most 128 keys; it may be that of a category that the file does not have. A whole field can be
//! found in three ways: with the encoding i8 by its scale, a number field by its buckets, and any other one by the
//! state that the file was packed from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use omomi::contract::{Contract, FieldKind};
use omomi::error::{Error, Owner};
use omomi::feature::feature_key;
use omomi::printable::quoted;
use omomi::request::RequestRows;
use omomi::score::Model;
use omomi::store::Digest;
use omomi::weight_file::DefaultWeights;
use omomi::weight_file::layout::MAX_WEIGHT;
use omomi::weight_file::map::LoadMode;
use omomi::weight_file::table::Encoding;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::bucket::load_model;
use crate::learn::category::FeatureNames;
use crate::learn::state::{StateError, StateReader};
use crate::operate::publish::{Amends, Blessing, Replaces, blessing_path};
use crate::pack::amend::{Amendment, MAX_EXCEPTIONS, amended, exception_count, is_exception};
use crate::pack::signing::PrivateKey;
use crate::pack::writer::{PendingFile, WriteError};

/// Most changed weights for which a golden request is added.
const MAX_GOLDEN: usize = 16;
/// Largest weight that is stored with the encoding i8, before its scale.
const MAX_STORED_I8: f32 = 127.0;

/// A weight to change.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWeight {
    /// Name of the field, or of the cross with `*` between its members.
    pub field: String,
    /// The category, as in a training state.
    pub category: String,
    /// The weight, on the logit scale.
    pub weight: f64,
}

impl NewWeight {
    /// Parses `field=category:weight`.
    ///
    /// # Errors
    ///
    /// Returns what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected FIELD=CATEGORY:WEIGHT, such as creative_id=4001:0, found `{}`", quoted(text));
        let (name, weight) = text.rsplit_once(':').ok_or_else(expected)?;
        let (field, category) = name.split_once('=').ok_or_else(expected)?;
        let weight = weight.trim().parse::<f64>().map_err(|_| expected())?;
        Ok(Self { field: field.to_owned(), category: category.to_owned(), weight })
    }
}

/// What to change, and why.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AmendOptions {
    /// The weight file.
    pub file: PathBuf,
    /// Weights to change.
    pub weights: Vec<NewWeight>,
    /// The new bias.
    pub bias: Option<f64>,
    /// Fields and crosses that shall add nothing: all their weights become 0, and what a field adds for unseen
    /// categories and missing values.
    pub zero_fields: Vec<String>,
    /// The state that the file was packed from, which names the categories of these fields.
    pub state: Option<PathBuf>,
    /// Generation of the new file.
    pub generation: u64,
    /// Path of the new file.
    pub out: PathBuf,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Key with which the new file is signed.
    pub key: Option<PathBuf>,
}

impl AmendOptions {
    /// Returns options that change nothing yet: `by` writes generation `generation` of `file` to `out`, because of
    /// `reason`.
    #[must_use]
    pub fn new(
        file: impl Into<PathBuf>,
        generation: u64,
        out: impl Into<PathBuf>,
        by: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            file: file.into(),
            weights: Vec::new(),
            bias: None,
            zero_fields: Vec::new(),
            state: None,
            generation,
            out: out.into(),
            reason: reason.into(),
            by: by.into(),
            key: None,
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// A changed weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangedWeight {
    /// Name of the field or cross.
    pub field: String,
    /// The category.
    pub category: String,
    /// What it added before.
    pub old: f64,
    /// Whether the file had a weight for it. Otherwise what it added was that of unseen categories.
    pub was_found: bool,
    /// What it adds now.
    pub new: f64,
}

/// What was changed.
#[derive(Debug)]
pub struct AmendReport {
    /// The verified model over the new file.
    pub model: Arc<Model>,
    /// Digest of the file that was amended.
    pub amended_digest: Digest,
    /// Generation of the file that was amended.
    pub generation_before: u64,
    /// The changed weights, in the order in which they were named.
    pub weights: Vec<ChangedWeight>,
    /// The bias before and now, if it was changed.
    pub bias: Option<[f64; 2]>,
    /// Fields and crosses that add nothing now, and how many weights they had; `None` if that is not known.
    pub zeroed: Vec<(String, Option<u64>)>,
    /// Path of the blessing.
    pub blessing: PathBuf,
}

/// Why a file could not be amended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AmendError {
    /// The file cannot be read.
    #[error("{}", path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// The error of the weight file.
        source: Error,
    },
    /// The change is not possible.
    #[error("{0}")]
    Change(String),
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The new file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The key cannot be read.
    #[error(transparent)]
    Key(Error),
    /// The blessing cannot be written.
    #[error("cannot write the blessing {}", path.display())]
    Blessing {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

impl AmendError {
    /// Returns who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::WeightFile { source, .. } | Self::Key(source) | Self::Write(WriteError::File(source)) => {
                source.owner()
            }
            Self::State(error) => error.owner(),
            Self::Blessing { .. } => Owner::Infra,
            Self::Change(_) | Self::Write(_) => Owner::Ml,
        }
    }
}

/// What is known of an amendment, in the blessing of the new file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Judgment {
    generation: u64,
    logic_id: String,
    contract_fingerprint: String,
    #[serde(flatten)]
    replaces: Replaces,
}

/// Writes a new weight file with the changes, and its blessing.
///
/// # Errors
///
/// Returns [`AmendError`]; no file is created then, except a weight file without a blessing if that cannot be written.
pub fn amend(options: &AmendOptions) -> Result<AmendReport, AmendError> {
    let change = |problem: String| AmendError::Change(problem);
    for (name, text) in [("reason", &options.reason), ("name of who changes it", &options.by)] {
        if text.trim().is_empty() {
            return Err(change(format!("expected a {name}, found an empty text")));
        }
    }
    if options.weights.is_empty() && options.bias.is_none() && options.zero_fields.is_empty() {
        return Err(change("expected something to change: a weight, the bias, or a field; found nothing".to_owned()));
    }
    let pending = PendingFile::create(&options.out)?;
    let key = options.key.as_ref().map(PrivateKey::read).transpose().map_err(AmendError::Key)?;
    let model = load_model(&options.file, LoadMode::Map)
        .map_err(|source| AmendError::WeightFile { path: options.file.clone(), source })?;
    if options.generation <= model.generation() {
        let (found, before) = (options.generation, model.generation());
        return Err(change(format!("expected a generation above {before}, that of the file, found {found}")));
    }
    let contract = contract_of(&model, &options.file)?;
    let plan = Plan::new(&model, &contract, options)?;
    let amended_digest = Digest::of(model.file().bytes());
    let words = plan.words();
    let provenance = plan.provenance(&model, options, amended_digest, &words);
    let amendment = Amendment { generation: options.generation, provenance, ..plan.amendment };
    let bytes = amended(&model, &amendment, key.as_ref())?;
    let (generation_before, old_bias) = (model.generation(), model.bias());
    drop(model);
    let digest = Digest::of(&bytes);
    let model = pending.write(bytes)?;
    let replaces = Replaces {
        baseline_digest: Some(amended_digest.to_string()),
        amends: Some(Amends { reason: options.reason.clone(), by: options.by.clone(), changes: words }),
        ..Replaces::default()
    };
    let judgment = Judgment {
        generation: model.generation(),
        logic_id: model.logic_id().to_owned(),
        contract_fingerprint: format!("{:016x}", model.contract().fingerprint()),
        replaces,
    };
    let blessing = blessing_path(&options.out);
    Blessing::new(digest.to_string(), judgment)
        .write_beside(&options.out)
        .map_err(|source| AmendError::Blessing { path: blessing.clone(), source })?;
    Ok(AmendReport {
        model,
        amended_digest,
        generation_before,
        weights: plan.weights,
        bias: options.bias.map(|bias| [old_bias, bias]),
        zeroed: plan.zeroed,
        blessing,
    })
}

/// The contract of a file, with how its logs were read: that says in which form texts are hashed.
fn contract_of(model: &Model, path: &Path) -> Result<Contract, AmendError> {
    match &model.provenance()["training"]["reading"] {
        Value::Null => Ok(model.contract().clone()),
        reading => model
            .contract()
            .with_reading_json(&reading.to_string())
            .map_err(|faults| AmendError::Change(format!("{}: how its logs were read: {faults}", path.display()))),
    }
}

/// What an amendment will do.
struct Plan {
    amendment: Amendment,
    weights: Vec<ChangedWeight>,
    bias: Option<[f64; 2]>,
    zeroed: Vec<(String, Option<u64>)>,
}

impl Plan {
    fn new(model: &Model, contract: &Contract, options: &AmendOptions) -> Result<Self, AmendError> {
        let names = FeatureNames::new(contract);
        let mut plan = Self {
            amendment: Amendment::default(),
            weights: Vec::new(),
            bias: options.bias.map(|bias| [model.bias(), bias]),
            zeroed: Vec::new(),
        };
        if let Some(bias) = options.bias {
            check_weight("bias", bias)?;
            plan.amendment.bias = Some(bias);
        }
        for field in &options.zero_fields {
            plan.zero_field(model, &names, field, options.state.as_deref())?;
        }
        for weight in &options.weights {
            plan.set_weight(model, &names, weight)?;
        }
        let found =
            exception_count(model) + plan.amendment.weights.keys().filter(|key| !is_exception(model, **key)).count();
        if found > MAX_EXCEPTIONS {
            return Err(AmendError::Change(format!(
                "expected at most {MAX_EXCEPTIONS} weights that were changed in a file, found {found}, with those that \
                 were changed before: train and pack again"
            )));
        }
        Ok(plan)
    }

    fn set_weight(&mut self, model: &Model, names: &FeatureNames, weight: &NewWeight) -> Result<(), AmendError> {
        let NewWeight { field, category, weight } = weight;
        let mut text = String::new();
        let feature = names.feature(field, category, &mut text).map_err(AmendError::Change)?;
        let (group, key) = (usize::from(feature.group), feature.key);
        let field = names.name(feature.group);
        let name = format!("`{field}` = `{}`", quoted(&text));
        check_weight(&name, *weight)?;
        if self.zeroed.iter().any(|(zeroed, _)| names.group(zeroed) == Some(feature.group)) {
            return Err(AmendError::Change(format!("{name} is of a field that is zeroed: expected one or the other")));
        }
        let table = model.table();
        let scale = table.scale(group);
        #[expect(clippy::cast_possible_truncation, reason = "weights are served as f32")]
        let stored = if scale == 1.0 { *weight as f32 } else { (*weight / f64::from(scale)) as f32 };
        if table.encoding() == Encoding::I8 && stored.abs() > MAX_STORED_I8 {
            let max = MAX_STORED_I8 * scale;
            return Err(AmendError::Change(format!(
                "{name}: expected a weight from -{max} to {max}, as the encoding i8 of this file can store for the \
                 field, found {weight:?}"
            )));
        }
        let old = table.get(key);
        let unseen = model.default_weights().get(group).map_or(0.0, |defaults| defaults.unseen);
        if self.amendment.weights.insert(key, stored).is_some() {
            return Err(AmendError::Change(format!("{name} is set twice")));
        }
        if self.amendment.golden.len() < MAX_GOLDEN {
            let request: RequestRows = names.request(&field, &text).map_err(AmendError::Change)?;
            self.amendment.golden.push(request);
        }
        if old.is_none() {
            *self.amendment.new_by_field.entry(field.clone()).or_default() += 1;
        }
        self.weights.push(ChangedWeight {
            field,
            category: text,
            old: f64::from(old.map_or(unseen, |old| old * scale)),
            was_found: old.is_some(),
            new: f64::from(stored * scale),
        });
        Ok(())
    }

    fn zero_field(
        &mut self,
        model: &Model,
        names: &FeatureNames,
        field: &str,
        state: Option<&Path>,
    ) -> Result<(), AmendError> {
        let Some(group) = names.group(field) else {
            let problem = format!("the contract has no field or cross `{}` to zero", quoted(field));
            return Err(AmendError::Change(problem));
        };
        let name = names.name(group);
        if self.zeroed.iter().any(|(other, _)| *other == name) {
            return Err(AmendError::Change(format!("`{name}` is zeroed twice")));
        }
        let index = usize::from(group);
        let contract = names.contract();
        let sizes = model.file().field_sizes().ok().flatten();
        let size = sizes.as_ref().map(|sizes| sizes[name.as_str()].as_u64().unwrap_or(0));
        if let Some(own) = contract.fields().get(index) {
            let defaults = self.amendment.default_weights.take();
            let mut defaults = defaults.unwrap_or_else(|| model.default_weights().to_vec());
            if let Some(weights) = defaults.get_mut(index) {
                *weights = DefaultWeights::default();
            }
            self.amendment.default_weights = (!defaults.is_empty()).then_some(defaults);
            if model.table().encoding() != Encoding::I8 && matches!(own.kind, FieldKind::Number { .. }) {
                let keys = names.buckets(index).map(|bits| feature_key(own.seed(), bits));
                let keys: Vec<u64> = keys.filter(|&key| model.table().get(key).is_some()).collect();
                self.zeroed.push((name, Some(keys.len() as u64)));
                self.amendment.zeros.extend(keys);
                return Ok(());
            }
        }
        if model.table().encoding() == Encoding::I8 {
            self.amendment.zero_scales.push(index);
        } else if size != Some(0) {
            let Some(state) = state else {
                let encoding = model.table().encoding().name();
                return Err(AmendError::Change(format!(
                    "a weight file with the encoding {encoding} does not know which of its weights are of `{name}`: \
                     name the state that it was packed from with --state"
                )));
            };
            let mut keys = keys_of_state(model, state, &name)?;
            keys.extend(keys_of_earlier_amendments(model, names, &name));
            let found = keys.len() as u64;
            if let Some(expected) = size.filter(|&expected| expected != found) {
                return Err(AmendError::Change(format!(
                    "expected the state that the file was packed from: the file has {expected} weights of `{name}`, \
                     and {} names {found} of them",
                    state.display()
                )));
            }
            self.amendment.zeros.extend(keys);
        }
        self.zeroed.push((name, size));
        Ok(())
    }

    /// Says each change in a few words.
    fn words(&self) -> Vec<String> {
        let bias = self.bias.map(|[old, new]| format!("bias: {old:?} to {new:?}"));
        let zeroed = self.zeroed.iter().map(|(field, _)| format!("all of {field} to 0"));
        let weights = self.weights.iter().map(|changed| {
            let ChangedWeight { field, category, old, new, was_found } = changed;
            let source = if *was_found { "" } else { " (unseen before)" };
            format!("{field}={category}: {old:?}{source} to {new:?}")
        });
        bias.into_iter().chain(zeroed).chain(weights).collect()
    }

    fn provenance(
        &self,
        model: &Model,
        options: &AmendOptions,
        amended_digest: Digest,
        words: &[String],
    ) -> Map<String, Value> {
        let mut provenance = model.provenance().as_object().cloned().unwrap_or_default();
        let own = json!({
            "tool_version": env!("CARGO_PKG_VERSION"),
            "generation": model.generation(),
            "digest": amended_digest.to_string(),
            "reason": options.reason,
            "by": options.by,
            "weights": self.weights,
            "bias": self.bias,
            "zeroed": self.zeroed.iter().map(|(field, _)| field).collect::<Vec<_>>(),
            "changes": words,
        });
        // A file may be amended again and again.
        let before = provenance.remove("amended");
        let mut all = match before {
            Some(Value::Array(all)) => all,
            _ => Vec::new(),
        };
        all.push(own);
        provenance.insert("amended".to_owned(), Value::Array(all));
        provenance
    }
}

fn check_weight(name: &str, weight: f64) -> Result<(), AmendError> {
    let max = f64::from(MAX_WEIGHT);
    if weight.abs() <= max {
        return Ok(());
    }
    Err(AmendError::Change(format!("{name}: expected a weight from -{max} to {max}, found {weight:?}")))
}

/// Returns the keys of a field or cross in a state that the file has, and whose weights are not 0 in the state: a
/// weight of 0 is not in the file.
fn keys_of_state(model: &Model, path: &Path, name: &str) -> Result<BTreeSet<u64>, AmendError> {
    let mut reader = StateReader::open(path)?;
    let (expected, found) = (model.contract().fingerprint(), reader.metadata().contract.fingerprint());
    if expected != found {
        return Err(AmendError::Change(format!(
            "{}: expected a state of the file's contract {expected:016x}, found one of {found:016x}",
            path.display()
        )));
    }
    let rule = reader.metadata().weight_rule;
    let table = model.table();
    let mut keys = BTreeSet::new();
    while let Some(batch) = reader.next_batch()? {
        for row in batch.rows().filter(|row| row.field == name) {
            #[expect(clippy::cast_possible_truncation, reason = "weights are served as f32")]
            let weight = row.weight_by(&rule) as f32;
            if weight != 0.0 && table.get(row.key).is_some() {
                keys.insert(row.key);
            }
        }
    }
    Ok(keys)
}

/// Returns the keys of a field or cross that earlier amendments of the file set, according to its provenance.
fn keys_of_earlier_amendments(model: &Model, names: &FeatureNames, name: &str) -> BTreeSet<u64> {
    let provenance = model.provenance();
    let earlier = provenance["amended"].as_array().into_iter().flatten();
    let weights = earlier.filter_map(|amendment| amendment["weights"].as_array()).flatten();
    let changed = weights.filter_map(|weight| serde_json::from_value::<ChangedWeight>(weight.clone()).ok());
    let own = changed.filter(|changed| changed.field == name);
    let keys = own.filter_map(|changed| names.feature(name, &changed.category, &mut String::new()).ok());
    keys.map(|feature| feature.key).filter(|&key| model.table().get(key).is_some()).collect()
}
