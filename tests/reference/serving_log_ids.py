"""Prediction ids and samples of the serving log (SERVING_LOG.md).

Run as a program, it prints the vectors of `tests/serving_log.tsv`:

    python3 tests/reference/serving_log_ids.py > tests/serving_log.tsv
"""

import struct
import sys

from xxh3 import xxh3_64

MILLION = 1_000_000


def prediction_id(request_id, impression, candidate):
    """Returns the 16 bytes of the id. Request id and impression are bytes."""
    message = bytes([len(request_id)]) + request_id + bytes([len(impression)]) + impression
    message += struct.pack("<I", candidate)
    return struct.pack("<QQ", xxh3_64(b"\x01" + message), xxh3_64(b"\x02" + message))


def sample_place(salt, request_id):
    """Returns the place of a request, from 0 to 999,999: samples of more requests in a million than that have it."""
    digest = xxh3_64(struct.pack("<Q", salt) + request_id)
    return (digest >> 32) * MILLION >> 32


HEADER = """\
# Prediction ids and samples of the serving log: test vectors for every implementation. Written by
# tests/reference/serving_log_ids.py, which shares no code with the crate.
#
# Columns, separated by one tab. Texts are UTF-8, two hexadecimal digits for each byte; `-` is the empty text.
#   id      request id, impression, candidate in decimal, the 16 bytes of the prediction id in hexadecimal
#   sample  request id, salt in decimal, place of the request in decimal: it is in every sample of more requests in a
#           million than its place
#
"""

REQUEST_IDS = [
    "1",
    "ab",
    "abc",
    "7f3e",
    "request-1",
    "0123456789abcdef",
    "5f0c7d5e-8f0c-4a53-a6d0-9d0e3a1c2b4f",
    "リクエスト一",
    "x" * 64,
    "x" * 127,
    "y" * 128,
]
IMPRESSIONS = ["", "1", "imp-2", "z" * 64, "広告枠"]
CANDIDATES = [0, 1, 255, 65_535]
SALTS = [0, 1, 0xFFFFFFFFFFFFFFFF]


def hexadecimal(text):
    return text.encode("utf-8").hex() or "-"


def main():
    out = [HEADER]
    for request_id in REQUEST_IDS:
        for impression in IMPRESSIONS:
            for candidate in CANDIDATES:
                found = prediction_id(request_id.encode(), impression.encode(), candidate).hex()
                out.append(f"id\t{hexadecimal(request_id)}\t{hexadecimal(impression)}\t{candidate}\t{found}\n")
    ids = REQUEST_IDS + [f"request-{index}" for index in range(2, 200)]
    for request_id in ids:
        for salt in SALTS:
            out.append(f"sample\t{hexadecimal(request_id)}\t{salt}\t{sample_place(salt, request_id.encode())}\n")
    sys.stdout.write("".join(out))


if __name__ == "__main__":
    main()
