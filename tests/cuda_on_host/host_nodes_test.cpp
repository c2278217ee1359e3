// SPDX-License-Identifier: Apache-2.0
// The host takes no part in a step: on the CUDA device every node of every model's programs has a kernel.
#include <gtest/gtest.h>

#include <sstream>

#include "cuda/host/host_runtime.h"
#include "nn/config/config.h"
#include "nn/models/model.h"
#include "nn/run/network_programs.h"
#include "tests/golden/temporary_folder.h"
#include "tests/property/text_fixture.h"

namespace bitcycle::test {
namespace {

/// What a device leaves to the reference loops, which run on the host.
std::string host_nodes(Device& device, const Program& program) {
  const auto executable = device.compile(program, {device.make_state({&program}), {}});
  std::ostringstream found;
  for (const KernelUse& use : executable->kernels()) {
    if (use.kernel != "reference loops") continue;
    const Node& node = program.node(use.nodes.front());
    found << " " << node.site.layer << ": " << bitcycle::name_of(node.operation) << ";";
  }
  return found.str();
}

TEST(CudaOnHostNodes, NoModelHasANodeThatRunsOnTheHost) {
  const TemporaryFolder folder;
  cuda_on_host::HostOptions options;
  options.executes = false;
  const auto device = cuda_on_host::make_cuda_device_on_host(options);
  const auto precision = [](const std::string& forward, const std::string& gradient, const std::string& error) {
    return "precision: {forward: {schedule: constant, max: " + forward +
           "}, gradient: {schedule: constant, max: " + gradient + "}, error_weights: " + error + "}\n";
  };
  for (const std::string& name : model_names()) {
    std::vector<std::string> models{"name: " + name}, rest{""};
    std::string data = "data: {name: synthetic, train_images: 4, test_images: 4, image_size: 32}\n", train;
    if (is_language_model(name)) {
      data = "data: {name: ptb, path: " + folder.path().string() + "}\n";
      train = ", time_steps: 6";
      models.clear();
      for (const char* parts : {"ffn+head", "linears", "linears+attention"}) {
        if (name == "ptb_lstm" && !models.empty()) break;
        std::string model = "name: " + name + ", vocabulary: 60, layers: 2, embedding: 32, dropout: 0.1";
        model += name == "ptb_lstm" ? ", hidden: 32" : std::string(", ffn: 48, heads: 2, quantise: ") + parts;
        if (has_bands(name)) model += ", cutoffs: [20, 40], band_factor: 2, head_dropout: 0.1";
        models.push_back(model);
      }
      rest = {kPlainSgd, kAdamw, kNag};
    }
    for (const std::string& model : models) {
      for (const std::string& optimiser : rest) {
        for (const std::string& widths : {precision("8", "8", "shared"), precision("8", "8", "requantised"),
                                          precision("12", "16", "shared"), precision("float32", "float32", "shared")}) {
          const auto file = folder.path() / "config.yaml";
          std::ofstream(file) << "model: {" << model << "}\n"
                              << data << "train: {steps: 2, batch: 2" << train << "}\n"
                              << widths << optimiser;
          const Config config = load_config(file);
          EXPECT_EQ(host_nodes(*device, training_program(config, true)->program), "") << model << "\n" << widths;
          EXPECT_EQ(host_nodes(*device, evaluation_program(config, true)->program), "") << model << "\n" << widths;
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitcycle::test
