#![doc = include_str!("ERRORS.md")]

mod code;

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

pub use code::{Code, Owner};

use crate::contract::ContractFaults;
use crate::digest::Digest;
use crate::weight_file::signature::KeyId;

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
    /// An argument has a value that its documentation rules out.
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
    /// A request block, an option struct or a text buffer has another size than the callee needs.
    #[error("{what} has the wrong size: expected {expected} bytes, found {found}")]
    WrongSize {
        /// What has the wrong size.
        what: &'static str,
        /// Size in bytes that the callee needs.
        expected: u64,
        /// Size in bytes that was passed.
        found: u64,
    },
    /// The header of a request block names a layout that this library does not read.
    #[error("the request block has another layout: expected version {expected} in its header, found {found}")]
    LayoutVersion {
        /// The version that this library reads.
        expected: u32,
        /// The version in the header.
        found: u32,
    },
    /// A request names more candidates than its layout has rows.
    #[error("too many candidates: the request's layout has rows for {expected}, {found} were passed")]
    TooManyCandidates {
        /// Candidate rows of the layout.
        expected: u64,
        /// Candidates that were passed.
        found: u64,
    },
    /// Two threads called one scorer at once.
    #[error("the scorer is in use by another thread: make one scorer per thread")]
    ScorerBusy,
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
    /// The server's declaration has no field of that name.
    #[error("the schema has no field `{field}`")]
    UnknownField {
        /// The name that was asked for.
        field: String,
    },
    /// A value was set in a field of another type or side.
    #[error("field `{field}` was declared as {declared}, but is used as {used}")]
    WrongFieldUse {
        /// Name of the field.
        field: String,
        /// What the declaration says.
        declared: String,
        /// What the caller did.
        used: &'static str,
    },
    /// A request's texts and many values do not fit into its tail.
    #[error(
        "the request's tail is full: it has {expected} bytes, {found} are needed; make the request's layout with a larger tail"
    )]
    TailFull {
        /// Bytes of the tail.
        expected: u64,
        /// Bytes that were needed.
        found: u64,
    },
    /// A row has more values of a `many` field than a row may have.
    #[error("too many values in field `{field}`: at most {expected}, found {found}")]
    TooManyValues {
        /// Name of the field.
        field: String,
        /// Most values of a field in a row.
        expected: u64,
        /// Values that were passed.
        found: u64,
    },
    /// The handle was closed already.
    #[error("the {what} is closed")]
    Closed {
        /// What is closed.
        what: &'static str,
    },
    /// The native library and the code that calls it are of different builds.
    #[error(
        "the native library has ABI version {found}, the caller was made for {expected}: deploy both from one release"
    )]
    AbiMismatch {
        /// The caller's version.
        expected: u32,
        /// The library's version.
        found: u32,
    },

    /// The server's declaration of its fields is not valid.
    #[error("the schema is not valid: {problem}")]
    SchemaInvalid {
        /// What is wrong.
        problem: String,
    },
    /// The model reads a field that the server does not declare.
    #[error("the model needs the {side} field `{field}` ({kind}), which the schema does not declare")]
    FieldMissing {
        /// Name of the field.
        field: String,
        /// Its side in the contract.
        side: &'static str,
        /// Its type in the contract.
        kind: String,
    },
    /// The model and the server mean different things by one field.
    #[error("field `{field}` differs in its {aspect}: the model's contract says {expected}, the schema says {found}")]
    FieldMismatch {
        /// Name of the field.
        field: String,
        /// What differs: side, type, many, unit or range.
        aspect: &'static str,
        /// What the model's contract says.
        expected: String,
        /// What the server declares.
        found: String,
    },

    /// The operating system could not read or write a file.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file of that name exists; names of weight files are never used twice.
    #[error("{path} exists already; a weight file's name is never used twice: choose the next generation's name")]
    AlreadyExists {
        /// The file.
        path: PathBuf,
    },
    /// The bytes are something else.
    #[error("not a weight file: expected it to begin with {expected:02x?}, found {found:02x?}")]
    NotAWeightFile {
        /// The bytes at the front of every weight file.
        expected: [u8; 8],
        /// The bytes at the front of this one.
        found: Vec<u8>,
    },
    /// The file was written in the other byte order.
    #[error(
        "the weight file is in the wrong byte order: expected the mark {expected:#010x}, found {found:#010x}; weight files are little-endian on every machine"
    )]
    WrongByteOrder {
        /// The mark of a little-endian file.
        expected: u32,
        /// The mark of this one.
        found: u32,
    },
    /// The file needs a newer library.
    #[error(
        "the weight file is too new: it needs a reader of format version {found}, this one reads up to {expected}; update the serving library first"
    )]
    TooNew {
        /// The newest version that this library reads.
        expected: u32,
        /// The oldest version that can read the file.
        found: u32,
    },
    /// The file has a section or an encoding that this library does not know and may not skip.
    #[error(
        "the weight file is too new: this library does not know its {what} {found}; update the serving library first"
    )]
    UnknownRequired {
        /// What is not known.
        what: &'static str,
        /// Its number.
        found: u32,
    },
    /// The file is of a version that this library no longer reads.
    #[error("the weight file is too old: it has format version {found}, the oldest read is {expected}; pack it again")]
    TooOld {
        /// The oldest version that this library reads.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
    /// The file ends early.
    #[error("the weight file is truncated: expected {expected} bytes, found {found}; publish it again")]
    Truncated {
        /// Bytes that were promised.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The file goes on behind its end.
    #[error("the weight file is too long: its header promises {expected} bytes, found {found}; publish it again")]
    TooLong {
        /// Bytes that were promised.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// A checksum does not match.
    #[error(
        "the weight file is damaged in its {part}: expected the checksum {expected:#010x}, found {found:#010x}; publish it again"
    )]
    Damaged {
        /// Which part, with its place.
        part: String,
        /// The checksum in the file.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// Checksums match, but the parts contradict each other: the writer was wrong, or the bytes were made by hand.
    #[error("the weight file is malformed: {problem}; pack it again with a released version")]
    Malformed {
        /// What contradicts what.
        problem: String,
    },
    /// The contract inside the file is not valid.
    #[error("the contract inside the weight file is not valid; pack it again with a released version")]
    FileContract(#[source] ContractFaults),
    /// The file does not give the answers that it promises.
    #[error(
        "golden request {request}, candidate {candidate}: expected the logit {expected:?}, found {found:?}; do not serve this file"
    )]
    GoldenMismatch {
        /// Index of the request.
        request: usize,
        /// Index of the candidate.
        candidate: usize,
        /// The logit in the file.
        expected: f64,
        /// The logit that this library computes.
        found: f64,
    },

    /// The file is not signed, and has to be.
    #[error(
        "the weight file is not signed: expected a signature by {expected}, found none; sign it with `omomi sign`, then publish it"
    )]
    SignatureMissing {
        /// Ids of the keys whose signatures are accepted.
        expected: String,
    },
    /// The signature is not one of these bytes.
    #[error(
        "the weight file does not match its signature by key {key}: it was changed after it was signed; publish it as it was signed"
    )]
    SignatureInvalid {
        /// Id of the key.
        key: KeyId,
    },
    /// The file is signed by somebody whom nobody here knows.
    #[error(
        "the weight file is signed by a key that is not known: expected {expected}, found {found}; accept the key, or have the file signed by one that is accepted"
    )]
    SignatureKeyUnknown {
        /// Ids of the keys whose signatures are accepted.
        expected: String,
        /// Id of the key that signed.
        found: KeyId,
    },
    /// A published weight file is not the one that the store names.
    #[error(
        "{path} is not the file that was published: expected the digest {expected}, found {found}; publish it again"
    )]
    DigestMismatch {
        /// The file.
        path: PathBuf,
        /// The digest that the store names.
        expected: Digest,
        /// The digest of its bytes.
        found: Digest,
    },
    /// A file of a store does not say what such a file says.
    #[error(
        "{path} is malformed: expected {expected}, found {found}; write it again with `omomi publish`, `rollback`, `pin`, `freeze`, `off` or `on`"
    )]
    StoreMalformed {
        /// The file.
        path: PathBuf,
        /// What such a file says.
        expected: String,
        /// What this one says.
        found: String,
    },
    /// A weight file is larger than this server takes.
    #[error(
        "the weight file is too large for this server: expected at most {expected} bytes, found {found}; prune the model, or raise the limit"
    )]
    FileTooLarge {
        /// Most bytes of a file.
        expected: u64,
        /// Bytes of this one.
        found: u64,
    },
    /// The file and what is in memory already are more than this server allows.
    #[error(
        "the weight file does not fit into the memory budget: expected at most {expected} bytes for all models in memory, found {held} in memory and {needed} more to load; raise the budget, or prune the model"
    )]
    MemoryBudget {
        /// Most bytes of all models together.
        expected: u64,
        /// Bytes in memory.
        held: u64,
        /// Bytes of the file.
        needed: u64,
    },
    /// The generation is older than what is served, or than this server's limit.
    #[error(
        "generation {found} is behind: expected {expected} or later; going back needs a pin: omomi rollback, or omomi pin"
    )]
    GenerationBehind {
        /// The least generation that may be served.
        expected: u64,
        /// The generation that was found.
        found: u64,
    },
    /// The header of a file has another generation than its name.
    #[error(
        "the weight file has another generation inside: expected {expected}, as its name says, found {found}; publish it under its own name"
    )]
    GenerationMismatch {
        /// The generation in the file's name.
        expected: u64,
        /// The generation in its header.
        found: u64,
    },
    /// The contract is none that this server was told to expect.
    #[error(
        "the contract is not one that this server expects: its fingerprint is {found:016x}, expected {expected}; agree on the contract before publishing"
    )]
    ContractNotExpected {
        /// The fingerprints that are expected.
        expected: String,
        /// The fingerprint of the file's contract.
        found: u64,
    },
    /// Others than the owner may write the file.
    #[error(
        "{path} may be written by others than its owner: expected permissions without 0022, found {mode:04o}; take the permission away (omomi publish does), or allow it"
    )]
    WritableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A generation's name has another content than before.
    #[error(
        "generation {generation} was replaced under its name: its content is not the one that is being served; a generation's name is never used twice: publish the next generation"
    )]
    NameReused {
        /// The generation.
        generation: u64,
    },
    /// The process died while the generation was on trial.
    #[error(
        "a process died while generation {generation} was on trial, for the {deaths}. time (expected at most {expected}); do not serve it before the reason is known"
    )]
    KilledProcess {
        /// The generation.
        generation: u64,
        /// Most deaths that are put down to chance.
        expected: u32,
        /// Deaths so far.
        deaths: u32,
    },
    /// The file under a mapping was written, truncated or replaced in its place.
    #[error(
        "{path} was changed in place while it was being served: {change}; replace weight files by rename only (omomi publish does), or load them in the mode `copy`"
    )]
    ChangedInPlace {
        /// The file.
        path: PathBuf,
        /// What changed.
        change: String,
    },
    /// There is nothing to serve yet.
    #[error("there is no model to score with: answer by other means until one is served")]
    NoModel,
    /// Serving is switched off.
    #[error("scoring is switched off: answer by other means until it is switched on (omomi on)")]
    SwitchedOff,
    /// The folder in which a server keeps its journal cannot be used.
    #[error(
        "the state folder {path} cannot be used: {problem}; deaths on trial and quarantine are forgotten when this process ends"
    )]
    StateUnusable {
        /// The folder.
        path: PathBuf,
        /// Why not.
        problem: String,
    },

    /// The data that the served generation was trained on is older than this server's limit.
    #[error(
        "the training data of generation {generation} is stale: expected an end at most {expected} seconds ago, found {found}; train on newer logs and publish"
    )]
    StaleTrainingData {
        /// The generation.
        generation: u64,
        /// The greatest age of the data's end, in seconds.
        expected: u64,
        /// When the data ends.
        found: String,
    },

    /// The code of this library is wrong.
    #[error("a defect in omomi was caught at the boundary: {message}; report it")]
    Panic {
        /// What the panic said.
        message: String,
    },
}

/// Why a row cannot be read. The numbers are the candidate's status in its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum RowProblem {
    /// A text or a list of values lies outside the part of the tail that is in use.
    OutsideTail = 1,
    /// A text is not UTF-8.
    NotUtf8 = 2,
    /// A list has more values than a row may have.
    TooManyValues = 3,
    /// The candidate set holds no candidate at that index.
    NoCandidate = 4,
}

impl RowProblem {
    /// Every problem.
    pub const ALL: [Self; 4] = [Self::OutsideTail, Self::NotUtf8, Self::TooManyValues, Self::NoCandidate];
}

impl std::fmt::Display for RowProblem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::OutsideTail => "a text or list lies outside the tail that is in use",
            Self::NotUtf8 => "a text is not UTF-8",
            Self::TooManyValues => "a list has more values than a row may have",
            Self::NoCandidate => "the candidate set holds no candidate at that index",
        })
    }
}

impl Error {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NullArgument { .. } => Code::NullArgument,
            Self::InvalidArgument { .. } | Self::LayoutVersion { .. } => Code::InvalidArgument,
            Self::Misaligned { .. } => Code::Misaligned,
            Self::WrongSize { .. } => Code::WrongSize,
            Self::TooManyCandidates { .. } => Code::TooManyCandidates,
            Self::ScorerBusy => Code::ScorerBusy,
            Self::ContextMalformed { .. } => Code::ContextMalformed,
            Self::NotUtf8 { .. } => Code::NotUtf8,
            Self::UnknownField { .. } => Code::UnknownField,
            Self::WrongFieldUse { .. } => Code::WrongFieldUse,
            Self::TailFull { .. } => Code::TailFull,
            Self::TooManyValues { .. } => Code::TooManyValues,
            Self::Closed { .. } => Code::Closed,
            Self::AbiMismatch { .. } => Code::AbiMismatch,
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
            Self::FileTooLarge { .. } => Code::FileTooLarge,
            Self::MemoryBudget { .. } => Code::MemoryBudget,
            Self::GenerationBehind { .. } => Code::GenerationBehind,
            Self::GenerationMismatch { .. } => Code::GenerationMismatch,
            Self::ContractNotExpected { .. } => Code::ContractNotExpected,
            Self::WritableByOthers { .. } => Code::WritableByOthers,
            Self::NameReused { .. } => Code::NameReused,
            Self::KilledProcess { .. } => Code::KilledProcess,
            Self::ChangedInPlace { .. } => Code::ChangedInPlace,
            Self::NoModel => Code::NoModel,
            Self::SwitchedOff => Code::SwitchedOff,
            Self::StateUnusable { .. } => Code::StateUnusable,
            Self::StaleTrainingData { .. } => Code::StaleTrainingData,
            Self::Panic { .. } => Code::Panic,
        }
    }

    /// Who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.code().owner()
    }

    /// What a panic becomes at a boundary that it may not cross.
    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panic { message: text.unwrap_or("no message").to_owned() }
    }

    /// The message with the messages of its causes behind it, each printed once.
    #[must_use]
    pub fn full_message(&self) -> String {
        let mut text = String::new();
        // A string takes whatever is written to it.
        let _ = self.write_full_message(&mut text);
        text
    }

    /// Writes what [`Error::full_message`] returns, and allocates nothing for it.
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
