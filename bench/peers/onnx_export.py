# SPDX-License-Identifier: Apache-2.0
"""Evaluates what `bitcycle export` wrote with other people's programs, and compares with bitcycle's own results.

model.onnx is checked by onnx's checker and run by onnx's ReferenceEvaluator and by onnxruntime, whichever are
installed; weights.safetensors is read by Python's safetensors and its codes are put beside those in the model. Prints a
line for each, and one JSON object; exit code 1 where a prediction differs, 77 where neither evaluator is installed."""
import argparse
import importlib
import json
import pathlib
import sys


def optional(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


numpy = optional("numpy")
onnx = optional("onnx")
onnxruntime = optional("onnxruntime")
safetensors = optional("safetensors.numpy")


def evaluators(path):
    if onnx is not None:
        from onnx.reference import ReferenceEvaluator
        onnx.checker.check_model(str(path), full_check=True)
        model = ReferenceEvaluator(str(path))
        yield "onnx ReferenceEvaluator " + onnx.__version__, lambda x: model.run(None, {"pixels": x})[0]
    if onnxruntime is not None:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        yield "onnxruntime " + onnxruntime.__version__, lambda x: session.run(None, {"pixels": x})[0]


def compare_codes(folder):
    """Codes, scales and offsets of both files: the same bytes, the same values."""
    tensors = safetensors.load_file(folder / "weights.safetensors")
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(str(folder / "model.onnx")).graph.initializer}
    layers = [name.removesuffix(".weight.codes") for name in tensors if name.endswith(".weight.codes")]
    for layer in layers:
        assert (tensors[layer + ".weight.codes"] == constants[layer + ".weight.codes"]).all(), layer
        scale = tensors[layer + ".weight.scale"].astype("f8") * tensors[layer + ".input.scale"].astype("f8")
        assert (scale == constants[layer + ".A"].ravel()).all(), layer
    return len(layers)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="what bitcycle export wrote, with --samples")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--reference-images", type=int, default=256, help="for the slow ReferenceEvaluator; 0: all")
    arguments = parser.parse_args()
    if numpy is None or (onnx is None and onnxruntime is None):
        print("skipped: neither onnx nor onnxruntime is installed (PyPI packages of these names, and numpy)")
        return 77
    samples = arguments.folder / "samples"
    pixels, labels, logits = (numpy.load(samples / (name + ".npy")) for name in ("pixels", "labels", "logits"))
    result, equal = {}, True
    for name, run in evaluators(arguments.folder / "model.onnx"):
        images = len(pixels)
        if "Reference" in name and arguments.reference_images:
            images = min(images, arguments.reference_images)
        found = numpy.concatenate([run(pixels[i:min(i + arguments.batch, images)]) for i in range(0, images, arguments.batch)])
        expected = logits[:images]
        different = int((found.argmax(1) != expected.argmax(1)).sum())
        row = {"images": images, "different_predictions": different,
               "accuracy": 100 * float((found.argmax(1) == labels[:images]).mean()),
               "accuracy_of_bitcycle": 100 * float((expected.argmax(1) == labels[:images]).mean()),
               "largest_difference": float(abs(found - expected).max()), "largest_logit": float(abs(expected).max()),
               "images_with_equal_logits": int((found == expected).all(1).sum())}
        result[name] = row
        equal = equal and different == 0
        print(f"{name}: {different} of {images} predictions differ; accuracy {row['accuracy']:.4f} %, bitcycle's "
              f"{row['accuracy_of_bitcycle']:.4f} %; logits differ by at most {row['largest_difference']:.3g} "
              f"(largest {row['largest_logit']:.3g})", file=sys.stderr)
    if safetensors is not None and onnx is not None:
        result["layers_with_equal_codes"] = compare_codes(arguments.folder)
        print(f"safetensors: codes and scales of {result['layers_with_equal_codes']} layers are those of the model",
              file=sys.stderr)
    print(json.dumps(result))
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
