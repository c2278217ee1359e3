// SPDX-License-Identifier: Apache-2.0
#include "sim/program/print.h"

namespace bitcycle {

std::vector<std::string> operand_texts(const Program& program, const Node& node, Access access) {
  std::vector<std::string> texts;
  each_tensor(node.operation, [&](const char* role, Tensor tensor, Access how) {
    if (how != access) return;
    const TensorSpec& spec = program.spec(tensor);
    texts.push_back(std::string(role) + " " + spec.name + " " + spec.text());
  });
  return texts;
}

std::string program_text(const Program& program) {
  std::string text = program.name() + ", " + std::to_string(program.batch()) + " samples\n";
  for (int number = 0; number < static_cast<int>(program.nodes().size()); ++number) {
    const Node& node = program.node(number);
    text += std::to_string(number) + "  " + node_text(node);
    for (const Access access : {Access::kWrite, Access::kUpdate}) {
      for (const auto& operand : operand_texts(program, node, access)) text += "  " + operand;
    }
    text += "\n";
  }
  return text;
}

}  // namespace bitcycle
