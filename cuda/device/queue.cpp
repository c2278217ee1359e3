// SPDX-License-Identifier: Apache-2.0
// Memory, the queue of launches, and steps.
#include <algorithm>

#include "cuda/device/cuda_library.h"
#include "cuda/device/make_cuda_library.h"
#include "cuda/kernels/kernels_elementwise.h"
#include "cuda/kernels/kernels_norm.h"
#include "sim/device/kernel_library.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

void* CudaLibrary::allocate(std::size_t bytes) {
  void* data = runtime_->allocate(bytes);
  sizes_[data] = bytes;
  device_bytes_ += bytes;
  runtime_->fill_zero(data, bytes);
  return data;
}

void CudaLibrary::release(void* data) noexcept {
  try {
    flush();
  } catch (...) {
    if (!failure_) failure_ = std::current_exception();
  }
  if (const auto known = sizes_.find(data); known != sizes_.end()) {
    device_bytes_ -= known->second;
    sizes_.erase(known);
  }
  runtime_->release(data);
}

void CudaLibrary::to_device(void* device, const void* host, std::size_t bytes) {
  flush();
  if (bytes != 0) runtime_->to_device(device, host, bytes);
}

void CudaLibrary::to_host(void* host, const void* device, std::size_t bytes) {
  flush();
  if (bytes != 0) runtime_->to_host(host, device, bytes);
}

void CudaLibrary::upload(void* device, const void* host, std::size_t bytes) {
  flush();
  if (bytes != 0) runtime_->start_to_device(device, host, bytes);
}

void CudaLibrary::fill_zero(void* device, std::size_t bytes) {
  flush();
  if (bytes != 0) runtime_->fill_zero(device, bytes);
}

void CudaLibrary::start_to_host(void* host, const void* device, std::size_t bytes) {
  flush();
  runtime_->start_to_host(host, device, bytes);
}

void CudaLibrary::synchronise() {
  flush();
  runtime_->synchronise();
}

void CudaLibrary::begin_step(std::uint32_t step) {
  flush();
  in_step_ = !profiling_ && !options_.serial;
  step_number_ = step;
  if (in_step_) launch<StepStartKernel>(1, 0, {&scratch()->step, step, 0, nullptr, {}});
}

void CudaLibrary::write_records(void* device, const void* host, std::size_t bytes) {
  auto* to = static_cast<std::uint8_t*>(device);
  const auto* from = static_cast<const std::uint8_t*>(host);
  // The first ones go with the launch that begins the step.
  bool begins = in_step_ && used_ == 1 && arguments<StepStartKernel>(0).records == nullptr;
  while (bytes != 0) {
    const std::size_t part = std::min<std::size_t>(bytes, StepStartKernel::kMostBytes);
    if (!begins) launch<StepStartKernel>(1, 0, {});
    auto& args = arguments<StepStartKernel>(used_ - 1);
    args.records = to;
    args.bytes = static_cast<std::uint32_t>(part);
    std::copy_n(from, part, args.data);
    begins = false;
    to += part;
    from += part;
    bytes -= part;
  }
}

void CudaLibrary::end_step() {
  if (!in_step_) return;
  settle();
  in_step_ = false;
  queue_.resize(used_);
  forget_queue();
  if (options_.graph) {
    runtime_->run_step(queue_);
  } else {
    for (const gpu::Launch& one : queue_) runtime_->launch(one);
  }
}

void CudaLibrary::set_profiling(bool on) {
  flush();
  if (on) profile_.clear();
  profiling_ = on;
}
std::vector<ProfileEntry> CudaLibrary::profile() const { return profile_; }

int CudaLibrary::blocks(std::uint32_t count) const {
  const std::uint32_t needed = count / 1024U + 1U;
  return static_cast<int>(std::min<std::uint32_t>(needed, static_cast<std::uint32_t>(4 * runtime_->processors())));
}

void CudaLibrary::settle() {
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  close_weights();
  if (scale_) {
    const ActivationScale scale = *scale_;
    scale_.reset();
    push<ActivationScaleKernel>(1, 0, {without_recorded_width(scale)});
  }
  if (norm_gradient_) {
    const NormGradientPrepare prepare = *norm_gradient_;
    norm_gradient_.reset();
    push<NormGradientPrepareKernel>(1, 0, {prepare});
  }
}

void CudaLibrary::forget_queue() {
  used_ = 0;
  branches_ = 0;
  weight_groups_ = 0;
  open_products_.clear();
  open_images_ = {};
  branch_results_.clear();
}

void CudaLibrary::flush() {
  settle();
  const std::size_t count = used_;
  forget_queue();
  for (std::size_t i = 0; i < count; ++i) {
    if (profiling_) {
      run_timed(queue_[i]);
    } else {
      runtime_->launch(queue_[i]);
      if (options_.serial) runtime_->synchronise();
    }
  }
}

void CudaLibrary::run_timed(const gpu::Launch& one) {
  const double seconds = runtime_->run_timed(one);
  auto entry = std::find_if(profile_.begin(), profile_.end(),
                            [&](const ProfileEntry& candidate) { return candidate.operation == one.name; });
  if (entry == profile_.end()) {
    profile_.push_back({one.name, 0, 0.0, 0, 0});
    entry = profile_.end() - 1;
  }
  entry->calls += 1;
  entry->seconds += seconds;
  entry->macs += one.work.macs;
  entry->bytes += one.work.bytes;
}

Buffer& CudaLibrary::reserve(Buffer& buffer, std::size_t bytes) {
  if (buffer.bytes() < bytes) {
    if (buffer) synchronise();  // something may still use it
    buffer = Buffer();
    buffer = Buffer(*this, bytes);
  }
  return buffer;
}

Geometry CudaLibrary::geometry(const ConvShape& s) {
  elements(s.input_size(), "convolution");
  elements(s.output_size(), "convolution");
  elements(s.weight_size(), "convolution");
  const auto narrow = [](std::int64_t v) { return static_cast<std::int32_t>(v); };
  Geometry g;
  g.n = narrow(s.n);
  g.h = narrow(s.h);
  g.w = narrow(s.w);
  g.c = narrow(s.c);
  g.o = narrow(s.o);
  g.kh = narrow(s.kh);
  g.kw = narrow(s.kw);
  g.stride = narrow(s.stride);
  g.padding = narrow(s.padding);
  g.groups = narrow(s.groups);
  g.out_h = narrow(s.out_h());
  g.out_w = narrow(s.out_w());
  return g;
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE

namespace bitcycle {

std::unique_ptr<KernelLibrary> make_library_on(std::unique_ptr<gpu::Runtime> runtime, const CudaOptions& options) {
  return std::make_unique<BITCYCLE_CUDA_NAMESPACE::CudaLibrary>(std::move(runtime), options);
}

}  // namespace bitcycle
