"""Draws, buckets and exploration of experiments (EXPERIMENT.md).

Run as a program, it prints the vectors of `tests/experiment.tsv`:

    python3 tests/reference/experiment.py > tests/experiment.tsv
"""

import math
import struct
import sys

from xxh3 import xxh3_64

BUCKET_COUNT = 10_000
BUCKET, SHADOW, EXPLORE, RANDOM, PICK = range(5)


def draw(salt, purpose, value):
    return xxh3_64(struct.pack("<QBQ", salt, purpose, value))


def bucket_of(drawn):
    return (drawn >> 32) * BUCKET_COUNT >> 32


def number_of(drawn):
    return (drawn >> 11) / (1 << 53)


def choose(salt, share, method, parameter, request_id, utilities):
    """Returns the candidate, its propensity and whether the request explores. None is a utility of no candidate."""
    eligible = [index for index, utility in enumerate(utilities) if utility is not None]
    best = max(eligible, key=lambda index: (utilities[index], -index))
    value = xxh3_64(request_id)
    explores = bucket_of(draw(salt, EXPLORE, value)) < share
    pick = number_of(draw(salt, PICK, value))
    part = share / BUCKET_COUNT
    if method == "epsilon":
        candidate = best
        if explores and number_of(draw(salt, RANDOM, value)) < parameter:
            candidate = eligible[int(pick * len(eligible))]
        propensity = part * parameter / len(eligible)
        greedy = 1.0 - part * parameter
    else:
        weights = {index: math.exp((utilities[index] - utilities[best]) / parameter) for index in eligible}
        total = 0.0
        for index in eligible:
            total += weights[index]
        candidate = best
        if explores:
            reached = 0.0
            for index in eligible:
                reached += weights[index]
                if reached > pick * total:
                    candidate = index
                    break
        propensity = part * weights[candidate] / total
        greedy = 1.0 - part
    return candidate, propensity + (greedy if candidate == best else 0.0), explores


HEADER = """\
# Draws, buckets and choices of experiments: test vectors for every implementation. Written by
# tests/reference/experiment.py, which shares no code with the crate.
#
# Columns, separated by one tab. Texts are UTF-8, two hexadecimal digits for each byte; `-` is the empty text.
#   text    salt in decimal, text, its bucket as a unit, its bucket as a request id for shadows
#   id      salt in decimal, id in decimal, its bucket as a unit
#   choice  salt in decimal, share, `epsilon` or `temperature`, its value, request id, utilities joined by commas (`-`:
#           not eligible), the candidate, its propensity (to 12 digits), 1 if the request explores
#
"""

TEXTS = ["", "1", "user-1", "5f0c7d5e-8f0c-4a53-a6d0-9d0e3a1c2b4f", "利用者一", "x" * 128]
SALTS = [0, 1, 0x0123456789ABCDEF, 0xFFFFFFFFFFFFFFFF]
IDS = [0, 1, -1, 42, 9_007_199_254_740_993, -(1 << 63), (1 << 63) - 1]
UTILITIES = [[0.5], [0.01, 0.02, None, 0.02], [None, -1.0, 2.5, 0.0, 2.0]]
POLICIES = [(10_000, "epsilon", 1.0), (5_000, "epsilon", 0.5), (10_000, "temperature", 0.5), (2_000, "temperature", 2.0)]


def hexadecimal(text):
    return text.encode("utf-8").hex() or "-"


def main():
    out = [HEADER]
    for salt in SALTS:
        for text in TEXTS + ["user-{}".format(index) for index in range(2, 30)]:
            value = xxh3_64(text.encode("utf-8"))
            buckets = [bucket_of(draw(salt, purpose, value)) for purpose in (BUCKET, SHADOW)]
            out.append("text\t{}\t{}\t{}\t{}\n".format(salt, hexadecimal(text), *buckets))
        for number in IDS:
            bucket = bucket_of(draw(salt, BUCKET, number & 0xFFFFFFFFFFFFFFFF))
            out.append("id\t{}\t{}\t{}\n".format(salt, number, bucket))
    for share, method, parameter in POLICIES:
        for utilities in UTILITIES:
            for index in range(20):
                request_id = "request-{}".format(index)
                found = choose(7, share, method, parameter, request_id.encode(), utilities)
                listed = ",".join("-" if utility is None else repr(utility) for utility in utilities)
                row = [7, share, method, parameter, hexadecimal(request_id), listed, found[0]]
                out.append("choice\t{}\t{:.12f}\t{:d}\n".format("\t".join(map(str, row)), found[1], found[2]))
    sys.stdout.write("".join(out))


if __name__ == "__main__":
    main()
