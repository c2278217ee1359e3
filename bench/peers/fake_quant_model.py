# SPDX-License-Identifier: Apache-2.0
"""The paper's vision networks in PyTorch, their convolutions fake-quantised by the paper's method, lean or literally as
it is described, or not at all (bits 0): what the peers' scripts time and weigh."""
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
        y = F.conv2d(Quantise.apply(x, self.bits, None), weight, None, self.stride, self.padding, 1, self.groups)
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


class InvertedResidual(nn.Module):
    """MobileNetV2's block as the paper's CIFAR code has it: 1x1, depthwise 3x3, 1x1; a shortcut at stride 1."""

    def __init__(self, inputs, outputs, expansion, stride):
        super().__init__()
        planes = expansion * inputs
        self.conv1 = Conv(inputs, planes, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(planes)
        self.conv2 = Conv(planes, planes, 3, stride, 1, groups=planes, bias=False)
        self.norm2 = nn.BatchNorm2d(planes)
        self.conv3 = Conv(planes, outputs, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.shortcut = nn.Sequential()
        if stride == 1 and inputs != outputs:
            self.shortcut = nn.Sequential(Conv(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = F.relu(self.norm2(self.conv2(y)), inplace=True)
        y = self.norm3(self.conv3(y))
        return y + self.shortcut(x) if self.stride == 1 else y


def mobilenet_v2(classes):
    layers = [Conv(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)]
    inputs = 32
    for expansion, outputs, blocks, stride in (
        (1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for i in range(blocks):
            layers.append(InvertedResidual(inputs, outputs, expansion, stride if i == 0 else 1))
            inputs = outputs
    layers += [Conv(320, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(1280, classes))


class ImageNetBlock(nn.Module):
    """A basic block, or with `bottleneck` one of three convolutions; the shortcut's convolution is float32."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            shapes = ((inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1))
        else:
            shapes = ((inputs, width, 3, stride), (width, outputs, 3, 1))
        self.convs = nn.ModuleList(Conv(i, o, k, s, k // 2, bias=False) for i, o, k, s in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _, _ in shapes)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = x
        for conv, norm in zip(self.convs[:-1], self.norms[:-1]):
            y = F.relu(norm(conv(y)), inplace=True)
        return F.relu(self.norms[-1](self.convs[-1](y)) + self.downsample(x), inplace=True)


IMAGENET_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


def imagenet_resnet(name, classes):
    bottleneck = name == "resnet50"
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for group, blocks in enumerate(IMAGENET_BLOCKS[name]):
        width = 64 << group
        for i in range(blocks):
            layers.append(ImageNetBlock(inputs, width, 2 if group > 0 and i == 0 else 1, bottleneck))
            inputs = 4 * width if bottleneck else width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def network(name, classes):
    if name == "mobilenet_v2":
        return mobilenet_v2(classes)
    if name in IMAGENET_BLOCKS:
        return imagenet_resnet(name, classes)
    return resnet(int(name[len("resnet") :]), classes)


def image_size(name):
    return 224 if name in IMAGENET_BLOCKS else 32
