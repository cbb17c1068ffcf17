"""Computes experiments from their definitions (docs/experiments.md), without any code of the crate.

    read_out.py counterfactual MODEL.omomi SEGMENT...   estimates of what the file would have earned in clicks
    read_out.py ab LOG.csv UNIT CONTROL NARROWEST_AT    differences of the click-through rate, by arm

Prints one JSON object. Events count whenever they happened.
"""

import csv
import json
import math
import struct
import sys

from serving_log import Replay, Segment

ALPHA = 0.05
# The 97.5 % quantile of the normal distribution.
QUANTILE = 1.959963984540054


def number(text):
    """Decodes a number that the reader of segments printed in hexadecimal."""
    return struct.unpack(">d" if len(text) == 16 else ">f", bytes.fromhex(text))[0]


def requests_of(names, replay):
    details, choices, clicked = {}, {}, set()
    for name in names:
        with open(name, "rb") as file:
            records = Segment(file.read()).records
        for line, _model, _row in records:
            if line["kind"] == "detail":
                details[line["request"]] = line
            elif line["kind"] == "prediction":
                choices.setdefault(line["request"], []).append(line)
            elif line["event"] == "click":
                clicked.add(line["id"])
    for request, detail in sorted(details.items()):
        chosen = choices.get(request, [])
        if len(chosen) != 1 or math.isnan(number(chosen[0]["propensity"])):
            continue
        logits = [logit_of(replay, detail["context"], candidate[3]) for candidate in detail["candidates"]]
        yield {
            "chosen": chosen[0]["candidate"],
            "propensity": number(chosen[0]["propensity"]),
            "reward": 1.0 if chosen[0]["id"] in clicked else 0.0,
            "logged": [number(candidate[1]) for candidate in detail["candidates"]],
            "best": logits.index(max(logits)),
        }


def logit_of(replay, context, candidate):
    keys = {name: [] for name in replay.contract.fields}
    for name, key, _weight, source in context + candidate:
        if name in keys and source != "missing":
            keys[name].append(int(key, 16))
    return replay.scorer.logit_of_keys(keys)


def mean_with_reach(values):
    """The mean of independent values, and the reach of its interval."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, QUANTILE * math.sqrt(variance / len(values))


def counterfactual(model, names):
    with open(model, "rb") as file:
        replay = Replay(file.read())
    weights, weighted, robust, rewards = [], [], [], []
    for request in requests_of(names, replay):
        weight = 1.0 / request["propensity"] if request["chosen"] == request["best"] else 0.0
        direct = request["logged"]
        weights.append(weight)
        rewards.append(request["reward"])
        weighted.append(weight * request["reward"])
        robust.append(direct[request["best"]] + weight * (request["reward"] - direct[request["chosen"]]))
    mean_weight = sum(weights) / len(weights)
    normalized = sum(weighted) / sum(weights)
    # The self-normalized mean, linearized: its value plus the mean of these.
    shares = [(one - normalized * weight) / mean_weight for one, weight in zip(weighted, weights)]
    return {
        "requests": len(weights),
        "effective_sample_size": sum(weights) ** 2 / sum(weight * weight for weight in weights),
        "mean_weight": mean_weight,
        "logged": mean_with_reach(rewards),
        "ips": mean_with_reach(weighted),
        "snips": [normalized, mean_with_reach(shares)[1]],
        "doubly_robust": mean_with_reach(robust),
    }


def ab(path, unit, control, narrowest_at):
    units = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            clicks, impressions = units.setdefault((row["arm"], row[unit]), [0.0, 0.0]), 1.0
            clicks[0] += 1.0 if row["click_delay_ms"] else 0.0
            clicks[1] += impressions
    arms = {}
    for (arm, _unit), sums in units.items():
        arms.setdefault(arm, []).append(sums)
    found = {}
    for arm, sums in arms.items():
        clicks, impressions = (sum(one[index] for one in sums) / len(sums) for index in (0, 1))
        rate = clicks / impressions
        # Each unit's contribution to the error of the ratio (the delta method).
        errors = [(one[0] - rate * one[1]) / impressions for one in sums]
        variance = sum(error * error for error in errors) / (len(sums) - 1) / len(sums)
        found[arm] = {"units": len(sums), "ctr": rate, "variance": variance}
    base = found[control]
    rho_squared = (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA) + 1)) / narrowest_at
    for arm, one in found.items():
        if arm == control:
            continue
        count = base["units"] + one["units"]
        info = count * rho_squared
        reach = math.sqrt(2 * (info + 1) / info * math.log(math.sqrt(info + 1) / ALPHA))
        ratio = one["ctr"] / base["ctr"]
        relative = (one["variance"] + ratio**2 * base["variance"]) / base["ctr"] ** 2
        one["absolute"] = [one["ctr"] - base["ctr"], reach * math.sqrt(base["variance"] + one["variance"])]
        one["relative"] = [ratio - 1, reach * math.sqrt(relative)]
    return found


def main(arguments):
    if len(arguments) > 2 and arguments[0] == "counterfactual":
        print(json.dumps(counterfactual(arguments[1], arguments[2:])))
    elif len(arguments) == 5 and arguments[0] == "ab":
        print(json.dumps(ab(*arguments[1:4], float(arguments[4]))))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
