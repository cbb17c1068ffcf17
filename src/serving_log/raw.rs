//! Records in a ring: what a request thread leaves for the writer, in words. Only this process reads them.

use super::format::{DETAIL, EVENT, NOT_GIVEN, PREDICTION, SHADOW};
use super::ids::PredictionId;
use super::models::AnsweredBy;
use super::ring::{head_of, parts_of};
use super::served::{Basis, Currency, Money, Served, Source};
use crate::request::CandidateStatus;
use crate::score::{CopiedAnswer, CopiedRows, LoggedRequest, Uncopied};

const WORD: usize = size_of::<u64>();
/// Words before the texts of a prediction.
const PREDICTION_HEAD: usize = 16;
/// Words before the request id of a detail record.
const DETAIL_HEAD: usize = 4;
/// Words of an event.
const EVENT_LEN: usize = 7;
/// In place of where a row is, or of a name.
const NOT_HERE: u32 = u32::MAX;
/// In place of an arm: a process has fewer of them.
const NO_ARM: u16 = u16::MAX;

/// What is known of a prediction besides its texts and rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) sequence: u64,
    pub(super) at_unix_ms: i64,
    pub(super) model: u8,
    /// The arm of an experiment that answered, by its number in this process.
    pub(super) arm: Option<u16>,
    /// Whether it answered as a shadow.
    pub(super) is_shadow: bool,
    pub(super) source: Source,
    pub(super) candidate: u32,
    pub(super) candidate_count: u32,
    pub(super) logit: f64,
    pub(super) probability: f32,
    pub(super) status: u32,
    /// The generation that answered, if one did.
    pub(super) generation: Option<u64>,
    /// Whether that is the generation of a live model's fallback file.
    pub(super) is_fallback: bool,
    pub(super) unseen_count: u32,
    pub(super) missing_count: u32,
    pub(super) position: u32,
    pub(super) bucket: u32,
    pub(super) latency_ns: u64,
    pub(super) propensity: f64,
    pub(super) money: Option<Money>,
}

impl Facts {
    pub(super) fn new(served: &Served<'_>, sequence: u64, at_unix_ms: i64, candidate: u32, count: u32) -> Self {
        Self {
            sequence,
            at_unix_ms,
            model: u8::try_from(served.model).unwrap_or(u8::MAX),
            arm: None,
            is_shadow: false,
            source: served.source,
            candidate,
            candidate_count: count,
            logit: f64::NAN,
            probability: served.own_probability.unwrap_or(f32::NAN),
            status: 0,
            generation: None,
            is_fallback: false,
            unseen_count: 0,
            missing_count: 0,
            position: served.position.unwrap_or(NOT_GIVEN),
            bucket: served.bucket.unwrap_or(NOT_GIVEN),
            latency_ns: served.latency_ns,
            propensity: served.propensity.unwrap_or(f64::NAN),
            money: served.bid,
        }
    }

    /// Returns which of the ring's models gave the answer.
    pub(super) fn answered_by(&self) -> AnsweredBy {
        AnsweredBy {
            model: usize::from(self.model),
            arm: self.arm,
            generation: self.generation,
            is_fallback: self.is_fallback,
        }
    }

    /// Returns the facts of a shadow that scored the same candidate: what the server did with it is not about the
    /// shadow.
    pub(super) fn of_shadow(&self, result: usize) -> Self {
        Self {
            model: u8::try_from(result).unwrap_or(u8::MAX),
            is_shadow: true,
            source: Source::Model,
            latency_ns: 0,
            propensity: f64::NAN,
            money: None,
            ..*self
        }
    }

    /// Adds what the model said.
    pub(super) fn answered(&mut self, answer: &CopiedAnswer) {
        self.generation = Some(answer.generation);
        self.is_fallback = answer.is_fallback;
        self.arm = answer.armed.map(|armed| armed.arm);
        self.status = answer.status;
        self.unseen_count = answer.unseen_count;
        self.missing_count = answer.missing_count;
        // Otherwise there is neither, and the server may have a probability of its own.
        if answer.status == CandidateStatus::Scored.number() {
            self.logit = answer.logit;
            self.probability = answer.probability;
        }
    }
}

/// The texts of a prediction, in the order of the record.
pub(super) type Texts<'a> = [&'a [u8]; 4];

/// A record, read from a ring.
#[derive(Debug)]
pub(super) enum RawRecord<'a> {
    Prediction { facts: Facts, texts: Texts<'a>, rows: RawRows<'a> },
    Detail { sequence: u64, at_unix_ms: i64, model: u8, arm: Option<u16>, request_id: &'a [u8], copy: &'a [u64] },
    Event { sequence: u64, at_unix_ms: i64, id: PredictionId, kind: u8, money: Option<Money> },
}

impl RawRecord<'_> {
    pub(super) const fn sequence(&self) -> u64 {
        match self {
            Self::Prediction { facts, .. } => facts.sequence,
            Self::Detail { sequence, .. } | Self::Event { sequence, .. } => *sequence,
        }
    }
}

/// The rows of a prediction.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawRows<'a> {
    /// Empty if they could not be read.
    pub(super) copy: &'a [u64],
    pub(super) candidate_at: Option<usize>,
    pub(super) name: Option<u32>,
}

/// Writes a prediction to the front of `to`, and returns its number of words, or as an error how many are needed at
/// least.
#[inline]
pub(super) fn put_prediction(
    to: &mut [u64],
    facts: &Facts,
    texts: Texts<'_>,
    request: Option<&LoggedRequest<'_>>,
) -> Result<usize, usize> {
    let too_short = to.len() + 1;
    let (head, rest) = to.split_first_chunk_mut::<PREDICTION_HEAD>().ok_or(too_short)?;
    let text_words = texts.iter().map(|text| text.len()).sum::<usize>().div_ceil(WORD);
    let (text_room, rows_room) = rest.split_at_mut_checked(text_words).ok_or(too_short)?;
    put_texts(text_room, &texts);
    let copied = request.map_or(Err(Uncopied::Unreadable), |it| it.copy_rows(facts.candidate as usize, rows_room));
    let rows = match copied {
        Ok(rows) => rows,
        Err(Uncopied::NoRoom) => return Err(too_short),
        Err(Uncopied::Unreadable) => CopiedRows { candidate_at: None, name: None, len: 0 },
    };
    let len = PREDICTION_HEAD + text_words + rows.len;
    let (basis, currency) = money_bytes(facts.money);
    let [request_len, impression_len, experiment_len, arm_len] =
        texts.map(|text| u8::try_from(text.len()).unwrap_or(u8::MAX));
    let [arm_low, arm_high] = arm_number(facts.arm).to_le_bytes();
    let small = [facts.model, facts.source as u8, basis, currency[0], currency[1], currency[2], arm_low, arm_high];
    let has_generation = u8::from(facts.generation.is_some());
    let lens =
        [request_len, impression_len, experiment_len, arm_len, has_generation, u8::from(facts.is_fallback), 0, 0];
    let at = rows.candidate_at.and_then(|at| u32::try_from(at).ok()).unwrap_or(NOT_HERE);
    *head = [
        head_of(if facts.is_shadow { SHADOW } else { PREDICTION }, len),
        facts.sequence,
        facts.at_unix_ms.cast_unsigned(),
        facts.logit.to_bits(),
        pair(facts.probability.to_bits(), facts.status),
        pair(facts.candidate, facts.candidate_count),
        pair(facts.position, facts.bucket),
        pair(facts.unseen_count, facts.missing_count),
        facts.latency_ns,
        facts.propensity.to_bits(),
        facts.money.map_or(0, |money| money.micros.cast_unsigned()),
        u64::from_le_bytes(small),
        u64::from_le_bytes(lens),
        facts.generation.unwrap_or(0),
        pair(at, rows.name.unwrap_or(NOT_HERE)),
        text_words as u64,
    ];
    Ok(len)
}

/// Writes a detail record to the front of `to`, like [`put_prediction`].
pub(super) fn put_detail(
    to: &mut [u64],
    facts: &Facts,
    request_id: &[u8],
    request: &LoggedRequest<'_>,
) -> Result<usize, usize> {
    let text_words = request_id.len().div_ceil(WORD);
    let needed = DETAIL_HEAD + text_words + request.words_of_all(usize::from(facts.model));
    let (head, rest) = to.split_first_chunk_mut::<DETAIL_HEAD>().ok_or(needed)?;
    let (text_room, copy_room) = rest.split_at_mut_checked(text_words).ok_or(needed)?;
    put_texts(text_room, &[request_id]);
    let copied = request.copy_all(usize::from(facts.model), copy_room).map_err(|_| needed)?;
    let len = DETAIL_HEAD + text_words + copied;
    let answered_by = u32::from(facts.model) | u32::from(arm_number(facts.arm)) << 16;
    let small = pair(u32::try_from(request_id.len()).unwrap_or(0), answered_by);
    *head = [head_of(DETAIL, len), facts.sequence, facts.at_unix_ms.cast_unsigned(), small];
    Ok(len)
}

/// Writes an event to the front of `to`, like [`put_prediction`].
pub(super) fn put_event(
    to: &mut [u64],
    (sequence, at_unix_ms): (u64, i64),
    id: &PredictionId,
    kind: u8,
    money: Option<Money>,
) -> Result<usize, usize> {
    let head = to.first_chunk_mut::<EVENT_LEN>().ok_or(EVENT_LEN)?;
    let (low, high) = id.as_bytes().split_at(WORD);
    let word = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; WORD]));
    let (basis, [first, second, third]) = money_bytes(money);
    *head = [
        head_of(EVENT, EVENT_LEN),
        sequence,
        at_unix_ms.cast_unsigned(),
        word(low),
        word(high),
        money.map_or(0, |money| money.micros.cast_unsigned()),
        u64::from_le_bytes([0, kind, basis, first, second, third, 0, 0]),
    ];
    Ok(EVENT_LEN)
}

/// Reads a record. Returns nothing for words that no function here wrote.
pub(super) fn read(words: &[u64]) -> Option<RawRecord<'_>> {
    let (kind, _) = parts_of(*words.first()?);
    match kind {
        PREDICTION => prediction(words, false),
        SHADOW => prediction(words, true),
        DETAIL => {
            let (&[_, sequence, at, small], rest) = words.split_first_chunk::<DETAIL_HEAD>()?;
            let (len, answered_by) = halves(small);
            let (text, copy) = rest.split_at_checked((len as usize).div_ceil(WORD))?;
            let request_id = bytes_of(text).get(..len as usize)?;
            let [model, _, arm @ ..] = answered_by.to_le_bytes();
            let arm = arm_of(u16::from_le_bytes(arm));
            Some(RawRecord::Detail { sequence, at_unix_ms: at.cast_signed(), model, arm, request_id, copy })
        }
        EVENT => {
            let &[_, sequence, at, low, high, micros, small] = words.first_chunk::<EVENT_LEN>()?;
            let mut id = [0; PredictionId::LEN];
            id.copy_from_slice([low.to_le_bytes(), high.to_le_bytes()].as_flattened());
            let [_, kind, basis, currency @ .., _, _] = small.to_le_bytes();
            Some(RawRecord::Event {
                sequence,
                at_unix_ms: at.cast_signed(),
                id: PredictionId::from_bytes(id),
                kind,
                money: money_of(micros, basis, currency),
            })
        }
        _ => None,
    }
}

/// The word for an arm.
fn arm_number(arm: Option<u16>) -> u16 {
    arm.unwrap_or(NO_ARM)
}

/// The arm of that word.
fn arm_of(number: u16) -> Option<u16> {
    (number != NO_ARM).then_some(number)
}

fn prediction(words: &[u64], is_shadow: bool) -> Option<RawRecord<'_>> {
    let (head, rest) = words.split_first_chunk::<PREDICTION_HEAD>()?;
    let &[_, sequence, at, logit, answer, candidates, place, counts, latency_ns, propensity, micros, ..] = head;
    let &[.., small, lens, generation, rows, text_words] = head;
    let [model, source, basis, currency @ .., arm_low, arm_high] = small.to_le_bytes();
    let [request_len, impression_len, experiment_len, arm_len, has_generation, is_fallback, ..] = lens.to_le_bytes();
    let (text_words, copy) = rest.split_at_checked(usize::try_from(text_words).ok()?)?;
    let mut bytes = bytes_of(text_words);
    let mut text = |len: u8| {
        let (text, rest) = bytes.split_at_checked(usize::from(len))?;
        bytes = rest;
        Some(text)
    };
    let texts = [text(request_len)?, text(impression_len)?, text(experiment_len)?, text(arm_len)?];
    let (probability, status) = halves(answer);
    let (candidate, candidate_count) = halves(candidates);
    let (position, bucket) = halves(place);
    let (unseen_count, missing_count) = halves(counts);
    let (candidate_at, name) = halves(rows);
    let here = |number: u32| (number != NOT_HERE).then_some(number);
    let facts = Facts {
        sequence,
        at_unix_ms: at.cast_signed(),
        model,
        arm: arm_of(u16::from_le_bytes([arm_low, arm_high])),
        is_shadow,
        source: Source::from_number(source)?,
        candidate,
        candidate_count,
        logit: f64::from_bits(logit),
        probability: f32::from_bits(probability),
        status,
        generation: (has_generation == 1).then_some(generation),
        is_fallback: is_fallback == 1,
        unseen_count,
        missing_count,
        position,
        bucket,
        latency_ns,
        propensity: f64::from_bits(propensity),
        money: money_of(micros, basis, currency),
    };
    let rows = RawRows { copy, candidate_at: here(candidate_at).map(|at| at as usize), name: here(name) };
    Some(RawRecord::Prediction { facts, texts, rows })
}

fn put_texts(to: &mut [u64], texts: &[&[u8]]) {
    let room = bytes_of_mut(to);
    let mut end = 0;
    for text in texts {
        // The caller made the room for them.
        if let Some(room) = room.get_mut(end..end + text.len()) {
            room.copy_from_slice(text);
        }
        end += text.len();
    }
    if let Some(rest) = room.get_mut(end..) {
        rest.fill(0);
    }
}

/// Views words as the bytes that they have in memory.
pub(super) fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: words have no padding, and any byte is a byte.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

fn bytes_of_mut(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: words have no padding, and any bytes make a word.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}

pub(super) const fn money_bytes(money: Option<Money>) -> (u8, [u8; 3]) {
    match money {
        Some(Money { currency, basis, .. }) => (basis as u8, currency.letters()),
        None => (0, [0; 3]),
    }
}

pub(super) fn money_of(micros: u64, basis: u8, currency: [u8; 3]) -> Option<Money> {
    let (basis, currency) = (Basis::from_number(basis)?, Currency::from_letters(currency)?);
    Some(Money { micros: micros.cast_signed(), currency, basis })
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

#[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
const fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}
