//! What a server reports: what it did with a prediction, and what happened to it afterwards.

use super::format::MAX_LABEL_LEN_BYTES;
use super::ids::{PredictionId, check_impression, check_request_id};
use crate::error::Error;

/// What a server did with one candidate. Begin with [`Served::of`], and set what applies.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Served<'a> {
    /// Id of the request: 1 to 128 bytes. With impression and candidate, it makes the prediction id.
    pub request_id: &'a str,
    /// Which impression of the request this is for, such as OpenRTB's `imp.id`; empty if there is only one.
    pub impression: &'a str,
    /// When it was served, in Unix milliseconds, UTC. `None` is now.
    pub at_unix_ms: Option<i64>,
    /// Name of the experiment; empty if there is none.
    pub experiment: &'a str,
    /// Name of the experiment's arm.
    pub arm: &'a str,
    /// The user's bucket in the experiment.
    pub bucket: Option<u32>,
    /// Position at which the candidate was shown, from 0.
    pub position: Option<u32>,
    /// Probability with which the server's policy chose this candidate, in (0, 1].
    pub propensity: Option<f64>,
    /// What was bid.
    pub bid: Option<Money>,
    /// How long the predict call took, in nanoseconds; 0 if it was not measured.
    pub latency_ns: u64,
    /// Where the value is from.
    pub source: Source,
    /// The server's own probability, if neither the model nor a fallback file gave one.
    pub own_probability: Option<f32>,
    /// Which of the scorer's models answered, from 0.
    pub model: usize,
}

impl<'a> Served<'a> {
    /// A value of the model, with nothing else known.
    #[must_use]
    pub const fn of(request_id: &'a str) -> Self {
        Self {
            request_id,
            impression: "",
            at_unix_ms: None,
            experiment: "",
            arm: "",
            bucket: None,
            position: None,
            propensity: None,
            bid: None,
            latency_ns: 0,
            source: Source::Model,
            own_probability: None,
            model: 0,
        }
    }

    /// Returns this, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let invalid = |what| Err(Error::RecordInvalid { what });
        check_request_id(self.request_id)?;
        check_impression(self.impression)?;
        if self.experiment.len() > MAX_LABEL_LEN_BYTES || self.arm.len() > MAX_LABEL_LEN_BYTES {
            return invalid("an experiment and an arm of at most 64 bytes each");
        }
        if self.propensity.is_some_and(|propensity| !(propensity > 0.0 && propensity <= 1.0)) {
            return invalid("a propensity above 0 and at most 1");
        }
        if self.own_probability.is_some_and(|probability| !(probability > 0.0 && probability < 1.0)) {
            return invalid("a probability in (0, 1)");
        }
        if self.own_probability.is_some() && self.source == Source::Model {
            return invalid("no probability of the server's own where the source is the model");
        }
        Ok(())
    }
}

/// An amount of money. There is no price without a basis: what is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// Millionths of the currency's unit: 1,500,000 is 1.50 dollars.
    pub micros: i64,
    /// The currency.
    pub currency: Currency,
    /// What the amount is for.
    pub basis: Basis,
}

/// A currency: three capital letters of ISO 4217.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Returns the currency with this code.
    ///
    /// # Errors
    ///
    /// Returns [`Error::RecordInvalid`] if it is not three letters from A to Z.
    pub fn new(code: &str) -> Result<Self, Error> {
        let letters = <[u8; 3]>::try_from(code.as_bytes()).ok().and_then(Self::from_letters);
        letters.ok_or(Error::RecordInvalid { what: "a currency of three capital letters, such as JPY" })
    }

    pub(crate) fn from_letters(letters: [u8; 3]) -> Option<Self> {
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(super) const fn letters(self) -> [u8; 3] {
        self.0
    }
}

/// Declares an enum of numbers that are in the log, with their words.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $word:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number,)* }

        impl $name {
            /// All of them, by ascending number.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the one with this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// Returns its word, in snake case.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

numbered! {
    /// What an amount of money is for.
    Basis {
        /// One impression.
        Impression = 1, "impression";
        /// 1,000 impressions (CPM).
        ThousandImpressions = 2, "thousand_impressions";
        /// One click.
        Click = 3, "click";
        /// One conversion.
        Conversion = 4, "conversion";
    }
}

numbered! {
    /// Where a value is from: the model, or the server, because the model gave none. The server's value may be that of
    /// a fallback file: of a live scorer, or of a scorer of its own.
    Source {
        /// The model.
        Model = 1, "model";
        /// The server, or its fallback file: scoring is switched off.
        Off = 2, "off";
        /// The server, or its fallback file: there is no model.
        NoModel = 3, "no_model";
        /// The server: the candidate was not reached in time.
        Late = 4, "late";
        /// The server: the candidate, or the request, was refused.
        Refused = 5, "refused";
    }
}

numbered! {
    /// What happened to a prediction.
    EventKind {
        /// The bid won.
        Win = 1, "win";
        /// The ad was shown.
        Impression = 2, "impression";
        /// The ad was clicked.
        Click = 3, "click";
        /// The click led to what the advertiser wants.
        Conversion = 4, "conversion";
    }
}

numbered! {
    /// Why a record was dropped.
    DropReason {
        /// The ring had no room: the writer, or its disk, is too slow.
        RingFull = 0, "ring_full";
        /// The record is larger than half of the ring, or than a frame.
        TooLarge = 1, "too_large";
        /// More records with another source than the model than are allowed per second.
        RateLimited = 2, "rate_limited";
        /// The caller passed something that cannot be recorded.
        Invalid = 3, "invalid";
        /// The disk, or the quota, was full.
        DiskFull = 4, "disk_full";
        /// The system refused to write, for another reason.
        DiskFailed = 5, "disk_failed";
        /// The folder or the segment vanished.
        FolderGone = 6, "folder_gone";
        /// The model of a detail record was no longer in memory.
        ModelGone = 7, "model_gone";
        /// The log was closed, or the process is a fork of the one that opened it.
        Closed = 8, "closed";
        /// A defect in the library; the panic was caught.
        Defect = 9, "defect";
    }
}

/// Number of reasons.
pub const DROP_REASON_COUNT: usize = DropReason::ALL.len();

/// What became of a record. The request goes on in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The writer will write it.
    Queued,
    /// The request is outside the sample.
    SampledOut,
    /// It was dropped and counted.
    Dropped(DropReason),
}

/// Something that happened to a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Whose event it is.
    pub prediction_id: PredictionId,
    /// What happened.
    pub kind: EventKind,
    /// When it happened, in Unix milliseconds, UTC. `None` is now.
    pub at_unix_ms: Option<i64>,
    /// What was paid, or what it is worth.
    pub money: Option<Money>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back_and_others_are_refused() {
        assert!(DropReason::ALL.iter().enumerate().all(|(index, reason)| *reason as usize == index));
        assert!(Source::ALL.iter().all(|source| Source::from_number(*source as u8) == Some(*source)));
        assert_eq!((Source::from_number(0), Basis::from_number(0), EventKind::from_number(5)), (None, None, None));
    }

    #[test]
    fn a_currency_has_three_capital_letters() {
        assert_eq!(Currency::new("JPY").unwrap().code(), "JPY");
        assert!(["jpy", "JP", "", "JPYX", "J¥"].iter().all(|code| Currency::new(code).is_err()));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let id = "x".repeat(129);
        let long = "x".repeat(65);
        for served in [
            Served::of(""),
            Served::of(&id),
            Served::of("1").with(|it| it.impression = &long),
            Served::of("1").with(|it| it.arm = &long),
            Served::of("1").with(|it| it.propensity = Some(0.0)),
            Served::of("1").with(|it| it.propensity = Some(f64::NAN)),
            Served::of("1").with(|it| it.own_probability = Some(0.5)),
            Served::of("1").with(|it| (it.source, it.own_probability) = (Source::Off, Some(1.0))),
        ] {
            assert!(served.check().is_err(), "{served:?}");
        }
        Served::of("1").with(|it| (it.source, it.own_probability) = (Source::Off, Some(0.01))).check().unwrap();
    }
}
