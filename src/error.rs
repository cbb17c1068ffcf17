#![doc = include_str!("ERRORS.md")]

mod code;

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

pub use code::{Code, Owner};

use crate::contract::ContractFaults;
use crate::digest::{Digest, KeyId};
use crate::log;
use crate::printable::{printable, without_middle};

/// What went wrong while a weight file was opened, bound or scored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pointer that must not be null is null.
    #[error("{argument} is null")]
    NullArgument {
        /// Name of the argument.
        argument: &'static str,
    },
    /// An argument has a value that its documentation forbids.
    #[error("{argument}: {problem}")]
    InvalidArgument {
        /// Name of the argument.
        argument: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A request block is not aligned to 8 bytes.
    #[error("the request block is misaligned: expected an address that is a multiple of 8 bytes, found {address:#x}")]
    Misaligned {
        /// The address that was passed.
        address: usize,
    },
    /// A request block, an option struct or a text buffer does not have the size that the callee needs.
    #[error("{what} has the wrong size: expected {expected} bytes, found {found}")]
    WrongSize {
        /// What has the wrong size.
        what: &'static str,
        /// Size in bytes that the callee needs.
        expected: u64,
        /// Size in bytes that was passed.
        found: u64,
    },
    /// A struct of a caller that was compiled with a newer header has a member that this library does not know, and the
    /// member is set.
    #[error(
        "{what} has {found} bytes, of which this library knows {known}, and a later one is set: deploy the release of the library that the caller was compiled with, or leave its new members 0"
    )]
    NewerStruct {
        /// The struct.
        what: &'static str,
        /// Size in bytes that this library knows.
        known: u64,
        /// Size in bytes that was passed.
        found: u64,
    },
    /// The header of a request block names a layout that this library does not read.
    #[error("the request block has the wrong layout version: expected {expected} in its header, found {found}")]
    LayoutVersion {
        /// The version that this library reads.
        expected: u32,
        /// The version in the header.
        found: u32,
    },
    /// A request names more candidates than its layout has rows.
    #[error("too many candidates: the request's layout has rows for {expected}, {found} were passed")]
    TooManyCandidates {
        /// Number of candidate rows in the layout.
        expected: u64,
        /// Number of candidates that were passed.
        found: u64,
    },
    /// A candidate set has no room for another candidate.
    #[error("the candidate set is full: it has room for {expected}; remove candidates, or open a larger set")]
    CandidateSetFull {
        /// The capacity of the set.
        expected: u64,
    },
    /// Two threads used one scorer at the same time.
    #[error("the scorer is in use by another thread: make one scorer per thread")]
    ScorerBusy,
    /// A thread used a scorer that belongs to another thread.
    #[error(
        "the scorer belongs to another thread: make one scorer per thread, or let the other thread hand it over first"
    )]
    ScorerOwned,
    /// A setter of the request refused a value, and the caller went on. It has the code that the setter returned.
    #[error("{what} in {place} was refused before: {code}; the request keeps its first refusal until it is cleared")]
    ValueRefused {
        /// The field, or what else was refused.
        what: Arc<str>,
        /// The row for which the value was.
        place: RowPlace,
        /// The status that the setter returned.
        code: Code,
    },
    /// The context row cannot be read, so no candidate can be scored.
    #[error("the context is malformed in field `{field}`: {problem}")]
    ContextMalformed {
        /// Name of the field.
        field: Arc<str>,
        /// Why the row cannot be read.
        problem: RowProblem,
    },
    /// Text that must be UTF-8 is not.
    #[error("{what} is not UTF-8: the first bad byte is at {position}")]
    NotUtf8 {
        /// What is not UTF-8.
        what: &'static str,
        /// Offset of the first bad byte.
        position: usize,
    },
    /// The server's schema has no field of that name.
    #[error("the schema has no field `{field}`")]
    UnknownField {
        /// The requested name.
        field: String,
    },
    /// A value was set in a field that has another type or another side.
    #[error("field `{field}` was declared as {declared}, but is used as {used}")]
    WrongFieldUse {
        /// Name of the field.
        field: String,
        /// The type and side of the field in the schema.
        declared: String,
        /// How the caller used it.
        used: &'static str,
    },
    /// A slot of another schema was used in a row.
    #[error(
        "the slot is of another schema than the request, or was never filled; take it from the schema of the request's layout"
    )]
    ForeignSlot,
    /// The texts and the lists of `many` fields do not fit into the request's tail.
    #[error(
        "the request's tail is full: it has {expected} bytes, {found} are needed; make the request's layout with a larger tail"
    )]
    TailFull {
        /// Length of the tail, in bytes.
        expected: u64,
        /// Needed length, in bytes.
        found: u64,
    },
    /// A row has too many values in a `many` field.
    #[error("too many values in field `{field}`: at most {expected}, found {found}")]
    TooManyValues {
        /// Name of the field.
        field: String,
        /// Largest allowed number of values of one field in one row.
        expected: u64,
        /// Number of values that were passed.
        found: u64,
    },
    /// The handle is already closed.
    #[error("the {what} is closed")]
    Closed {
        /// What is closed.
        what: &'static str,
    },
    /// This process was forked from the one that opened the live model.
    #[error(
        "the live model belongs to process {expected}, found its fork {found}: the thread that follows the store is not in this process; open a live model in each process, after the fork"
    )]
    Forked {
        /// The process that opened the live model.
        expected: u32,
        /// This process.
        found: u32,
    },
    /// This process was forked from the one that opened the serving log.
    #[error(
        "the serving log belongs to process {expected}, found its fork {found}: the thread that writes is not in this process; open a serving log in each process, after the fork"
    )]
    LogForked {
        /// The process that opened the serving log.
        expected: u32,
        /// This process.
        found: u32,
    },
    /// A server reported something that cannot be recorded.
    #[error("a record of the serving log cannot be made: expected {what}")]
    RecordInvalid {
        /// What was expected.
        what: &'static str,
    },
    /// The native library and the code that calls it come from different releases.
    #[error(
        "the native library has ABI version {found}, the caller was made for {expected}: deploy both from one release"
    )]
    AbiMismatch {
        /// The caller's version.
        expected: u32,
        /// The library's version.
        found: u32,
    },

    /// There is no memory for something large.
    #[error("there is no memory for {what}: expected {needed} bytes more; give the process more memory, or use less")]
    OutOfMemory {
        /// What needs the memory.
        what: &'static str,
        /// Its size, in bytes.
        needed: u64,
    },

    /// The server's schema is not valid.
    #[error("the schema is not valid: {problem}")]
    SchemaInvalid {
        /// What is wrong.
        problem: String,
    },
    /// The model needs fields that the server's schema does not declare. Names all of them.
    #[error("the model needs {fields}, which the schema does not declare{more}")]
    FieldMissing {
        /// The fields, each with its side and its type in the contract.
        fields: String,
        /// Fields that the schema declares differently, or nothing.
        more: String,
    },
    /// The model's contract and the server's schema describe fields differently. Names all of them.
    #[error(
        "field `{field}` differs in its {aspect}: the model's contract says {expected}, the schema says {found}{more}"
    )]
    FieldMismatch {
        /// Name of the first field.
        field: String,
        /// What differs: side, type, many, unit or range.
        aspect: &'static str,
        /// The value in the model's contract.
        expected: Box<str>,
        /// The value in the server's schema.
        found: Box<str>,
        /// The other differences, or nothing.
        more: Box<str>,
    },

    /// The operating system could not read or write a file.
    #[error("cannot {action} {path}")]
    File {
        /// The action that failed, such as `open`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file with that name already exists. Weight file names are never reused.
    #[error("{path} already exists; weight file names are never reused: choose the next generation's name")]
    AlreadyExists {
        /// The file.
        path: PathBuf,
    },
    /// The bytes are not a weight file.
    #[error("not a weight file: expected it to begin with {expected:02x?}, found {found:02x?}")]
    NotAWeightFile {
        /// The first bytes of every weight file.
        expected: [u8; 8],
        /// The first bytes of this one.
        found: Vec<u8>,
    },
    /// The file was written in the other byte order.
    #[error(
        "the weight file is in the wrong byte order: expected the mark {expected:#010x}, found {found:#010x}; weight files are little-endian on every machine"
    )]
    WrongByteOrder {
        /// The byte-order mark of a little-endian file.
        expected: u32,
        /// The byte-order mark of this one.
        found: u32,
    },
    /// The file needs a newer library.
    #[error(
        "the weight file is too new: it needs a reader of format version {found}, this one reads versions up to {expected}; update the serving library first"
    )]
    TooNew {
        /// The newest version that this library reads.
        expected: u32,
        /// The oldest version that can read the file.
        found: u32,
    },
    /// The file has a section or an encoding that this library does not know and must not skip.
    #[error(
        "the weight file is too new: this library does not know its {what} {found}; update the serving library first"
    )]
    UnknownRequired {
        /// What the library does not know.
        what: &'static str,
        /// Its number.
        found: u32,
    },
    /// The file has a format version that this library no longer reads.
    #[error(
        "the weight file is too old: expected format version {expected} or later, found {found}; pack the next generation with this release"
    )]
    TooOld {
        /// The oldest version that this library reads.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
    /// The file is shorter than expected.
    #[error(
        "the weight file is truncated: expected {expected} bytes, found {found}; copy it again, or publish the next generation"
    )]
    Truncated {
        /// Expected length, in bytes.
        expected: u64,
        /// Actual length, in bytes.
        found: u64,
    },
    /// The file is longer than its header says.
    #[error(
        "the weight file is too long: its header says {expected} bytes, found {found}; copy it again, or publish the next generation"
    )]
    TooLong {
        /// Expected length, in bytes.
        expected: u64,
        /// Actual length, in bytes.
        found: u64,
    },
    /// A checksum does not match.
    #[error(
        "the weight file is damaged in its {part}: expected the checksum {expected:#010x}, found {found:#010x}; copy it again, or publish the next generation"
    )]
    Damaged {
        /// The damaged part and its place.
        part: String,
        /// The checksum that the file stores.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// The checksums match, but the parts contradict each other: the writer has a defect, or the bytes were edited by
    /// hand.
    #[error("the weight file is malformed: {problem}; pack the next generation with a released version")]
    Malformed {
        /// The contradiction.
        problem: String,
    },
    /// The contract inside the file is not valid.
    #[error("the contract inside the weight file is not valid; pack the next generation with a released version")]
    FileContract(#[source] ContractFaults),
    /// The file does not give the answers to its golden requests that it stores.
    #[error(
        "golden request {request}, candidate {candidate}: expected the {what} {expected:?}, found {found:?}; do not serve this file"
    )]
    GoldenMismatch {
        /// Index of the request.
        request: usize,
        /// Index of the candidate.
        candidate: usize,
        /// What differs: `logit`, or `probability` if only that does.
        what: &'static str,
        /// The value in the file.
        expected: f64,
        /// The value that this library computes.
        found: f64,
    },

    /// The file is not signed, but this server requires a signature.
    #[error(
        "the weight file is not signed: expected a signature by {expected}, found none; sign it with `omomi sign` before it is published"
    )]
    SignatureMissing {
        /// Ids of the keys whose signatures are accepted.
        expected: String,
    },
    /// The signature does not match the bytes of the file.
    #[error(
        "the weight file does not match its signature by key {key}: it was changed after it was signed; take it as it was signed, or publish the next generation"
    )]
    SignatureInvalid {
        /// Id of the key.
        key: KeyId,
    },
    /// The file is signed by a key that this server does not know.
    #[error(
        "the weight file is signed by an unknown key: expected {expected}, found {found}; accept the key, or have the file signed by an accepted one"
    )]
    SignatureKeyUnknown {
        /// Ids of the keys whose signatures are accepted.
        expected: String,
        /// Id of the key that signed the file.
        found: KeyId,
    },
    /// The digest of a published weight file is not the one that the store names.
    #[error(
        "{path} is not the file that was published: expected the digest {expected}, found {found}; restore the published file, or publish the next generation"
    )]
    DigestMismatch {
        /// The file.
        path: PathBuf,
        /// The digest that the store names.
        expected: Digest,
        /// The digest of its bytes.
        found: Digest,
    },
    /// A text file of the store has unexpected content.
    #[error(
        "{path} is malformed: expected {expected}, found {found}; write it again with `omomi publish`, `follow`, `pin`, `freeze`, `off` or `on`"
    )]
    StoreMalformed {
        /// The file.
        path: PathBuf,
        /// The content of a valid file.
        expected: String,
        /// The content of this one.
        found: String,
    },
    /// The experiment file is missing or has unexpected content.
    #[error(
        "{path} is malformed: expected {expected}, found {found}; write it with `omomi experiment start`, `share` or `stop`"
    )]
    ExperimentMalformed {
        /// The file.
        path: PathBuf,
        /// The content of a valid file.
        expected: String,
        /// The content of this one.
        found: String,
    },
    /// The weight file exceeds this server's size limit.
    #[error(
        "the weight file is too large for this server: expected at most {expected} bytes, found {found}; prune the model, or raise the limit"
    )]
    FileTooLarge {
        /// The limit, in bytes.
        expected: u64,
        /// Size of this file, in bytes.
        found: u64,
    },
    /// The file, together with the models in memory, exceeds this server's memory budget.
    #[error(
        "the weight file does not fit into the memory budget: expected at most {expected} bytes for all models in memory, found {held} in memory and {needed} more to load; raise the budget, or prune the model"
    )]
    MemoryBudget {
        /// The budget for all models together, in bytes.
        expected: u64,
        /// Bytes of the models that are in memory.
        held: u64,
        /// Bytes of the file.
        needed: u64,
    },
    /// The generation is older than the served one, or below this server's limit.
    #[error(
        "generation {found} is older than allowed: expected {expected} or later; to go back, use `omomi rollback` or `omomi pin`"
    )]
    GenerationBehind {
        /// The lowest generation that may be served.
        expected: u64,
        /// The generation that was found.
        found: u64,
    },
    /// The generation in the file's header differs from the one in its name.
    #[error(
        "the generation in the weight file's header differs from its name: expected {expected}, found {found}; publish the next generation"
    )]
    GenerationMismatch {
        /// The generation in the file's name.
        expected: u64,
        /// The generation in its header.
        found: u64,
    },
    /// The contract is not one of those that this server is configured to expect.
    #[error(
        "the contract is not one that this server expects: expected the fingerprint {expected}, found {found:016x}; agree on the contract before publishing"
    )]
    ContractNotExpected {
        /// The expected fingerprints.
        expected: String,
        /// The fingerprint of the file's contract.
        found: u64,
    },
    /// Users other than the owner may write the file.
    #[error(
        "{path} is writable by users other than its owner: expected permissions without 0022, found {mode:04o}; remove the permission (omomi publish does), or allow it"
    )]
    WritableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file of a generation was replaced by another file with the same name.
    #[error(
        "generation {generation} was replaced by another file with the same name: its content is not the one being served; names of generations are never reused: publish the next generation"
    )]
    NameReused {
        /// The generation.
        generation: u64,
    },
    /// A process died while the generation was on trial.
    #[error(
        "processes died while generation {generation} was on trial: expected at most {expected} deaths, found {deaths}; do not serve it until the reason is known"
    )]
    KilledProcess {
        /// The generation.
        generation: u64,
        /// Largest number of deaths that are treated as chance.
        expected: u32,
        /// Deaths so far.
        deaths: u32,
    },
    /// A mapped file was written, truncated or replaced in place.
    #[error(
        "{path} was changed in place while it was being served: {change}; replace weight files by rename only (omomi publish does), or load them in the mode `copy`"
    )]
    ChangedInPlace {
        /// The file.
        path: PathBuf,
        /// What changed.
        change: String,
    },
    /// There is no store at the path.
    #[error("there is no store at {}: expected a folder with `generations`, found {found}; correct the path, or mount it", path.display())]
    StoreMissing {
        /// The path, made absolute.
        path: PathBuf,
        /// What was found.
        found: &'static str,
    },
    /// No model is being served yet.
    #[error("there is no model to score with; use the server's fallback until one is served")]
    NoModel,
    /// Serving is switched off.
    #[error("scoring is switched off; use the server's fallback until it is switched on (omomi on)")]
    SwitchedOff,
    /// The folder for the server's journal cannot be used.
    #[error(
        "the state folder {path} cannot be used: {problem}; orders, deaths on trial and quarantine may be forgotten when this process ends"
    )]
    StateUnusable {
        /// The folder.
        path: PathBuf,
        /// Why it cannot be used.
        problem: String,
    },

    /// The training data of the served generation is older than this server's limit, or ends in the future.
    #[error(
        "the training data of generation {generation} is stale: expected an end {expected}, found {found}; train on newer logs and publish"
    )]
    StaleTrainingData {
        /// The generation.
        generation: u64,
        /// When the data may end.
        expected: String,
        /// When the data ends.
        found: String,
    },

    /// The guard of an experiment has stopped an arm in this process. Its units get the control arm.
    #[error(
        "the guard stopped the arm {arm}: expected {expected}, found {found}; its units get the control arm in this process until the file says that the arm is stopped; find out why, and stop it for all servers with `omomi experiment stop`"
    )]
    GuardStopped {
        /// Name of the arm.
        arm: String,
        /// Its band.
        expected: String,
        /// What was seen of it.
        found: String,
    },

    /// The operating system did not lock the pages of a weight file in memory. They are served without.
    #[error(
        "{path} is not locked in memory: expected a limit that has room for its {needed} bytes, found {limit}; raise the limit of locked memory (`ulimit -l`, `LimitMEMLOCK=`), or do without lock_memory"
    )]
    MemoryNotLocked {
        /// The file.
        path: PathBuf,
        /// Length of the file, in bytes.
        needed: u64,
        /// The process's limit of locked memory.
        limit: String,
        /// The error of the operating system.
        source: std::io::Error,
    },

    /// The library has a defect.
    #[error("a defect in omomi was caught at the boundary: {message}; report it")]
    Panic {
        /// The message of the panic.
        message: String,
    },
}

/// Why a row cannot be read. The numbers are the statuses of candidates in their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum RowProblem {
    /// A text or a list of values is outside the part of the tail that is in use.
    OutsideTail = 2,
    /// A text is not UTF-8.
    NotUtf8 = 3,
    /// A list has more values than one field of a row may have.
    TooManyValues = 4,
    /// The candidate set has no candidate at that index.
    NoCandidate = 5,
    /// The request was not given this candidate since it was cleared.
    NotFilled = 6,
}

impl RowProblem {
    /// Every problem.
    pub const ALL: [Self; 5] =
        [Self::OutsideTail, Self::NotUtf8, Self::TooManyValues, Self::NoCandidate, Self::NotFilled];
}

impl std::fmt::Display for RowProblem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::OutsideTail => "a text or list is outside the part of the tail that is in use",
            Self::NotUtf8 => "a text is not UTF-8 (a string of the JVM: it has an unpaired surrogate)",
            Self::TooManyValues => "a list has more values than one field of a row may have",
            Self::NoCandidate => "the candidate set has no candidate at that index",
            Self::NotFilled => "the candidate was not filled since the request was cleared",
        })
    }
}

/// A row of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowPlace {
    /// The row of the context.
    Context,
    /// The row of the candidate with this index.
    Candidate(u32),
}

impl std::fmt::Display for RowPlace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Context => formatter.write_str("the context"),
            Self::Candidate(index) => write!(formatter, "candidate {index}"),
        }
    }
}

impl Error {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NullArgument { .. } => Code::NullArgument,
            Self::InvalidArgument { .. } | Self::LayoutVersion { .. } => Code::InvalidArgument,
            Self::Misaligned { .. } => Code::Misaligned,
            Self::WrongSize { .. } => Code::WrongSize,
            Self::TooManyCandidates { .. } | Self::CandidateSetFull { .. } => Code::TooManyCandidates,
            Self::ScorerBusy | Self::ScorerOwned => Code::ScorerBusy,
            Self::ValueRefused { code, .. } => *code,
            Self::ContextMalformed { .. } => Code::ContextMalformed,
            Self::NotUtf8 { .. } => Code::NotUtf8,
            Self::UnknownField { .. } => Code::UnknownField,
            Self::WrongFieldUse { .. } | Self::ForeignSlot => Code::WrongFieldUse,
            Self::TailFull { .. } => Code::TailFull,
            Self::TooManyValues { .. } => Code::TooManyValues,
            Self::Closed { .. } => Code::Closed,
            Self::Forked { .. } | Self::LogForked { .. } => Code::Forked,
            Self::RecordInvalid { .. } => Code::RecordInvalid,
            Self::AbiMismatch { .. } | Self::NewerStruct { .. } => Code::AbiMismatch,
            Self::OutOfMemory { .. } => Code::OutOfMemory,
            Self::SchemaInvalid { .. } => Code::SchemaInvalid,
            Self::FieldMissing { .. } => Code::FieldMissing,
            Self::FieldMismatch { .. } => Code::FieldMismatch,
            Self::File { .. } => Code::File,
            Self::AlreadyExists { .. } => Code::AlreadyExists,
            Self::NotAWeightFile { .. } => Code::NotAWeightFile,
            Self::WrongByteOrder { .. } => Code::WrongByteOrder,
            Self::TooNew { .. } | Self::UnknownRequired { .. } => Code::TooNew,
            Self::TooOld { .. } => Code::TooOld,
            Self::Truncated { .. } => Code::Truncated,
            Self::TooLong { .. } => Code::TooLong,
            Self::Damaged { .. } => Code::Damaged,
            Self::Malformed { .. } => Code::Malformed,
            Self::FileContract(_) => Code::FileContract,
            Self::GoldenMismatch { .. } => Code::GoldenMismatch,
            Self::SignatureMissing { .. } => Code::SignatureMissing,
            Self::SignatureInvalid { .. } => Code::SignatureInvalid,
            Self::SignatureKeyUnknown { .. } => Code::SignatureKeyUnknown,
            Self::DigestMismatch { .. } => Code::DigestMismatch,
            Self::StoreMalformed { .. } => Code::StoreMalformed,
            Self::ExperimentMalformed { .. } => Code::ExperimentMalformed,
            Self::FileTooLarge { .. } => Code::FileTooLarge,
            Self::MemoryBudget { .. } => Code::MemoryBudget,
            Self::GenerationBehind { .. } => Code::GenerationBehind,
            Self::GenerationMismatch { .. } => Code::GenerationMismatch,
            Self::ContractNotExpected { .. } => Code::ContractNotExpected,
            Self::WritableByOthers { .. } => Code::WritableByOthers,
            Self::NameReused { .. } => Code::NameReused,
            Self::KilledProcess { .. } => Code::KilledProcess,
            Self::ChangedInPlace { .. } => Code::ChangedInPlace,
            Self::StoreMissing { .. } => Code::StoreMissing,
            Self::NoModel => Code::NoModel,
            Self::SwitchedOff => Code::SwitchedOff,
            Self::StateUnusable { .. } => Code::StateUnusable,
            Self::StaleTrainingData { .. } => Code::StaleTrainingData,
            Self::GuardStopped { .. } => Code::GuardStopped,
            Self::MemoryNotLocked { .. } => Code::MemoryNotLocked,
            Self::Panic { .. } => Code::Panic,
        }
    }

    /// Returns who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.code().owner()
    }

    /// Converts a panic into an error at a boundary that the panic must not cross.
    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("no message");
        log::note_caught_panic(text);
        Self::Panic { message: text.to_owned() }
    }

    /// Returns the message followed by the messages of its causes, each printed once.
    #[must_use]
    pub fn full_message(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_full_message(&mut text);
        text
    }

    /// Returns the text of [`Error::full_message`] in at most about 1 kB and without control characters, for places
    /// that keep it or show it again: reports, quarantine, journal, labels. Leaves out the middle of a longer one.
    #[must_use]
    pub fn short_message(&self) -> String {
        const MAX_LEN_BYTES: usize = 1_000;
        without_middle(printable(&self.full_message(), usize::MAX), MAX_LEN_BYTES)
    }

    /// Writes the text of [`Error::full_message`] without allocating.
    pub(crate) fn write_full_message(&self, text: &mut impl std::fmt::Write) -> std::fmt::Result {
        write!(text, "{self}")?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(text, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
