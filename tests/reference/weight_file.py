"""The weight file: header, sections, checksums, table (FORMAT.md, 1 and 4). Every check stands in the order of the page."""

import json
import math
import struct
import zlib

MAGIC = b"\x89OMOMI\r\n"
END_MARK = MAGIC[::-1]
BYTE_ORDER_MARK = bytes.fromhex("04030201")
READER_VERSION = 1
HEADER_LEN = 128
SECTION_ENTRY_LEN = 32
MAX_SECTIONS = 64
CHUNK_LEN = 1_048_576
REQUIRED_FLAG = 1

CONTRACT, PROVENANCE, TABLE, WEIGHTS, EXCEPTIONS, CALIBRATOR, GOLDEN, FIELD_SIZES = range(1, 9)
SECTION_NAMES = {
    CONTRACT: "contract", PROVENANCE: "provenance", TABLE: "table", WEIGHTS: "weights",
    EXCEPTIONS: "exceptions", CALIBRATOR: "calibrator", GOLDEN: "golden requests", FIELD_SIZES: "field sizes",
}
REQUIRED_KINDS = range(CONTRACT, FIELD_SIZES)
MEBIBYTE = 1_048_576
LONGEST = {CONTRACT: 4 * MEBIBYTE, PROVENANCE: 4 * MEBIBYTE, GOLDEN: 8 * MEBIBYTE, FIELD_SIZES: 4 * MEBIBYTE}

TABLE_LEN = 64
LINE_LEN = 64
SLOTS = 8
EXCEPTION_LEN = 16
CALIBRATOR_LEN = 32
TAG_MASK = 0x3FFFFFFF
POSITIVE_INFINITY_BITS = 0x7F800000


class WeightFileError(Exception):
    """What is wrong with the file: expected and found."""


def require(condition, message):
    if not condition:
        raise WeightFileError(message)


def expect(what, expected, found):
    if expected != found:
        raise WeightFileError("{}: expected {}, found {}".format(what, expected, found))


class Section:
    def __init__(self, kind, flags, offset, length, first_chunk, chunk_count):
        self.kind = kind
        self.flags = flags
        self.offset = offset
        self.length = length
        self.first_chunk = first_chunk
        self.chunk_count = chunk_count
        self.name = SECTION_NAMES.get(kind, "unknown kind {}".format(kind))


class WeightFile:
    """A file whose bytes are whole: frame, checksums and positions. `sections` maps a kind to its bytes."""

    def __init__(self, data):
        self.data = data
        self._read_start()
        self._read_header()
        self._read_section_table()
        self._check_positions()
        self._check_padding()
        self._check_checksums()
        self.sections = {
            section.kind: data[section.offset : section.offset + section.length] for section in self.entries
        }

    def _read_start(self):
        """Steps 1 to 3: whose file it is, which version, how long."""
        data = self.data
        require(MAGIC.startswith(data[:8]), "not a weight file: it starts with {}".format(data[:8].hex()))
        require(len(data) >= HEADER_LEN, "truncated: expected at least 128 bytes, found {}".format(len(data)))
        mark = data[8:12]
        require(mark != BYTE_ORDER_MARK[::-1], "wrong byte order: the mark is {}".format(mark.hex()))
        expect("CRC of the header", u32(data, 124), zlib.crc32(data[:124]))
        expect("byte-order mark", BYTE_ORDER_MARK, mark)
        self.version, oldest_reader = u32(data, 12), u32(data, 16)
        require(oldest_reader <= READER_VERSION, "too new: it needs a reader of version {}".format(oldest_reader))
        require(self.version >= 1, "too old: format version {}".format(self.version))
        total_len = u64(data, 24)
        require(total_len <= len(data), "truncated: expected {} bytes, found {}".format(total_len, len(data)))
        require(total_len >= len(data), "too long: expected {} bytes, found {}".format(total_len, len(data)))

    def _read_header(self):
        data = self.data
        self.generation = u64(data, 32)
        self.file_id = data[40:56]
        self.chunk_count = u32(data, 60)
        self.checksums_offset = u64(data, 64)
        expect("chunk length", CHUNK_LEN, u32(data, 56))
        self.section_count = u32(data, 20)
        require(1 <= self.section_count <= MAX_SECTIONS, "{} sections".format(self.section_count))
        self._check_zeros("header", 80, 124)

    def _read_section_table(self):
        self.table_end = HEADER_LEN + SECTION_ENTRY_LEN * self.section_count
        require(self.table_end <= len(self.data), "the section table does not fit into the file")
        table = self.data[HEADER_LEN : self.table_end]
        expect("CRC of the section table", u32(self.data, 72), self._crc(table))
        self.entries = [Section(*entry) for entry in struct.iter_unpack("<IIQQII", table)]
        for one, next_ in zip(self.entries, self.entries[1:]):
            require(one.kind < next_.kind, "section {} stands before {}".format(one.name, next_.name))
        for section in self.entries:
            require(section.flags <= REQUIRED_FLAG, "{}: unknown flags {:#x}".format(section.name, section.flags))
            if section.kind in SECTION_NAMES:
                expect("{}: flags".format(section.name), int(section.kind in REQUIRED_KINDS), section.flags)
            elif section.flags == REQUIRED_FLAG:
                raise WeightFileError("too new: section of {} is required".format(section.name))
        kinds = {section.kind for section in self.entries}
        for kind in REQUIRED_KINDS:
            require(kind in kinds, "section {} is missing".format(SECTION_NAMES[kind]))

    def _check_positions(self):
        """Every position follows from the lengths."""
        position, chunk = self.table_end, 0
        for section in self.entries:
            position = aligned(position, 4096 if section.kind == WEIGHTS else 64)
            expect("{}: offset".format(section.name), position, section.offset)
            longest = LONGEST.get(section.kind, len(self.data))
            require(section.length <= longest, "{}: {} bytes is too long".format(section.name, section.length))
            expect("{}: index of the first chunk".format(section.name), chunk, section.first_chunk)
            chunk_count = -(-section.length // CHUNK_LEN)
            expect("{}: number of chunks".format(section.name), chunk_count, section.chunk_count)
            position += section.length
            chunk += chunk_count
        expect("number of chunks", chunk, self.chunk_count)
        expect("offset of the checksums", aligned(position, 64), self.checksums_offset)
        self.checksums_end = self.checksums_offset + 4 * chunk
        self.end = aligned(self.checksums_end, 8)
        expect("total length", self.end + 16, len(self.data))
        expect("total length at the end", len(self.data), u64(self.data, self.end))
        expect("end mark", END_MARK, self.data[self.end + 8 :])

    def _check_padding(self):
        position = self.table_end
        for section in self.entries:
            self._check_zeros("padding", position, section.offset)
            position = section.offset + section.length
        self._check_zeros("padding", position, self.checksums_offset)
        self._check_zeros("padding", self.checksums_end, self.end)

    def _check_checksums(self):
        checksums = self.data[self.checksums_offset : self.checksums_end]
        expect("CRC of the checksums", u32(self.data, 76), self._crc(checksums))
        for section in self.entries:
            for index in range(section.chunk_count):
                start = section.offset + index * CHUNK_LEN
                end = min(start + CHUNK_LEN, section.offset + section.length)
                crc = self._crc(struct.pack("<II", section.kind, index), self.data[start:end])
                expected = u32(checksums, 4 * (section.first_chunk + index))
                expect("{}: CRC of chunk {}".format(section.name, index), expected, crc)

    def _check_zeros(self, what, start, end):
        require(not any(self.data[start:end]), "{}: bytes {} to {} are not all zero".format(what, start, end - 1))

    def _crc(self, *parts):
        crc = zlib.crc32(self.file_id)
        for part in parts:
            crc = zlib.crc32(part, crc)
        return crc


class WeightTable:
    """The learned numbers: bias, lines and exceptions."""

    def __init__(self, table, weights, exceptions):
        expect("table: length", TABLE_LEN, len(table))
        layout, encoding, self.weight_count, self.shard_count, self.shard_lines, self.bias = struct.unpack_from(
            "<IIQIId", table
        )
        require(layout == 1 and encoding == 0, "too new: table layout {}, encoding {}".format(layout, encoding))
        require(self.shard_count >= 1, "table: no shard")
        require(2 <= self.shard_lines <= 65_536, "table: {} lines in a shard".format(self.shard_lines))
        self.line_count = self.shard_count * self.shard_lines
        require(self.line_count < 2**32, "table: {} lines".format(self.line_count))
        require(math.isfinite(self.bias), "table: bias {}".format(self.bias))
        require(not any(table[32:]), "table: reserved bytes are not zero")

        expect("weights: length", LINE_LEN * self.line_count, len(weights))
        self.lines = weights
        filled = sum(check_line(index, words) for index, words in enumerate(struct.iter_unpack("<16I", weights)))
        require(len(exceptions) % EXCEPTION_LEN == 0, "exceptions: length {}".format(len(exceptions)))
        self.exceptions = {}
        last_key = -1
        for key, weight, zero in struct.iter_unpack("<QfI", exceptions):
            require(key > last_key, "exceptions: key {:#018x} is out of order".format(key))
            require(math.isfinite(weight), "exceptions: weight {} of key {:#018x}".format(weight, key))
            require(zero == 0, "exceptions: reserved bytes are not zero")
            self.exceptions[key] = weight
            last_key = key
        fits = filled <= self.weight_count <= filled + len(self.exceptions)
        counts = "{} filled slots and {} exceptions".format(filled, len(self.exceptions))
        require(fits, "table: expected {} weights, found {}".format(self.weight_count, counts))

    def weight(self, key):
        """Weight of a feature key, or None for an unseen category."""
        if key in self.exceptions:
            return self.exceptions[key]
        tag = key & TAG_MASK or 1
        first = (key >> 32) * self.line_count >> 32
        words, weight = self._in_line(first, tag)
        if weight is not None:
            return weight
        filter_bit = key >> 28 & 15
        if not words[filter_bit // 2] >> (30 + filter_bit % 2) & 1:
            return None
        step = 1 + ((key & 0xFFFFFFFF) * (self.shard_lines - 1) >> 32)
        shard_start = first - first % self.shard_lines
        second = shard_start + (first - shard_start + step) % self.shard_lines
        return self._in_line(second, tag)[1]

    def _in_line(self, line, tag):
        line = struct.unpack_from("<8I8f", self.lines, LINE_LEN * line)
        for slot in range(SLOTS):
            if line[slot] & TAG_MASK == tag:
                return line, line[SLOTS + slot]
        return line, None


def check_line(index, words):
    """Number of filled slots of a line, after its checks. `words` are its 8 tag words and the bits of its 8 weights."""
    tags = set()
    for slot in range(SLOTS):
        tag, weight_bits = words[slot] & TAG_MASK, words[SLOTS + slot]
        if tag == 0:
            require(weight_bits == 0, "weights: line {}, slot {} is empty but has a weight".format(index, slot))
            continue
        finite = weight_bits & 0x7FFFFFFF < POSITIVE_INFINITY_BITS
        require(finite, "weights: line {}, slot {}: the weight is not finite".format(index, slot))
        require(tag not in tags, "weights: line {} has the tag {:#x} twice".format(index, tag))
        tags.add(tag)
    return len(tags)


class Calibrator:
    def __init__(self, data):
        expect("calibrator: length", CALIBRATOR_LEN, len(data))
        kind, zero, self.least, self.greatest, zeros = struct.unpack("<IIdd8s", data)
        require(kind == 0, "too new: calibrator {}".format(kind))
        require(zero == 0 and not any(zeros), "calibrator: reserved bytes are not zero")
        limits = 0 < self.least < self.greatest < 1
        require(limits, "calibrator: limits {} and {}".format(self.least, self.greatest))


def json_object(name, data):
    """The object of a JSON section, by the strict rules of RFC 8259: no NaN, no half of a surrogate pair."""

    def refuse(word):
        raise ValueError("{} is not JSON".format(word))

    def finite(text):
        number = float(text)
        return number if math.isfinite(number) else refuse(text)

    try:
        value = json.loads(data.decode("utf-8"), parse_constant=refuse, parse_float=finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise WeightFileError("{}: {}".format(name, error)) from error
    require(isinstance(value, dict), "{}: expected a JSON object".format(name))
    return value


def aligned(position, alignment):
    return -(-position // alignment) * alignment


def u32(data, offset):
    return struct.unpack_from("<I", data, offset)[0]


def u64(data, offset):
    return struct.unpack_from("<Q", data, offset)[0]
