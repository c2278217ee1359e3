#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the tables of bench/results and docs/results.md from raw records: what programs wrote, in bench/results/raw,
bench/results/cuda-h100 and bench/results/cuda-h200.

    bench/results/tables.py           writes every table between <!-- table NAME --> and <!-- end of table -->
    bench/results/tables.py --check   compares instead; exit code 1 where a table is not what its records make
    bench/results/tables.py --record BUILD/cli/bitcycle   prices the networks of the cost tables again, into raw

A table that no function here makes says why in the line before it: <!-- printed by: COMMAND -->, or <!-- by hand: WHY -->.
To record a measurement again, write over its file in raw (the page says with which command) and run this."""
import difflib
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RAW = HERE / "raw"
# Pages of measurements whose raw output was not kept.
UNRECORDED = {"vision-peers.md"}


def table(heading, rows):
    line = lambda cells: "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)
    return "\n".join([line(heading), "|" + "---|" * len(heading), *map(line, rows)])


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- convolutions: Google Benchmark's own JSON

def best_rates():
    """Best of the repetitions, by benchmark: on a shared machine the others measure the other programs."""
    best = {}
    for entry in json.loads((RAW / "conv-kernels.json").read_text())["benchmarks"]:
        name = entry["name"].replace("/real_time", "")
        best[name] = max(best.get(name, 0.0), entry["GMAC/s"])
    return best


def convolutions(rows):
    best = best_rates()
    return table(["pass", "16x32x32", "32x16x16", "64x8x8"],
                 [[label] + [f"{best[f'{name}/{stage}']:.0f}" for stage in (1, 2, 3)] for label, name in rows])


def integer_sums():
    return convolutions([("forward", "product_accumulators/forward"),
                         ("error, `requantised`", "product_accumulators/error_requantised"),
                         ("weight gradient", "gradient_accumulators")])


def whole_operations():
    return convolutions([("forward", "pass/forward"), ("error, `requantised`", "pass/error_requantised"),
                         ("error, `shared` (two limbs: twice the products)", "pass/error_shared"),
                         ("weight gradient", "pass/weight_gradient")])


def matrix_product():
    best = best_rates()
    names = (("forward", "forward"), ("error", "error_requantised"), ("weight gradient", "weight_gradient"))
    return table(["pass", "GMAC/s"], [[label, f"{best[f'matrix/{name}/2048/512/2048']:.0f}"] for label, name in names])


# --- training steps: what `train --profile --json` printed

def profiles(file, column, name):
    rates = {}
    for entry in lines_of(RAW / file):
        rates.setdefault(entry["of"], []).append(entry["output"]["images_per_second"])
    shown = lambda rate: f"{rate:.1f}" if rate < 100 else f"{rate:,.0f}"
    return table([column, "images/s"], [[name(of), ", ".join(map(shown, each))] for of, each in rates.items()])


def widths():
    return profiles("widths.jsonl", "bits, forward/gradient", str)


def instruction_sets():
    return profiles("instruction-sets.jsonl", "instruction set",
                    lambda of: f"`{of}`" + (" (SSE2), batch 32" if of == "portable" else ""))


# --- GPUs: what the program printed there

def gpu_step(folder):
    rows = []
    for label, file in (("error pass `shared`", "step-shared"), ("error pass `requantised`", "step-requantised"),
                        ("`shared`, without a carve-out of shared memory", "step-carveout-off"),
                        ("`shared`, without a graph", "step-graph-off"),
                        ("`shared`, one kernel at a time", "step-serial")):
        rate = json.loads((HERE / folder / f"{file}.json").read_text())["images_per_second"]
        rows.append([label, f"{1e3 * 128 / rate:.3f}", f"{rate:,.0f}"])
    return table(["", "ms a step", "images/s"], rows)


def h100_run():
    run = json.loads((HERE / "cuda-h100/resnet38-cpt-3-8.summary.json").read_text())
    return table(["run", "test accuracy", "GBitOPs, metric `paper`", "time", "digest"],
                 [["CPT 3-8/8, 32 cycles", f"{run['test_accuracy']:.2f} %, best {run['best_test_accuracy']:.2f} %",
                   f"{run['paper_gbitops']:,.0f} ({run['saving_percent']:.1f} % less than static 8/8)",
                   f"{run['seconds']:.0f} s, evaluations included; {run['images_per_second']:,.0f} images/s",
                   run["digest"]]])


def h200_peers():
    names = (("float32", "float32"), ("float32_tf32", "float32 with TF32"), ("mixed_float16", "mixed float16"),
             ("fake_quantised_8_8", "lean fake quantisation 8/8"),
             ("fake_quantised_8_8_tf32", "lean fake quantisation 8/8 with TF32"))
    layouts = [json.loads((HERE / f"cuda-h200/peers-{layout}.json").read_text()) for layout in ("contiguous", "channels-last")]
    return table(["PyTorch", "ms a step", "the same, channels last", "memory at its peak, MB"],
                 [[label, *(f"{each[key]['step_ms']:.1f}" for each in layouts),
                   f"{max(each[key]['memory_bytes'] for each in layouts) / 1e6:,.0f}"] for key, label in names])


def h200_imagenet():
    rows = []
    for name, commit in (("resnet18", "3a55451"), ("resnet18", "df19676"), ("resnet50", "3a55451"), ("resnet50", "0c2ad87"),
                         ("resnet50", "df19676")):
        run, profile = (json.loads((HERE / f"cuda-h200/imagenet-{kind}{name}-{commit}.json").read_text())
                        for kind in ("", "profile-"))
        times = {entry["operation"]: 1e3 * entry["seconds"] / profile["steps"] for entry in profile["profile"]}
        convolutions = {name: time for name, time in times.items() if name.startswith("convolution")}
        floats = sum(time for name, time in convolutions.items() if name.endswith((", direct", ", float32")))
        integers = sum(convolutions.values()) - floats
        pool = times["max pool backward"]
        rows.append([name, commit, f"{run['images_per_second']:,.0f}", f"{sum(times.values()):,.0f}", f"{floats:,.0f}",
                     f"{integers:.0f}", f"{pool:.1f}", f"{sum(times.values()) - floats - integers - pool:.0f}",
                     f"{run['device_memory_bytes'] / 1e6:,.0f}"])
    return table(["network", "commit", "images/s", "kernels, ms a step", "float32 convolutions", "integer convolutions",
                  "max pool backward", "all the others", "device memory, MB"], rows)


def h200_language():
    """Kernels that take more than a twentieth of a step, by model."""
    rows = []
    for label, file in (("LSTM 1 x 800", "ptb-lstm"), ("Transformer, linears", "ptb-transformer-linears"),
                        ("Transformer, linears and attention", "ptb-transformer-linears-attention")):
        profile = json.loads((HERE / f"cuda-h200/profile-{file}.json").read_text())
        times = {entry["operation"]: (1e3 * entry["seconds"] / profile["steps"], entry["calls"] / profile["steps"])
                 for entry in profile["profile"]}
        total = sum(time for time, _ in times.values())
        largest = sorted(((time, calls, name) for name, (time, calls) in times.items() if time > total / 20), reverse=True)
        rows.append([label, f"{total:.2f}", f"{sum(calls for _, calls in times.values()):.0f}",
                     "; ".join(f"{name} {time:.2f} ({calls:.0f})" for time, calls, name in largest)])
    return table(["model", "kernels, ms a step", "kernels", "of them, ms (kernels)"], rows)


# --- costs: totals of `bitcycle cost --json`

COSTS = {"cost-resnet74.json": (["configs/experiments/cifar100/resnet74-cpt-3-8.yaml"],
                                ["bitfusion-45nm", "systolic-int8", "stripes", "loom", "horowitz-45nm", "tpu-7nm"]),
         "cost-mobilenet_v2.json": (["bench/results/raw/mobilenet_v2-cpt-4-8.yaml"], ["systolic-int8", "stripes"]),
         "cost-resnet18.json": (["bench/results/raw/resnet18-cpt-4-8.yaml"], ["systolic-int8", "stripes"]),
         "cost-ptb-lstm.json": (["configs/ptb.yaml"], ["systolic-int8", "stripes"]),
         # Attention is float32 there, which stripes has not.
         "cost-ptb-transformer-linears.json": (["configs/ptb-transformer.yaml"], ["systolic-int8"]),
         "cost-ptb-transformer-attention.json": (["configs/ptb-transformer.yaml", "--set",
                                                  "model.quantise=linears+attention"], ["systolic-int8", "stripes"])}


def record(program):
    for file, (arguments, accelerators) in COSTS.items():
        command = [program, "cost", *arguments, "--json"]
        for name in accelerators:
            command += ["--accelerator", name]
        printed = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
        for entry in printed["accelerators"]:
            del entry["rows"]
        (RAW / file).write_text(json.dumps(printed, indent=1) + "\n")
    bitops = {}
    for _, network in PTB:
        command = [program, "cost", *COSTS[f"cost-{network}.json"][0], "--json"]
        printed = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
        bitops[network] = {key: printed[key] for key in ("executed_gbitops", "static_executed_gbitops")}
    (RAW / "bitops-ptb.json").write_text(json.dumps(bitops, indent=1) + "\n")


def savings():
    notes = {"horowitz-45nm": " (arithmetic and compulsory traffic)", "tpu-7nm": " (likewise)"}
    rows = []
    for entry in json.loads((RAW / "cost-resnet74.json").read_text())["accelerators"]:
        of = lambda key: 100 * entry["total"][key] / entry["baseline"][key]
        rows.append([entry["accelerator"] + notes.get(entry["accelerator"], ""), f"{of('bitops'):.1f}",
                     f"{of('compute_nj'):.1f}", f"{of('total_nj'):.1f}",
                     f"{of('total_cycles'):.1f}" if "total_cycles" in entry["total"] else "-",
                     f"{100 * entry['total']['dram_nj'] / entry['total']['total_nj']:.0f}"])
    return table(["accelerator", "BitOPs", "compute energy", "total energy", "cycles", "share of DRAM in the energy"], rows)


def run_costs(network):
    systolic, stripes = json.loads((RAW / f"cost-{network}.json").read_text())["accelerators"]
    rows = []
    for label, key, name in (("CPT 4-8/8", "total", "cpt-4-8"), ("static 8/8", "baseline", "static-8")):
        run = json.loads((RAW / f"{network}-{name}.summary.json").read_text())
        rows.append([label, f"{run['test_accuracy']:.2f} % ({run['best_test_accuracy']:.2f} %)",
                     f"{run['paper_gbitops']:,.0f}", f"{run['executed_gbitops']:,.0f}",
                     f"{systolic[key]['total_nj'] * 1e-9:.1f} J", f"{stripes[key]['total_nj'] * 1e-9:.1f} J",
                     f"{stripes[key]['total_cycles'] * 1e-9:.1f}", f"{run['seconds']:.0f} s", f"`{run['digest']}`"])
    return table(["", "test accuracy (best)", "GBitOPs `paper`", "`executed`", "systolic-int8", "stripes",
                  "stripes, 1e9 cycles", "time on an H200", "digest"], rows)


PTB = (("LSTM 1 x 800", "ptb-lstm"), ("Transformer, linears", "ptb-transformer-linears"),
       ("Transformer, linears and attention", "ptb-transformer-attention"))


def ptb():
    executed = json.loads((RAW / "bitops-ptb.json").read_text())
    rows = []
    for label, network in PTB:
        costs = {of["accelerator"]: of for of in json.loads((RAW / f"cost-{network}.json").read_text())["accelerators"]}
        energy = lambda of, key: f"{costs[of][key]['total_nj'] * 1e-9:.1f} J" if of in costs else "-"
        for schedule, key, name, ran in (("CPT 5-8/8", "total", "cpt-5-8", "executed_gbitops"),
                                         ("static 8/8", "baseline", "static-8", "static_executed_gbitops")):
            run = json.loads((RAW / f"{network}-{name}.summary.json").read_text())
            rows.append([label, schedule, f"{run['validation_perplexity_max_width']:.2f}",
                         f"{run['test_perplexity_max_width']:.2f}", f"{run['paper_gbitops']:,.0f}",
                         f"{executed[network][ran]:,.0f}", energy("systolic-int8", key), energy("stripes", key),
                         f"{run['seconds']:.0f} s",
                         f"{run['tokens_per_second']:,.0f}", f"`{run['digest']}`"])
    return table(["model", "schedule", "validation perplexity", "test perplexity", "GBitOPs `paper`", "`executed`",
                  "systolic-int8", "stripes", "time on an H200", "words/s", "digest"], rows)


def ptb_epochs():
    """Perplexity on the validation set, at the largest width where the step's own is another."""
    rows = []
    for label, network in PTB:
        for schedule, name in (("CPT 5-8/8", "cpt-5-8"), ("static 8/8", "static-8")):
            cells = []
            for line in (RAW / f"{network}-{name}.progress.txt").read_text().splitlines():
                own, bits = re.search(r"validation ([0-9.]+), test [0-9.]+ at (\d+) bits", line).groups()
                largest = re.search(r"bits, ([0-9.]+) and", line)
                cells.append(f"{largest.group(1) if largest else own} ({bits})")
            rows.append([label, schedule, *cells])
    return table(["model", "schedule", *(f"epoch {i}" for i in range(1, 7))], rows)


# --- a training: the run's metrics.jsonl

def training(network, every=1):
    rows = []
    runs = [lines_of(RAW / f"{network}-{name}.metrics.jsonl") for name in ("cpt-4-8", "static-8")]
    for cyclic, static in list(zip(*runs))[every - 1::every]:
        assert cyclic["step"] == static["step"]
        rows.append([f"{cyclic['step']:,}", str(cyclic["forward_bits"])] +
                    [text for line in (cyclic, static) for text in
                     (f"{line['test_accuracy']:.2f} %", f"{line['train_loss']:.3f}", f"`{line['digest'][:8]}...`")])
    return table(["step", "bits of CPT", "CPT: test accuracy", "training loss", "digest", "static: test accuracy",
                  "training loss", "digest"], rows)


TABLES = {"integer-sums": integer_sums, "whole-operations": whole_operations, "matrix-product": matrix_product,
          "widths": widths, "instruction-sets": instruction_sets, "h100-step": lambda: gpu_step("cuda-h100"), "h100-run": h100_run,
          "savings": savings,
          "h200-step": lambda: gpu_step("cuda-h200"), "h200-peers": h200_peers, "h200-imagenet": h200_imagenet, "h200-language": h200_language,
          "ptb": ptb, "ptb-epochs": ptb_epochs,
          "mobilenet": lambda: training("mobilenet_v2"), "mobilenet-cost": lambda: run_costs("mobilenet_v2"),
          "resnet18": lambda: training("resnet18", every=2), "resnet18-cost": lambda: run_costs("resnet18")}
PLACE = re.compile(r"(<!-- table ([a-z0-9-]+) -->\n).*?\n(<!-- end of table -->)", re.S)


def unexplained(text):
    """First lines of tables that no function makes and no line before explains."""
    lines = PLACE.sub(r"\1\3", text).splitlines()
    return [line for before, line, after in zip([""] + lines, lines, lines[1:] + [""])
            if re.fullmatch(r"\|(-+\|)+", after) and not re.match(r"<!-- (by hand|printed by): .+ -->$", before)]


def main():
    if sys.argv[1:2] == ["--record"] and len(sys.argv) == 3:
        return record(pathlib.Path(sys.argv[2]).resolve())
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    check, wrong, found = sys.argv[1:] == ["--check"], [], set()
    for page in [ROOT / "docs/results.md", *sorted(HERE.glob("*.md"))]:
        text = page.read_text()
        found.update(name for _, name, _ in PLACE.findall(text))
        made = PLACE.sub(lambda place: f"{place[1]}{TABLES[place[2]]()}\n{place[3]}", text)
        if made != text:
            if not check:
                page.write_text(made)
            if check:
                wrong += [line for line in difflib.unified_diff(text.splitlines(), made.splitlines(), page.name,
                                                                "as its records make it", lineterm="", n=0)]
        if page.parent == HERE and page.name not in UNRECORDED:
            wrong += [f"{page.relative_to(ROOT)}: nothing says how this table was made: {line}" for line in unexplained(made)]
    wrong += [f"no page has the table {name}" for name in TABLES if name not in found]
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
