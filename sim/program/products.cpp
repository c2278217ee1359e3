// SPDX-License-Identifier: Apache-2.0
#include "sim/program/products.h"

namespace bitcycle {

std::vector<ProgramProduct> products_of(const Program& program) {
  std::vector<ProgramProduct> products;
  for (int number = 0; number < static_cast<int>(program.nodes().size()); ++number) {
    const Node& node = program.node(number);
    ProgramProduct product;
    product.node = number;
    product.site = node.site;
    if (const auto* integer = std::get_if<ops::Product>(&node.operation)) {
      product.over = integer->over;
      product.lhs_width = integer->lhs.width;
      product.rhs_width = integer->rhs.width;
      const int writer = program.writer(integer->rhs.codes);
      if (!product.rhs_width && writer >= 0) {
        const auto* codes = std::get_if<ops::ErrorCodes>(&program.node(writer).operation);
        if (codes != nullptr) product.rhs_bits = codes->bits;
      }
    } else if (const auto* values = std::get_if<ops::FloatProduct>(&node.operation)) {
      product.over = values->over;
      product.integer = false;
    } else {
      continue;
    }
    product.macs = product.over.shape.macs() / program.batch();
    products.push_back(product);
  }
  return products;
}

}  // namespace bitcycle
