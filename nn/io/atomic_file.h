// SPDX-License-Identifier: Apache-2.0
// Files that are whole or absent, whenever the process is killed, and clear errors for full disks and
// unwritable folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace bitcycle {

/// Writes beside the target, flushes to the disk, renames over it, flushes the folder. Throws
/// std::runtime_error with path, reason and remedy; the old file is then untouched and no part of the new one is left.
/// A folder, device, pipe or socket is refused; where the path is a link, the file that it leads to is replaced.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);
/// The same in parts, for files that would take much memory: `write` appends, and may put other bytes over earlier
/// ones.
struct FileParts {
  std::function<void(std::string_view bytes)> append;
  std::function<void(std::uint64_t position, std::string_view bytes)> put;
};
void write_file_atomically(const std::filesystem::path& path, const std::function<void(const FileParts&)>& write);
/// Writes a result that somebody asked for: as above, but a terminal, /dev/null or a pipe is written to.
void write_output(const std::filesystem::path& path, std::string_view bytes);
/// Writes everything to an open descriptor; throws std::runtime_error naming `path`.
void write_all(int descriptor, std::string_view bytes, const std::filesystem::path& path);
/// Throws std::runtime_error: what, path, the system's reason for `error` (an errno), the remedy.
[[noreturn]] void throw_file_error(const std::string& what, const std::filesystem::path& path, int error);
/// Makes the folder and those above it. Throws std::runtime_error with path, reason and remedy.
void make_folder(const std::filesystem::path& path);
/// What a user can do about a system error.
std::string remedy_for(int error);
/// Removes what a killed process left half written in a folder: NAME.tmp<process>, where that process is gone.
void remove_orphans(const std::filesystem::path& folder);
/// The same of one file's name alone: FILE.tmp<process>, in a folder that may hold other programs' files.
void remove_orphans_of(const std::filesystem::path& file);
/// All bytes of a file, or of a pipe up to 1 GiB. Throws std::runtime_error with path and reason; a folder or device
/// is one.
std::string read_file(const std::filesystem::path& path);

}  // namespace bitcycle
