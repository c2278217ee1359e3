# SPDX-License-Identifier: Apache-2.0
"""A CIFAR ResNet in PyTorch whose convolutions are fake-quantised by the paper's method, lean or literally as it is
described, or not at all (bits 0). The network that the peers' scripts time and weigh."""
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
