"""Reads a weight file, checks every byte of it and recomputes its golden requests.

    python3 tests/reference/read_weight_file.py FILE

Exit code 0: the file is whole. 1: it is not, and stderr says why. 2: misuse.

It was written from src/weight_file/FORMAT.md alone, with the standard library of Python 3.9. It proves that the page is
a complete specification.
"""

import sys

import weight_file
from contract import Contract, is_printable
from score import Scorer, check_golden
from weight_file import (
    MAX_JSON_VALUES, Calibrator, WeightFile, WeightFileError, WeightTable, default_weights, json_object, require
)

# The start of 1900 and the end of 2199, in microseconds since 1970.
EARLIEST_END_US = -2_208_988_800_000_000
LATEST_END_US = 7_258_118_400_000_000


def read(data):
    """Returns the lines of the summary. Raises WeightFileError."""
    file = WeightFile(data)
    contract = Contract(file.sections[weight_file.CONTRACT])
    provenance = json_object("provenance", file.sections[weight_file.PROVENANCE], MAX_JSON_VALUES)
    logic_id = provenance.get("logic_id")
    require(isinstance(logic_id, str) and logic_id, "provenance: logic_id is missing")
    require(len(logic_id.encode("utf-8")) <= 128 and is_printable(logic_id), "provenance: logic_id")
    check_training_end(provenance)
    table = WeightTable(
        file.sections[weight_file.TABLE],
        file.sections[weight_file.WEIGHTS],
        file.sections[weight_file.EXCEPTIONS],
        len(contract.fields) + len(contract.crosses),
    )
    calibrator = Calibrator(file.sections[weight_file.CALIBRATOR])
    defaults = [(0.0, 0.0)] * len(contract.fields)
    if weight_file.DEFAULT_WEIGHTS in file.sections:
        defaults = default_weights(file.sections[weight_file.DEFAULT_WEIGHTS], len(contract.fields))
    golden = json_object("golden requests", file.sections[weight_file.GOLDEN])
    if weight_file.FIELD_SIZES in file.sections:
        json_object("field sizes", file.sections[weight_file.FIELD_SIZES], MAX_JSON_VALUES)
    request_count, candidate_count = check_golden(golden, Scorer(contract, table, defaults, calibrator), len(data))
    return [
        "weight file: {} bytes, format version {}, generation {}".format(len(data), file.version, file.generation),
        "logic id: {}".format(logic_id),
        "contract: {}, {} fields, {} crosses, fingerprint {:016x}".format(
            contract.name, len(contract.fields), len(contract.crosses), contract.fingerprint
        ),
        "weights: {} in {}, in {} shards of {} lines, {} exceptions".format(
            table.weight_count, table.encoding, table.shard_count, table.shard_lines, len(table.exceptions)
        ),
        "golden: {} requests, {} candidates, all bits equal".format(request_count, candidate_count),
    ]


def check_training_end(provenance):
    value = provenance
    for key in ["training", "training_window", "last_us"]:
        value = value.get(key) if isinstance(value, dict) else None
    known = value is None or type(value) is int and EARLIEST_END_US <= value < LATEST_END_US
    require(known, "provenance: the training data ends at {}".format(value))


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with open(arguments[0], "rb") as file:
            data = file.read()
        lines = read(data)
    except (OSError, WeightFileError) as error:
        print("{}: {}".format(arguments[0], error), file=sys.stderr)
        return 1
    sys.stdout.reconfigure(encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
