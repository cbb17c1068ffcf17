"""Reads segments of a serving log, and recomputes what they say.

    python3 tests/reference/serving_log.py SEGMENT... [--replay WEIGHT_FILE]

Prints a line of JSON for each record, in the order of the files, then one for each ring. Floats are written as the
hexadecimal digits of their bits. With a weight file, also recomputes the logit and the probability of every prediction
with a logit whose row is whole, and compares the bits.

Exit code 0: everything could be read, and is equal. 1: something could not, or is not, and stderr says what. 2: misuse.

It was written from src/serving_log/SERVING_LOG.md alone, with the standard library of Python 3.9. It proves that the
page is a complete specification.
"""

import hashlib
import json
import struct
import sys
import zlib

import feature_keys
import weight_file
from contract import Contract
from score import Scorer
from weight_file import Calibrator, WeightFile, WeightTable, default_weights

HEADER_LEN = 256
FRAME_HEADER_LEN = 24
MAX_PAYLOAD_LEN = 64 << 20
NO_MODEL = 65_535
NOT_GIVEN = 0xFFFFFFFF
REASONS = [
    "ring_full", "too_large", "rate_limited", "invalid", "disk_full", "disk_failed", "folder_gone", "model_gone",
    "closed", "defect",
]
SIDES = ["context", "candidate"]
TYPES = ["id", "text", "number"]
POLICIES = ["plain", "hashed", "never"]
BASES = [None, "impression", "thousand_impressions", "click", "conversion"]
SOURCES = [None, "model", "off", "no_model", "late", "refused"]
EVENTS = [None, "win", "impression", "click", "conversion"]
ROW_STATES = ["unknown", "here", "changed", "unreadable"]
SEALED = [None, "size", "age", "closed", "recovered", "failed"]
WEIGHT_SOURCES = ["unseen", "found", "missing"]


class LogError(Exception):
    """Says what is wrong with a segment."""


def require(condition, message):
    if not condition:
        raise LogError(message)


class Bytes:
    """Takes values from the front of bytes."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, length):
        require(self.at + length <= len(self.data), "{} bytes are missing".format(length))
        taken = self.data[self.at : self.at + length]
        self.at += length
        return taken

    def get(self, form):
        values = struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))
        return values[0] if len(values) == 1 else values

    def text(self, length):
        return self.take(length).decode("utf-8")

    def is_at_end(self):
        return self.at == len(self.data)


class Segment:
    """A segment: `records` and, if it is sealed, `footer`. `skipped` counts the bytes that no good frame has."""

    def __init__(self, data):
        self.data = data
        self._read_header()
        self.records, self.footer, self.blocks, self.skipped = [], None, 0, 0
        at = HEADER_LEN
        while at < len(data):
            frame = self._frame(at)
            if frame is None:
                at += 1
                self.skipped += 1
                continue
            kind, payload = frame
            if kind == 1:
                self._read_block(Bytes(payload))
            elif kind == 2:
                self._read_footer(Bytes(payload))
            at += FRAME_HEADER_LEN + len(payload)

    def _read_header(self):
        data = self.data
        require(len(data) >= HEADER_LEN, "it ends within its header")
        require(data[:8] == b"omomilog", "it is no segment")
        header = Bytes(data[8:HEADER_LEN])
        _version, oldest = header.get("II")
        self.writer, self.number, self.started_at, self.salt = header.get("QQqQ")
        self.predictions_per_million, self.details_per_million, self.process_id, name_len = header.get("IIII")
        require(name_len <= 64, "the name has {} bytes".format(name_len))
        self.name = header.take(64)[:name_len].decode("utf-8")
        header.take(124)
        require(header.get("I") == zlib.crc32(data[:252]), "the checksum of the header does not match")
        require(oldest <= 1, "it needs a reader of version {}".format(oldest))
        self.id = data[16:32]

    def _frame(self, at):
        head = self.data[at : at + FRAME_HEADER_LEN]
        if len(head) < FRAME_HEADER_LEN or head[:4] != b"OLF1":
            return None
        kind, _index, length, checksum, zero = struct.unpack("<IIIII", head[4:])
        payload = self.data[at + FRAME_HEADER_LEN : at + FRAME_HEADER_LEN + length]
        if length > MAX_PAYLOAD_LEN or zero != 0 or len(payload) != length:
            return None
        return (kind, payload) if zlib.crc32(self.id + head[:16] + payload) == checksum else None

    def _read_block(self, block):
        self.blocks += 1
        ring, record_count, first, next_ = block.get("IIQQ")
        counts = read_counts(block)
        model_count, _zero = block.get("II")
        models = [Model(block) for _ in range(model_count)]
        for _ in range(record_count):
            length = block.get("I")
            record = Bytes(block.take(length - 4))
            kind, answer, model = record.get("BBH")
            sequence, at = record.get("Qq")
            require(first <= sequence < next_, "sequence number {} is not in its block".format(sequence))
            model = None if model == NO_MODEL else models[model]
            line = {
                "answer": answer,
                "at": at,
                "model": model and model.name,
                "ring": ring,
                "sequence": sequence,
                "writer": "{:016x}".format(self.writer),
            }
            read = {1: read_prediction, 2: read_detail, 3: read_event, 4: read_shadow}.get(kind)
            if read is None:
                continue
            row = read(record, model, line)
            require(record.is_at_end(), "a record has bytes after its end")
            self.records.append((line, model, row))
        require(block.is_at_end(), "a block has bytes after its last record")
        self.last = (ring, next_, counts)

    def _read_footer(self, footer):
        ended_at, reason, ring_count, block_count, record_count = footer.get("qIIQQ")
        rings = []
        for _ in range(ring_count):
            ring, is_closed, first, next_ = footer.get("IIQQ")
            counts = read_counts(footer)
            rings.append({
                "closed": is_closed == 1,
                "first": first,
                "here": footer.get("Q"),
                "next": next_,
                "ring": ring,
                **counts,
            })
        frame_len = footer.get("I")
        require(footer.take(4) == b"OLE1" and footer.is_at_end(), "the end of the footer")
        require(frame_len == FRAME_HEADER_LEN + len(footer.data), "the length of the footer")
        require(block_count == self.blocks, "{} blocks, not {}".format(self.blocks, block_count))
        require(record_count == len(self.records), "{} records, not {}".format(len(self.records), record_count))
        self.footer = {"ended_at": ended_at, "reason": SEALED[reason], "rings": rings}


class Model:
    """A model that records of a block name."""

    def __init__(self, block):
        length = block.get("I")
        entry = Bytes(block.take(length - 4))
        field_count, cross_count = entry.get("HH")
        self.generation = entry.get("Q")
        self.digest = entry.take(8)
        self.fingerprint = entry.get("Q")
        self.logic_id = entry.text(entry.get("H"))
        self.fields = []
        for _ in range(field_count):
            side, type_, many, policy = entry.get("BBBB")
            name = entry.text(entry.get("H"))
            self.fields.append((name, SIDES[side], TYPES[type_], many == 1, POLICIES[policy]))
        self.groups = [field[0] for field in self.fields]
        for _ in range(cross_count):
            members = [entry.get("H") for _ in range(entry.get("B"))]
            self.groups.append("*".join(self.fields[member][0] for member in members))
        require(entry.is_at_end(), "a model has bytes after its end")
        self.name = "{} {} {} {:016x}".format(self.logic_id, self.generation, self.digest.hex(), self.fingerprint)


def read_counts(bytes_):
    written, sampled_out, *dropped = bytes_.get("12Q")
    named = {reason: count for reason, count in zip(REASONS, dropped) if count > 0}
    return {"dropped": named, "sampled_out": sampled_out, "written": written}


def read_prediction(record, model, line):
    line["id"] = record.take(16).hex()
    line["logit"] = record.take(8)[::-1].hex()
    line["probability"] = record.take(4)[::-1].hex()
    line["candidate"], line["candidates"], position = record.get("III")
    line["unseen"], line["missing"], line["latency_ns"] = record.get("IIQ")
    line["propensity"] = record.take(8)[::-1].hex()
    line["bid"] = read_money(record)
    source, clamped, line["status"], row_state = record.get("BBBB")
    line["source"], line["clamped"] = SOURCES[source], clamped == 1
    bucket = record.get("I")
    line["position"], line["bucket"] = given(position), given(bucket)
    lengths = record.get("BBBB")
    line["request"], line["impression"], line["experiment"], line["arm"] = (record.text(length) for length in lengths)
    line["kind"] = "prediction"
    line["row_state"] = ROW_STATES[row_state]
    line["row"] = None
    if row_state != 1:
        return None
    bits = record.take((len(model.fields) + 7) // 8)
    row = [read_value(record) if bits[index // 8] >> index % 8 & 1 else None for index in range(len(model.fields))]
    line["row"] = [value and [value[0], shown(value)] for value in row]
    return row


def read_shadow(record, model, line):
    row = read_prediction(record, model, line)
    line["kind"] = "shadow"
    return row


def read_value(record):
    """Returns the form and the value."""
    form = record.get("B")
    if form == 1:
        return ("id", record.get("I"))
    if form == 2:
        return ("id", record.get("q"))
    if form == 3:
        return ("number", record.get("d"))
    if form in (4, 5):
        return ("text", record.text(record.get("B" if form == 4 else "I")))
    if form in (6, 7):
        return ("text_value" if form == 6 else "key", record.get("Q"))
    count = record.get("H")
    require(count <= 1024, "a list of {} values".format(count))
    if form == 8:
        return ("ids", [record.get("q") for _ in range(count)])
    if form == 9:
        return ("texts", [record.text(record.get("I")) for _ in range(count)])
    require(form in (10, 11), "a value of form {}".format(form))
    return ("text_values" if form == 10 else "keys", [record.get("Q") for _ in range(count)])


def shown(value):
    return struct.pack(">d", value[1]).hex() if value[0] == "number" else value[1]


def read_money(record):
    micros, basis = record.get("qB")
    currency = record.take(3)
    return None if basis == 0 else [micros, currency.decode("ascii"), BASES[basis]]


def given(number):
    return None if number == NOT_GIVEN else number


def read_detail(record, model, line):
    candidate_count, context_count = record.get("II")
    line["bias"] = record.take(8)[::-1].hex()
    line["request"] = record.text(record.get("I"))
    line["kind"] = "detail"
    line["context"] = [read_feature(record, model) for _ in range(context_count)]
    line["candidates"] = []
    for _ in range(candidate_count):
        logit, probability = record.take(8)[::-1].hex(), record.take(4)[::-1].hex()
        status, count = record.get("II")
        line["candidates"].append([logit, probability, status, [read_feature(record, model) for _ in range(count)]])


def read_feature(record, model):
    group, key = record.get("HQ")
    weight = record.take(4)[::-1].hex()
    return [model.groups[group], "{:016x}".format(key), weight, WEIGHT_SOURCES[record.get("B")]]


def read_event(record, _model, line):
    line["id"] = record.take(16).hex()
    line["money"] = read_money(record)
    line["event"] = EVENTS[record.get("B")]
    line["kind"] = "event"
    record.take(3)


class Replay:
    """Recomputes predictions with a weight file."""

    def __init__(self, data):
        file = WeightFile(data)
        self.digest = hashlib.sha256(data).digest()[:8]
        self.contract = Contract(file.sections[weight_file.CONTRACT])
        table = WeightTable(
            file.sections[weight_file.TABLE],
            file.sections[weight_file.WEIGHTS],
            file.sections[weight_file.EXCEPTIONS],
            len(self.contract.fields) + len(self.contract.crosses),
        )
        defaults = [(0.0, 0.0)] * len(self.contract.fields)
        if weight_file.DEFAULT_WEIGHTS in file.sections:
            defaults = default_weights(file.sections[weight_file.DEFAULT_WEIGHTS], len(self.contract.fields))
        calibrator = Calibrator(file.sections[weight_file.CALIBRATOR])
        self.scorer = Scorer(self.contract, table, defaults, calibrator)
        self.equal = 0

    def check(self, line, model, row):
        """Recomputes a prediction, if this is its file and its row is whole."""
        if row is None or line["logit"].startswith("7ff8") or model.digest != self.digest:
            return
        if any(policy == "never" for _, _, _, _, policy in model.fields):
            return
        keys = {}
        for (name, *_), value in zip(model.fields, row):
            keys[name] = self._keys(self.contract.fields[name], self.scorer.seeds[name], value)
        logit = self.scorer.logit_of_keys(keys)
        found = struct.pack(">d", logit).hex(), struct.pack(">f", self.scorer.probability(logit)).hex()
        expected = line["logit"], line["probability"]
        require(found == expected, "prediction {}: logged {}, computed {}".format(line["id"], expected, found))
        self.equal += 1

    def _keys(self, field, seed, value):
        if value is None:
            return []
        form, value = value
        values = value if isinstance(value, list) else [value]
        if form in ("key", "keys"):
            return values
        if form in ("text", "texts"):
            values = [feature_keys.text_value(text) for text in values]
        elif form in ("id", "ids"):
            values = [feature_keys.id_value(id_) for id_ in values]
        elif form == "number":
            low, high = field["range"]
            edges = field["buckets"] if isinstance(field["buckets"], list) else None
            bucket = feature_keys.number_value(value, low, high, edges)
            values = [] if bucket is None else [bucket]
        return [feature_keys.category_key(seed, value) for value in values]


def main(arguments):
    replay = None
    if len(arguments) > 2 and arguments[-2] == "--replay":
        with open(arguments[-1], "rb") as file:
            replay = Replay(file.read())
        arguments = arguments[:-2]
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    sys.stdout.reconfigure(encoding="utf-8")
    write = lambda line: print(json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    read, latest = {}, {}
    for name in arguments:
        try:
            with open(name, "rb") as file:
                segment = Segment(file.read())
            for line, model, row in segment.records:
                write(line)
                read.setdefault((segment.writer, line["ring"]), set()).add(line["sequence"])
                if replay is not None and line["kind"] == "prediction":
                    replay.check(line, model, row)
        except (OSError, LogError, UnicodeDecodeError, struct.error, IndexError) as error:
            print("{}: {}".format(name, error), file=sys.stderr)
            return 1
        for ring in (segment.footer or {"rings": []})["rings"]:
            key = (segment.writer, ring["ring"])
            if key not in latest or latest[key]["next"] <= ring["next"]:
                latest[key] = ring
    for (writer, number), ring in sorted(latest.items()):
        count = len(read.get((writer, number), ()))
        missing = ring["next"] - count
        write({
            "dropped": ring["dropped"],
            "kind": "ring",
            "missing": missing,
            "next": ring["next"],
            "read": count,
            "ring": number,
            "sampled_out": ring["sampled_out"],
            "unexplained": max(0, missing - sum(ring["dropped"].values())),
            "writer": "{:016x}".format(writer),
            "written": ring["written"],
        })
    if replay is not None:
        write({"equal": replay.equal, "kind": "replay"})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
