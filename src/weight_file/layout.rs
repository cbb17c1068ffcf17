//! Where everything is in a weight file. Each offset is the previous offset plus its size, so no number is written
//! twice. A test checks the tables of `FORMAT.md` against these constants.

use crate::contract::{MAX_CROSSES, MAX_FIELDS_PER_SIDE};
use crate::digest::KeyId;

/// The first bytes of every weight file. The first byte is not ASCII and the last two are a line end, so that a
/// transfer in text mode is noticed immediately.
pub const MAGIC: [u8; 8] = *b"\x89OMOMI\r\n";
/// The last bytes of every weight file: the magic, backward.
pub const END_MARK: [u8; 8] = *b"\n\rIMOMO\x89";
/// The byte-order mark of a little-endian file.
pub const BYTE_ORDER: u32 = 0x0102_0304;
/// The format version that this library writes.
pub const FORMAT_VERSION: u32 = 1;
/// The oldest format version that this library reads.
pub const OLDEST_FORMAT_VERSION: u32 = 1;
/// Length of a chunk, which has one checksum, in bytes.
pub const CHUNK_LEN: usize = 1 << 20;
/// Largest number of sections in a file.
pub const MAX_SECTIONS: usize = 64;
/// Longest JSON section other than the golden requests, in bytes.
pub const MAX_JSON_LEN: u64 = 4 << 20;
/// Longest section of golden requests, in bytes.
pub const MAX_GOLDEN_LEN: u64 = 8 << 20;
/// Most levels of lists and objects inside each other in a JSON section.
pub const MAX_JSON_DEPTH: usize = 32;
/// Most values in the provenance and in the field sizes. Tools read them into trees, which take many times the length
/// of the text.
pub const MAX_JSON_VALUES: usize = 65_536;
/// Longest text or key in a JSON section, in bytes.
pub const MAX_JSON_TEXT_LEN: usize = 1 << 20;
/// Longest logic id, in bytes.
pub const MAX_LOGIC_ID_LEN: usize = 128;
/// Most bytes that the texts and lists of a row of a golden request take in a request.
pub const MAX_GOLDEN_ROW_LEN: usize = 1 << 20;
/// Most look-ups of the golden requests of any file.
pub const MAX_GOLDEN_LOOKUPS: u64 = 1 << 22;
/// Look-ups that the golden requests of every file may need, however short it is.
pub const FREE_GOLDEN_LOOKUPS: u64 = 1 << 20;
/// Look-ups that the golden requests may need for each byte of the file, in addition to the free ones.
pub const GOLDEN_LOOKUPS_PER_BYTE: u64 = 16;
/// Largest magnitude of a bias and of a weight times its scale. The sigmoid uses no logit beyond it.
pub const MAX_WEIGHT: f32 = 700.0;
/// The last time at which training data may end: the end of the year 2199, in microseconds since 1970.
pub const MAX_TRAINING_END_US: i64 = 7_258_118_400_000_000 - 1;
/// The first time at which training data may end: the start of the year 1900, in microseconds since 1970.
pub const MIN_TRAINING_END_US: i64 = -2_208_988_800_000_000;

/// Byte-order mark: u32.
pub const BYTE_ORDER_OFFSET: usize = MAGIC.len();
/// Format version: u32.
pub const FORMAT_VERSION_OFFSET: usize = BYTE_ORDER_OFFSET + size_of::<u32>();
/// Oldest format version whose readers can read the file: u32.
pub const OLDEST_READER_OFFSET: usize = FORMAT_VERSION_OFFSET + size_of::<u32>();
/// Number of sections: u32.
pub const SECTION_COUNT_OFFSET: usize = OLDEST_READER_OFFSET + size_of::<u32>();
/// Total length of the file in bytes: u64.
pub const TOTAL_LEN_OFFSET: usize = SECTION_COUNT_OFFSET + size_of::<u32>();
/// Generation: u64.
pub const GENERATION_OFFSET: usize = TOTAL_LEN_OFFSET + size_of::<u64>();
/// File id: 16 bytes.
pub const FILE_ID_OFFSET: usize = GENERATION_OFFSET + size_of::<u64>();
/// Chunk length in bytes: u32.
pub const CHUNK_LEN_OFFSET: usize = FILE_ID_OFFSET + FILE_ID_LEN;
/// Number of chunks in all sections: u32.
pub const CHUNK_COUNT_OFFSET: usize = CHUNK_LEN_OFFSET + size_of::<u32>();
/// Offset of the checksums: u64.
pub const CHECKSUMS_OFFSET_OFFSET: usize = CHUNK_COUNT_OFFSET + size_of::<u32>();
/// CRC of the section table: u32.
pub const SECTION_TABLE_CRC_OFFSET: usize = CHECKSUMS_OFFSET_OFFSET + size_of::<u64>();
/// CRC of the checksums: u32.
pub const CHECKSUMS_CRC_OFFSET: usize = SECTION_TABLE_CRC_OFFSET + size_of::<u32>();
/// Zeros up to the header's CRC.
pub const HEADER_ZEROS_OFFSET: usize = CHECKSUMS_CRC_OFFSET + size_of::<u32>();
/// CRC of the header's other bytes: u32.
pub const HEADER_CRC_OFFSET: usize = HEADER_LEN - size_of::<u32>();
/// Length of the header.
pub const HEADER_LEN: usize = 128;
/// Length of the file id.
pub const FILE_ID_LEN: usize = 16;

/// In an entry of the section table: kind: u32.
pub const SECTION_KIND_OFFSET: usize = 0;
/// Flags: u32.
pub const SECTION_FLAGS_OFFSET: usize = SECTION_KIND_OFFSET + size_of::<u32>();
/// Offset from the start of the file: u64.
pub const SECTION_OFFSET_OFFSET: usize = SECTION_FLAGS_OFFSET + size_of::<u32>();
/// Length in bytes: u64.
pub const SECTION_LEN_OFFSET: usize = SECTION_OFFSET_OFFSET + size_of::<u64>();
/// Index of the first chunk: u32.
pub const SECTION_FIRST_CHUNK_OFFSET: usize = SECTION_LEN_OFFSET + size_of::<u64>();
/// Number of chunks: u32.
pub const SECTION_CHUNK_COUNT_OFFSET: usize = SECTION_FIRST_CHUNK_OFFSET + size_of::<u32>();
/// Length of an entry of the section table.
pub const SECTION_ENTRY_LEN: usize = SECTION_CHUNK_COUNT_OFFSET + size_of::<u32>();
/// The flag of a section that a reader must not skip.
pub const FLAG_REQUIRED: u32 = 1;

/// Alignment of the checksums, and of every section except the weights.
pub const SECTION_ALIGNMENT: u64 = 64;
/// Alignment of the weights: a page.
pub const WEIGHTS_ALIGNMENT: u64 = 4_096;
/// Alignment of the end.
pub const END_ALIGNMENT: u64 = 8;
/// Length of the end: total length and end mark.
pub const END_LEN: usize = size_of::<u64>() + END_MARK.len();

/// In the table section: layout: u32.
pub const TABLE_LAYOUT_OFFSET: usize = 0;
/// Encoding of the weights: u32.
pub const TABLE_ENCODING_OFFSET: usize = TABLE_LAYOUT_OFFSET + size_of::<u32>();
/// Number of weights, those in exceptions included: u64.
pub const TABLE_WEIGHT_COUNT_OFFSET: usize = TABLE_ENCODING_OFFSET + size_of::<u32>();
/// Number of shards: u32.
pub const TABLE_SHARD_COUNT_OFFSET: usize = TABLE_WEIGHT_COUNT_OFFSET + size_of::<u64>();
/// Lines in a shard: u32.
pub const TABLE_SHARD_LINES_OFFSET: usize = TABLE_SHARD_COUNT_OFFSET + size_of::<u32>();
/// Bias: f64.
pub const TABLE_BIAS_OFFSET: usize = TABLE_SHARD_LINES_OFFSET + size_of::<u32>();
/// Zeros up to the end of the section.
pub const TABLE_ZEROS_OFFSET: usize = TABLE_BIAS_OFFSET + size_of::<f64>();
/// Length of the table section without its scales.
pub const TABLE_LEN: usize = 64;
/// Scales, one for each field and cross if the encoding has scales: f32.
pub const TABLE_SCALES_OFFSET: usize = TABLE_LEN;
/// Length of the longest table section: with a scale for each of the fields and crosses that a contract can have.
pub const MAX_TABLE_LEN: usize = TABLE_SCALES_OFFSET + (2 * MAX_FIELDS_PER_SIDE + MAX_CROSSES) * size_of::<f32>();
/// The layout of two-choice lines.
pub const LAYOUT_TWO_CHOICE_LINES: u32 = 1;
/// Weights as f32.
pub const ENCODING_F32: u32 = 0;
/// Weights as f16.
pub const ENCODING_F16: u32 = 1;
/// Weights as i8, with a scale for each field and cross.
pub const ENCODING_I8: u32 = 2;

/// In an exception: feature key: u64.
pub const EXCEPTION_KEY_OFFSET: usize = 0;
/// Weight: f32.
pub const EXCEPTION_WEIGHT_OFFSET: usize = EXCEPTION_KEY_OFFSET + size_of::<u64>();
/// Zeros.
pub const EXCEPTION_ZEROS_OFFSET: usize = EXCEPTION_WEIGHT_OFFSET + size_of::<f32>();
/// Length of an exception.
pub const EXCEPTION_LEN: usize = EXCEPTION_ZEROS_OFFSET + size_of::<u32>();

/// In the calibrator section: kind: u32.
pub const CALIBRATOR_KIND_OFFSET: usize = 0;
/// Zeros.
pub const CALIBRATOR_ZEROS_OFFSET: usize = CALIBRATOR_KIND_OFFSET + size_of::<u32>();
/// Smallest probability: f64.
pub const CALIBRATOR_MIN_OFFSET: usize = CALIBRATOR_ZEROS_OFFSET + size_of::<u32>();
/// Largest probability: f64.
pub const CALIBRATOR_MAX_OFFSET: usize = CALIBRATOR_MIN_OFFSET + size_of::<f64>();
/// Zeros up to the end of the section.
pub const CALIBRATOR_TAIL_OFFSET: usize = CALIBRATOR_MAX_OFFSET + size_of::<f64>();
/// Length of the calibrator section.
pub const CALIBRATOR_LEN: usize = 32;
/// No calibrator: only the limits apply.
pub const CALIBRATOR_NONE: u32 = 0;

/// In the signature section: algorithm: u32.
pub const SIGNATURE_ALGORITHM_OFFSET: usize = 0;
/// Zeros.
pub const SIGNATURE_ZEROS_OFFSET: usize = SIGNATURE_ALGORITHM_OFFSET + size_of::<u32>();
/// Key id: 8 bytes.
pub const SIGNATURE_KEY_ID_OFFSET: usize = SIGNATURE_ZEROS_OFFSET + size_of::<u32>();
/// The signature: 64 bytes.
pub const SIGNATURE_BYTES_OFFSET: usize = SIGNATURE_KEY_ID_OFFSET + KEY_ID_LEN;
/// Length of the signature section.
pub const SIGNATURE_LEN: usize = SIGNATURE_BYTES_OFFSET + 64;
/// In the default weights of a field: of an unseen category: f32.
pub const DEFAULT_UNSEEN_OFFSET: usize = 0;
/// Without a value: f32.
pub const DEFAULT_MISSING_OFFSET: usize = DEFAULT_UNSEEN_OFFSET + size_of::<f32>();
/// Length of the default weights of a field.
pub const DEFAULT_WEIGHTS_LEN: usize = DEFAULT_MISSING_OFFSET + size_of::<f32>();
/// Length of the longest section of default weights.
pub const MAX_DEFAULT_WEIGHTS_LEN: usize = 2 * MAX_FIELDS_PER_SIDE * DEFAULT_WEIGHTS_LEN;

/// Length of a key id.
pub const KEY_ID_LEN: usize = KeyId::LEN;
/// Ed25519.
pub const SIGNATURE_ED25519: u32 = 1;

/// The first bytes of the signed data, so that a signature of anything else is never valid for a weight file.
pub const SIGNED_DOMAIN: [u8; 32] = *b"omomi weight file, signature v1\0";
/// In the signed data: format version: u32.
pub const SIGNED_FORMAT_VERSION_OFFSET: usize = SIGNED_DOMAIN.len();
/// Oldest format version whose readers can read the file: u32.
pub const SIGNED_OLDEST_READER_OFFSET: usize = SIGNED_FORMAT_VERSION_OFFSET + size_of::<u32>();
/// Generation: u64.
pub const SIGNED_GENERATION_OFFSET: usize = SIGNED_OLDEST_READER_OFFSET + size_of::<u32>();
/// File id: 16 bytes.
pub const SIGNED_FILE_ID_OFFSET: usize = SIGNED_GENERATION_OFFSET + size_of::<u64>();
/// Number of sections: u32.
pub const SIGNED_SECTION_COUNT_OFFSET: usize = SIGNED_FILE_ID_OFFSET + FILE_ID_LEN;
/// Zeros.
pub const SIGNED_ZEROS_OFFSET: usize = SIGNED_SECTION_COUNT_OFFSET + size_of::<u32>();
/// Length of the signed data without the sections.
pub const SIGNED_FRONT_LEN: usize = SIGNED_ZEROS_OFFSET + size_of::<u32>();
/// In the signed data of a section: kind: u32.
pub const SIGNED_KIND_OFFSET: usize = 0;
/// Flags: u32.
pub const SIGNED_FLAGS_OFFSET: usize = SIGNED_KIND_OFFSET + size_of::<u32>();
/// Length in bytes: u64.
pub const SIGNED_LEN_OFFSET: usize = SIGNED_FLAGS_OFFSET + size_of::<u32>();
/// SHA-256 of the section: 32 bytes.
pub const SIGNED_DIGEST_OFFSET: usize = SIGNED_LEN_OFFSET + size_of::<u64>();
/// Length of the signed data of a section.
pub const SIGNED_SECTION_LEN: usize = SIGNED_DIGEST_OFFSET + 32;

const _: () = assert!(HEADER_ZEROS_OFFSET == 80 && HEADER_CRC_OFFSET == 124);
const _: () = assert!(SECTION_ENTRY_LEN == 32);
const _: () = assert!(TABLE_ZEROS_OFFSET == 32 && EXCEPTION_LEN == 16 && CALIBRATOR_TAIL_OFFSET == 24);

/// The kinds of sections that this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum SectionKind {
    /// Canonical JSON of the contract.
    Contract = 1,
    /// JSON: the logic id, and how the model was trained and packed.
    Provenance = 2,
    /// Parameters of the table, and the bias.
    Table = 3,
    /// The lines of the table.
    Weights = 4,
    /// Keys for which the lines would give the wrong weight.
    Exceptions = 5,
    /// The map from sigmoid to published probability.
    Calibrator = 6,
    /// Requests and the exact logits they must give.
    Golden = 7,
    /// JSON: number of weights of each field and cross.
    FieldSizes = 8,
    /// The signature of the file.
    Signature = 9,
    /// What unseen categories and missing values add.
    DefaultWeights = 10,
}

impl SectionKind {
    /// Every kind, in the order in which a file has them.
    pub const ALL: [Self; 10] = [
        Self::Contract,
        Self::Provenance,
        Self::Table,
        Self::Weights,
        Self::Exceptions,
        Self::Calibrator,
        Self::Golden,
        Self::FieldSizes,
        Self::Signature,
        Self::DefaultWeights,
    ];

    /// Returns the number of this kind in the section table.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Returns the kind with that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Returns the name of this kind in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Provenance => "provenance",
            Self::Table => "table",
            Self::Weights => "weights",
            Self::Exceptions => "exceptions",
            Self::Calibrator => "calibrator",
            Self::Golden => "golden requests",
            Self::FieldSizes => "field sizes",
            Self::Signature => "signature",
            Self::DefaultWeights => "default weights",
        }
    }

    /// Returns whether every file must have a section of this kind.
    #[must_use]
    pub const fn is_required(self) -> bool {
        !matches!(self, Self::FieldSizes | Self::Signature | Self::DefaultWeights)
    }

    /// Returns whether a reader that does not know this kind must reject the file: without the section, it would
    /// compute other scores.
    #[must_use]
    pub const fn must_be_known(self) -> bool {
        self.is_required() || matches!(self, Self::DefaultWeights)
    }

    /// Returns the shortest and the longest allowed length in bytes, and the number of which the length must be a
    /// multiple.
    #[must_use]
    pub const fn len_limits(self) -> (u64, u64, u64) {
        match self {
            Self::Contract | Self::Provenance | Self::FieldSizes => (2, MAX_JSON_LEN, 1),
            Self::Golden => (2, MAX_GOLDEN_LEN, 1),
            Self::Table => (TABLE_LEN as u64, MAX_TABLE_LEN as u64, size_of::<f32>() as u64),
            Self::Weights => (64, u64::MAX, 64),
            Self::Exceptions => (0, u64::MAX, EXCEPTION_LEN as u64),
            Self::Calibrator => (CALIBRATOR_LEN as u64, CALIBRATOR_LEN as u64, 1),
            Self::Signature => (SIGNATURE_LEN as u64, SIGNATURE_LEN as u64, 1),
            Self::DefaultWeights => {
                (DEFAULT_WEIGHTS_LEN as u64, MAX_DEFAULT_WEIGHTS_LEN as u64, DEFAULT_WEIGHTS_LEN as u64)
            }
        }
    }
}

/// Returns the alignment of a section with that kind's number.
#[must_use]
pub const fn alignment(kind_number: u32) -> u64 {
    if kind_number == SectionKind::Weights.number() { WEIGHTS_ALIGNMENT } else { SECTION_ALIGNMENT }
}
