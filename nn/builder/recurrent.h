// SPDX-License-Identifier: Apache-2.0
// What language models are made of: words to vectors, time steps, fully connected layers with quantised operands that a
// step may use many times, and the LSTM cell.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/builder/quantised_product.h"

namespace bitcycle::builder {

/// Tokens of a step and the words that follow them, int32 (rows): inputs. Rows are time steps one behind another.
void tokens(Builder& builder, std::int64_t rows);
/// Rows of a table of `words` vectors, NAME.weight: the step's tokens as (rows, 1, 1, size).
Value* embedding(Builder& builder, const std::string& name, std::int64_t words, std::int64_t size,
                 const InitialValues& initial = {});

/// `parts` values of equally many rows, and back.
std::vector<Value*> split_rows(Builder& builder, Value* x, std::int64_t parts);
Value* concatenate(Builder& builder, const std::string& layer, const std::vector<Value*>& parts);

/// A state tensor (batch, size) that steps hand on, as a value without a gradient; store() writes what it becomes. An
/// evaluation has one of its own.
Value* carried(Builder& builder, const std::string& name, std::int64_t size);
void store(Builder& builder, const std::string& name, Value* x);

/// y = x w^T + bias, with quantised x, w (per output) and gradient (docs/numerics.md, 6.10). One range of x and of the
/// gradient at each use; weight codes are made once. Its gradients are the sums of those of all uses, the last use
/// first. The bias gradient is the column sum of the quantised gradient.
class QuantisedLinear {
 public:
  QuantisedLinear(Builder& builder, const std::string& name, std::int64_t rows, std::int64_t inputs,
                  std::int64_t outputs, Bias bias, const InitialValues& weights = {}, const InitialValues& biases = {});
  /// Of a layer that is there: in float32, or with a weight that others have too.
  QuantisedLinear(ProductLayer layer, Bias bias, const InitialValues& biases = {});
  Value* operator()(Value* x);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

struct LstmState {
  Value* output = nullptr;
  Value* cell = nullptr;
};
/// One time step behind its two products (sim/ops/lstm_cell.h). use: " 3".
LstmState lstm_cell(Builder& builder, const std::string& layer, const std::string& use, Value* x, Value* h,
                    Value* cell);

}  // namespace bitcycle::builder
