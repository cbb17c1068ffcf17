"""Prints the signed data of a weight file (FORMAT.md, 8), its key id and its signature, each as a line of hexadecimal
digits.

    python3 tests/reference/signed_bytes.py FILE

It does not verify the signature: the standard library of Python has no Ed25519.
"""

import hashlib
import struct
import sys

from weight_file import WeightFile, expect

SIGNATURE = 9
ED25519 = 1
DOMAIN = b"omomi weight file, signature v1\0"


def signed_bytes(file):
    data = file.data
    others = [section for section in file.entries if section.kind != SIGNATURE]
    # The header has both versions, the generation and the file id exactly as they are signed.
    parts = [DOMAIN, data[12:20], data[32:40], data[40:56], struct.pack("<II", len(others), 0)]
    for section in others:
        digest = hashlib.sha256(file.sections[section.kind]).digest()
        parts.append(struct.pack("<IIQ", section.kind, section.flags, section.length) + digest)
    return b"".join(parts)


def main(path):
    with open(path, "rb") as opened:
        file = WeightFile(opened.read())
    algorithm, zero, key_id, signature = struct.unpack("<II8s64s", file.sections[SIGNATURE])
    expect("algorithm", ED25519, algorithm)
    expect("zeros", 0, zero)
    for part in (signed_bytes(file), key_id, signature):
        print(part.hex())


if __name__ == "__main__":
    main(sys.argv[1])
