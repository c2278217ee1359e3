// SPDX-License-Identifier: Apache-2.0
#include "sim/program/products.h"

#include <algorithm>
#include <map>
#include <set>

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

namespace {

/// A product of two activations as a product of matrices of as many multiplications in each of its three passes. Causal
/// pairs are counted as what exists: a triangle of m rows as m + 1 rows of m / 2, or m rows of (m + 1) / 2.
MatrixOperation matmul_of(const std::string& layer, const ops::PairContraction& over, bool integer) {
  const ops::PairShape& s = over.shape;
  std::int64_t rows = s.m, columns = s.n;
  if (s.causal) {
    rows = s.n != s.m ? 1 : (s.m % 2 == 0 ? s.m + 1 : s.m);
    columns = s.pairs() / rows;
  }
  MatrixOperation operation;
  operation.layer = layer;
  operation.kind = "matmul";
  operation.quantised = integer;
  operation.rhs_is_activation = true;
  const bool scores = over.form == ops::PairForm::kPairs;
  operation.shape.w = rows;
  operation.shape.groups = s.heads;
  operation.shape.c = s.heads * (scores ? s.d : columns);
  operation.shape.o = s.heads * (scores ? columns : s.d);
  return operation;
}

/// Products of two activations of the forward pass, by node: the first of each layer, for exact sums may be asked for
/// once more.
std::map<int, MatrixOperation> pair_products_of(const Program& program) {
  std::map<int, MatrixOperation> products;
  std::set<std::string> layers;
  for (int number = 0; number < static_cast<int>(program.nodes().size()); ++number) {
    const Node& node = program.node(number);
    if (node.site.pass != Pass::kForward) continue;
    const auto* integer = std::get_if<ops::PairProduct>(&node.operation);
    const auto* values = std::get_if<ops::PairFloatProduct>(&node.operation);
    if ((integer == nullptr && values == nullptr) || !layers.insert(node.site.layer).second) continue;
    const ops::PairContraction& over = integer != nullptr ? integer->over : values->over;
    products.emplace(number, matmul_of(node.site.layer, over, integer != nullptr));
  }
  return products;
}

}  // namespace

Workload workload_of(const Program& program) {
  const auto has_bias = [&](const ProgramProduct& product) {
    const auto* values = std::get_if<ops::FloatProduct>(&program.node(product.node).operation);
    if (values == nullptr) return false;
    const auto& readers = program.readers(values->y);
    return std::any_of(readers.begin(), readers.end(), [&](int reader) {
      return std::holds_alternative<ops::AddBias>(program.node(reader).operation);
    });
  };
  Workload workload;
  workload.model = program.name();
  std::map<std::string, std::size_t> by_layer;
  auto pairs = pair_products_of(program);
  const auto add_pairs = [&](int before) {
    for (auto next = pairs.begin(); next != pairs.end() && next->first < before; next = pairs.erase(next)) {
      workload.matrix.push_back(next->second);
    }
  };
  for (const ProgramProduct& product : products_of(program)) {
    const std::string& layer = product.site.layer;
    add_pairs(product.node);
    if (product.over.pass == Pass::kForward) {
      MatrixOperation operation;
      operation.layer = layer;
      operation.shape = product.over.at(product.over.shape.n / program.batch()).shape;
      operation.quantised = product.integer;
      operation.input_gradient = false;
      if (has_bias(product)) operation.kind = "linear";
      by_layer[layer] = workload.matrix.size();
      workload.matrix.push_back(operation);
    } else if (product.over.pass == Pass::kError) {
      workload.matrix[by_layer.at(layer)].input_gradient = true;
    }
  }
  add_pairs(static_cast<int>(program.nodes().size()));
  const auto& nodes = program.nodes();
  const bool language = std::any_of(nodes.begin(), nodes.end(), [](const Node& node) {
    return std::holds_alternative<ops::Gather>(node.operation) || std::holds_alternative<ops::BandRows>(node.operation);
  });
  for (const Node& node : program.nodes()) {
    const auto elements = [&](Tensor tensor) { return program.spec(tensor).size() / program.batch(); };
    if (const auto* norm = std::get_if<ops::NormApply>(&node.operation)) {
      workload.elementwise.push_back({node.site.layer, "batch_norm", elements(norm->z)});
    } else if (const auto* pool = std::get_if<ops::MaxPool>(&node.operation)) {
      workload.elementwise.push_back({node.site.layer, "max_pool", elements(pool->z), elements(pool->x),
                                      pool->window.kernel * pool->window.kernel});
    } else if (const auto* gather = std::get_if<ops::Gather>(&node.operation)) {
      workload.elementwise.push_back({node.site.layer, "embedding", elements(gather->y)});
    } else if (const auto* band = std::get_if<ops::BandRows>(&node.operation)) {
      workload.elementwise.push_back({node.site.layer, "embedding", elements(band->y)});
    } else if (const auto* cell = std::get_if<ops::LstmCell>(&node.operation)) {
      workload.elementwise.push_back({node.site.layer, "lstm_cell", elements(cell->output)});
    } else if (const auto* loss = std::get_if<ops::SoftmaxLoss>(&node.operation); loss != nullptr && language) {
      workload.elementwise.push_back({node.site.layer, "softmax", elements(loss->logits)});
    }
  }
  return workload;
}

}  // namespace bitcycle
