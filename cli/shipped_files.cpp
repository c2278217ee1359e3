// SPDX-License-Identifier: Apache-2.0
#include "cli/shipped_files.h"

#include <filesystem>

namespace bitcycle::cli {

std::string accelerators_folder() {
  namespace fs = std::filesystem;
  std::error_code unknown;
  const fs::path program = fs::read_symlink("/proc/self/exe", unknown);
  if (!unknown) {
    const fs::path carried = program.parent_path().parent_path() / "configs" / "accelerators";
    if (fs::is_directory(carried, unknown)) return carried.string();
  }
  return BITCYCLE_ACCELERATORS;
}

}  // namespace bitcycle::cli
