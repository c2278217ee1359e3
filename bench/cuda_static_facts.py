#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Facts about the CUDA kernels that need no GPU, as the Markdown tables of docs/results.md.

1. Registers, spills and blocks that fit a multiprocessor, of every kernel and target (nvcc -Xptxas -v).
2. Bytes and tensor-core operations of a resnet74 training step (batch 128, 8/8 bits), by kernel, and the least time that
   they take on a GPU: bytes over memory bandwidth, operations over the int8 rate, both of the data sheets.

Usage: python3 bench/cuda_static_facts.py   (from the project's root; nvcc on the PATH)
"""
import csv
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGETS = ("80", "90a")
# Data sheets: bytes/s of memory, dense int8 operations/s (2 a multiply-accumulate).
GPUS = {"A100 80 GB SXM": (2.039e12, 624e12), "H100 SXM": (3.35e12, 1979e12), "H200 SXM": (4.8e12, 1979e12)}
REGISTERS, THREADS, SHARED = 65536, 2048, {"80": 164 * 1024, "90a": 228 * 1024}


def kernels(target):
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            ["nvcc", "-std=c++20", "-O3", "--fmad=false", "--expt-relaxed-constexpr", f"-I{ROOT}", "-cubin",
             '-DBITCYCLE_CUDA_TARGETS=""', f"-gencode=arch=compute_{target},code=sm_{target}", "-Xptxas", "-v",
             str(ROOT / "sim/cuda/cuda_runtime.cu"), "-o", f"{folder}/k.cubin"], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(run.stderr)
    found = {}
    for mangled, body in re.findall(r"Compiling entry function '(\S+)' for.*?\n(.*?Used \d+ registers)", run.stderr, re.S):
        name = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout
        name = re.search(r"kernel_entry<bitcycle::cuda::(.*)>\(", name).group(1).replace(" ", "")
        registers = int(re.search(r"Used (\d+) registers", body).group(1))
        stores, loads = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", body).groups()
        found[name] = (registers, int(stores) + int(loads))
    return found


def product_shared(name):
    """Shared bytes of the product kernels (kernels_product.h), else None."""
    arguments = re.search(r"<(.*)>", name)
    if not arguments:
        return None
    a = arguments.group(1).replace("true", "1").replace("false", "0").split(",")
    a = [int(x) for x in a]
    if name.startswith("WeightGradient"):
        lg, lx, mt = a
        return 2 * 48 * (16 * mt * lg + 64 * lx)
    la, lb, nt = a[0], a[1], a[-1]
    stages = 3 * 48 * (128 * la + 8 * nt * lb)
    tile = 128 * ((8 * nt + 4) * 4 if la + lb == 2 else (8 * nt + 2) * 8)
    return max(stages, tile) + 128 * 12 + (16 if name.startswith("Forward") else 0)


def occupancy(registers, threads, shared, target):
    warps = threads // 32
    by_registers = REGISTERS // (-(-registers * 32 // 256) * 256 * warps)
    by_shared = SHARED[target] // ((shared or 0) + 1024)
    return min(by_registers, by_shared, THREADS // threads, 32)


def first_table():
    facts = {target: kernels(target) for target in TARGETS}
    print("| kernel | registers sm_80 / sm_90a | bytes spilled | shared bytes | blocks (warps of 64) a multiprocessor, sm_90a |")
    print("|---|---|---|---|---|")
    for name in sorted(facts["80"]):
        a, h = facts["80"][name], facts["90a"][name]
        shared = product_shared(name)
        row = f"| {name} | {a[0]} / {h[0]} | {a[1]} / {h[1]} |"
        if shared is None:
            print(row + " - | - |")
        else:
            blocks = occupancy(h[0], 128, shared, "90a")
            print(row + f" {shared} | {blocks} ({4 * blocks}) |")


def second_table(batch=128):
    rows = list(csv.DictReader(open(ROOT / "tests/golden/workloads/cifar100_resnet_74.csv", encoding="utf-8")))
    total = {}

    def add(kernel, count, macs=0.0):
        entry = total.setdefault(kernel, [0.0, 0.0, 0])
        entry[0] += count * batch
        entry[1] += macs * batch
        entry[2] += 1

    for row in rows:
        if row["kind"] != "conv2d":
            continue
        f = {key: int(row[key]) for key in row if key not in ("layer", "kind")}
        x = f["in_channels"] * f["in_h"] * f["in_w"]
        y = f["out_channels"] * f["out_h"] * f["out_w"]
        macs = f["macs_per_sample"]
        stem, ends = row["layer"] == "conv1", row["layer"].endswith("conv2")
        down = "downsample" in row["layer"]
        add("quantise input", 4 * x + x)
        add("convolution forward", x + 4 * y, macs)
        if ends or stem:
            add("batch norm forward", (4 + 4 + (4 if ends else 0)) * y + y / 8)
        add("gradient range", 8 * y)
        add("quantise gradient", 8 * y + y)
        add("sums of codes", x + y)
        add("convolution weight gradient", x + y, macs)
        if not stem:
            # dx or u written; the norm's y (also the mask's), and at a block's entry the other branch's gradient, the
            # mask's bits and the shortcut's norm.
            first = row["layer"].endswith("conv1")
            add("convolution error", y + 4 * x + (0 if down else 4 * x) + (4 * x if first else 0), 2 * macs)
    print("| kernel | launches | GB | tensor-core GMAC | " + " | ".join(f"{gpu}, ms" for gpu in GPUS) + " |")
    print("|---|---|---|---|" + "---|" * len(GPUS))
    sums = [0.0, 0.0, 0, [0.0] * len(GPUS)]
    for kernel, (count, macs, launches) in total.items():
        times = [1e3 * max(count / bandwidth, 2 * macs / rate) for bandwidth, rate in GPUS.values()]
        print(f"| {kernel} | {launches} | {count / 1e9:.3f} | {macs / 1e9:.1f} | " + " | ".join(f"{t:.3f}" for t in times) + " |")
        sums = [sums[0] + count, sums[1] + macs, sums[2] + launches, [a + b for a, b in zip(sums[3], times)]]
    print(f"| all | {sums[2]} | {sums[0] / 1e9:.3f} | {sums[1] / 1e9:.1f} | " + " | ".join(f"{t:.3f}" for t in sums[3]) + " |")


if __name__ == "__main__":
    first_table()
    print()
    second_table()
