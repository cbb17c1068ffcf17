//! Turns the records of a ring into bytes of a block, on the writer's thread.

use std::sync::Arc;

use super::format::{
    DETAIL, EVENT, MAX_PAYLOAD_LEN_BYTES, PREDICTION, Put, ROW_CHANGED, ROW_HERE, ROW_UNKNOWN, ROW_UNREADABLE, SHADOW,
    form,
};
use super::ids::PredictionId;
use super::models::{AnsweredBy, Answering, Explainer, FieldPlan, NamedModels, RowPlan, ValueKind};
use super::raw::{Facts, RawRecord, RawRows, Texts, bytes_of, money_bytes};
use super::served::{DropReason, Money};
use crate::contract::{LogPolicy, Side};
use crate::feature::{feature_key, id_value, text_value};
use crate::math::sigmoid;
use crate::request::{CandidateStatus, MAX_VALUES_PER_FIELD};
use crate::score::{CandidateSet, Contribution, Explanation, ModelIdentity, ROW_HEAD_WORDS, RowCopier, WeightSource};

/// Encodes the records of one ring.
#[derive(Debug)]
pub(super) struct Encoder {
    answering: Answering,
    copier: Option<Arc<RowCopier>>,
    set: Option<Arc<CandidateSet>>,
    /// The plans of models that answered lately.
    plans: Vec<RowPlan>,
    explainers: Vec<Explainer>,
    /// Room for a copy of rows, or of a block.
    words: Vec<u64>,
}

/// Number of plans that are kept: more than a scorer has models.
const MAX_PLANS: usize = 32;
/// Number of explainers that are kept: records of an experiment alternate between its arms.
const MAX_EXPLAINERS: usize = 4;

/// A value that cannot be logged, because it is not what a request may hold.
#[derive(Debug)]
struct Unreadable;

impl Encoder {
    pub(super) fn new(answering: Answering, copier: Option<Arc<RowCopier>>, set: Option<Arc<CandidateSet>>) -> Self {
        Self { answering, copier, set, plans: Vec::new(), explainers: Vec::new(), words: Vec::new() }
    }

    /// Appends the bytes of a record. If it must be dropped, returns why; `to` may then have got some bytes.
    pub(super) fn encode(
        &mut self,
        record: &RawRecord<'_>,
        models: &mut NamedModels,
        to: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let start = to.len();
        match record {
            RawRecord::Prediction { facts, texts, rows } => self.prediction(facts, texts, *rows, models, to),
            RawRecord::Detail { sequence, at_unix_ms, model, arm, request_id, copy } => {
                let head = Head { sequence: *sequence, at_unix_ms: *at_unix_ms, model: *model };
                self.detail(head, *arm, request_id, copy, models, to)?;
            }
            RawRecord::Event { sequence, at_unix_ms, id, kind, money } => {
                let head = Head { sequence: *sequence, at_unix_ms: *at_unix_ms, model: 0 };
                event(head, id, *kind, *money, to);
            }
        }
        let len = to.len() - start;
        if len > MAX_PAYLOAD_LEN_BYTES / 2 {
            return Err(DropReason::TooLarge);
        }
        let len = u32::try_from(len).unwrap_or(0);
        to[start..start + size_of::<u32>()].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    /// Drops what keeps a model in memory that no longer answers.
    pub(super) fn let_go(&mut self) {
        self.explainers.retain(|explainer| !explainer.is_outdated(&self.answering));
    }

    /// Plans the rows for the model that answered, and returns the index of the plan.
    fn plan_for(&mut self, by: AnsweredBy) -> Option<usize> {
        let is_planned = |plan: &RowPlan| self.answering.is_of(by, &plan.identity);
        if let Some(index) = self.plans.iter().rposition(is_planned) {
            return Some(index);
        }
        let identity = self.answering.identity(by)?;
        if let Some(index) = self.plans.iter().rposition(|plan| Arc::ptr_eq(&plan.identity, &identity)) {
            return Some(index);
        }
        let schema = self.copier.as_ref()?.layout().schema();
        if self.plans.len() == MAX_PLANS {
            self.plans.remove(0);
        }
        self.plans.push(RowPlan::new(identity, schema));
        Some(self.plans.len() - 1)
    }

    /// Finds a scorer that can explain the answers of `by`.
    fn explainer_for(&mut self, by: AnsweredBy) -> Option<&Explainer> {
        let place = self.explainers.iter().position(|explainer| explainer.is_for(&self.answering, by));
        if let Some(place) = place {
            return self.explainers.get(place);
        }
        self.let_go();
        let layout = self.copier.as_ref()?.layout();
        let explainer = Explainer::new(&self.answering, by, layout, self.set.as_ref())?;
        if self.explainers.len() == MAX_EXPLAINERS {
            self.explainers.remove(0);
        }
        self.explainers.push(explainer);
        self.explainers.last().filter(|explainer| explainer.is_for(&self.answering, by))
    }

    fn prediction(
        &mut self,
        facts: &Facts,
        texts: &Texts<'_>,
        rows: RawRows<'_>,
        models: &mut NamedModels,
        to: &mut Vec<u8>,
    ) {
        let plan = self.plan_for(facts.answered_by());
        let prepared = rows.name.map(|name| self.prepared_rows(facts, rows.copy, name));
        let plan = plan.and_then(|plan| self.plans.get(plan));
        let identity = plan.map(|plan| &plan.identity);
        let head = Head { sequence: facts.sequence, at_unix_ms: facts.at_unix_ms, model: facts.model };
        head.put(if facts.is_shadow { SHADOW } else { PREDICTION }, models.index(identity), to);
        to.put_bytes(PredictionId::of_checked(texts[0], texts[1], facts.candidate).as_bytes());
        to.put(facts.logit);
        to.put(facts.probability);
        for number in [facts.candidate, facts.candidate_count, facts.position, facts.unseen_count, facts.missing_count]
        {
            to.put(number);
        }
        to.put(facts.latency_ns);
        to.put(facts.propensity);
        put_money(facts.money, to);
        to.put(facts.source as u8);
        to.put(u8::from(identity.is_some_and(|identity| is_clamped(facts, identity))));
        to.put(u8::try_from(facts.status).unwrap_or(u8::MAX));
        let state_at = to.len();
        to.put(ROW_UNKNOWN);
        to.put(facts.bucket);
        texts.iter().for_each(|text| to.put(u8::try_from(text.len()).unwrap_or(u8::MAX)));
        texts.iter().for_each(|text| to.put_bytes(text));
        let Some(plan) = plan else { return };
        let (copy, candidate_at) = match prepared {
            Some(None) => {
                to[state_at] = ROW_CHANGED;
                return;
            }
            Some(Some(at)) => (&*self.words, Some(at)),
            None => (rows.copy, rows.candidate_at),
        };
        let row_at = to.len();
        to[state_at] = match candidate_at.map(|at| put_row(plan, copy, at, to)) {
            Some(Ok(())) => ROW_HERE,
            Some(Err(Unreadable)) | None => {
                to.truncate(row_at);
                ROW_UNREADABLE
            }
        };
    }

    /// Adds the row of a prepared candidate to a copy of the context, in `words`. The set may have changed since: the
    /// row is only taken if the answer follows from it.
    fn prepared_rows(&mut self, facts: &Facts, context: &[u64], name: u32) -> Option<usize> {
        let (copier, set) = (Arc::clone(self.copier.as_ref()?), Arc::clone(self.set.as_ref()?));
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        words.extend_from_slice(context);
        let at = copier.append_prepared(&set, name, &mut words);
        let is_confirmed = match (at, facts.logit.is_nan()) {
            (Some(at), false) => {
                let (_, model) = self.answering.layout_and_model(copier.layout(), usize::from(facts.model));
                let explainer = facts.generation.and_then(|_| self.explainer_for(facts.answered_by()));
                let answer = explainer.and_then(|explainer| explainer.scorer.answer_of_copy(model, &mut words, at));
                answer.is_some_and(|(logit, probability)| {
                    logit.to_bits() == facts.logit.to_bits() && probability.to_bits() == facts.probability.to_bits()
                })
            }
            // Without an answer, there is nothing to confirm.
            (at, _) => at.is_some(),
        };
        self.words = words;
        at.filter(|_| is_confirmed)
    }

    fn detail(
        &mut self,
        head: Head,
        arm: Option<u16>,
        request_id: &[u8],
        copy: &[u64],
        models: &mut NamedModels,
        to: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let model = usize::from(head.model);
        let copier = Arc::clone(self.copier.as_ref().ok_or(DropReason::Defect)?);
        let mut block = std::mem::take(&mut self.words);
        let restored = copier.restore(model, copy, &mut block);
        let explained = match restored {
            Some(count) => self.put_detail((head, arm), request_id, (&copier, &mut block, count), models, to),
            None => Err(DropReason::Defect),
        };
        self.words = block;
        explained
    }

    fn put_detail(
        &mut self,
        (head, arm): (Head, Option<u16>),
        request_id: &[u8],
        (copier, block, count): (&RowCopier, &mut [u64], usize),
        models: &mut NamedModels,
        to: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let model = usize::from(head.model);
        let answers = answers_of(copier, model, block, count).ok_or(DropReason::Defect)?;
        let (generation, is_fallback) = answers.first().map_or((0, false), |it| (it.generation, it.is_fallback));
        let by = AnsweredBy { model, arm, generation: Some(generation), is_fallback };
        let plan = self.plan_for(by).ok_or(DropReason::ModelGone)?;
        self.explainer_for(by).ok_or(DropReason::ModelGone)?;
        let explainer = self.explainers.iter().find(|explainer| explainer.is_for(&self.answering, by));
        let (Some(plan), Some(explainer)) = (self.plans.get(plan), explainer) else {
            return Err(DropReason::ModelGone);
        };
        let (_, model) = self.answering.layout_and_model(copier.layout(), model);
        head.put(DETAIL, models.index(Some(&plan.identity)), to);
        to.put(u32::try_from(count).unwrap_or(u32::MAX));
        let context_count_at = to.len();
        to.put(0_u32);
        let bias_at = to.len();
        to.put(0.0_f64);
        to.put(u32::try_from(request_id.len()).unwrap_or(0));
        to.put_bytes(request_id);
        // The features of the context are those of any candidate.
        let mut has_context = false;
        let mut candidates = Vec::new();
        for (candidate, answer) in answers.iter().enumerate() {
            let is_scored = answer.status == CandidateStatus::Scored.number();
            let explanation =
                if is_scored { explainer.scorer.explain_copy(model, block, candidate).ok() } else { None };
            candidates.put(answer.logit);
            candidates.put(answer.probability);
            candidates.put(answer.status);
            let count_at = candidates.len();
            candidates.put(0_u32);
            let Some(explanation) = explanation else { continue };
            let is_its_own = explanation.logit.to_bits() == answer.logit.to_bits();
            if !is_its_own {
                // A prepared candidate that was changed meanwhile: its features are not those of the answer.
                continue;
            }
            let own_count = put_features(plan, &explanation, false, &mut candidates);
            set_u32(&mut candidates, count_at, own_count);
            if !has_context {
                has_context = true;
                to[bias_at..bias_at + size_of::<f64>()].copy_from_slice(&explanation.bias.to_le_bytes());
                let context_count = put_features(plan, &explanation, true, to);
                set_u32(to, context_count_at, context_count);
            }
        }
        to.put_bytes(&candidates);
        Ok(())
    }
}

/// What every record begins with.
#[derive(Debug, Clone, Copy)]
struct Head {
    sequence: u64,
    at_unix_ms: i64,
    model: u8,
}

impl Head {
    /// Appends it with a length that is filled in when the record is whole.
    fn put(self, kind: u8, model_index: u16, to: &mut Vec<u8>) {
        to.put(0_u32);
        to.put(kind);
        to.put(self.model);
        to.put(model_index);
        to.put(self.sequence);
        to.put(self.at_unix_ms);
    }
}

fn event(head: Head, id: &PredictionId, kind: u8, money: Option<Money>, to: &mut Vec<u8>) {
    head.put(EVENT, super::format::NO_MODEL, to);
    to.put_bytes(id.as_bytes());
    put_money(money, to);
    to.put(kind);
    to.put_bytes(&[0; 3]);
}

fn put_money(money: Option<Money>, to: &mut Vec<u8>) {
    let (basis, currency) = money_bytes(money);
    to.put(money.map_or(0, |money| money.micros));
    to.put(basis);
    to.put_bytes(&currency);
}

/// Whether the calibrator has limited what the model said.
fn is_clamped(facts: &Facts, identity: &ModelIdentity) -> bool {
    let sigmoid = sigmoid(facts.logit);
    !facts.logit.is_nan() && (sigmoid < identity.calibrator.min || sigmoid > identity.calibrator.max)
}

fn set_u32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + size_of::<u32>()].copy_from_slice(&number.to_le_bytes());
}

/// Reads the answers of a restored block.
fn answers_of(
    copier: &RowCopier,
    model: usize,
    block: &mut [u64],
    count: usize,
) -> Option<Vec<crate::score::CopiedAnswer>> {
    // SAFETY: the words are borrowed mutably, and `restore` made them as long as the layout says.
    let request = unsafe { copier.request(block.as_mut_ptr().cast()) }.ok()?;
    (0..count).map(|candidate| request.answer(model, candidate)).collect()
}

/// Appends the features of the context, or those of the candidate and its crosses, and returns their number.
fn put_features(plan: &RowPlan, explanation: &Explanation, of_context: bool, to: &mut Vec<u8>) -> u32 {
    let mut count = 0;
    let mut group = 0;
    for Contribution { field, key, weight, source } in &explanation.contributions {
        let Some(found) = plan.group_of(field, group) else { continue };
        group = found;
        if plan.is_of_context[group] != of_context || !plan.may_be_logged[group] {
            continue;
        }
        to.put(u16::try_from(group).unwrap_or(u16::MAX));
        to.put(*key);
        to.put(*weight);
        to.put(match source {
            WeightSource::Unseen => 0_u8,
            WeightSource::Found => 1,
            WeightSource::Missing => 2,
        });
        count += 1;
    }
    count
}

/// Appends the row that the copy has for the fields of a contract.
fn put_row(plan: &RowPlan, copy: &[u64], candidate_at: usize, to: &mut Vec<u8>) -> Result<(), Unreadable> {
    let bits_at = to.len();
    to.resize(bits_at + plan.fields.len().div_ceil(8), 0);
    for (index, field) in plan.fields.iter().enumerate() {
        let Some(slot) = field.slot.filter(|_| field.policy != LogPolicy::Never) else { continue };
        let row = copy.get(if field.side == Side::Context { 0 } else { candidate_at }..).ok_or(Unreadable)?;
        let [present, inline_text] = [0, 1].map(|at| row.get(at).map_or(0, |word| u64::from_le(*word)));
        if present >> slot & 1 == 0 {
            continue;
        }
        let word = u64::from_le(*row.get(ROW_HEAD_WORDS + slot).ok_or(Unreadable)?);
        let value = Value { copy, word, by_bytes: inline_text >> slot & 1 == 1 };
        if put_value(field, value, to)? {
            to[bits_at + index / 8] |= 1 << (index % 8);
        }
    }
    Ok(())
}

/// The value of a field in a copy.
#[derive(Clone, Copy)]
struct Value<'a> {
    copy: &'a [u64],
    word: u64,
    /// Whether texts are bytes, and not hashes.
    by_bytes: bool,
}

impl<'a> Value<'a> {
    fn text(&self, reference: u64) -> Result<&'a [u8], Unreadable> {
        let (start, len) = unpack(reference);
        let bytes = bytes_of(self.copy).get(start..).and_then(|rest| rest.get(..len)).ok_or(Unreadable)?;
        str::from_utf8(bytes).map_err(|_| Unreadable)?;
        Ok(bytes)
    }

    fn list(&self) -> Result<impl ExactSizeIterator<Item = u64> + Clone + 'a, Unreadable> {
        let (start, count) = unpack(self.word);
        let first = start / size_of::<u64>();
        let list = self.copy.get(first..).and_then(|rest| rest.get(..count)).ok_or(Unreadable)?;
        if count > MAX_VALUES_PER_FIELD || !start.is_multiple_of(size_of::<u64>()) {
            return Err(Unreadable);
        }
        Ok(list.iter().map(|word| u64::from_le(*word)))
    }
}

/// Appends the value of a field, and returns whether there is one.
fn put_value(field: &FieldPlan, value: Value<'_>, to: &mut Vec<u8>) -> Result<bool, Unreadable> {
    let is_hashed = field.policy == LogPolicy::Hashed;
    let key = |value| feature_key(field.seed, value);
    if field.many {
        let list = value.list()?;
        let count = u16::try_from(list.len()).map_err(|_| Unreadable)?;
        let by_bytes = matches!(field.kind, ValueKind::Text) && value.by_bytes;
        let form = match (&field.kind, by_bytes) {
            _ if is_hashed => form::KEYS,
            (ValueKind::Text, true) => form::TEXTS,
            (ValueKind::Text, false) => form::TEXT_VALUES,
            _ => form::IDS,
        };
        to.put(form);
        to.put(count);
        for word in list {
            match (is_hashed, by_bytes) {
                (true, true) => to.put(key(text_value(value.text(word)?))),
                (true, false) => to.put(key(word)),
                (false, true) => {
                    let text = value.text(word)?;
                    to.put(u32::try_from(text.len()).map_err(|_| Unreadable)?);
                    to.put_bytes(text);
                }
                (false, false) => to.put(word),
            }
        }
        return Ok(true);
    }
    let word = value.word;
    let mut put_key = |value: u64| {
        to.put(form::KEY);
        to.put(key(value));
    };
    match &field.kind {
        ValueKind::Id if is_hashed => put_key(id_value(word.cast_signed())),
        ValueKind::Id => match u32::try_from(word) {
            Ok(short) => {
                to.put(form::ID_32);
                to.put(short);
            }
            Err(_) => {
                to.put(form::ID);
                to.put(word.cast_signed());
            }
        },
        ValueKind::Number(range, buckets) if is_hashed => match buckets.index(*range, f64::from_bits(word)) {
            Some(bucket) => put_key(bucket),
            None => return Ok(false),
        },
        ValueKind::Number(..) => {
            to.put(form::NUMBER);
            to.put(word);
        }
        ValueKind::Text if value.by_bytes => {
            let text = value.text(word)?;
            if is_hashed {
                put_key(text_value(text));
            } else if let Ok(len) = u8::try_from(text.len()) {
                to.put(form::SHORT_TEXT);
                to.put(len);
                to.put_bytes(text);
            } else {
                to.put(form::TEXT);
                to.put(u32::try_from(text.len()).map_err(|_| Unreadable)?);
                to.put_bytes(text);
            }
        }
        ValueKind::Text if is_hashed => put_key(word),
        ValueKind::Text => {
            to.put(form::TEXT_VALUE);
            to.put(word);
        }
    }
    Ok(true)
}

#[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
const fn unpack(reference: u64) -> (usize, usize) {
    (reference as u32 as usize, (reference >> 32) as usize)
}
