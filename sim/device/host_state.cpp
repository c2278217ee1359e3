// SPDX-License-Identifier: Apache-2.0
#include "sim/device/host_state.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

namespace bitcycle {

AlignedMemory::AlignedMemory(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment + kAlignment;
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
  if (!data_) throw std::bad_alloc();
  std::memset(data_.get(), 0, rounded);
}

void AlignedMemory::Free::operator()(std::byte* data) const noexcept { std::free(data); }

HostState::HostState(const std::vector<const Program*>& programs) : plan_(programs), memory_(plan_.bytes) {}

void HostState::read(const std::string& name, void* host) {
  const StatePlan::Allocation& of = plan_.allocation(name);
  std::memcpy(host, memory_.data() + of.offset, of.spec.bytes());
}

void HostState::write(const std::string& name, const void* host) {
  const StatePlan::Allocation& of = plan_.allocation(name);
  std::memcpy(memory_.data() + of.offset, host, of.spec.bytes());
}

void HostState::upload(const std::string& name, std::size_t offset, const void* host, std::size_t bytes) {
  std::memcpy(memory_.data() + plan_.allocation(name).offset + offset, host, bytes);
}

void* HostState::address(const TensorSpec& spec) { return memory_.data() + plan_.allocation(spec).offset; }

void require_samples(const Program& program, std::int64_t samples) {
  if (samples >= 1 && samples <= program.batch()) return;
  throw std::invalid_argument("a step of " + std::to_string(samples) + " samples; the program " + program.name() +
                              " takes 1 to " + std::to_string(program.batch()));
}

void throw_not_kept(const TensorSpec& spec) {
  throw std::invalid_argument("tensor '" + spec.name + "' is not kept after a step; ask for it in " +
                              "CompileOptions::kept");
}

std::shared_ptr<HostState> host_state(const std::shared_ptr<State>& state) {
  auto host = std::dynamic_pointer_cast<HostState>(state);
  if (!host) throw std::invalid_argument("a program needs the state that its own device made (Device::make_state)");
  return host;
}

}  // namespace bitcycle
