#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Facts about the CUDA kernels that need no GPU, as the Markdown tables of bench/results/cuda-static.md.

1. Registers, spills and blocks that fit a multiprocessor, of every kernel and target (nvcc -Xptxas -v).
2. Launches, bytes and tensor-core operations of a training step of resnet74 and mobilenet_v2 (batch 128), of resnet50
   (batch 256, 224 x 224), of ptb_lstm (1 x 800, 20 x 35 words), of transformer_lm (6 layers, d 512, 2,048 words; with
   attention in float32 and in integers) and of transformer_wiki103 (16 layers, d 1024, 267,744 words, 2,048 words a
   step), 8/8 bits, error pass `shared`, by kernel, as the backend records it (tests CudaOnHostTraining and
   CudaOnHostLanguage, TheStepOf...), and the least time that they take on a GPU: bytes over memory bandwidth,
   operations over the int8 rate, or the binary32 rate for float32 products, all of the data sheets.

Usage: python3 bench/cuda_static_facts.py [BUILD]   (from the project's root; nvcc on the PATH; BUILD, default build,
holds the built tests)
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGETS = ("80", "90a")
# Data sheets: bytes/s of memory, dense int8 and binary32 operations/s (2 a multiply-accumulate).
GPUS = {"A100 80 GB SXM": (2.039e12, 624e12, 19.5e12), "H100 SXM": (3.35e12, 1979e12, 67e12),
        "H200 SXM": (4.8e12, 1979e12, 67e12)}
REGISTERS, THREADS, SHARED = 65536, 2048, {"80": 164 * 1024, "90a": 228 * 1024}


def families():
    """Translation units of the kernels' families."""
    return sorted((ROOT / "cuda/kernels").glob("*.cu")) + sorted((ROOT / "cuda/products").glob("*.cu"))


def kernels(target):
    found = {}
    for source in families():
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run(
                ["nvcc", "-std=c++20", "-O3", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true",
                 "--expt-relaxed-constexpr", f"-I{ROOT}", "-cubin", f"-gencode=arch=compute_{target},code=sm_{target}",
                 "-Xptxas", "-v", str(source), "-o", f"{folder}/k.cubin"], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            sys.exit(run.stderr)
        for mangled, body in re.findall(r"Compiling entry function '(\S+)' for.*?\n(.*?Used \d+ registers)", run.stderr, re.S):
            name = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout
            name = re.search(r"kernel_entry<bitcycle::cuda::(.*)>\(", name).group(1)
            name = name.replace(" ", "").replace("bitcycle::cuda::", "")
            registers = int(re.search(r"Used (\d+) registers", body).group(1))
            stores, loads = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", body).groups()
            found[name] = (registers, int(stores) + int(loads))
    return found


# The stage of resnet74 (channels, pixels of a chunk's patch) that an instance of PatchProduct has at batch 128 on 132
# multiprocessors, the one with the most shared memory, by its tiles of columns and of rows: tiling_of in patch.h.
STAGES = {("Forward", 2, 4): (16, 324), ("Forward", 4, 2): (64, 200),
          ("Error", 2, 2): (64, 200), ("Error", 4, 2): (32, 180)}


def patch_shared(kernel, limbs, nt, mt):
    """Shared bytes of a 3x3 product by patches (patch_product.h) on its stage of resnet74; None: no stage has it."""
    if (kernel, nt, mt) not in STAGES:
        return None
    channels, pixels = STAGES[(kernel, nt, mt)]
    slices, rows = channels // 16, 64 * mt
    steps = (9 * slices + 1) // 2
    phase = {1: pixels % 8, 2: 4, 4: 2}.get(slices, 1)
    pitch = pixels + (phase - pixels) % 8
    own = rows * (8 * nt + 8) * (4 if limbs == 1 else 8) + rows * 16 + 128 * (32 if mt == 2 else 48)
    own += 32 if kernel == "Forward" else 0
    tables = 64 + 2 * steps * (16 * limbs * 8 * nt + 4) + 8 * pixels
    return -(-(own + tables) // 16) * 16 + 2 * slices * pitch * 16


def product_shared(name):
    """Shared bytes of the product kernels (tile_product.h, kernels_product.h, kernels_weight_gradient.h), else None."""
    arguments = re.search(r"<([^<>]*)>", name)
    if not arguments or "Grouped<" in name:  # no layer of these networks has groups
        return None
    a = [int(x) for x in arguments.group(1).replace("true", "1").replace("false", "0").split(",")]
    if name.startswith("WeightGradient"):
        lg, lx, mt = a
        pixels, positions = (324 if mt == 1 else 400), 256  # of a chunk: 16x32x32, 64x8x8
        stages = 3 * 16 * (pixels * lx + positions * (lg * mt + 1))
        sums = 4 * ((lg + lx - 1) * mt * 10 * 8 * 33 + 10 * 16 * lx)
        return 32 + 32 * 128 + 16 * 256 + 8 * 768 + max(stages, sums)
    forward = name.startswith("Forward")
    if "PatchProduct" in name:
        return patch_shared("Forward" if forward else "Error", a[0], a[2], a[3])
    la, lb, _, nt = a
    depth = 64 if la == 1 else 32
    stages = 3 * (depth + 16) * (128 * la + 8 * nt * lb)
    tile = 128 * (8 * nt + 8) * (4 if la + lb == 2 else 8)
    end = max(stages, tile) + 128 * 16
    return end + 32 if forward else end


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


def second_table(build, suite, model):
    run = subprocess.run([build / "tests/test_cuda_on_host",
                          f"--gtest_filter={suite}.TheStepOf{model}"],
                         capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{build}/tests/test_cuda_on_host: {run.stdout}{run.stderr}")
    print(re.search(r"^\d+ launches.*$", run.stdout, re.M).group(0))
    print()
    rows = re.findall(r"^\| ([a-z0-9 ,-]+) \| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", run.stdout, re.M)
    print("| kernel | launches | in parallel branches | MB | GMAC | " + " | ".join(f"{gpu}, ms" for gpu in GPUS) + " |")
    print("|---|---|---|---|---|" + "---|" * len(GPUS))
    sums = [0, 0, 0.0, 0.0, [0.0] * len(GPUS)]
    for kernel, launches, beside, megabytes, gmacs in sorted(rows, key=lambda row: -float(row[3])):
        count, macs = float(megabytes) * 1e6, float(gmacs) * 1e9
        # Products in plain loops, float32 ones here, have no bytes in the record.
        times = [1e3 * max(count / bandwidth, 2 * macs / (float32 if kernel.endswith(("direct", "float32")) else int8))
                 for bandwidth, int8, float32 in GPUS.values()]
        if count >= 1e6 or macs >= 1e9:
            print(f"| {kernel} | {launches} | {beside} | {megabytes} | {gmacs} | " + " | ".join(f"{t:.3f}" for t in times) + " |")
        sums = [sums[0] + int(launches), sums[1] + int(beside), sums[2] + float(megabytes), sums[3] + float(gmacs),
                [a + b for a, b in zip(sums[4], times)]]
    print(f"| all, with {len(rows)} kernels | {sums[0]} | {sums[1]} | {sums[2]:.0f} | {sums[3]:.1f} | "
          + " | ".join(f"{t:.3f}" for t in sums[4]) + " |")


if __name__ == "__main__":
    first_table()
    print()
    HUNDREDS = "IsAFewHundredLaunches"
    for tests, name in (("Training", "Resnet74" + HUNDREDS), ("Training", "MobileNetV2" + HUNDREDS),
                        ("Training", "Resnet50" + HUNDREDS), ("Language", "PtbLstm" + HUNDREDS),
                        ("Language", "TransformerLm" + HUNDREDS), ("Language", "TransformerLmWithAttention" + HUNDREDS),
                        ("Language", "TransformerWiki103IsLaunchesAlone")):
        print(f"\n{name}:")
        second_table(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve(), "CudaOnHost" + tests, name)
