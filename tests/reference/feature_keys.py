"""Feature keys: turns a field and a category into 64 bits (FORMAT.md, 4).

Run as a program, it prints the vectors of `tests/feature_keys.tsv`:

    python3 tests/reference/feature_keys.py > tests/feature_keys.tsv
"""

import bisect
import struct
import sys

from xxh3 import MASK_64, xxh3_64


def mix(value):
    value ^= value >> 30
    value = value * 0xBF58476D1CE4E5B9 & MASK_64
    value ^= value >> 27
    value = value * 0x94D049BB133111EB & MASK_64
    return value ^ value >> 31


def seed_of(name):
    """Returns the seed of a field, or of a cross, whose name is its members' names joined by `*`."""
    return xxh3_64(name.encode("utf-8"))


def id_value(number):
    """Returns the value of an id: its two's complement bits."""
    return number & MASK_64


def text_value(text):
    return xxh3_64(text.encode("utf-8"))


def number_value(number, range_min, range_max, edges):
    """Returns the index of the number's bucket, or None if it counts as missing. `edges` is None for log2."""
    if not range_min <= number <= range_max:
        return None
    if edges is not None:
        return bisect.bisect_right(edges, number)
    return bits_of(number) >> 52 & 0x7FF


def category_key(seed, value):
    return mix(seed ^ value)


def cross_key(seed, member_keys):
    key = seed
    for member_key in member_keys:
        key = mix(((key << 23 | key >> 41) & MASK_64) ^ member_key)
    return key


def bits_of(number):
    return struct.unpack("<Q", struct.pack("<d", number))[0]


HEADER = """\
# Feature keys: test vectors for every implementation. Written by tests/reference/feature_keys.py, which shares no code
# with the crate.
#
# Seven columns, separated by one tab; `-` is an empty column. Hexadecimal numbers are 64-bit integers, written as 16
# lower-case digits.
#   kind     id, text, number or cross
#   field    name of the field; of a cross, its members' names joined by `*`
#   seed     the field's or cross's seed
#   input    id: decimal, signed. text: its UTF-8 bytes, two digits each. number: bits of the double.
#            cross: feature keys of its members' categories, in order, joined by `,`
#   buckets  number only: bits of the smallest and the largest value of its range, then `log2` or the bits of each edge,
#            joined by `,`
#   value    the category's value; `-` for a cross, and for a number that counts as missing
#   key      the feature key; `-` for a number that counts as missing
#
# kind	field	seed	input	buckets	value	key
"""

IDS = [0, 1, -1, 2, 7, 42, -42, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53 + 1, 10**18, 2**63 - 1, -(2**63)]

TEXTS = [
    "", " ", "a", "ab", "abc", "null", "news", "NEWS", "omomi", "sports,news", "a*b", "\t\n", "\0", "a\0",
    "旅行", "東京", "東京都渋谷区", "カタカナ", "ｶﾀｶﾅ", "が", "か\u3099", "é", "e\u0301", "👍", "👍🏽", "👩‍👩‍👧‍👦", "🇯🇵", "\U0010ffff",
    "\ufeffbom",
]

TEXT_LENGTHS = [
    5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 97, 127, 128, 129, 143, 144, 160, 239, 240, 241, 255, 256,
    512, 1023, 1024, 1025, 1088, 1089, 2048, 2049, 3000,
]

INFINITY = float("inf")
MIN_SUBNORMAL = 5e-324
MIN_NORMAL = 2.0**-1022


def vectors():
    """Yields the lines of the vector file."""
    for field in ["media_id", "a"]:
        for number in IDS:
            yield line("id", field, str(number), "-", id_value(number))
    for field in ["interest", "title"]:
        for text in TEXTS:
            yield text_line(field, text)
    for length in TEXT_LENGTHS:
        yield text_line("title", "".join(chr(ord("!") + (7 * i + length) % 94) for i in range(length)))
    yield text_line("title", "重み" * 200)

    edges = [10.0, 50.0, 100.0, 500.0]
    for number in around([0.0, *edges, 100_000.0]) + [-0.0, 0.1, MIN_SUBNORMAL, 75.5] + NEVER:
        yield number_line("floor_price", number, 0.0, 100_000.0, edges)
    edges = [-1.5, 0.0, 1.0 / 3.0]
    for number in around([-2.0, *edges, 2.0]) + [-0.0] + NEVER:
        yield number_line("drift", number, -2.0, 2.0, edges)
    powers = [MIN_NORMAL, 0.5, 1.0, 2.0, 1024.0, 2.0**52, 2.0**1023, sys.float_info.max]
    for number in around(powers) + [0.0, -0.0, MIN_SUBNORMAL, 3.0, 86_400.0] + NEVER:
        yield number_line("age_seconds", number, 0.0, sys.float_info.max, None)
    for number in around([1.0, 64.0]):
        yield number_line("wait_seconds", number, 1.0, 64.0, None)

    def key(field, value):
        return category_key(seed_of(field), value)

    media, creative = key("media_id", id_value(7)), key("creative_id", id_value(-3))
    region, interest = key("region", text_value("東京")), key("interest", text_value(""))
    price = key("floor_price", 3)
    for members in [
        [("media_id", media), ("creative_id", creative)],
        [("creative_id", creative), ("media_id", media)],
        [("region", region), ("interest", interest)],
        [("interest", interest), ("floor_price", price)],
        [("media_id", media), ("creative_id", creative), ("region", region)],
        [("region", region), ("creative_id", creative), ("media_id", media)],
        [("media_id", media), ("creative_id", creative), ("region", region), ("floor_price", price)],
        [("floor_price", price), ("interest", interest), ("region", region), ("creative_id", creative)],
    ]:
        name = "*".join(name for name, _ in members)
        keys = [key for _, key in members]
        columns = ["cross", name, hex_16(seed_of(name)), ",".join(map(hex_16, keys)), "-", "-"]
        yield "\t".join([*columns, hex_16(cross_key(seed_of(name), keys))])


NEVER = [-1.0, float("nan"), INFINITY, -INFINITY]


def around(numbers):
    """Returns each number with its neighbors among the doubles."""
    return [near for number in numbers for near in (before(number), number, after(number))]


def after(number):
    if number == 0.0:
        return MIN_SUBNORMAL
    return from_bits(bits_of(number) + (1 if number > 0 else -1))


def before(number):
    return -after(-number)


def from_bits(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def text_line(field, text):
    return line("text", field, text.encode("utf-8").hex() or "-", "-", text_value(text))


def number_line(field, number, range_min, range_max, edges):
    buckets = [hex_16(bits_of(range_min)), hex_16(bits_of(range_max))]
    buckets += ["log2"] if edges is None else [hex_16(bits_of(edge)) for edge in edges]
    value = number_value(number, range_min, range_max, edges)
    return line("number", field, hex_16(bits_of(number)), ",".join(buckets), value)


def line(kind, field, text, buckets, value):
    seed = seed_of(field)
    value_and_key = ["-", "-"] if value is None else [hex_16(value), hex_16(category_key(seed, value))]
    return "\t".join([kind, field, hex_16(seed), text, buckets, *value_and_key])


def hex_16(number):
    return format(number, "016x")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    sys.stdout.write(HEADER)
    for vector in dict.fromkeys(vectors()):
        print(vector)
