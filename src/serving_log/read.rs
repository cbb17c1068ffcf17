//! Reads segments: hostile bytes until they are decoded. `SERVING_LOG.md` says what is checked.

use super::format::{
    BLOCK, BLOCK_HEAD_LEN, Bytes, DETAIL, END_MAGIC, EVENT, FOOTER, FOOTER_END_LEN, FOOTER_HEAD_LEN, FOOTER_RING_LEN,
    FRAME_CHECKED_LEN, FRAME_HEADER_LEN, FRAME_MAGIC, HEADER_LEN, HEADER_ZEROS_LEN, MAGIC, MAX_NAME_LEN_BYTES,
    MAX_PAYLOAD_LEN_BYTES, NO_MODEL, NOT_GIVEN, OLDEST_READER, PREDICTION, RECORD_HEAD_LEN, ROW_HERE, SEGMENT_ID,
    SHADOW, SealReason, VERSION, form, frame_checksum, header_checksum,
};
use super::ids::PredictionId;
use super::raw::money_of;
use super::segment::{FooterRing, RingCounts};
use super::served::{DROP_REASON_COUNT, EventKind, Money, Source};
use crate::contract::{LogPolicy, Side};
use crate::request::{CandidateStatus, MAX_VALUES_PER_FIELD};
use crate::score::WeightSource;

/// Why bytes are no segment that this library can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentProblem {
    /// It is another kind of file.
    #[error("not a segment of a serving log: expected it to begin with `omomilog`; pass a file that a server logged")]
    NotASegment,
    /// Only a later version can read it.
    #[error("the segment needs a reader of version {needed}, this is version {found}; update the reader")]
    TooNew {
        /// The version that is needed.
        needed: u32,
        /// The version of this reader.
        found: u32,
    },
    /// The header is incomplete: the writer was killed as it began.
    #[error("the segment ends within its header, after {found} of {HEADER_LEN} bytes; it has no records")]
    CutInHeader {
        /// Length in bytes.
        found: u64,
    },
    /// The header is damaged.
    #[error("the header of the segment is damaged: {problem}; take another copy")]
    DamagedHeader {
        /// What does not fit.
        problem: &'static str,
    },
    /// A block has a good checksum, but its contents contradict the format.
    #[error("a block of the segment is malformed: {problem}; report the defect")]
    MalformedBlock {
        /// What does not fit.
        problem: &'static str,
    },
}

const fn malformed(problem: &'static str) -> SegmentProblem {
    SegmentProblem::MalformedBlock { problem }
}

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Id of the writer: of one opened log.
    pub writer_id: u64,
    /// Number of the segment within its writer, from 0.
    pub number: u64,
    /// When it was begun, in Unix milliseconds.
    pub started_unix_ms: i64,
    /// Salt of the samples.
    pub salt: u64,
    /// Requests in a million whose predictions are logged.
    pub predictions_per_million: u32,
    /// Requests in a million whose details are logged.
    pub details_per_million: u32,
    /// The process that wrote it.
    pub process_id: u32,
    /// Name of the server.
    pub name: String,
}

/// The footer of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFooter {
    /// When it was sealed, in Unix milliseconds.
    pub ended_unix_ms: i64,
    /// Why it was sealed.
    pub reason: SealReason,
    /// Number of blocks in the segment.
    pub block_count: u64,
    /// Number of records in the segment.
    pub record_count: u64,
    /// The rings.
    pub rings: Vec<FooterRing>,
}

/// Reads the frames of a segment, sealed or partial.
#[derive(Debug, Clone)]
pub struct SegmentReader<'a> {
    bytes: &'a [u8],
    at: usize,
    header: SegmentHeader,
    id: [u8; 16],
    frame_count: u32,
    whole_len: usize,
    skipped_bytes: u64,
    /// Bytes that may still be read to find out whether frames begin at wrong places.
    search_budget: u64,
    footer: Option<SegmentFooter>,
}

/// How often each byte of a segment may be read in the search for good frames after damage, on average.
const SEARCH_FACTOR: u64 = 16;

/// A frame with a good checksum.
struct Frame<'a> {
    kind: u32,
    index: u32,
    payload: &'a [u8],
}

impl<'a> SegmentReader<'a> {
    /// Reads the header of a segment.
    ///
    /// # Errors
    ///
    /// Returns why the bytes are no segment that this library can read. Damage after the header is no error: it is
    /// skipped and counted.
    pub fn new(bytes: &'a [u8]) -> Result<Self, SegmentProblem> {
        let begins_alike = bytes.iter().zip(MAGIC).all(|(found, expected)| *found == expected);
        if !begins_alike || bytes.is_empty() {
            let is_empty = bytes.is_empty();
            return Err(if is_empty { SegmentProblem::CutInHeader { found: 0 } } else { SegmentProblem::NotASegment });
        }
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(SegmentProblem::CutInHeader { found: bytes.len() as u64 });
        };
        let damaged = |problem| SegmentProblem::DamagedHeader { problem };
        let header = read_header(header).map_err(damaged)??;
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[SEGMENT_ID]);
        Ok(Self {
            bytes,
            at: HEADER_LEN,
            header,
            id,
            frame_count: 0,
            whole_len: HEADER_LEN,
            skipped_bytes: 0,
            search_budget: (bytes.len() as u64).saturating_mul(SEARCH_FACTOR),
            footer: None,
        })
    }

    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Returns the next block, or `None` at the end. Skips what is damaged, up to the next good frame.
    ///
    /// # Errors
    ///
    /// Returns [`SegmentProblem::MalformedBlock`] for a block with a good checksum that contradicts the format. The
    /// next call goes on after it.
    pub fn next_block(&mut self) -> Option<Result<Block<'a>, SegmentProblem>> {
        loop {
            let frame = self.next_frame()?;
            match frame.kind {
                BLOCK => return Some(Block::read(frame.payload)),
                FOOTER => match read_footer(frame.payload) {
                    Some(footer) => self.footer = Some(footer),
                    None => return Some(Err(malformed("the footer"))),
                },
                _ => {}
            }
        }
    }

    /// Returns the footer, once all blocks were read: `None` if the segment is still written, or was cut.
    #[must_use]
    pub const fn footer(&self) -> Option<&SegmentFooter> {
        self.footer.as_ref()
    }

    /// Returns the bytes that were skipped so far because no good frame has them.
    #[must_use]
    pub const fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// Returns where the last good frame ends, and the index of the next one. Of what was read so far.
    pub(super) const fn whole(&self) -> (usize, u32) {
        (self.whole_len, self.frame_count)
    }

    pub(super) const fn id(&self) -> [u8; 16] {
        self.id
    }

    fn next_frame(&mut self) -> Option<Frame<'a>> {
        while self.at < self.bytes.len() {
            if let Some(frame) = self.frame_at(self.at) {
                self.at += FRAME_HEADER_LEN + frame.payload.len();
                self.whole_len = self.at;
                self.frame_count = frame.index.saturating_add(1);
                return Some(frame);
            }
            // The next place that could be a frame.
            let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
            let step = rest.windows(FRAME_MAGIC.len()).position(|window| window == FRAME_MAGIC);
            let next = step.filter(|_| self.search_budget > 0);
            let next = next.map_or(self.bytes.len(), |step| self.at + 1 + step);
            self.skipped_bytes += (next - self.at) as u64;
            self.at = next;
        }
        None
    }

    fn frame_at(&mut self, at: usize) -> Option<Frame<'a>> {
        let bytes = self.bytes.get(at..)?;
        let (head, rest) = bytes.split_at_checked(FRAME_HEADER_LEN)?;
        let mut fields = Bytes(head);
        let magic: [u8; 4] = fields.array()?;
        let (kind, index, len) = (fields.get::<u32>()?, fields.get::<u32>()?, fields.get::<u32>()?);
        let (checksum, zero) = (fields.get::<u32>()?, fields.get::<u32>()?);
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_PAYLOAD_LEN_BYTES)?;
        if magic != FRAME_MAGIC || zero != 0 {
            return None;
        }
        let payload = rest.get(..len)?;
        let is_good = frame_checksum(&self.id, &head[..FRAME_CHECKED_LEN], &[payload]) == checksum;
        if !is_good {
            self.search_budget = self.search_budget.saturating_sub(payload.len() as u64);
        }
        is_good.then_some(Frame { kind, index, payload })
    }
}

/// Reads a header, or says which part is damaged.
fn read_header(header: &[u8; HEADER_LEN]) -> Result<Result<SegmentHeader, SegmentProblem>, &'static str> {
    let short = "a part is missing";
    let mut bytes = Bytes(header);
    let _magic = bytes.take(MAGIC.len()).ok_or(short)?;
    let (_version, oldest_reader) = (bytes.get::<u32>().ok_or(short)?, bytes.get::<u32>().ok_or(short)?);
    let (checked, checksum) = header.split_at(HEADER_LEN - size_of::<u32>());
    if header_checksum(checked).to_le_bytes() != checksum {
        return Err("its checksum does not match");
    }
    if oldest_reader > VERSION {
        return Ok(Err(SegmentProblem::TooNew { needed: oldest_reader, found: VERSION }));
    }
    const _: () = assert!(OLDEST_READER <= VERSION);
    let mut read = || {
        let header = SegmentHeader {
            writer_id: bytes.get()?,
            number: bytes.get()?,
            started_unix_ms: bytes.get()?,
            salt: bytes.get()?,
            predictions_per_million: bytes.get()?,
            details_per_million: bytes.get()?,
            process_id: bytes.get()?,
            name: String::new(),
        };
        let name_len = usize::try_from(bytes.get::<u32>()?).ok()?;
        let name = bytes.take(MAX_NAME_LEN_BYTES)?.split_at_checked(name_len)?.0;
        bytes.take(HEADER_ZEROS_LEN)?;
        Some(SegmentHeader { name: str::from_utf8(name).ok()?.to_owned(), ..header })
    };
    read().map(Ok).ok_or("the server's name")
}

fn read_footer(payload: &[u8]) -> Option<SegmentFooter> {
    let mut bytes = Bytes(payload);
    let ended_unix_ms = bytes.get()?;
    let reason = SealReason::from_number(bytes.get()?)?;
    let ring_count = usize::try_from(bytes.get::<u32>()?).ok()?;
    let (block_count, record_count) = (bytes.get()?, bytes.get()?);
    let expected = ring_count.checked_mul(FOOTER_RING_LEN)?.checked_add(FOOTER_HEAD_LEN + FOOTER_END_LEN)?;
    if payload.len() != expected {
        return None;
    }
    let rings = (0..ring_count).map(|_| {
        Some(FooterRing {
            ring: bytes.get()?,
            is_closed: bytes.get::<u32>()? == 1,
            first_sequence: bytes.get()?,
            next_sequence: bytes.get()?,
            counts: counts(&mut bytes)?,
            records_here: bytes.get()?,
        })
    });
    let rings = rings.collect::<Option<_>>()?;
    let frame_len = bytes.get::<u32>()?;
    let is_end = frame_len as usize == FRAME_HEADER_LEN + payload.len() && bytes.0 == END_MAGIC;
    is_end.then_some(SegmentFooter { ended_unix_ms, reason, block_count, record_count, rings })
}

fn counts(bytes: &mut Bytes<'_>) -> Option<RingCounts> {
    let mut counts = RingCounts { written: bytes.get()?, sampled_out: bytes.get()?, ..RingCounts::default() };
    for count in &mut counts.dropped {
        *count = bytes.get()?;
    }
    const _: () = assert!(DROP_REASON_COUNT == 10);
    Some(counts)
}

/// A block: records of one ring.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    /// Number of the ring.
    pub ring: u32,
    /// Sequence number of its first record.
    pub first_sequence: u64,
    /// Sequence number of its last record, plus 1.
    pub next_sequence: u64,
    /// Totals of the ring at that time.
    pub counts: RingCounts,
    /// The models that its records name.
    pub models: Vec<LoggedModel<'a>>,
    record_count: u32,
    records: &'a [u8],
}

/// A model that records name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedModel<'a> {
    /// Its generation.
    pub generation: u64,
    /// The first 8 bytes of the SHA-256 of its weight file.
    pub digest: [u8; 8],
    /// Fingerprint of its contract.
    pub contract_fingerprint: u64,
    /// Its logic id.
    pub logic_id: &'a str,
    /// The fields of its contract.
    pub fields: Vec<LoggedField<'a>>,
    /// The crosses of its contract: indices of fields.
    pub crosses: Vec<Vec<u16>>,
}

/// A field of a model that records name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedField<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its side.
    pub side: Side,
    /// Its type.
    pub kind: LoggedKind,
    /// Whether a row has any number of its values.
    pub many: bool,
    /// How it is logged.
    pub policy: LogPolicy,
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedKind {
    /// 64-bit integers.
    Id,
    /// UTF-8 texts.
    Text,
    /// Numbers.
    Number,
}

impl<'a> Block<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, SegmentProblem> {
        Self::try_read(payload).ok_or(malformed("its head or its models"))
    }

    fn try_read(payload: &'a [u8]) -> Option<Self> {
        let mut bytes = Bytes(payload);
        let (ring, record_count) = (bytes.get()?, bytes.get::<u32>()?);
        let (first_sequence, next_sequence) = (bytes.get()?, bytes.get()?);
        let counts = counts(&mut bytes)?;
        let model_count = bytes.get::<u32>()?;
        let _zero = bytes.get::<u32>()?;
        const _: () = assert!(BLOCK_HEAD_LEN == 128);
        if record_count == 0 || first_sequence >= next_sequence || model_count > u32::from(NO_MODEL) {
            return None;
        }
        let models = (0..model_count).map(|_| read_model(&mut bytes)).collect::<Option<Vec<_>>>()?;
        Some(Self { ring, first_sequence, next_sequence, counts, models, record_count, records: bytes.0 })
    }

    /// Returns the number of records.
    #[must_use]
    pub const fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Reads the records. After the first that contradicts the format, there are no more.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'a>, SegmentProblem>> + use<'a, '_> {
        let mut bytes = Bytes(self.records);
        let mut left = self.record_count;
        std::iter::from_fn(move || {
            if left == 0 {
                let rest = std::mem::take(&mut bytes.0);
                return (!rest.is_empty()).then_some(Err(malformed("bytes after its last record")));
            }
            left -= 1;
            let record = self.next_record(&mut bytes);
            if record.is_none() {
                (left, bytes.0) = (0, &[]);
            }
            Some(record.ok_or(malformed("a record")))
        })
    }

    fn next_record(&self, bytes: &mut Bytes<'a>) -> Option<Record<'a>> {
        let mut len = Bytes(bytes.0);
        let len = usize::try_from(len.get::<u32>()?).ok()?;
        let mut record = Bytes(bytes.take(len)?);
        let _len = record.get::<u32>()?;
        let kind = record.get::<u8>()?;
        let answer = record.get::<u8>()?;
        let model = match record.get::<u16>()? {
            NO_MODEL => None,
            index => Some(usize::from(index)).filter(|index| *index < self.models.len()).map(Some)?,
        };
        const _: () = assert!(RECORD_HEAD_LEN == 24);
        let head = RecordHead { answer, model, sequence: record.get()?, at_unix_ms: record.get()? };
        if !(self.first_sequence..self.next_sequence).contains(&head.sequence) {
            return None;
        }
        let model = model.map(|model| &self.models[model]);
        let body = match kind {
            PREDICTION => RecordBody::Prediction(Box::new(read_prediction(&mut record, model)?)),
            SHADOW => RecordBody::Shadow(Box::new(read_prediction(&mut record, model)?)),
            DETAIL => RecordBody::Detail(read_detail(&mut record, model?)?),
            EVENT => RecordBody::Event(read_event(&mut record)?),
            kind => {
                record.0 = &[];
                RecordBody::Unknown(kind)
            }
        };
        record.0.is_empty().then_some(Record { head, body })
    }
}

fn read_model<'a>(bytes: &mut Bytes<'a>) -> Option<LoggedModel<'a>> {
    let mut len = Bytes(bytes.0);
    let len = usize::try_from(len.get::<u32>()?).ok()?;
    let mut entry = Bytes(bytes.take(len)?);
    let _len = entry.get::<u32>()?;
    let (field_count, cross_count) = (entry.get::<u16>()?, entry.get::<u16>()?);
    let (generation, digest, contract_fingerprint) = (entry.get()?, entry.array()?, entry.get()?);
    let logic_id = short_text(&mut entry)?;
    let fields = (0..field_count).map(|_| {
        let (side, kind, many, policy) =
            (entry.get::<u8>()?, entry.get::<u8>()?, entry.get::<u8>()?, entry.get::<u8>()?);
        Some(LoggedField {
            side: *[Side::Context, Side::Candidate].get(usize::from(side))?,
            kind: *[LoggedKind::Id, LoggedKind::Text, LoggedKind::Number].get(usize::from(kind))?,
            many: *[false, true].get(usize::from(many))?,
            policy: *[LogPolicy::Plain, LogPolicy::Hashed, LogPolicy::Never].get(usize::from(policy))?,
            name: short_text(&mut entry)?,
        })
    });
    let fields = fields.collect::<Option<Vec<_>>>()?;
    let crosses = (0..cross_count).map(|_| {
        let member_count = entry.get::<u8>()?;
        let members = (0..member_count).map(|_| entry.get::<u16>().filter(|member| *member < field_count));
        members.collect::<Option<Vec<_>>>()
    });
    let crosses = crosses.collect::<Option<Vec<_>>>()?;
    entry.0.is_empty().then_some(LoggedModel { generation, digest, contract_fingerprint, logic_id, fields, crosses })
}

fn short_text<'a>(bytes: &mut Bytes<'a>) -> Option<&'a str> {
    let len = usize::from(bytes.get::<u16>()?);
    bytes.text(len)
}

/// A record of a block.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// What every record has.
    pub head: RecordHead,
    /// What it says.
    pub body: RecordBody<'a>,
}

/// What every record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    /// Which of the scorer's models this is, from 0.
    pub answer: u8,
    /// Index of the model in [`Block::models`], if there is one.
    pub model: Option<usize>,
    /// Sequence number in its ring.
    pub sequence: u64,
    /// When it was served, or when the event happened, in Unix milliseconds.
    pub at_unix_ms: i64,
}

/// What a record says.
#[derive(Debug, Clone)]
pub enum RecordBody<'a> {
    /// A prediction that was used.
    Prediction(Box<LoggedPrediction<'a>>),
    /// What a shadow said of a candidate that was used: its prediction was not. Its id, and the events that it joins,
    /// are those of the prediction that was used.
    Shadow(Box<LoggedPrediction<'a>>),
    /// A whole request.
    Detail(LoggedDetail<'a>),
    /// Something that happened to a prediction.
    Event(LoggedEvent),
    /// A record of a kind that this library does not know.
    Unknown(u8),
}

/// A prediction that was used.
#[derive(Debug, Clone)]
pub struct LoggedPrediction<'a> {
    /// Joins it with its events.
    pub id: PredictionId,
    /// The logit, exactly as answered; NaN if the model gave none.
    pub logit: f64,
    /// The probability, exactly as answered; NaN if there is none.
    pub probability: f32,
    /// Index of the candidate in its request.
    pub candidate: u32,
    /// Number of candidates of the request.
    pub candidate_count: u32,
    /// Position at which it was shown, from 0.
    pub position: Option<u32>,
    /// Unseen categories of the request.
    pub unseen_count: u32,
    /// Missing values of the request.
    pub missing_count: u32,
    /// Latency of the predict call, in nanoseconds; 0 if it was not measured.
    pub latency_ns: u64,
    /// Probability with which the server's policy chose this candidate.
    pub propensity: Option<f64>,
    /// What was bid.
    pub bid: Option<Money>,
    /// Where the value is from.
    pub source: Source,
    /// Whether the probability is a limit of the calibrator.
    pub is_clamped: bool,
    /// Status of the candidate.
    pub status: CandidateStatus,
    /// Bucket of the experiment.
    pub bucket: Option<u32>,
    /// Id of the request.
    pub request_id: &'a str,
    /// Which impression of the request this is for.
    pub impression: &'a str,
    /// Name of the experiment.
    pub experiment: &'a str,
    /// Name of the experiment's arm.
    pub arm: &'a str,
    /// The row: a value, or nothing, for each field of the model, in contract order.
    pub row: RowState<'a>,
}

/// The row of a prediction, or why it has none.
#[derive(Debug, Clone, PartialEq)]
pub enum RowState<'a> {
    /// No contract says what may be logged.
    Unknown,
    /// A value, or nothing, for each field of the model, in contract order.
    Here(Vec<Option<LoggedValue<'a>>>),
    /// The prepared candidate was changed between the answer and the record.
    Changed,
    /// The row cannot be read.
    Unreadable,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum LoggedValue<'a> {
    /// An id.
    Id(i64),
    /// A number, as set.
    Number(f64),
    /// A text.
    Text(&'a str),
    /// The XXH3-64 of a text, which the server passed instead of it.
    TextValue(u64),
    /// A feature key, where the policy is `hashed`.
    Key(u64),
    /// Ids.
    Ids(Vec<i64>),
    /// Texts.
    Texts(Vec<&'a str>),
    /// The XXH3-64 of texts.
    TextValues(Vec<u64>),
    /// Feature keys, where the policy is `hashed`.
    Keys(Vec<u64>),
}

fn read_prediction<'a>(bytes: &mut Bytes<'a>, model: Option<&LoggedModel<'a>>) -> Option<LoggedPrediction<'a>> {
    let given = |number: u32| (number != NOT_GIVEN).then_some(number);
    let id = PredictionId::from_bytes(bytes.array()?);
    let (logit, probability) = (bytes.get()?, bytes.get()?);
    let (candidate, candidate_count, position) = (bytes.get()?, bytes.get()?, bytes.get()?);
    let (unseen_count, missing_count, latency_ns) = (bytes.get()?, bytes.get()?, bytes.get()?);
    let propensity = bytes.get::<f64>()?;
    let bid = read_money(bytes)?;
    let source = Source::from_number(bytes.get()?)?;
    let is_clamped = *[false, true].get(usize::from(bytes.get::<u8>()?))?;
    let status = CandidateStatus::from_number(u32::from(bytes.get::<u8>()?))?;
    let row_state = bytes.get::<u8>()?;
    let bucket = bytes.get()?;
    let lens: [u8; 4] = bytes.array()?;
    let mut text = |len: u8| bytes.text(usize::from(len));
    let [request_id, impression, experiment, arm] = [text(lens[0])?, text(lens[1])?, text(lens[2])?, text(lens[3])?];
    let row = match row_state {
        0 => RowState::Unknown,
        ROW_HERE => RowState::Here(read_row(bytes, model?)?),
        2 => RowState::Changed,
        3 => RowState::Unreadable,
        _ => return None,
    };
    Some(LoggedPrediction {
        id,
        logit,
        probability,
        candidate,
        candidate_count,
        position: given(position),
        unseen_count,
        missing_count,
        latency_ns,
        propensity: (!propensity.is_nan()).then_some(propensity),
        bid,
        source,
        is_clamped,
        status,
        bucket: given(bucket),
        request_id,
        impression,
        experiment,
        arm,
        row,
    })
}

fn read_row<'a>(bytes: &mut Bytes<'a>, model: &LoggedModel<'a>) -> Option<Vec<Option<LoggedValue<'a>>>> {
    let bits = bytes.take(model.fields.len().div_ceil(8))?;
    let values = (0..model.fields.len()).map(|index| {
        let is_here = bits.get(index / 8)? >> (index % 8) & 1 == 1;
        if is_here { read_value(bytes).map(Some) } else { Some(None) }
    });
    values.collect()
}

fn read_value<'a>(bytes: &mut Bytes<'a>) -> Option<LoggedValue<'a>> {
    fn list<'a, T>(bytes: &mut Bytes<'a>, mut item: impl FnMut(&mut Bytes<'a>) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::from(bytes.get::<u16>()?);
        if count > MAX_VALUES_PER_FIELD {
            return None;
        }
        (0..count).map(|_| item(bytes)).collect()
    }
    fn long_text<'a>(bytes: &mut Bytes<'a>) -> Option<&'a str> {
        let len = usize::try_from(bytes.get::<u32>()?).ok()?;
        bytes.text(len)
    }
    Some(match bytes.get::<u8>()? {
        form::ID_32 => LoggedValue::Id(i64::from(bytes.get::<u32>()?)),
        form::ID => LoggedValue::Id(bytes.get()?),
        form::NUMBER => LoggedValue::Number(bytes.get()?),
        form::SHORT_TEXT => {
            let len = usize::from(bytes.get::<u8>()?);
            LoggedValue::Text(bytes.text(len)?)
        }
        form::TEXT => LoggedValue::Text(long_text(bytes)?),
        form::TEXT_VALUE => LoggedValue::TextValue(bytes.get()?),
        form::KEY => LoggedValue::Key(bytes.get()?),
        form::IDS => LoggedValue::Ids(list(bytes, Bytes::get)?),
        form::TEXTS => LoggedValue::Texts(list(bytes, long_text)?),
        form::TEXT_VALUES => LoggedValue::TextValues(list(bytes, Bytes::get)?),
        form::KEYS => LoggedValue::Keys(list(bytes, Bytes::get)?),
        _ => return None,
    })
}

fn read_money(bytes: &mut Bytes<'_>) -> Option<Option<Money>> {
    let (micros, basis, currency) = (bytes.get::<u64>()?, bytes.get::<u8>()?, bytes.array()?);
    if basis == 0 { Some(None) } else { money_of(micros, basis, currency).map(Some) }
}

/// A whole request.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedDetail<'a> {
    /// Id of the request.
    pub request_id: &'a str,
    /// The weight that is always added.
    pub bias: f64,
    /// Features of the context, in the order in which they are added.
    pub context: Vec<LoggedFeature>,
    /// The candidates.
    pub candidates: Vec<LoggedCandidate>,
}

/// A candidate of a whole request.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedCandidate {
    /// Its logit, or NaN.
    pub logit: f64,
    /// Its probability, or NaN.
    pub probability: f32,
    /// Its status.
    pub status: CandidateStatus,
    /// Its own features, then those of its crosses with the context.
    pub features: Vec<LoggedFeature>,
}

/// A feature of a whole request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoggedFeature {
    /// Index of its field in the contract, or the number of fields plus the index of its cross.
    pub group: u16,
    /// Its key; 0 for a field without a value.
    pub key: u64,
    /// What it adds to the logit.
    pub weight: f32,
    /// Where the weight is from.
    pub source: WeightSource,
}

fn read_detail<'a>(bytes: &mut Bytes<'a>, model: &LoggedModel<'_>) -> Option<LoggedDetail<'a>> {
    let group_count = model.fields.len() + model.crosses.len();
    let (candidate_count, context_count) = (bytes.get::<u32>()?, bytes.get::<u32>()?);
    let bias = bytes.get()?;
    let request_id_len = usize::try_from(bytes.get::<u32>()?).ok()?;
    let request_id = bytes.text(request_id_len)?;
    let context = read_features(bytes, context_count, group_count)?;
    // Collecting into an option reserves nothing in advance, so a number that lies costs nothing.
    let candidates = (0..candidate_count).map(|_| {
        let (logit, probability) = (bytes.get()?, bytes.get()?);
        let status = CandidateStatus::from_number(bytes.get()?)?;
        let feature_count = bytes.get()?;
        Some(LoggedCandidate {
            logit,
            probability,
            status,
            features: read_features(bytes, feature_count, group_count)?,
        })
    });
    let candidates = candidates.collect::<Option<_>>()?;
    Some(LoggedDetail { request_id, bias, context, candidates })
}

fn read_features(bytes: &mut Bytes<'_>, count: u32, group_count: usize) -> Option<Vec<LoggedFeature>> {
    let features = (0..count).map(|_| {
        let (group, key, weight) = (bytes.get::<u16>()?, bytes.get()?, bytes.get()?);
        let sources = [WeightSource::Unseen, WeightSource::Found, WeightSource::Missing];
        let source = *sources.get(usize::from(bytes.get::<u8>()?))?;
        (usize::from(group) < group_count).then_some(LoggedFeature { group, key, weight, source })
    });
    features.collect()
}

/// Something that happened to a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Whose event it is.
    pub prediction_id: PredictionId,
    /// What happened.
    pub kind: EventKind,
    /// What was paid, or what it is worth.
    pub money: Option<Money>,
}

fn read_event(bytes: &mut Bytes<'_>) -> Option<LoggedEvent> {
    let prediction_id = PredictionId::from_bytes(bytes.array()?);
    let money = read_money(bytes)?;
    let kind = EventKind::from_number(bytes.get()?)?;
    bytes.take(3)?;
    Some(LoggedEvent { prediction_id, kind, money })
}
