"""The contract of a weight file, in its canonical form (FORMAT.md, 2)."""

import json
import math
import re
import unicodedata

from weight_file import expect, json_object, require
from xxh3 import xxh3_64

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
KEYS = {"log", "many", "meaning", "name", "side", "type"}
NUMBER_KEYS = {"buckets", "range", "unit"}
LIMIT_KEYS = {"max_categories", "over_max"}
MAX_FIELDS_PER_SIDE = 64
MAX_CROSSES = 64
MAX_EDGES = 1024
# Separators of lines and paragraphs, and characters that override the direction of writing.
LINE_AND_DIRECTION = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class Contract:
    def __init__(self, data):
        root = json_object("contract", data)
        expect("contract: keys", ["cross", "field", "label", "name"], sorted(root))
        expect("contract: canonical JSON", canonical(root), data.decode("utf-8"))
        self.name, self.label = root["name"], root["label"]
        require(is_short_text(self.name, 64), "contract: name")
        require(is_name(self.label), "contract: label")
        self.fields = {}
        for field in as_list(root["field"], "field"):
            check_field(field)
            require(field["name"] not in self.fields, "contract: field {} occurs twice".format(field["name"]))
            self.fields[field["name"]] = field
        require(self.fields, "contract: no field")
        require(self.label not in self.fields, "contract: the label is also a field")
        for side in ["context", "candidate"]:
            count = sum(field["side"] == side for field in self.fields.values())
            require(count <= MAX_FIELDS_PER_SIDE, "contract: {} {} fields".format(count, side))
        self.crosses = [self._cross(cross) for cross in as_list(root["cross"], "cross")]
        require(len(self.crosses) <= MAX_CROSSES, "contract: {} crosses".format(len(self.crosses)))
        distinct = {frozenset(members) for members in self.crosses}
        expect("contract: crosses of distinct fields", len(self.crosses), len(distinct))
        self.fingerprint = xxh3_64(data)

    def _cross(self, cross):
        require(isinstance(cross, dict), "contract: a cross is not an object")
        expect("contract: keys of a cross", ["fields"], sorted(cross.keys() - limit_keys("contract: a cross", cross)))
        members = as_list(cross["fields"], "members of a cross")
        require(2 <= len(members) <= 4, "contract: a cross of {} fields".format(len(members)))
        for member in members:
            require(is_text(member) and member in self.fields, "contract: cross of unknown {}".format(member))
        expect("contract: fields of a cross", len(members), len(set(members)))
        many = [member for member in members if self.fields[member]["many"]]
        require(len(many) <= 1, "contract: a cross of {} `many` fields".format(len(many)))
        return members

    def cross_side(self, members):
        """Returns the side of all members, or None if they are on both."""
        sides = {self.fields[member]["side"] for member in members}
        return sides.pop() if len(sides) == 1 else None


def check_field(field):
    require(isinstance(field, dict), "contract: a field is not an object")
    require(is_name(field.get("name")), "contract: name of a field: {}".format(field.get("name")))
    place = "contract: field {}".format(field["name"])
    is_number = field.get("type") == "number"
    keys = field.keys() - limit_keys(place, field) - {"unseen"}
    expect("{}: keys".format(place), sorted(KEYS | NUMBER_KEYS if is_number else KEYS), sorted(keys))
    require(field["type"] in ("id", "text", "number"), "{}: type {}".format(place, field["type"]))
    require(field["side"] in ("context", "candidate"), "{}: side {}".format(place, field["side"]))
    require(field["log"] in ("plain", "hashed", "never"), "{}: log {}".format(place, field["log"]))
    require(isinstance(field["many"], bool), "{}: many".format(place))
    require(field.get("unseen", "zero") == "zero", "{}: unseen".format(place))
    require(is_short_text(field["meaning"], 1024), "{}: meaning".format(place))
    if is_number:
        check_number_field(place, field)


def limit_keys(place, table):
    """Checks the category limit, if there is one, and returns its keys."""
    keys = LIMIT_KEYS & table.keys()
    if keys:
        expect("{}: keys of a limit".format(place), sorted(LIMIT_KEYS), sorted(keys))
        most = table["max_categories"]
        require(type(most) is int and 1 <= most < 2**64, "{}: max_categories {}".format(place, most))
        require(table["over_max"] in ("error", "drop"), "{}: over_max {}".format(place, table["over_max"]))
    return keys


def check_number_field(place, field):
    require(not field["many"], "{}: a number has one value".format(place))
    require(is_short_text(field["unit"], 128), "{}: unit".format(place))
    bounds = floats(place, field["range"])
    require(len(bounds) == 2 and bounds[0] < bounds[1], "{}: range {}".format(place, bounds))
    if isinstance(field["buckets"], dict):
        log2 = list(field["buckets"]) == ["log2"] and field["buckets"]["log2"] is True
        require(log2, "{}: buckets {}".format(place, field["buckets"]))
        require(bounds[0] >= 0, "{}: log2 buckets below 0".format(place))
        return
    edges = floats(place, field["buckets"])
    require(1 <= len(edges) <= MAX_EDGES, "{}: {} edges".format(place, len(edges)))
    rising = all(one < next_ for one, next_ in zip([bounds[0], *edges], edges))
    require(rising and edges[-1] <= bounds[1], "{}: edges {}".format(place, edges))


def canonical(value):
    """Returns the canonical JSON of a value whose keys may be in any order."""
    if isinstance(value, dict):
        return "{" + ",".join(quoted(key) + ":" + canonical_member(key, value[key]) for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return canonical_float(float(value))
    return quoted(value)


def canonical_member(key, value):
    """Returns the JSON of a key's value: all numbers are floats, except the number of categories."""
    if key == "max_categories" and type(value) is int:
        return str(value)
    return canonical(value)


def canonical_float(number):
    """Returns the shortest text that reads back to `number`, with an exponent if FORMAT.md requires one."""
    digits, exponent = shortest_digits(number)
    sign = "-" if math.copysign(1.0, number) < 0 else ""
    if exponent < -5 or exponent >= 16:
        point = "." + digits[1:] if len(digits) > 1 else ""
        return "{}{}{}e{}".format(sign, digits[0], point, exponent)
    if exponent < 0:
        return "{}0.{}{}".format(sign, "0" * (-exponent - 1), digits)
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    return "{}{}.{}".format(sign, whole, digits[exponent + 1 :] or "0")


def shortest_digits(number):
    """Returns decimal digits d and exponent x with |number| = d[0].d[1:] * 10**x. Python's repr finds the shortest."""
    text, _, power = repr(abs(number)).partition("e")
    whole, _, fraction = text.partition(".")
    exponent = int(power or 0) + len(whole) - 1
    digits = whole + fraction
    leading = len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    return (digits, exponent - leading) if digits else ("0", 0)


def quoted(text):
    return json.dumps(text, ensure_ascii=False)


def floats(place, values):
    numbers = as_list(values, "{}: numbers".format(place))
    require(all(isinstance(number, float) for number in numbers), "{}: numbers {}".format(place, numbers))
    return numbers


def as_list(value, what):
    require(isinstance(value, list), "contract: {} is not a list".format(what))
    return value


def is_text(value):
    return isinstance(value, str) and value.strip() != ""


def is_short_text(value, most):
    """Whether it is a text that is not blank, of at most `most` bytes, without control characters."""
    return is_text(value) and len(value.encode("utf-8")) <= most and is_printable(value)


def is_printable(text):
    return all(unicodedata.category(letter) != "Cc" and letter not in LINE_AND_DIRECTION for letter in text)


def is_name(value):
    return isinstance(value, str) and NAME.fullmatch(value) is not None
