// SPDX-License-Identifier: Apache-2.0
// bitcycle cost --validate: what each cost model was checked against, compared anew.
#pragma once

namespace bitcycle::cli {

/// Prices the recorded runs of the source again and prints the comparison. Returns kMismatch where a count differs, or
/// a measure by more than 1e-5 of its value.
int run_validation(bool json);

}  // namespace bitcycle::cli
