// SPDX-License-Identifier: Apache-2.0
#include "nn/train/checkpoint_file.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "nn/io/atomic_file.h"
#include "nn/models/state.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;

constexpr const char* kChecksum = "checksum";

/// The checksum as the header has it.
std::string seal(const std::string& digits) { return std::string("\"") + kChecksum + "\":\"" + digits + "\""; }
std::string open_seal() { return seal(std::string(32, '0')); }

void check_seal(std::string bytes, const std::string& digits, const fs::path& path) {
  const std::string written = seal(digits);
  const auto at = bytes.find(written);
  if (at != std::string::npos) {
    bytes.replace(at, written.size(), open_seal());
    if (to_text(digest_of(bytes.data(), bytes.size())) == digits) return;
  }
  throw std::runtime_error("'" + path.string() +
                           "' is damaged: its bytes are not those that were written (its checksum is " +
                           digits.substr(0, 40) + ")");
}

std::int64_t steps_of(const TensorFile& file, const std::string& key, const fs::path& path) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) {
    throw std::runtime_error("'" + path.string() + "' is a safetensors file without the metadata of a checkpoint ('" +
                             key + "' is missing)");
  }
  try {
    std::size_t used = 0;
    const std::int64_t steps = std::stoll(found->second, &used);
    if (used == found->second.size() && steps >= 0) return steps;
  } catch (const std::logic_error&) {
    // Said below.
  }
  throw std::runtime_error("'" + path.string() + "': the metadata '" + key + "' is '" + found->second.substr(0, 40) +
                           "', not a number of steps");
}

}  // namespace

std::string identity_digest(const Config& config) {
  const std::string identity = config_identity(config);
  return to_text(digest_of(identity.data(), identity.size()));
}

std::string checkpoint_name(std::int64_t step) {
  char name[48];
  std::snprintf(name, sizeof name, "step-%08lld.safetensors", static_cast<long long>(step));
  return name;
}

std::vector<std::int64_t> checkpoint_steps(const fs::path& folder) {
  std::vector<std::int64_t> steps;
  if (!fs::is_directory(folder)) return steps;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    long long step = 0;
    if (std::sscanf(name.c_str(), "step-%lld.safetensors", &step) == 1 && name == checkpoint_name(step)) {
      steps.push_back(step);
    }
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void write_checkpoint_file(const fs::path& path, const Checkpoint& checkpoint) {
  TensorStream tensors;
  for (const auto& tensor : checkpoint.file.tensors) {
    tensors.entries.push_back({tensor.name, "F32", tensor.shape, sizeof(float) * tensor.data.size()});
  }
  tensors.visit = [&](const auto& visit) {
    for (const auto& tensor : checkpoint.file.tensors) visit(tensor.data);
  };
  write_checkpoint_file(path, checkpoint, tensors);
}

void write_checkpoint_file(const fs::path& path, const Checkpoint& checkpoint, const TensorStream& tensors) {
  auto metadata = checkpoint.file.metadata;
  metadata["step"] = std::to_string(checkpoint.step);
  metadata["best_step"] = std::to_string(checkpoint.best_step);
  metadata[kChecksum] = std::string(32, '0');
  const std::string header = format_safetensors_header(tensors.entries, metadata);
  write_file_atomically(path, [&](const FileParts& file) {
    BytesDigest digest;
    const auto append = [&](std::string_view bytes) {
      digest.add(bytes);
      file.append(bytes);
    };
    append(header);
    tensors.visit([&](const std::vector<float>& data) {
      append({reinterpret_cast<const char*>(data.data()), data.size() * sizeof(float)});
    });
    file.put(header.find(open_seal()), seal(to_text(digest.value())));
  });
}

std::map<std::string, std::string> checkpoint_metadata(const fs::path& path) {
  constexpr std::uint64_t kMostBytes = 1 << 24;
  std::ifstream file(path, std::ios::binary);
  std::array<unsigned char, 8> length{};
  if (!file.read(reinterpret_cast<char*>(length.data()), 8)) return {};
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < length.size(); ++i) size |= static_cast<std::uint64_t>(length[i]) << (8 * i);
  if (size > kMostBytes) return {};
  std::string header(static_cast<std::size_t>(size), '\0');
  if (!file.read(header.data(), static_cast<std::streamsize>(size))) return {};
  const auto json = nlohmann::json::parse(header, nullptr, false);
  if (!json.is_object() || !json.contains("__metadata__") || !json["__metadata__"].is_object()) return {};
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : json["__metadata__"].items()) {
    if (value.is_string()) metadata[key] = value.get<std::string>();
  }
  return metadata;
}

Checkpoint read_checkpoint_file(const fs::path& path) {
  std::string bytes = read_file(path);
  Checkpoint checkpoint;
  checkpoint.file = parse_safetensors(bytes, path.string());
  if (const auto found = checkpoint.file.metadata.find(kChecksum); found != checkpoint.file.metadata.end()) {
    check_seal(std::move(bytes), found->second, path);
    checkpoint.file.metadata.erase(found);
  }
  checkpoint.step = steps_of(checkpoint.file, "step", path);
  if (checkpoint.file.metadata.count("best_step") != 0) {
    checkpoint.best_step = steps_of(checkpoint.file, "best_step", path);
  }
  return checkpoint;
}

Digest128 digest_root(const std::vector<NamedTensor>& tensors) {
  std::vector<const NamedTensor*> order;
  for (const auto& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  RootDigest root;
  for (const auto* tensor : order) {
    if (tensor->name.starts_with(kAveragedPrefix)) continue;
    root.add(tensor->name, digest_of(tensor->data));
  }
  return root.value();
}

}  // namespace bitcycle
