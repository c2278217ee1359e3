// SPDX-License-Identifier: Apache-2.0
// Text of a program's parts, for people: what `bitcycle program` prints, and what tests compare.
#pragma once

#include <string>
#include <vector>

#include "sim/program/program.h"

namespace bitcycle {

/// "x conv1/y float32 (128, 32, 32, 16)", one an operand: role, name, element type and shape.
std::vector<std::string> operand_texts(const Program& program, const Node& node, Access access);

/// One line a node: number, layer, pass, operation, what it writes.
std::string program_text(const Program& program);

}  // namespace bitcycle
