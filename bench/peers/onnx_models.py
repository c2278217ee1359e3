# SPDX-License-Identifier: Apache-2.0
"""Writes the small ONNX models of tests/golden/onnx with the PyPI package onnx, and what their layers cost by onnx's own
shape inference: layers.csv (model, layer, multiply-accumulates of one sample or of the fixed batch, elements of the
weights, or of the right operand where there are none). The tests compare bitcycle's reader with it. Weights are zeros or random bytes: nothing is trained.

    python3 bench/peers/onnx_models.py tests/golden/onnx

With --compare it puts the layers of any models beside those that bitcycle reads, and ends with 1 where one differs:

    python3 bench/peers/onnx_models.py --compare build/cli/bitcycle MODEL.onnx...
"""
import csv
import json
import math
import pathlib
import subprocess
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference


class Graph:
    """Nodes with names as PyTorch's exporter writes them: "/layer1/conv/Conv"."""

    def __init__(self, opset=17, ir=8):
        self.nodes, self.constants, self.opset, self.ir = [], [], opset, ir
        self.count = 0

    def constant(self, name, shape, dtype="f4", values=None):
        array = numpy.zeros(shape, dtype) if values is None else numpy.array(values, dtype).reshape(shape)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op, inputs, name=None, outputs=1, **attributes):
        self.count += 1
        name = "/%s_%d" % (op, self.count) if name is None else name
        results = [name + "_output_%d" % i for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, results, name=name, **attributes))
        return results[0] if outputs == 1 else results

    def conv(self, x, name, o, c, kernel, **attributes):
        w = self.constant(name[1:].replace("/", ".") + ".weight", (o, c) + kernel)
        return self.node("Conv", [x, w], name + "/Conv", kernel_shape=list(kernel), **attributes)

    def norm(self, x, name, channels):
        parts = [self.constant(name + "." + part, (channels,)) for part in ("scale", "bias", "mean", "var")]
        return self.node("BatchNormalization", [x] + parts)

    def model(self, name, inputs, output, inputs_hold_constants=False, result_type=TensorProto.FLOAT):
        values = [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs]
        if inputs_hold_constants:
            values += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.constants]
        graph = helper.make_graph(self.nodes, name, values, [helper.make_tensor_value_info(output, result_type, None)],
                                  self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=self.ir,
                                  producer_name="bitcycle tests")
        # The output has the shape that onnx infers; values between have none in the file.
        result = shape_inference.infer_shapes(model, data_prop=True).graph.output[0]
        model.graph.output[0].CopyFrom(result)
        return model


def residual():
    """A residual network with a dynamic batch, as exporters write one."""
    g = Graph()
    x = g.conv("images", "/conv1", 4, 3, (7, 7), strides=[2, 2], pads=[3, 3, 3, 3])
    x = g.node("Relu", [g.norm(x, "bn1", 4)])
    x = g.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    y = g.node("Relu", [g.norm(g.conv(x, "/layer1/conv1", 4, 4, (3, 3), pads=[1, 1, 1, 1]), "l1", 4)])
    x = g.node("Relu", [g.node("Add", [y, x])])
    y = g.node("Relu", [g.conv(x, "/layer2/conv1", 8, 4, (3, 3), pads=[1, 1, 1, 1], strides=[2, 2])])
    y = g.conv(y, "/layer2/conv2", 8, 8, (3, 3), pads=[1, 1, 1, 1])
    x = g.node("Add", [y, g.conv(x, "/layer2/downsample", 8, 4, (1, 1), strides=[2, 2])])
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x])], axis=1)
    x = g.node("Gemm", [x, g.constant("fc.weight", (10, 8)), g.constant("fc.bias", (10,))], "/fc/Gemm", transB=1)
    return g.model("residual", [("images", TensorProto.FLOAT, ["batch", 3, 32, 32])], x)


def windows():
    """Groups, dilations, automatic and uneven padding, one axis, transposed convolutions; a batch of 1, fixed."""
    g = Graph()
    x = g.conv("images", "/stem", 4, 3, (3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
    x = g.node("HardSwish", [g.conv(x, "/depthwise", 4, 1, (3, 3), group=4, pads=[0, 1, 2, 1])])
    x = g.conv(x, "/dilated", 8, 2, (3, 2), group=2, dilations=[2, 2], auto_pad="SAME_LOWER")
    x = g.node("AveragePool", [x], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    left, right = g.node("Split", [x, g.constant("split", (2,), "i8", [3, 5])], axis=1, outputs=2)
    x = g.node("Concat", [right, left, g.node("Slice", [x] + [
        g.constant("slice%d" % i, (1,), "i8", [v]) for i, v in enumerate((-1, -100, 1, -3))])], axis=1)
    w = g.constant("up.weight", (11, 2, 3, 3))
    x = g.node("ConvTranspose", [x, w], "/up/ConvTranspose", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    x = g.node("Resize", [x, "", g.constant("scales", (4,), "f4", [1, 1, 2, 0.5])], mode="nearest")
    x = g.node("Pad", [x, g.constant("pads", (8,), "i8", [0, 0, 0, 1, 0, 0, 0, 2])])
    x = g.node("ReduceMean", [x], axes=[2], keepdims=0)
    x = g.conv(x, "/line", 6, 2, (5,), strides=[2], pads=[2, 2])
    x = g.node("Tanh", [g.node("Transpose", [x], perm=[0, 2, 1])])
    x = g.node("MatMul", [x, g.constant("head", (6, 3))], "/head/MatMul")
    return g.model("windows", [("images", TensorProto.FLOAT, [1, 3, 33, 29])], x)


def attention():
    """A layer of a transformer: a dynamic batch and length, shapes that the graph computes, products of activations."""
    width, heads = 8, 2
    g = Graph()
    x = g.node("Gather", [g.constant("embedding.weight", (16, width)), "tokens"])
    shape = g.node("Shape", [x])
    sizes = [g.node("Unsqueeze", [g.node("Gather", [shape, g.constant("axis%d" % i, (), "i8", [i])]),
                                  g.constant("zero%d" % i, (1,), "i8", [0])]) for i in (0, 1)]
    into = g.node("Concat", sizes + [g.constant("heads", (2,), "i8", [heads, width // heads])], axis=0)
    back = g.node("Concat", sizes + [g.constant("width", (1,), "i8", [width])], axis=0)
    parts = []
    for name in ("q", "k", "v"):
        y = g.node("MatMul", [x, g.constant(name + ".weight", (width, width))], "/%s/MatMul" % name)
        y = g.node("Add", [g.constant(name + ".bias", (width,)), y])
        parts.append(g.node("Transpose", [g.node("Reshape", [y, into])],
                            perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]))
    y = g.node("MatMul", parts[:2], "/scores/MatMul")
    y = g.node("Softmax", [g.node("Mul", [y, g.constant("factor", (), "f4", [0.5])])], axis=-1)
    y = g.node("MatMul", [y, parts[2]], "/context/MatMul")
    y = g.node("Reshape", [g.node("Transpose", [y], perm=[0, 2, 1, 3]), back])
    y = g.node("MatMul", [y, g.constant("out.weight", (width, width))], "/out/MatMul")
    y = g.node("LayerNormalization", [g.node("Add", [y, x]), g.constant("ln.scale", (width,))], axis=-1)
    # Weights on the left, and weights that the model turns first.
    turned = g.node("Transpose", [g.constant("up.weight", (3 * width, width))], perm=[1, 0])
    y = g.node("Erf", [g.node("MatMul", [y, turned], "/up/MatMul")])
    y = g.node("MatMul", [g.constant("mix", (5, 3 * width)), g.node("Transpose", [y], perm=[0, 2, 1])], "/mix/MatMul")
    return g.model("attention", [("tokens", TensorProto.INT64, ["batch", "sequence"])], y)


def quantised():
    """Integer operators and quantise-dequantise pairs, written for batches of 4. The node that adds up codes is none."""
    g = Graph()
    scale = g.constant("scale", (), "f4", [0.1])
    zero, signed_zero = g.constant("zero", (), "u1", [0]), g.constant("signed_zero", (), "i1", [0])
    random = numpy.random.default_rng(1)

    def codes(name, shape):
        return g.constant(name, shape, "i1", random.integers(-127, 127, shape))

    w = g.node("DequantizeLinear", [codes("qdq.weight", (4, 3, 3, 3)), scale, signed_zero])
    x = g.node("DequantizeLinear", [g.node("QuantizeLinear", ["images", scale, zero]), scale, zero])
    x = g.node("QuantizeLinear", [g.node("Conv", [x, w], "qdq", pads=[1, 1, 1, 1]), scale, zero])
    y = g.node("ConvInteger", [x, codes("integer.weight", (4, 4, 3, 3))], "integer.products")
    sums = g.node("ConvInteger", [x, g.constant("ones", (1, 4, 3, 3), "u1", numpy.ones((1, 4, 3, 3)))], "integer.sums")
    y = g.node("Cast", [g.node("Sub", [y, sums])], to=TensorProto.FLOAT)
    y = g.node("QuantizeLinear", [y, scale, zero])
    y = g.node("QLinearConv", [y, scale, zero, codes("linear.weight", (6, 2, 1, 1)), scale, signed_zero, scale, zero],
               "linear", group=2)
    y = g.node("Reshape", [y, g.constant("rows", (2,), "i8", [0, -1])])
    y = g.node("QLinearMatMul", [y, scale, zero, codes("fc1.weight", (6 * 36, 5)), scale, signed_zero, scale, zero],
               "fc1")
    y = g.node("MatMulInteger", [y, codes("fc2.weight", (5, 7))], "fc2")
    return g.model("quantised", [("images", TensorProto.FLOAT, [4, 3, 8, 8])], y, result_type=TensorProto.INT32)


def old():
    """Opset 9: constants among the inputs, attributes where newer versions have inputs, nodes without names."""
    g = Graph(opset=9, ir=3)
    x = g.conv("images", "/first", 4, 3, (3, 3))
    x = g.node("Dropout", [g.node("Clip", [x], min=0.0, max=6.0)])
    x = g.node("Upsample", [x, g.constant("scales", (4,), "f4", [1, 1, 2, 2])])
    x = g.node("Slice", [x], axes=[2, 3], starts=[1, 0], ends=[2 ** 31 - 1, -2])
    x = g.conv(x, "/second", 2, 4, (3, 3))
    x = g.node("Squeeze", [g.node("ReduceMean", [x], axes=[2, 3], keepdims=1)], axes=[2, 3])
    x = g.node("Gemm", [x, g.constant("classes.weight", (3, 2)), g.constant("classes.bias", (3,))], transB=1)
    for node in g.nodes:
        node.ClearField("name")
    return g.model("old", [("images", TensorProto.FLOAT, ["N", 3, 10, 10])], x, inputs_hold_constants=True)


def external():
    """Weights in another file, which is not there: their shapes are."""
    g = Graph()
    x = g.node("Relu", [g.conv("images", "/conv", 64, 3, (3, 3), pads=[1, 1, 1, 1])])
    x = g.conv(x, "/conv_2", 64, 64, (3, 3), pads=[1, 1, 1, 1])
    model = g.model("external", [("images", TensorProto.FLOAT, ["batch", 3, 8, 8])], x)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")
    return model


def sized(model, sizes):
    """The model with its open axes given sizes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in copy.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = sizes.get(dim.dim_param, 1)
    return copy


RIGHT = {"QLinearConv": 3, "QLinearMatMul": 3}
PRODUCTS = ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul")


def layers(model, sizes):
    graph = shape_inference.infer_shapes(sized(model, sizes), strict_mode=True, data_prop=True).graph
    constants = {t.name for t in graph.initializer}
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for value in list(graph.input) + list(graph.value_info) + list(graph.output):
        dims = value.type.tensor_type.shape.dim
        assert all(dim.HasField("dim_value") for dim in dims), (model.graph.name, value.name)
        shapes.setdefault(value.name, [dim.dim_value for dim in dims])
    for node in graph.node:
        if node.op_type not in PRODUCTS or node.name.endswith(".sums"):
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        x, w, y = (shapes[n] for n in (node.input[0], node.input[RIGHT.get(node.op_type, 1)], node.output[0]))
        if node.op_type == "ConvTranspose":
            macs = math.prod(x) * math.prod(w[1:])
        elif "Conv" in node.op_type:
            macs = math.prod(y) * math.prod(w[1:])
        else:
            macs = math.prod(y) * x[0 if attributes.get("transA") else -1]
        name = node.name or node.input[1].removesuffix(".weight")
        weights_left = node.input[0] in constants and node.input[1] not in constants
        yield [model.graph.name, name, macs, math.prod(x if weights_left else w)]


def compare(program, files):
    differ = 0
    for file in files:
        peer = [row[2] for row in layers(onnx.load(file), {})]
        command = [program, "cost", file, "--precision", "static-8", "--inference", "--json"]
        own = [layer["macs"] for layer in json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["layers"]]
        differ += own != peer
        print("%s: %d layers, %d multiply-accumulates, %s" % (pathlib.Path(file).name, len(peer), sum(peer),
                                                              "equal" if own == peer else "DIFFERENT"))
    return 1 if differ else 0


def main():
    if sys.argv[1] == "--compare":
        return compare(sys.argv[2], sys.argv[3:])
    folder = pathlib.Path(sys.argv[1])
    rows = []
    for make in (residual, windows, attention, quantised, old, external):
        model = make()
        if make is not external:
            onnx.checker.check_model(model)
        (folder / (model.graph.name + ".onnx")).write_bytes(model.SerializeToString())
        rows += layers(model, {"sequence": 6})
    with open(folder / "layers.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "layer", "macs", "rhs_elements"])
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
