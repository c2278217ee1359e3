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

HostState::HostState(const Program& program)
    : plan_(plan_side_by_side(program, Lifetime::kState)), memory_(plan_.bytes) {
  for (std::size_t id = 0; id < program.tensors().size(); ++id) {
    if (plan_.offset[id] == TensorPlan::kNowhere) continue;
    const TensorSpec& spec = program.tensors()[id];
    entries_.emplace(spec.name, Entry{spec, memory_.data() + plan_.offset[id]});
  }
}

const HostState::Entry& HostState::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) throw std::invalid_argument("the state has no tensor '" + name + "'");
  return found->second;
}

void HostState::read(const std::string& name, void* host) {
  const Entry& of = entry(name);
  std::memcpy(host, of.data, of.spec.bytes());
}

void HostState::write(const std::string& name, const void* host) {
  const Entry& of = entry(name);
  std::memcpy(of.data, host, of.spec.bytes());
}

void* HostState::address(const TensorSpec& spec) {
  const Entry& of = entry(spec.name);
  if (of.spec.element != spec.element || of.spec.shape != spec.shape) {
    throw std::invalid_argument("the state's tensor '" + spec.name + "' is " + of.spec.text() + ", the program's " +
                                spec.text());
  }
  return of.data;
}

std::shared_ptr<HostState> host_state(const std::shared_ptr<State>& state) {
  auto host = std::dynamic_pointer_cast<HostState>(state);
  if (!host) throw std::invalid_argument("a program needs the state that its own device made (Device::make_state)");
  return host;
}

}  // namespace bitcycle
