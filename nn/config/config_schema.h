// SPDX-License-Identifier: Apache-2.0
// The JSON Schema of a config file, made from the table of keys, so that editors complete and check them.
#pragma once

#include <string>

namespace bitcycle {

/// A JSON object (draft 2020-12): every key with type, range, default and meaning; unknown keys are not allowed. What
/// ties several keys together (min and max, classes and data) is beyond a schema; `bitcycle schedule` checks it.
std::string config_schema();

}  // namespace bitcycle
