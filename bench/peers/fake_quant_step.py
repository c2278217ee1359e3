#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images per second of one training step of the paper's vision networks in PyTorch: plain float32, a lean fake
quantisation of the same method (affine min-max codes, per-channel weights, stochastic gradients), and on demand a
literal one, operation by operation as the method is described, with running ranges. On a GPU also TF32 and mixed
precision, and the peak of device memory. The peers that docs/results.md compares with.

  python3 bench/peers/fake_quant_step.py --depth 38 --batch 128 --threads 2 --steps 8
  python3 bench/peers/fake_quant_step.py --against build/cli/bitcycle --rounds 3   # and bitcycle's step, in turns
  python3 bench/peers/fake_quant_step.py --model mobilenet_v2 --against build/cli/bitcycle
  python3 bench/peers/fake_quant_step.py --model resnet50 --batch 16 --against build/cli/bitcycle --images FOLDER
  python3 bench/peers/fake_quant_step.py --device cuda --depth 74 --channels-last
  python3 bench/peers/fake_quant_step.py --memory --depth 74 --classes 100         # bytes that a step must keep
"""
import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

# Where other programs want the cores too, threads that wait by spinning make PyTorch's steps ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    import torch
    import torch.nn.functional as F

    import step_memory
    from fake_quant_model import IMAGENET_BLOCKS, Conv, image_size, network
except ImportError as error:
    sys.exit(f"fake_quant_step.py: error: {error}; PyTorch is needed, for example Debian's python3-torch")


class Variant(NamedTuple):
    name: str
    bits: int = 0  # 0: not quantised
    literal: bool = False
    tf32: bool = False
    mixed: bool = False


FLOAT32 = Variant("float32")
LEAN = Variant("fake_quantised_8_8", bits=8)
LITERAL = Variant("literal_8_8", bits=8, literal=True)
# On a GPU. TF32 rounds the 8-bit codes' values to 11 bits: no longer the method's products, but PyTorch's default.
FLOAT32_TF32 = Variant("float32_tf32", tf32=True)
MIXED = Variant("mixed_float16", tf32=True, mixed=True)
LEAN_TF32 = Variant("fake_quantised_8_8_tf32", bits=8, tf32=True)
# A CPU has no float16 convolution; its 16-bit type keeps the same bytes.
MIXED_CPU = Variant("mixed_bfloat16", mixed=True)


def variants_of(args):
    chosen = [FLOAT32, LEAN]
    if args.device == "cuda":
        chosen = [FLOAT32, FLOAT32_TF32, MIXED, LEAN, LEAN_TF32]
    elif args.memory:
        chosen = [FLOAT32, MIXED_CPU, LEAN]
    chosen = chosen + ([LITERAL] if args.literal else [])
    return [variant for variant in chosen if args.only in (None, variant.name)]


class Step:
    """A network with all that its training step needs."""

    def __init__(self, variant, args):
        torch.manual_seed(1)
        Conv.bits, Conv.literal = variant.bits, variant.literal
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = variant.tf32
        torch.backends.cudnn.benchmark = args.device == "cuda"
        self.device, self.mixed = args.device, variant.mixed
        self.model = network(args.model, args.classes).to(args.device).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
        self.x = torch.randn(args.batch, 3, image_size(args.model), image_size(args.model)).to(args.device)
        self.labels = torch.randint(0, args.classes, (args.batch,)).to(args.device)
        if args.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.x = self.x.contiguous(memory_format=torch.channels_last)
        self.scaler = None
        if variant.mixed and args.device == "cuda":
            in_amp = hasattr(torch, "amp") and hasattr(torch.amp, "GradScaler")
            self.scaler = torch.amp.GradScaler("cuda") if in_amp else torch.cuda.amp.GradScaler()

    def forward(self):
        self.optimizer.zero_grad(set_to_none=True)
        if not self.mixed:
            return F.cross_entropy(self.model(self.x), self.labels)
        with torch.autocast(self.device, dtype=torch.float16 if self.device == "cuda" else torch.bfloat16):
            return F.cross_entropy(self.model(self.x), self.labels)

    def backward(self, loss):
        if self.scaler is None:
            loss.backward()
            self.optimizer.step()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def run(self):
        self.backward(self.forward())

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()


def median_step(variant, args):
    """Median seconds of a step, and on a GPU the peak of allocated bytes while the timed steps ran."""
    gc.collect()  # a network before this one would count
    step = Step(variant, args)
    # On a GPU the first steps try algorithms and grow the allocator's pool.
    for _ in range(10 if args.device == "cuda" else min(2, args.steps)):
        step.run()
    step.wait()
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(args.steps):
        begin = time.perf_counter()
        step.run()
        step.wait()
        times.append(time.perf_counter() - begin)
    peak = torch.cuda.max_memory_allocated() if args.device == "cuda" else None
    return statistics.median(times), peak


def kept_bytes(variant, args):
    step = Step(variant, args)
    return step_memory.measure(step.model, step.optimizer, (step.x, step.labels), step.forward, step.backward)


BITCYCLE_STEPS = {
    "bitcycle_8_8_requantised": ("8", "requantised"),
    "bitcycle_8_8_shared": ("8", "shared"),
    "bitcycle_3_8_requantised": ("3", "requantised"),
}
# A captured step is short: many of them, and warm clocks.
BITCYCLE_CUDA_STEPS = 300


def bitcycle_step(program, bits, error_weights, args):
    """Seconds of bitcycle's step, the median over the steps after the first five, of the generated images; and its
    device memory, where it says."""
    keys = {
        "model.name": args.model,
        "train.batch": args.batch,
        "train.steps": args.steps + 5,
        "precision.forward.schedule": "constant",
        "precision.forward.max": bits,
        "precision.gradient.max": 8,
        "precision.error_weights": error_weights,
    }
    if args.model in IMAGENET_BLOCKS:
        keys.update({"data.name": "imagefolder", "data.path": args.images, "model.classes": args.classes})
    command = [program, "train", "configs/quickstart.yaml", "--threads", str(args.threads), "--quiet", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        if args.device == "cuda":
            # A whole run, because profiling waits for each kernel instead of starting the step as one graph.
            keys["train.steps"] = max(BITCYCLE_CUDA_STEPS, args.steps + 5)
            keys["train.evaluate_every"] = keys["train.checkpoint_every"] = 1000000
            command += ["--device", "cuda", "--out", os.path.join(folder, "run")]
        else:
            command += ["--profile", str(args.steps + 5)]
        for key, value in keys.items():
            command += ["--set", f"{key}={value}"]
        output, code, peak = run_and_weigh(command)
    if code != 0:
        sys.exit(f"fake_quant_step.py: error: {' '.join(command)} ended with {code}")
    run = json.loads(output)
    return args.batch / run["images_per_second"], run.get("device_memory_bytes", peak)


def run_and_weigh(command):
    """Standard output, exit status and the largest resident set of a program, in bytes."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return output.read(), process.returncode, 1024 * usage.ru_maxrss


def own_peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def torch_step_apart(variant, args):
    """median_step() in a process of its own, so that its peak of memory is its own; without what PyTorch itself has."""
    command = [sys.executable, __file__, "--only", variant.name, "--model", args.model, "--batch", str(args.batch)]
    command += ["--classes", str(args.classes), "--threads", str(args.threads), "--steps", str(args.steps)]
    output, code, _ = run_and_weigh(command + (["--channels-last"] if args.channels_last else []))
    if code != 0:
        sys.exit(f"fake_quant_step.py: error: {' '.join(command)} ended with {code}")
    entry = json.loads(output)[variant.name]
    return entry["step_ms"] / 1000, entry["memory_bytes"]


def in_turns(args):
    """Every variant once a round, so that all see the machine in the same moods; medians over the rounds."""
    seconds, memory = {}, {}

    def note(name, measured):
        seconds.setdefault(name, []).append(measured[0])
        if measured[1] is not None:
            memory[name] = max(measured[1], memory.get(name, 0))

    for _ in range(args.rounds):
        for name, (bits, error_weights) in BITCYCLE_STEPS.items():
            note(name, bitcycle_step(args.against, bits, error_weights, args))
        for variant in variants_of(args):
            note(variant.name, torch_step_apart(variant, args) if args.device == "cpu" else median_step(variant, args))
    rates = {name: args.batch / statistics.median(s) for name, s in seconds.items()}
    best = {name: args.batch / min(s) for name, s in seconds.items()}
    result = {}
    for name, rate in rates.items():
        result[name] = {
            "images_per_second": round(rate, 1),
            "against_fake_quantised": round(rate / rates[LEAN.name], 2),
            "best_against_best_fake_quantised": round(best[name] / best[LEAN.name], 2),
        }
        if FLOAT32.name in best:
            result[name]["best_against_best_float32"] = round(best[name] / best[FLOAT32.name], 2)
        for peer in (FLOAT32, FLOAT32_TF32, MIXED, LEAN_TF32):
            if peer.name in rates:
                result[name]["against_" + peer.name] = round(rate / rates[peer.name], 2)
        if name in memory:
            result[name]["memory_bytes"] = memory[name]
            if LEAN.name in memory:
                result[name]["memory_against_fake_quantised"] = round(memory[name] / memory[LEAN.name], 3)
    return result


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=38, help="the CIFAR ResNet of this depth")
    parser.add_argument("--model", help="mobilenet_v2, or resnet18, resnet34, resnet50 with images of 224 x 224")
    parser.add_argument("--images", metavar="FOLDER", help="JPEG files for --against with images of 224 x 224")
    parser.add_argument("--only", metavar="VARIANT", help="measure this variant alone, for example " + LEAN.name)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="steps that are timed; default 8, on a GPU 50")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--channels-last", action="store_true", help="tensors in channels-last order")
    parser.add_argument("--literal", action="store_true", help="measure the literal variant too")
    parser.add_argument("--memory", action="store_true", help="bytes that a step must keep, instead of time")
    parser.add_argument("--against", metavar="PROGRAM", help="measure this bitcycle program too, in turns")
    parser.add_argument("--rounds", type=int, default=3, help="turns of --against")
    args = parser.parse_args()
    if args.model is None:
        args.model = f"resnet{args.depth}"
    elif args.model != "mobilenet_v2" and args.model not in IMAGENET_BLOCKS:
        parser.error(f"--model is {args.model}: mobilenet_v2, resnet18, resnet34 or resnet50; --depth for the others")
    if args.against and args.model in IMAGENET_BLOCKS:
        if not args.images:
            parser.error(f"--against with {args.model} needs --images FOLDER, which holds train/CLASS and val/CLASS")
        args.classes = sum(entry.is_dir() for entry in os.scandir(os.path.join(args.images, "train")))
    if args.depth < 8 or (args.depth - 2) % 6 != 0:
        parser.error(f"--depth is {args.depth}: 6 n + 2 is needed, for example 20, 38 or 74")
    if args.memory and args.against:
        parser.error("--memory and --against do not go together: bitcycle says its memory itself")
    if args.against and args.classes != 10 and args.model not in IMAGENET_BLOCKS:
        parser.error("--against goes with 10 classes: bitcycle trains on its generated images, which have 10")
    if args.device == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda
        why = "finds no NVIDIA GPU or driver" if built else "is built without CUDA: install one that has it"
        sys.exit(f"fake_quant_step.py: error: PyTorch {torch.__version__} {why}; or leave out --device cuda")
    if args.steps is None:
        args.steps = 50 if args.device == "cuda" else 8
    return args


def main():
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    is_cifar_resnet = args.model == f"resnet{args.depth}" and args.model not in IMAGENET_BLOCKS
    network_of = {"depth": args.depth} if is_cifar_resnet else {"model": args.model}
    result = {"torch": torch.__version__, **network_of, "batch": args.batch, "threads": args.threads}
    before = own_peak()
    if args.device == "cuda":
        result.update(gpu=torch.cuda.get_device_name(), channels_last=args.channels_last)
    if args.classes != 10:
        result["classes"] = args.classes
    if args.against:
        result.update(rounds=args.rounds, **in_turns(args))
        print(json.dumps(result, indent=2))
        return
    for variant in variants_of(args):
        if args.memory:
            result[variant.name] = kept = kept_bytes(variant, args)
            print(f"{variant.name}: {kept['total'] / 1e6:.1f} MB kept", file=sys.stderr)
            continue
        seconds, peak = median_step(variant, args)
        entry = {"step_ms": round(1000 * seconds, 1), "images_per_second": round(args.batch / seconds, 1)}
        text = f"{variant.name}: {1000 * seconds:.1f} ms a step, {args.batch / seconds:.1f} images/s"
        if peak is not None:
            entry.update(step_ms=round(1000 * seconds, 3), memory_bytes=peak)
        elif args.only:
            peak = entry["memory_bytes"] = own_peak() - before
        if peak is not None:
            text += f", {peak / 1e6:.0f} MB at its peak"
        result[variant.name] = entry
        print(text, file=sys.stderr)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
