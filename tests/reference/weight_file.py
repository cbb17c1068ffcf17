"""The weight file: header, sections, checksums, table (FORMAT.md, 1 and 4). All checks are in the order of the page."""

import json
import math
import re
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
DEFAULT_WEIGHTS = 10
SECTION_NAMES = {
    CONTRACT: "contract", PROVENANCE: "provenance", TABLE: "table", WEIGHTS: "weights",
    EXCEPTIONS: "exceptions", CALIBRATOR: "calibrator", GOLDEN: "golden requests", FIELD_SIZES: "field sizes",
    DEFAULT_WEIGHTS: "default weights",
}
REQUIRED_KINDS = range(CONTRACT, FIELD_SIZES)
KNOWN_KINDS = [*REQUIRED_KINDS, DEFAULT_WEIGHTS]
MEBIBYTE = 1_048_576
MAX_JSON_DEPTH = 32
MAX_JSON_VALUES = 65_536
MAX_JSON_TEXT_LEN = MEBIBYTE
MAX_WEIGHT = 700.0
LONGEST = {CONTRACT: 4 * MEBIBYTE, PROVENANCE: 4 * MEBIBYTE, GOLDEN: 8 * MEBIBYTE, FIELD_SIZES: 4 * MEBIBYTE}

TABLE_LEN = 64
LINE_LEN = 64
EXCEPTION_LEN = 16
CALIBRATOR_LEN = 32


class WeightFileError(Exception):
    """Says what is wrong with the file: expected and found."""


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
    """A file with a valid frame, checksums and positions. `sections` maps a kind to its bytes."""

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
        """Steps 1 to 3: the magic, the versions, the length."""
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
            require(one.kind < next_.kind, "section {} comes before {}".format(one.name, next_.name))
        for section in self.entries:
            require(section.flags <= REQUIRED_FLAG, "{}: unknown flags {:#x}".format(section.name, section.flags))
            if section.kind in SECTION_NAMES:
                expect("{}: flags".format(section.name), int(section.kind in KNOWN_KINDS), section.flags)
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


class F32Lines:
    SLOTS, TAG_MASK = 8, 0x3FFFFFFF

    @staticmethod
    def parts(line):
        """Returns the tags, the weights, the bits of the weights, and the overflow filter of a line."""
        words, weights = struct.unpack_from("<8I", line), struct.unpack_from("<8f", line, 32)
        overflow = sum((word >> 30) << 2 * slot for slot, word in enumerate(words))
        return [word & F32Lines.TAG_MASK for word in words], weights, struct.unpack_from("<8I", line, 32), overflow

    @staticmethod
    def filter_bit(key):
        return key >> 28 & 15


class SmallLines:
    """Lines of f16 and i8. `code` is the struct format of the weights, `bits_code` that of their bits."""

    TAG_MASK = 0xFFFFFF

    def __init__(self, slots, code, bits_code):
        self.SLOTS = slots
        self.low, self.high = "<{}H".format(slots), "<{}B".format(slots)
        self.code, self.bits_code = "<{}{}".format(slots, code), "<{}{}".format(slots, bits_code)

    def parts(self, line):
        low, high = struct.unpack_from(self.low, line), struct.unpack_from(self.high, line, 2 * self.SLOTS)
        tags = [one | other << 16 for one, other in zip(low, high)]
        at = 3 * self.SLOTS
        return tags, struct.unpack_from(self.code, line, at), struct.unpack_from(self.bits_code, line, at), u32(line, 60)

    @staticmethod
    def filter_bit(key):
        return key >> 24 & 31


ENCODINGS = {0: F32Lines, 1: SmallLines(12, "e", "H"), 2: SmallLines(15, "b", "B")}
ENCODING_NAMES = {0: "f32", 1: "f16", 2: "i8"}
I8 = 2


class WeightTable:
    """The learned numbers: bias, scales, lines and exceptions."""

    def __init__(self, table, weights, exceptions, group_count):
        """`group_count` is the number of fields and crosses."""
        require(len(table) >= TABLE_LEN, "table: length {}".format(len(table)))
        layout, encoding, self.weight_count, self.shard_count, self.shard_lines, self.bias = struct.unpack_from(
            "<IIQIId", table
        )
        known = layout == 1 and encoding in ENCODINGS
        require(known, "too new: table layout {}, encoding {}".format(layout, encoding))
        self.encoding, self.format = ENCODING_NAMES[encoding], ENCODINGS[encoding]
        require(self.shard_count >= 1, "table: no shard")
        require(2 <= self.shard_lines <= 65_536, "table: {} lines in a shard".format(self.shard_lines))
        self.line_count = self.shard_count * self.shard_lines
        require(self.line_count < 2**32, "table: {} lines".format(self.line_count))
        require(abs(self.bias) <= MAX_WEIGHT, "table: bias {}".format(self.bias))
        require(not any(table[32:TABLE_LEN]), "table: reserved bytes are not zero")
        scale_count = group_count if encoding == I8 else 0
        expect("table: length", TABLE_LEN + 4 * scale_count, len(table))
        self.scales = struct.unpack_from("<{}f".format(scale_count), table, TABLE_LEN) or (1.0,) * group_count
        for scale in self.scales:
            normal = 2.0**-126 <= scale and f32_product(scale, 127.0) <= MAX_WEIGHT
            require(normal, "table: scale {}".format(scale))

        expect("weights: length", LINE_LEN * self.line_count, len(weights))
        self.lines = weights
        filled = sum(self._check_line(index) for index in range(self.line_count))
        require(len(exceptions) % EXCEPTION_LEN == 0, "exceptions: length {}".format(len(exceptions)))
        self.exceptions = {}
        last_key = -1
        for key, weight, zero in struct.iter_unpack("<QfI", exceptions):
            require(key > last_key, "exceptions: key {:#018x} is out of order".format(key))
            valid = abs(weight) <= (127 if encoding == I8 else MAX_WEIGHT)
            require(valid, "exceptions: weight {} of key {:#018x}".format(weight, key))
            require(zero == 0, "exceptions: reserved bytes are not zero")
            self.exceptions[key] = weight
            last_key = key
        fits = filled <= self.weight_count <= filled + len(self.exceptions)
        counts = "{} filled slots and {} exceptions".format(filled, len(self.exceptions))
        require(fits, "table: expected {} weights, found {}".format(self.weight_count, counts))

    def weight(self, key, group):
        """Returns the weight of a feature key of a field or cross, or None for an unseen category."""
        weight = self.exceptions.get(key)
        if weight is None:
            weight = self._in_lines(key)
        return None if weight is None else f32_product(weight, self.scales[group])

    def _in_lines(self, key):
        tag = key & self.format.TAG_MASK or 1
        first = (key >> 32) * self.line_count >> 32
        tags, weights, _, overflow = self._line(first)
        if tag in tags:
            return weights[tags.index(tag)]
        if not overflow >> self.format.filter_bit(key) & 1:
            return None
        step = 1 + ((key & 0xFFFFFFFF) * (self.shard_lines - 1) >> 32)
        shard_start = first - first % self.shard_lines
        tags, weights, _, _ = self._line(shard_start + (first - shard_start + step) % self.shard_lines)
        return weights[tags.index(tag)] if tag in tags else None

    def _line(self, index):
        return self.format.parts(self.lines[LINE_LEN * index : LINE_LEN * (index + 1)])

    def _check_line(self, index):
        """Checks a line and returns the number of its filled slots."""
        seen = set()
        for slot, (tag, weight, bits) in enumerate(zip(*self._line(index)[:3])):
            if tag == 0:
                require(bits == 0, "weights: line {}, slot {} is empty but has a weight".format(index, slot))
                continue
            valid = weight != -128 if self.encoding == "i8" else abs(weight) <= MAX_WEIGHT
            require(valid, "weights: line {}, slot {}: the weight is {}".format(index, slot, weight))
            require(tag not in seen, "weights: line {} has the tag {:#x} twice".format(index, tag))
            seen.add(tag)
        return len(seen)


def f32_product(one, other):
    """Multiplies two f32 numbers. The product is exact in f64 (24 bits each), so it is rounded only once."""
    try:
        return struct.unpack("<f", struct.pack("<f", one * other))[0]
    except OverflowError:
        return math.inf


def default_weights(data, field_count):
    """Returns the weights of an unseen category and of a missing value for each field, in contract order."""
    expect("default weights: length", 8 * field_count, len(data))
    pairs = list(struct.iter_unpack("<ff", data))
    for pair in pairs:
        require(all(abs(weight) <= MAX_WEIGHT for weight in pair), "default weights: {}".format(pair))
    return pairs


class Calibrator:
    def __init__(self, data):
        expect("calibrator: length", CALIBRATOR_LEN, len(data))
        kind, zero, self.min, self.max, zeros = struct.unpack("<IIdd8s", data)
        require(kind == 0, "too new: calibrator {}".format(kind))
        require(zero == 0 and not any(zeros), "calibrator: reserved bytes are not zero")
        limits = 0 < self.min < self.max < 1
        require(limits, "calibrator: limits {} and {}".format(self.min, self.max))
        rounded = f32_product(self.min, 1.0) > 0 and f32_product(self.max, 1.0) < 1
        require(rounded, "calibrator: limits {} and {} as f32".format(self.min, self.max))


def json_object(name, data, most_values=None):
    """The object of a JSON section, by the strict rules of RFC 8259 and within the limits of FORMAT.md.

    No NaN, no half of a surrogate pair, and at most `most_values` values if it is given.
    """

    def refuse(word):
        raise ValueError("{} is not JSON".format(word))

    def finite(text):
        number = float(text)
        return number if math.isfinite(number) else refuse(text)

    def whole(text):
        # A negative zero is no integer.
        return -0.0 if text == "-0" else int(text) if math.isfinite(float(text)) else refuse(text)

    try:
        text = data.decode("utf-8")
        value = json.loads(text, parse_constant=refuse, parse_float=finite, parse_int=whole)
        count = check_limits(text)
    except (ValueError, RecursionError) as error:
        raise WeightFileError("{}: {}".format(name, error)) from error
    require(most_values is None or count <= most_values, "{}: {} values".format(name, count))
    require(isinstance(value, dict), "{}: expected a JSON object".format(name))
    return value


def check_limits(text):
    """Checks the depth and the texts of JSON that was read, and returns the number of its values.

    Members whose key occurs again count as well.
    """
    depth, count, last = 0, 1, ""
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[][{},]|[^][{},:"\s]+', text):
        token = match.group()
        # A list or object has one value more than commas, unless it is empty.
        if token == "," or last in ("[", "{") and token not in ("]", "}"):
            count += 1
        if token in ("[", "{"):
            depth += 1
            require(depth <= MAX_JSON_DEPTH, "more than {} levels".format(MAX_JSON_DEPTH))
        elif token in ("]", "}"):
            depth -= 1
        elif token[0] == '"':
            # Fails for half of a surrogate pair.
            length = len(json.loads(token).encode("utf-8"))
            require(length <= MAX_JSON_TEXT_LEN, "a text of {} bytes".format(length))
        last = token
    return count


def aligned(position, alignment):
    return -(-position // alignment) * alignment


def u32(data, offset):
    return struct.unpack_from("<I", data, offset)[0]


def u64(data, offset):
    return struct.unpack_from("<Q", data, offset)[0]
