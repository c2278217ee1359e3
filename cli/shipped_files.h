// SPDX-License-Identifier: Apache-2.0
// Where the program finds the files that it comes with.
#pragma once

#include <string>

namespace bitcycle::cli {

/// The folder of the shipped accelerators: configs/accelerators beside the program's own folder where it was carried to
/// another machine, else the project's.
std::string accelerators_folder();

}  // namespace bitcycle::cli
