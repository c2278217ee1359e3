// SPDX-License-Identifier: Apache-2.0
// Where a report may be written: never over anything but a report, never under a name that a run folder reads.
#include <fstream>
#include <stdexcept>

#include "report/report.h"

namespace bitcycle::report {
namespace {

namespace fs = std::filesystem;

bool is_report(const fs::path& path) {
  std::string head(4096, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(file.gcount()));
  return head.starts_with("<!DOCTYPE html>") && head.find("<title>bitcycle report") != std::string::npos;
}

bool is_run_folder(const fs::path& folder) {
  return fs::is_regular_file(folder / "config.yaml") &&
         (fs::is_regular_file(folder / "steps.csv") || fs::is_directory(folder / "checkpoints"));
}

}  // namespace

void check_report_path(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (fs::exists(path)) {
    if (!fs::is_regular_file(path) || !is_report(path)) {
      throw std::runtime_error("'" + path.string() +
                               "' exists and is not a report of bitcycle, so it is not overwritten; "
                               "choose another file with --out");
    }
    return;
  }
  const bool inside_run = is_run_folder(folder) || is_run_folder(folder / "..");
  if (inside_run && path.extension() != ".html") {
    throw std::runtime_error("'" + path.string() +
                             "' lies in a run folder, where only files ending in .html are taken "
                             "as reports; choose another file with --out");
  }
}

}  // namespace bitcycle::report
