# SPDX-License-Identifier: Apache-2.0
"""Reads a run's event file with TensorBoard's own reader and compares every point with the run's records.

Needs the PyPI package tensorboard; exit code 77 where it is not installed, 1 where a point is missing, is there twice
or has another value than metrics.jsonl or steps.csv."""
import argparse
import csv
import json
import pathlib
import sys

try:
    import numpy
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    print(f"skipped: {error}; the PyPI package tensorboard is needed")
    sys.exit(77)

EVALUATIONS = {"accuracy/test": "test_accuracy", "accuracy/test_at_largest_width": "test_accuracy_max_width",
               "loss/test": "test_loss", "loss/train": "train_loss", "cost/paper_gbitops": "paper_gbitops",
               "cost/executed_gbitops": "executed_gbitops"}
STEPS = {"loss/batch": "loss", "learning_rate": "lr", "bits/forward": "forward_bits", "bits/gradient": "gradient_bits"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=pathlib.Path, help="a run folder that was trained with --tensorboard")
    parser.add_argument("--log-every", type=int, default=10, help="train.log_every of the run")
    arguments = parser.parse_args()
    events = EventAccumulator(str(arguments.run), size_guidance={"scalars": 0})
    events.Reload()
    found = {tag: [(e.step, numpy.float32(e.value)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}

    expected = {}
    for line in (arguments.run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        for tag, key in EVALUATIONS.items():
            expected.setdefault(tag, []).append((record["step"], numpy.float32(record[key])))
    with open(arguments.run / "steps.csv") as file:
        for row in csv.DictReader(file):
            done = int(row["step"]) + 1
            if done % arguments.log_every == 0:
                for tag, key in STEPS.items():
                    expected.setdefault(tag, []).append((done, numpy.float32(row[key])))

    wrong = sorted(set(expected) ^ set(found))
    for tag in set(expected) & set(found):
        same = [a[0] for a in expected[tag]] == [b[0] for b in found[tag]]
        # steps.csv has nine significant digits of the binary64 loss.
        close = same and all(abs(a[1] - b[1]) <= 1e-6 * abs(a[1]) for a, b in zip(expected[tag], found[tag]))
        if not close:
            wrong.append(tag)
    print(f"tensorboard: {len(found)} tags, {sum(map(len, found.values()))} points; "
          + ("all as recorded" if not wrong else "different: " + ", ".join(wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
