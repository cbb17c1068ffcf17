//! What a server did with a candidate, as `Served.java` keeps it outside the heap.

use super::arguments::invalid;
use crate::error::Error;
use crate::serving_log::{
    Basis, Currency, MAX_IMPRESSION_LEN_BYTES, MAX_LABEL_LEN_BYTES, MAX_REQUEST_ID_LEN_BYTES, Money, PredictionId,
    Served, Source,
};

// Each offset is the previous one plus the size of what is stored there. `ServedBlock.java` has the same numbers.
/// Unix milliseconds, UTC, or 0 for now: i64.
const AT_UNIX_MS_OFFSET: usize = 0;
/// Duration of the predict call in nanoseconds: u64.
const LATENCY_NS_OFFSET: usize = AT_UNIX_MS_OFFSET + size_of::<i64>();
/// Probability with which the candidate was chosen, or 0: f64.
const PROPENSITY_OFFSET: usize = LATENCY_NS_OFFSET + size_of::<u64>();
/// Millionths of the bid's currency: i64.
const BID_MICROS_OFFSET: usize = PROPENSITY_OFFSET + size_of::<f64>();
/// Position, or -1: i32.
const POSITION_OFFSET: usize = BID_MICROS_OFFSET + size_of::<i64>();
/// Bucket, or -1: i32.
const BUCKET_OFFSET: usize = POSITION_OFFSET + size_of::<i32>();
/// The server's own probability, or 0: f32.
const OWN_PROBABILITY_OFFSET: usize = BUCKET_OFFSET + size_of::<i32>();
/// Which of the scorer's models answered: i32.
const MODEL_OFFSET: usize = OWN_PROBABILITY_OFFSET + size_of::<f32>();
/// Number of the source: i32.
const SOURCE_OFFSET: usize = MODEL_OFFSET + size_of::<i32>();
/// Number of the bid's basis, or 0 for no bid: i32.
const BASIS_OFFSET: usize = SOURCE_OFFSET + size_of::<i32>();
/// The letters of the bid's currency, the first one lowest: i32.
const CURRENCY_OFFSET: usize = BASIS_OFFSET + size_of::<i32>();
/// Length of the request id in bytes, or -1 for one that is too long: i32. Impression, experiment and arm follow.
const TEXT_LENS_OFFSET: usize = CURRENCY_OFFSET + size_of::<i32>();
/// The text of the request id, in UTF-8.
const REQUEST_ID_OFFSET: usize = TEXT_LENS_OFFSET + 4 * size_of::<i32>();
/// The text of the impression.
const IMPRESSION_OFFSET: usize = REQUEST_ID_OFFSET + MAX_REQUEST_ID_LEN_BYTES;
/// The text of the experiment.
const EXPERIMENT_OFFSET: usize = IMPRESSION_OFFSET + MAX_IMPRESSION_LEN_BYTES;
/// The text of the arm.
const ARM_OFFSET: usize = EXPERIMENT_OFFSET + MAX_LABEL_LEN_BYTES;
/// A prediction id, written by the library.
const PREDICTION_ID_OFFSET: usize = ARM_OFFSET + MAX_LABEL_LEN_BYTES;
/// Length of the block.
const LEN: usize = PREDICTION_ID_OFFSET + PredictionId::LEN;

/// Name, offset and room of each text.
const TEXTS: [(&str, usize, usize); 4] = [
    ("requestId", REQUEST_ID_OFFSET, MAX_REQUEST_ID_LEN_BYTES),
    ("impression", IMPRESSION_OFFSET, MAX_IMPRESSION_LEN_BYTES),
    ("experiment", EXPERIMENT_OFFSET, MAX_LABEL_LEN_BYTES),
    ("arm", ARM_OFFSET, MAX_LABEL_LEN_BYTES),
];
/// In place of a text that was too long to be kept. The library refuses it as it refuses any text of this length.
const TOO_LONG: &str = match str::from_utf8(&[b'?'; MAX_REQUEST_ID_LEN_BYTES + 1]) {
    Ok(text) => text,
    Err(_) => panic!(),
};

/// The block of a `Served.java`.
pub(super) struct ServedBlock<'a>(&'a mut [u8; LEN]);

impl<'a> ServedBlock<'a> {
    /// Borrows the block at an address.
    ///
    /// # Safety
    ///
    /// The address must be that of a block of `Served.java`, which stays reachable and is used by no other thread as
    /// long as the result is.
    pub(super) unsafe fn at(address: i64) -> Self {
        let block = std::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap_or(0));
        // SAFETY: the caller's promise; bytes need no alignment, and Java initialized them.
        Self(unsafe { &mut *block })
    }

    /// Returns what the block says. Errors allocate nothing, except for a model that no scorer can have.
    pub(super) fn served(&self) -> Result<Served<'_>, Error> {
        let number = |offset| i32::from_le_bytes(self.bytes(offset));
        let given = |offset| u32::try_from(number(offset)).ok();
        let [request_id, impression, experiment, arm] = [self.text(0)?, self.text(1)?, self.text(2)?, self.text(3)?];
        let small = |offset| u8::try_from(number(offset)).unwrap_or(u8::MAX);
        let source = Source::from_number(small(SOURCE_OFFSET));
        let source = source.ok_or(Error::RecordInvalid { what: "one of the sources" })?;
        let model = number(MODEL_OFFSET);
        let bid =
            money(i64::from_le_bytes(self.bytes(BID_MICROS_OFFSET)), number(BASIS_OFFSET), number(CURRENCY_OFFSET))?;
        let at_unix_ms = i64::from_le_bytes(self.bytes(AT_UNIX_MS_OFFSET));
        let propensity = f64::from_le_bytes(self.bytes(PROPENSITY_OFFSET));
        let own_probability = f32::from_le_bytes(self.bytes(OWN_PROBABILITY_OFFSET));
        let model =
            usize::try_from(model).map_err(|_| invalid("model", format!("expected 0 or more, found {model}")))?;
        Ok(Served::of(request_id).with(|it| {
            it.impression = impression;
            it.at_unix_ms = (at_unix_ms != 0).then_some(at_unix_ms);
            it.experiment = experiment;
            it.arm = arm;
            it.bucket = given(BUCKET_OFFSET);
            it.position = given(POSITION_OFFSET);
            it.propensity = (propensity != 0.0).then_some(propensity);
            it.bid = bid;
            it.latency_ns = u64::from_le_bytes(self.bytes(LATENCY_NS_OFFSET));
            it.source = source;
            it.own_probability = (own_probability != 0.0).then_some(own_probability);
            it.model = model;
        }))
    }

    /// Writes the id of a prediction of its request and impression into the block.
    pub(super) fn put_prediction_id(&mut self, candidate: i32) -> Result<(), Error> {
        let candidate = u32::try_from(candidate).map_err(|_| Error::RecordInvalid { what: "a candidate from 0 on" })?;
        let id = PredictionId::of(self.text(0)?, self.text(1)?, candidate)?;
        self.0[PREDICTION_ID_OFFSET..].copy_from_slice(id.as_bytes());
        Ok(())
    }

    fn bytes<const COUNT: usize>(&self, offset: usize) -> [u8; COUNT] {
        let mut bytes = [0; COUNT];
        bytes.copy_from_slice(&self.0[offset..offset + COUNT]);
        bytes
    }

    fn text(&self, index: usize) -> Result<&str, Error> {
        let (what, offset, room) = TEXTS[index];
        let len = i32::from_le_bytes(self.bytes(TEXT_LENS_OFFSET + index * size_of::<i32>()));
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= room) else { return Ok(TOO_LONG) };
        let bytes = &self.0[offset..offset + len];
        str::from_utf8(bytes).map_err(|error| Error::NotUtf8 { what, position: error.valid_up_to() })
    }
}

/// Returns an amount of money, or nothing for the basis 0.
pub(super) fn money(micros: i64, basis: i32, currency: i32) -> Result<Option<Money>, Error> {
    if basis == 0 {
        return Ok(None);
    }
    let basis = u8::try_from(basis).ok().and_then(Basis::from_number);
    let basis = basis.ok_or(Error::RecordInvalid { what: "one of the bases" })?;
    let [first, second, third, _] = currency.to_le_bytes();
    let currency = Currency::from_letters([first, second, third]);
    let currency = currency.ok_or(Error::RecordInvalid { what: "a currency of three capital letters, such as JPY" })?;
    Ok(Some(Money { micros, currency, basis }))
}

#[cfg(test)]
mod tests {
    use super::super::java_constants::java_constants;
    use super::*;

    #[test]
    fn each_number_of_the_block_is_the_same_in_java() {
        let rust = [
            ("AT_UNIX_MS_OFFSET", AT_UNIX_MS_OFFSET),
            ("LATENCY_NS_OFFSET", LATENCY_NS_OFFSET),
            ("PROPENSITY_OFFSET", PROPENSITY_OFFSET),
            ("BID_MICROS_OFFSET", BID_MICROS_OFFSET),
            ("POSITION_OFFSET", POSITION_OFFSET),
            ("BUCKET_OFFSET", BUCKET_OFFSET),
            ("OWN_PROBABILITY_OFFSET", OWN_PROBABILITY_OFFSET),
            ("MODEL_OFFSET", MODEL_OFFSET),
            ("SOURCE_OFFSET", SOURCE_OFFSET),
            ("BASIS_OFFSET", BASIS_OFFSET),
            ("CURRENCY_OFFSET", CURRENCY_OFFSET),
            ("TEXT_LENS_OFFSET", TEXT_LENS_OFFSET),
            ("REQUEST_ID_OFFSET", REQUEST_ID_OFFSET),
            ("IMPRESSION_OFFSET", IMPRESSION_OFFSET),
            ("EXPERIMENT_OFFSET", EXPERIMENT_OFFSET),
            ("ARM_OFFSET", ARM_OFFSET),
            ("PREDICTION_ID_OFFSET", PREDICTION_ID_OFFSET),
            ("LEN", LEN),
            ("MAX_REQUEST_ID_LEN_BYTES", MAX_REQUEST_ID_LEN_BYTES),
            ("MAX_IMPRESSION_LEN_BYTES", MAX_IMPRESSION_LEN_BYTES),
            ("MAX_LABEL_LEN_BYTES", MAX_LABEL_LEN_BYTES),
        ];
        assert_eq!(java_constants("ServedBlock.java"), rust.map(|(name, number)| (name.to_owned(), number)).into());
    }

    #[test]
    fn a_text_that_is_too_long_for_the_block_is_refused_as_such() {
        for (index, what) in [(0, "a request id of 1 to 128 bytes"), (1, "an impression of at most 64 bytes")] {
            let mut bytes = [0; LEN];
            bytes[SOURCE_OFFSET] = 1;
            bytes[TEXT_LENS_OFFSET] = 1;
            bytes[REQUEST_ID_OFFSET] = b'r';
            for len in [-1_i32, 129] {
                let at = TEXT_LENS_OFFSET + index * size_of::<i32>();
                bytes[at..at + size_of::<i32>()].copy_from_slice(&len.to_le_bytes());
                let mut copy = bytes;
                let mut block = ServedBlock(&mut copy);
                assert_eq!(block.served().unwrap().request_id.len(), if index == 0 { 129 } else { 1 });
                let refused = block.put_prediction_id(0).unwrap_err().to_string();
                assert!(refused.contains(what), "{refused}");
            }
        }
    }
}
