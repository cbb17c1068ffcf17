#!/usr/bin/env python3
"""Make tests/data/open-bandit/*.parquet from the small Open Bandit logs.

Origin: the PyPI package obp 0.4.1 (Apache-2.0), folder obp/dataset/obd/{bts,random}/{all,men,women}. To get it:

    pip download obp==0.4.1 --no-deps && unzip obp-0.4.1-*.whl 'obp/dataset/obd/*'
    pip install pyarrow==26.0.1
    python3 .ci/make-open-bandit-parquet.py obp/dataset/obd tests/data/open-bandit

SOURCE holds POLICY/CAMPAIGN/CAMPAIGN.csv and POLICY/CAMPAIGN/item_context.csv as in the package, or the same files
flattened and gzipped: POLICY/CAMPAIGN.csv.gz and POLICY/CAMPAIGN_item_context.csv.

The same source and the same pyarrow give the same bytes: rows are ordered by time, then by policy and campaign.
Only the standard library and pyarrow are needed. Existing output is replaced.
"""

import csv
import datetime
import gzip
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

# Clicks in each 10,000-row log of the source. If the counts differ, it is not the source that the README describes.
CLICKS = {
    ("bts", "all"): 42,
    ("bts", "men"): 69,
    ("bts", "women"): 46,
    ("random", "all"): 38,
    ("random", "men"): 46,
    ("random", "women"): 46,
}
ROWS_PER_LOG = 10_000

SCHEMA = pa.schema(
    [
        pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("policy", pa.string(), nullable=False),
        pa.field("campaign", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("user_feature_0", pa.string(), nullable=False),
        pa.field("user_feature_1", pa.string(), nullable=False),
        pa.field("user_feature_2", pa.string(), nullable=False),
        pa.field("user_feature_3", pa.string(), nullable=False),
        pa.field("item_id", pa.int64(), nullable=False),
        pa.field("user_item_affinity", pa.float64(), nullable=False),
        pa.field("item_feature_0", pa.float64(), nullable=False),
        pa.field("item_feature_1", pa.string(), nullable=False),
        pa.field("item_feature_2", pa.string(), nullable=False),
        pa.field("item_feature_3", pa.string(), nullable=False),
        pa.field("propensity_score", pa.float64(), nullable=False),
        pa.field("click", pa.int64(), nullable=False),
    ]
)


def open_text(*candidates):
    """Open the first candidate that exists, gzipped or plain."""
    for path in candidates:
        if path.exists():
            return gzip.open(path, "rt", newline="") if path.suffix == ".gz" else open(path, newline="")
    raise SystemExit(f"error: none of these files exists: {', '.join(map(str, candidates))}")


def rows_of(source, policy, campaign):
    with open_text(
        source / policy / campaign / "item_context.csv", source / policy / f"{campaign}_item_context.csv"
    ) as file:
        items = {row["item_id"]: row for row in csv.DictReader(file)}
    with open_text(
        source / policy / campaign / f"{campaign}.csv",
        source / policy / f"{campaign}.csv.gz",
    ) as file:
        for row in csv.DictReader(file):
            item = items[row["item_id"]]
            yield {
                "timestamp": datetime.datetime.fromisoformat(row["timestamp"]),
                "policy": policy,
                "campaign": campaign,
                "position": int(row["position"]),
                **{name: row[name] for name in (f"user_feature_{i}" for i in range(4))},
                "item_id": int(row["item_id"]),
                "user_item_affinity": float(row["user-item_affinity_" + row["item_id"]]),
                "item_feature_0": float(item["item_feature_0"]),
                **{name: item[name] for name in (f"item_feature_{i}" for i in range(1, 4))},
                "propensity_score": float(row["propensity_score"]),
                "click": int(row["click"]),
            }


def main(source, target):
    rows = []
    for (policy, campaign), clicks in CLICKS.items():
        log = list(rows_of(source, policy, campaign))
        found = (len(log), sum(row["click"] for row in log))
        if found != (ROWS_PER_LOG, clicks):
            raise SystemExit(
                f"error: {policy}/{campaign}: expected {ROWS_PER_LOG} rows and {clicks} clicks, "
                f"found {found[0]} rows and {found[1]} clicks; take the files of obp 0.4.1"
            )
        rows.extend(log)
    rows.sort(key=lambda row: (row["timestamp"], row["policy"], row["campaign"]))

    days = {}
    for row in rows:
        days.setdefault(row["timestamp"].date().isoformat(), []).append(row)
    target.mkdir(parents=True, exist_ok=True)
    # A dictionary saves space if values recur. Times never recur, but their differences are small.
    unique = {"timestamp"}
    for day, rows_of_day in sorted(days.items()):
        path = target / f"{day}.parquet"
        pq.write_table(
            pa.Table.from_pylist(rows_of_day, SCHEMA),
            path,
            compression="zstd",
            compression_level=19,
            use_dictionary=[name for name in SCHEMA.names if name not in unique],
            column_encoding={"timestamp": "DELTA_BINARY_PACKED"},
            # Without the Arrow schema, readers see only the Parquet types, as from any other writer.
            store_schema=False,
        )
        print(f"{path}: {len(rows_of_day)} rows, {sum(r['click'] for r in rows_of_day)} clicks, {path.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: make-open-bandit-parquet.py SOURCE TARGET")
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
