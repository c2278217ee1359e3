#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images per second of one CIFAR ResNet training step in PyTorch: plain float32, a lean fake quantisation of the same
method (affine min-max codes, per-channel weights, stochastic gradients), and on demand a literal one, operation by
operation as the method is described, with running ranges. The peers that docs/results.md compares with.

  python3 bench/peers/fake_quant_step.py --depth 38 --batch 128 --threads 2 --steps 8
  python3 bench/peers/fake_quant_step.py --against build/cli/bitcycle --rounds 3   # and bitcycle's step, in turns
"""
import argparse
import json
import statistics
import subprocess
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def grid(x, bits, dims=None, noise=False):
    """x on the grid of its minimum and maximum: 2^bits values. dims: reduced ones; None: one group."""
    if dims is None:
        lo, hi = torch.aminmax(x)
    else:
        lo, hi = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    top = 2.0**bits - 1.0
    step = ((hi - lo) / top).clamp_min(1e-8)
    q = (x - lo).div_(step)
    if noise:
        q.add_(torch.rand_like(q).sub_(0.5))
    return q.clamp_(0.0, top).round_().mul_(step).add_(lo)


def literal_range(x, per_channel):
    """Minimum and range of each output channel, or of the whole batch by way of each image's."""
    flat = x.flatten(1)
    lo, hi = flat.min(-1)[0], flat.max(-1)[0]
    if not per_channel:
        lo, hi = lo.min(-1)[0], hi.max(-1)[0]
    shape = (-1,) + (1,) * (x.dim() - 1)
    return lo.view(shape), (hi - lo).view(shape)


def literal_grid(x, bits, lo, extent, noise=False):
    """The same values as grid(), one tensor operation a step of the description."""
    top = 2.0**bits - 1.0
    step = (extent / top).clamp(min=1e-8)
    q = x.clone()
    q.add_(-lo).div_(step)
    if noise:
        q.add_(q.new_empty(q.shape).uniform_(-0.5, 0.5))
    q.clamp_(0.0, top).round_()
    return q.mul_(step).add_(lo)


class Quantise(torch.autograd.Function):
    """Straight-through: quantised forward, identity backward."""

    @staticmethod
    def forward(ctx, x, bits, dims):
        if Conv.literal:
            return literal_grid(x, bits, *literal_range(x, dims is not None))
        return grid(x, bits, dims)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None, None


class QuantiseGradient(torch.autograd.Function):
    """Identity forward, stochastically quantised backward."""

    @staticmethod
    def forward(ctx, y, bits):
        ctx.bits = bits
        return y.view_as(y)

    @staticmethod
    def backward(ctx, gradient):
        if Conv.literal:
            return literal_grid(gradient, ctx.bits, *literal_range(gradient, False), noise=True), None
        return grid(gradient, ctx.bits, noise=True), None


class Conv(nn.Conv2d):
    bits = 8
    gradient_bits = 8
    literal = False

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.register_buffer("running_zero_point", torch.zeros(1))
        self.register_buffer("running_range", torch.zeros(1))

    def update_ranges(self, x):
        with torch.no_grad():
            lo, extent = literal_range(x.detach(), False)
            self.running_zero_point.mul_(0.9).add_(lo.view(1) * 0.1)
            self.running_range.mul_(0.9).add_(extent.view(1) * 0.1)

    def forward(self, x):
        if self.bits == 0:
            return super().forward(x)
        if self.literal:
            self.update_ranges(x)
        weight = Quantise.apply(self.weight, self.bits, (1, 2, 3))
        y = F.conv2d(Quantise.apply(x, self.bits, None), weight, None, self.stride, self.padding)
        return QuantiseGradient.apply(y, self.gradient_bits)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = Conv(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = Conv(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(Conv(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x), inplace=True)


def resnet(depth, classes):
    layers = [Conv(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    inputs = 16
    for group, outputs in enumerate((16, 32, 64)):
        for i in range((depth - 2) // 6):
            layers.append(Block(inputs, outputs, 2 if group > 0 and i == 0 else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, classes))


def median_step(bits, literal, args):
    torch.manual_seed(1)
    Conv.bits, Conv.literal = bits, literal
    model = resnet(args.depth, 10).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    x = torch.randn(args.batch, 3, 32, 32)
    labels = torch.randint(0, 10, (args.batch,))
    if args.channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    times = []
    for step in range(args.steps + 2):
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()
        if step >= 2:
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


BITCYCLE_STEPS = {
    "bitcycle_8_8_requantised": ("8", "requantised"),
    "bitcycle_8_8_shared": ("8", "shared"),
    "bitcycle_3_8_requantised": ("3", "requantised"),
}


def bitcycle_step(program, bits, reading, args):
    """Seconds of bitcycle's step: median over the steps after the first five, of the generated images."""
    keys = {
        "model.name": f"resnet{args.depth}",
        "train.batch": args.batch,
        "train.steps": args.steps + 5,
        "precision.forward.schedule": "constant",
        "precision.forward.max": bits,
        "precision.gradient.max": 8,
        "precision.error_weights": reading,
    }
    command = [program, "train", "configs/quickstart.yaml", "--threads", str(args.threads), "--quiet", "--json"]
    for key, value in keys.items():
        command += ["--set", f"{key}={value}"]
    command += ["--profile", str(args.steps + 5)]
    run = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return args.batch / run["images_per_second"]


def in_turns(args):
    """Every variant once a round, so that all see the machine in the same moods; medians over the rounds."""
    seconds = {}
    for _ in range(args.rounds):
        for name, (bits, reading) in BITCYCLE_STEPS.items():
            seconds.setdefault(name, []).append(bitcycle_step(args.against, bits, reading, args))
        seconds.setdefault("float32", []).append(median_step(0, False, args))
        seconds.setdefault("fake_quantised_8_8", []).append(median_step(8, False, args))
    rates = {name: args.batch / statistics.median(s) for name, s in seconds.items()}
    best = {name: args.batch / min(s) for name, s in seconds.items()}
    return {
        name: {
            "images_per_second": round(rate, 1),
            "against_fake_quantised": round(rate / rates["fake_quantised_8_8"], 2),
            "against_float32": round(rate / rates["float32"], 2),
            "best_against_best_fake_quantised": round(best[name] / best["fake_quantised_8_8"], 2),
            "best_against_best_float32": round(best[name] / best["float32"], 2),
        }
        for name, rate in rates.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=38)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--channels-last", action="store_true", help="tensors in channels-last order")
    parser.add_argument("--literal", action="store_true", help="measure the literal variant too")
    parser.add_argument("--against", metavar="PROGRAM", help="measure this bitcycle program too, in turns")
    parser.add_argument("--rounds", type=int, default=3, help="turns of --against")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    result = {"torch": torch.__version__, "depth": args.depth, "batch": args.batch, "threads": args.threads}
    if args.against:
        result.update(rounds=args.rounds, **in_turns(args))
        print(json.dumps(result, indent=2))
        return
    variants = [("float32", 0, False), ("fake_quantised_8_8", 8, False)]
    if args.literal:
        variants.append(("literal_8_8", 8, True))
    for name, bits, literal in variants:
        seconds = median_step(bits, literal, args)
        result[name] = {"step_ms": round(1000 * seconds, 1), "images_per_second": round(args.batch / seconds, 1)}
        print(f"{name}: {1000 * seconds:.1f} ms a step, {args.batch / seconds:.1f} images/s", file=sys.stderr)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
