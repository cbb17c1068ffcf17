"""Computes the score of a request, defined to the last bit (FORMAT.md, 5 to 7)."""

import math
import struct

import feature_keys
from weight_file import require

# c8 to c0.
EXP_COEFFICIENTS = [
    float.fromhex("0x1.a427557b2eec7p-16"),
    float.fromhex("0x1.a1c7567998558p-13"),
    float.fromhex("0x1.6c14241456875p-10"),
    float.fromhex("0x1.11106aa7a3471p-7"),
    float.fromhex("0x1.55555661f9f61p-5"),
    float.fromhex("0x1.555555b50629bp-3"),
    float.fromhex("0x1.ffffffff9521fp-2"),
    float.fromhex("0x1.ffffffffc4a26p-1"),
    1.0,
]
LOG2_E = float.fromhex("0x1.71547652b82fep+0")
LN2_HIGH = float.fromhex("0x1.62e42feep-1")
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
ROUND_TO_WHOLE = 6755399441055744.0

MAX_CANDIDATES = 65_536
MAX_CATEGORIES = 1_024
MAX_ROW_LEN = 1 << 20
MAX_LOOKUPS = 1 << 22
FREE_LOOKUPS = 1 << 20
LOOKUPS_PER_BYTE = 16


class Scorer:
    """Scores rows: dicts from field names to an int, a str, a float, or a list of ints or strs."""

    def __init__(self, contract, table, defaults, calibrator):
        """`defaults` has what an unseen category and a missing value of each field add, in contract order."""
        self.contract = contract
        self.table = table
        self.defaults = defaults
        self.calibrator = calibrator
        self.seeds = {name: feature_keys.seed_of(name) for name in contract.fields}
        self.cross_seeds = [feature_keys.seed_of("*".join(members)) for members in contract.crosses]

    def logit(self, context, candidate):
        keys = {}
        for name, field in self.contract.fields.items():
            row = context if field["side"] == "context" else candidate
            keys[name] = [
                feature_keys.category_key(self.seeds[name], value) for value in values_of(field, row.get(name))
            ]
        return self.logit_of_keys(keys)

    def logit_of_keys(self, keys):
        """Computes the logit of feature keys: a list of them for each field of the contract."""
        sums = {"context": 0.0, "candidate": 0.0, None: 0.0}
        for group, (name, field) in enumerate(self.contract.fields.items()):
            unseen, missing = self.defaults[group]
            weights = [self._weight(key, group, unseen) for key in keys[name]] or [missing]
            for weight in weights:
                sums[field["side"]] += weight
        crosses = zip(self.contract.crosses, self.cross_seeds)
        for group, (members, seed) in enumerate(crosses, len(self.contract.fields)):
            for key in cross_keys(seed, [keys[member] for member in members]):
                sums[self.contract.cross_side(members)] += self._weight(key, group, 0.0)
        return ((self.table.bias + sums["context"]) + sums["candidate"]) + sums[None]

    def probability(self, logit):
        limited = min(max(sigmoid(logit), self.calibrator.min), self.calibrator.max)
        return struct.unpack("<f", struct.pack("<f", limited))[0]

    def _weight(self, key, group, unseen):
        # Where nothing is added, adding 0.0 to a sum that starts at 0.0 changes no bit.
        weight = self.table.weight(key, group)
        return unseen if weight is None else weight


def values_of(field, value):
    """Returns the values of a field's categories; none if it is missing."""
    if value is None:
        return []
    if field["type"] == "number":
        range_min, range_max = field["range"]
        edges = field["buckets"] if isinstance(field["buckets"], list) else None
        bucket = feature_keys.number_value(float(value), range_min, range_max, edges)
        return [] if bucket is None else [bucket]
    value_of = feature_keys.id_value if field["type"] == "id" else feature_keys.text_value
    return [value_of(category) for category in (value if field["many"] else [value])]


def cross_keys(seed, members):
    """Returns the keys of a cross: one for each category of its `many` member; none if a member has no category."""
    combinations = [[]]
    for keys in members:
        combinations = [chosen + [key] for chosen in combinations for key in keys]
    return [feature_keys.cross_key(seed, chosen) for chosen in combinations]


def sigmoid(logit):
    a = min(abs(logit), 700.0)
    shifted = (-a) * LOG2_E + ROUND_TO_WHOLE
    n = shifted - ROUND_TO_WHOLE
    r = ((-a) - n * LN2_HIGH) - n * LN2_LOW
    e = EXP_COEFFICIENTS[0]
    for coefficient in EXP_COEFFICIENTS[1:]:
        e = e * r + coefficient
    e = e * math.ldexp(1.0, int(n))
    return (1.0 if logit >= 0 else e) / (1.0 + e)


def check_golden(golden, scorer, file_len):
    """Recomputes all golden requests; returns the numbers of requests and of candidates."""
    requests = golden.get("requests")
    require(isinstance(requests, list) and requests, "golden requests: none")
    candidate_count = 0
    most = min(MAX_LOOKUPS, FREE_LOOKUPS + LOOKUPS_PER_BYTE * file_len)
    lookups = 0
    for index, request in enumerate(requests):
        place = "golden request {}".format(index)
        keys = {"candidates", "context", "logits", "probabilities"}
        require(isinstance(request, dict) and keys <= set(request), "{}: expected {}".format(place, sorted(keys)))
        context, candidates = request["context"], request["candidates"]
        require(isinstance(candidates, list), "{}: candidates".format(place))
        require(1 <= len(candidates) <= MAX_CANDIDATES, "{}: {} candidates".format(place, len(candidates)))
        for answers in ["logits", "probabilities"]:
            entries = request[answers]
            require(isinstance(entries, list) and len(entries) == len(candidates), "{}: {}".format(place, answers))
        check_row(place, scorer.contract, "context", context)
        for candidate in candidates:
            check_row(place, scorer.contract, "candidate", candidate)
        for row in [context, *candidates]:
            len_bytes = tail_len(row)
            require(len_bytes <= MAX_ROW_LEN, "{}: texts and lists of {} bytes".format(place, len_bytes))
        for candidate in candidates:
            lookups += lookup_count(scorer.contract, context, candidate)
            require(lookups <= most, "golden requests: more than {} look-ups".format(most))
        for number, candidate in enumerate(candidates):
            logit = scorer.logit(context, candidate)
            probability = scorer.probability(logit)
            compare(place, number, "logit", struct.pack(">d", logit).hex(), request["logits"][number])
            found = struct.pack(">f", probability).hex()
            compare(place, number, "probability", found, request["probabilities"][number])
        candidate_count += len(candidates)
    return len(requests), candidate_count


def lookup_count(contract, context, candidate):
    """One for each category of each field, and one for each feature of each cross."""
    counts = {}
    for name, field in contract.fields.items():
        row = context if field["side"] == "context" else candidate
        value = row.get(name)
        counts[name] = 0 if value is None else len(value) if field["many"] else 1
    return sum(counts.values()) + sum(math.prod(counts[name] for name in members) for members in contract.crosses)


def compare(place, number, what, found, expected):
    message = "{}, candidate {}: expected the {} {}, computed {}".format(place, number, what, expected, found)
    require(isinstance(expected, str) and found == expected.lower(), message)


def check_row(place, contract, side, row):
    require(isinstance(row, dict), "{}: a row is not an object".format(place))
    for name, value in row.items():
        field = contract.fields.get(name)
        known = field is not None and field["side"] == side
        require(known, "{}: the contract has no {} field {}".format(place, side, name))
        values = value if field["many"] else [value]
        require(isinstance(values, list), "{}: {} is not a list".format(place, name))
        require(len(values) <= MAX_CATEGORIES, "{}: {} has {} categories".format(place, name, len(values)))
        for category in values:
            require(fits(field["type"], category), "{}: {}: {!r} is not of its type".format(place, name, category))


def tail_len(row):
    """Returns the bytes that the texts and lists of a row take in a request."""

    def len_of(value):
        if isinstance(value, list):
            return 8 + sum(8 + len_of(category) for category in value)
        return len(value.encode("utf-8")) if isinstance(value, str) else 0

    return sum(map(len_of, row.values()))


def fits(type_, value):
    if isinstance(value, bool):
        return False
    if type_ == "id":
        return isinstance(value, int) and -(2**63) <= value < 2**63
    return isinstance(value, str if type_ == "text" else (int, float))
