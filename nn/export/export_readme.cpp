// SPDX-License-Identifier: Apache-2.0
#include "nn/export/export_readme.h"

#include <algorithm>
#include <cstdio>

namespace bitcycle {

std::string export_unfinished() {
  return "Files are being exported by bitcycle into this folder. If none is at work any more, it was interrupted, and "
         "the\nfiles may be of different runs: export again.\n";
}

// Ten lines at most: a reader sees all of it at once. Markdown wraps them.
std::string export_readme(const std::string& run, const std::string& model, const ExportResult& result) {
  const auto has = [&](const std::string& file) {
    return std::find(result.files.begin(), result.files.end(), file) != result.files.end();
  };
  std::string text = "# " + model + ", exported by bitcycle from the run " + run + " at step " +
                     std::to_string(result.step) + "\n\nBits of weights and activations: " + result.widths +
                     ". Digest of the training state: " + result.digest + ".";
  if (result.test_accuracy) {
    char accuracy[64];
    std::snprintf(accuracy, sizeof accuracy, "%.4f %% of %lld images", *result.test_accuracy,
                  static_cast<long long>(result.images));
    text += " Test accuracy that `bitcycle eval` gives at these widths: " + std::string(accuracy) + ".";
  }
  text +=
      "\n\n* `weights.safetensors`: a weight is LAYER.weight.offset + LAYER.weight.scale * LAYER.weight.codes, by "
      "output channel. An input x of LAYER has the code rint(clamp((x - LAYER.input.offset) / LAYER.input.scale, 0, "
      "2^b - 1)). A batch norm is (y - NORM.mean) * NORM.factor + NORM.offset.\n";
  if (has("model.onnx")) {
    text +=
        "* `model.onnx`: opset 13, standard operators only. Input `pixels`, uint8 (N, 3, height, width), RGB; output "
        "`logits`, float32 (N, classes). Codes and integer sums are bitcycle's; only float32 additions of the pooling "
        "and the classifier may be made in another order.\n";
  }
  if (has("samples/pixels.npy")) {
    text += "* `samples/`: test images, their labels, and the logits that bitcycle computes for them.\n";
  }
  if (has("model.onnx") && has("samples/pixels.npy")) {
    text +=
        "\n      import numpy, onnxruntime; session = onnxruntime.InferenceSession(\"model.onnx\")\n"
        "      print(abs(session.run(None, {\"pixels\": numpy.load(\"samples/pixels.npy\")})[0] - "
        "numpy.load(\"samples/logits.npy\")).max())\n";
  }
  return text;
}

}  // namespace bitcycle
