// SPDX-License-Identifier: Apache-2.0
// What the reference gives for a step, as digests that are computed once: kept in the file that BITCYCLE_OUTCOMES
// names, for the other programs of a test run and for machines that have no time for plain loops. Without the variable
// they are computed anew.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

#include "tests/exact/step_outcome.h"

namespace bitcycle::test {

/// A step and what happens to it, in one line.
std::string outcome_key(const NamedShape& shape, const WidthPair& widths, const StepVariant& variant);
std::string outcome_key(const NamedShape& shape, const WidthPair& widths, ErrorWeights error_weights, bool infinite);

/// Whether every tensor has the reference's bits. `reference` computes them where they are not recorded, and, after a
/// difference, to say which element differs.
::testing::AssertionResult equals_reference(const std::string& key, const StepOutcome& actual,
                                            const std::function<StepOutcome()>& reference);

/// One kernel under suspicion: with a name, only steps that launch it count, and kernels run one at a time.
struct KernelCheck {
  std::string kernel;  // as profiles have it: "convolution error"
  int steps = 0, different = 0;
  std::set<std::string> seen;  // every kernel's name
};
KernelCheck& kernel_check();

/// run(library) against the reference's.
::testing::AssertionResult compare_with_reference(KernelLibrary& library, const std::string& key,
                                                  const std::function<StepOutcome(KernelLibrary&)>& run);

inline ::testing::AssertionResult step_equals_reference(KernelLibrary& library, const NamedShape& shape,
                                                        const WidthPair& widths, const StepVariant& variant) {
  return compare_with_reference(library, outcome_key(shape, widths, variant),
                                [&](KernelLibrary& on) { return run_step(on, shape.shape, widths, variant); });
}
inline ::testing::AssertionResult overflow_equals_reference(KernelLibrary& library, const NamedShape& shape,
                                                            const WidthPair& widths, ErrorWeights error_weights,
                                                            bool infinite) {
  return compare_with_reference(library, outcome_key(shape, widths, error_weights, infinite), [&](KernelLibrary& on) {
    return run_overflowing_step(on, shape.shape, widths, error_weights, infinite);
  });
}

}  // namespace bitcycle::test
