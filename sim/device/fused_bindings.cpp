// SPDX-License-Identifier: Apache-2.0
// What a match of the library's table becomes: one call of a fused operation with the addresses of its tensors. Widths
// are looked up in the step's inputs, so that a kernel is chosen by the width at hand.
#include <algorithm>

#include "sim/device/fused_entries.h"

namespace bitcycle {
namespace {

using Rounding = ops::Quantise::Rounding;

ConvShape at(const ops::Contraction& over, const Program& program, std::int64_t samples) {
  ConvShape shape = over.shape;
  shape.n = shape.n / program.batch() * samples;
  return shape;
}

/// Rows of samples, for tensors of (samples, ..., channels).
std::int64_t rows(const Program& program, Tensor tensor, std::int64_t samples) {
  const TensorSpec& spec = program.spec(tensor);
  return spec.size() / spec.shape.back() / program.batch() * samples;
}

BitWidth width_of(const KernelStep& step, Tensor width) {
  return width ? step.inputs.value<BitWidth>(width) : BitWidth::float32();
}

/// Memory of the device for results that the program does not ask for.
template <typename T>
T* record(const KernelBinding& b, std::shared_ptr<Buffer>& keep, std::int64_t count = 1) {
  keep = std::make_shared<Buffer>(b.library, static_cast<std::size_t>(count) * sizeof(T));
  return keep->as<T>();
}

/// The weights of a layer in the device's form, found by the master weights.
QuantisedWeights& weights_of(const KernelBinding& b, Tensor master, const ConvShape& shape) {
  return b.held<QuantisedWeights>(master, [&]() -> std::shared_ptr<void> {
    return std::shared_ptr<QuantisedWeights>(b.library.make_weights(shape));
  });
}

/// Shape of the layer whose master weights these are, at the whole batch.
ConvShape layer_shape(const Program& program, Tensor master) {
  for (const Node& node : program.nodes()) {
    if (const auto* chain = std::get_if<ops::FloatProduct>(&node.operation)) {
      if (chain->over.pass == Pass::kForward && chain->rhs == master) return chain->over.shape;
    }
    const auto* product = std::get_if<ops::Product>(&node.operation);
    if (product == nullptr || product->over.pass != Pass::kForward) continue;
    const int writer = program.writer(product->rhs.codes);
    const auto* quantise = writer < 0 ? nullptr : std::get_if<ops::Quantise>(&program.node(writer).operation);
    if (quantise != nullptr && quantise->x == master) return product->over.shape;
  }
  throw std::logic_error("no product reads the weights '" + program.spec(master).name + "'");
}

/// Master weights behind an operand of a product.
Tensor master_behind(const Program& program, Tensor codes) {
  for (int writer = program.writer(codes); writer >= 0;) {
    const Operation& operation = program.node(writer).operation;
    if (const auto* quantise = std::get_if<ops::Quantise>(&operation)) return quantise->x;
    if (const auto* grid = std::get_if<ops::ErrorCodes>(&operation)) {
      writer = program.writer(grid->weights.codes);
    } else if (const auto* values = std::get_if<ops::Dequantise>(&operation)) {
      writer = program.writer(values->x.codes);
    } else {
      break;
    }
  }
  return codes;
}

/// The node that writes a tensor, as this operation.
template <typename Op>
const Op* writer_of(const Program& program, Tensor tensor) {
  const int writer = tensor ? program.writer(tensor) : -1;
  return writer < 0 ? nullptr : std::get_if<Op>(&program.node(writer).operation);
}

ConvInput conv_input(const KernelBinding& b, Tensor x) {
  if (const auto* apply = b.recomputed<ops::NormApply>()) {
    return {b.address<float>(apply->y), b.address<NormChannel>(apply->norm)};
  }
  if (const auto* apply = b.op<ops::NormApply>()) {
    return {b.address<float>(apply->y), b.address<NormChannel>(apply->norm)};
  }
  return {b.address<float>(x), nullptr};
}

ConvGradient conv_gradient(const KernelBinding& b, Tensor dy) {
  const auto* norm = b.recomputed<ops::NormGradient>();
  if (norm == nullptr) norm = b.op<ops::NormGradient>();
  if (norm != nullptr) {
    return {b.address<float>(norm->u), b.address<float>(norm->y), b.address<NormChannel>(norm->norm),
            b.address<NormGradientChannel>(norm->gradient)};
  }
  return {b.address<float>(dy), nullptr, nullptr, nullptr};
}

/// What follows a first contribution: addresses of everything that the match took.
GradientJoin join_of(const KernelBinding& b, Tensor dx) {
  GradientJoin join;
  Tensor u = dx;
  if (const auto* sum = b.op<ops::Add>()) {
    join.other = b.address<float>(sum->b);
    u = sum->z;
  }
  if (const auto* both = b.op<ops::SumBound>()) join.other_bound = b.address<float>(both->b);
  if (const auto* relu = b.op<ops::ReluGradient>()) {
    const auto* z = writer_of<ops::Relu>(b.program, relu->positive);
    const auto* apply = b.recomputed<ops::NormApply>();
    if (apply != nullptr && z != nullptr && z->x == apply->z) {
      join.mask_y = b.address<float>(apply->y);
      join.mask_norm = b.address<NormChannel>(apply->norm);
    } else {
      join.mask_bits = b.address<std::uint32_t>(relu->positive);
    }
    u = relu->dx;
  }
  join.u = b.address<float>(u);
  for (int i = 0; i < 2; ++i) {
    const auto* sums = b.op<ops::NormGradientSums>(i);
    if (sums == nullptr) break;
    join.norm[i] = {b.address<float>(sums->y), b.address<NormChannel>(sums->norm),
                    b.address<NormGradientSums>(sums->sums)};
  }
  for (int i = 0;; ++i) {
    const auto* magnitude = b.op<ops::Magnitude>(i);
    if (magnitude == nullptr) break;
    if (magnitude->x == u) join.u_bound = b.address<float>(magnitude->bound);
  }
  return join;
}

}  // namespace

KernelLaunch bind_load_images(const KernelBinding& b) {
  const auto* op = b.op<ops::LoadImages>();
  const auto& shape = b.program.spec(op->x).shape;
  ImageBatch args;
  args.h = shape[1];
  args.w = shape[2];
  args.pixels = b.address<std::uint8_t>(op->pixels);
  args.set_labels = b.address<std::int32_t>(op->set_labels);
  args.table = b.address<float>(op->values);
  args.augment = op->augment;
  args.seed = op->seed;
  args.x = b.address<float>(op->x);
  args.labels = b.address<std::int32_t>(op->labels);
  const auto* places = b.address<ImagePlace>(op->places);
  const Tensor first = op->first;
  KernelLibrary* library = &b.library;
  return [=](const KernelStep& step) {
    ImageBatch now = args;
    now.n = step.samples;
    now.places = places + step.inputs.value<std::uint32_t>(first);
    library->load_images(now);
  };
}

KernelLaunch bind_weights(const KernelBinding& b) {
  Tensor master, width;
  const ops::ErrorCodes* shared = b.op<ops::ErrorCodes>();
  bool own = false;
  QuantiseWeights args;
  for (const int node : b.kernel.match.nodes) {
    const Operation& operation = b.program.node(node).operation;
    if (const auto* range = std::get_if<ops::Range>(&operation)) {
      master = range->x;
      own = own || range->groups.by == ops::Groups::By::kInputChannel;
    }
    if (const auto* fit = std::get_if<ops::FitGrid>(&operation)) {
      width = fit->width;
      args.min_scale = fit->min_scale;
    }
  }
  args.master = b.address<float>(master);
  args.reading = own ? ErrorWeights::kRequantised : ErrorWeights::kShared;
  if (shared != nullptr) args.error_grid_bits = shared->bits;
  args.for_error_pass = own || shared != nullptr;
  // Two words; reports lie 64 bytes apart.
  static_assert(TensorPlan::kAlignment >= 2 * sizeof(std::uint32_t));
  if (const auto* bounds = b.op<ops::StepBounds>()) args.step_bound = b.address<std::uint32_t>(bounds->bounds);
  QuantisedWeights* weights = &weights_of(b, master, layer_shape(b.program, master));
  for (const int node : b.kernel.match.nodes) {
    const Operation& operation = b.program.node(node).operation;
    if (const auto* quantise = std::get_if<ops::Quantise>(&operation)) {
      const bool error = quantise->groups.by == ops::Groups::By::kInputChannel;
      b.holds(quantise->codes, {weights, error ? &weights->error_codes : &weights->codes, true});
      b.holds(quantise->grid, {weights, error ? &weights->error_affine : &weights->affine, false});
    }
  }
  if (shared != nullptr) {
    b.holds(shared->codes, {weights, &weights->error_codes, true});
    b.holds(shared->grid, {weights, &weights->error_affine, false});
  }
  KernelLibrary* library = &b.library;
  return [args, width, weights, library](const KernelStep& step) {
    QuantiseWeights now = args;
    now.width = width_of(step, width);
    library->quantise_weights(now, *weights);
  };
}

KernelLaunch bind_activation_scale(const KernelBinding& b) {
  ActivationScale args;
  Tensor width;
  std::shared_ptr<Buffer> keep;
  if (const auto* running = b.op<ops::RunningGrid>()) {
    args.running = b.address<float>(running->running);
    args.training = false;
    args.min_scale = running->min_scale;
    args.affine = b.address<Affine>(running->grid);
    width = running->width;
  } else {
    const auto* moved = b.op<ops::RunningRange>();
    args.now = b.address<Range>(moved->range);
    args.running = b.address<float>(moved->running);
    if (const auto* fit = b.op<ops::FitGrid>()) {
      args.min_scale = fit->min_scale;
      args.affine = b.address<Affine>(fit->grid);
      width = fit->width;
    } else {
      args.affine = record<Affine>(b, keep);
    }
  }
  KernelLibrary* library = &b.library;
  return [args, width, keep, library](const KernelStep& step) {
    ActivationScale now = args;
    now.width = width_of(step, width);
    library->activation_scale(now);
  };
}

KernelLaunch bind_gradient_scale(const KernelBinding& b) {
  const auto* range = b.op<ops::Range>();
  const auto* fit = b.op<ops::FitGrid>();
  const ConvGradient gradient = conv_gradient(b, range->x);
  std::shared_ptr<Buffer> keep;
  Affine* affine = fit != nullptr ? b.address<Affine>(fit->grid) : record<Affine>(b, keep);
  auto* found = b.address<Range>(range->ranges);
  const Tensor x = range->x, width = fit != nullptr ? fit->width : Tensor{};
  const MinScale min_scale = fit != nullptr ? fit->min_scale : MinScale{};
  const bool zero_on_grid = fit != nullptr && fit->zero_on_grid;
  const Program* program = &b.program;
  KernelLibrary* library = &b.library;
  return [=](const KernelStep& step) {
    static_cast<void>(keep);
    library->gradient_scale(gradient, rows(*program, x, step.samples), program->spec(x).shape.back(),
                            width_of(step, width), min_scale, zero_on_grid, found, affine);
  };
}

KernelLaunch bind_norm_prepare(const KernelBinding& b) {
  const auto* op = b.op<ops::NormFromBatch>();
  NormPrepare args;
  args.channels = b.program.spec(op->norm).size();
  args.statistics = b.address<ChannelStatistics>(op->statistics);
  args.gamma = b.address<float>(op->gamma);
  args.beta = b.address<float>(op->beta);
  args.running_mean = b.address<float>(op->running_mean);
  args.running_variance = b.address<float>(op->running_variance);
  args.norm = b.address<NormChannel>(op->norm);
  if (const auto* range = b.op<ops::Range>()) args.relu_range = b.address<Range>(range->ranges);
  const std::int64_t count = op->count / b.program.batch();
  KernelLibrary* library = &b.library;
  return [args, count, library](const KernelStep& step) {
    NormPrepare now = args;
    now.count = static_cast<std::uint64_t>(count * step.samples);
    library->norm_prepare(now);
  };
}

KernelLaunch bind_conv_forward(const KernelBinding& b) {
  ConvForward args;
  Tensor width, x, master;
  ops::Contraction over;
  std::shared_ptr<Buffer> keep;
  bool prepares = false;
  if (const auto* product = b.op<ops::Product>()) {
    const auto* quantise = b.op<ops::Quantise>();
    over = product->over;
    x = quantise->x;
    width = quantise->width;
    master = master_behind(b.program, product->rhs.codes);
    args.codes = {b.address<void>(quantise->codes), b.address<Affine>(quantise->grid), {}};
    args.y = b.address<float>(b.op<ops::Rescale>()->y);
  } else {
    const auto* chain = b.op<ops::FloatProduct>();
    over = chain->over;
    x = chain->lhs;
    master = chain->rhs;
    // The operand's values are z itself, written here where nobody else does.
    args.codes = {b.address<void>(x), record<Affine>(b, keep), {}};
    args.y = b.address<float>(chain->y);
    prepares = b.op<ops::Moments>() == nullptr;  // an evaluation: nothing else makes the weights' form
  }
  args.input = conv_input(b, x);
  args.weights = &weights_of(b, master, over.shape);
  if (const auto* moments = b.op<ops::Moments>()) args.statistics = b.address<ChannelStatistics>(moments->statistics);
  if (const auto* bound = b.op<ops::ProductBound>()) args.input_range = b.address<Range>(bound->lhs_range);
  QuantiseWeights prepare;
  prepare.master = b.address<float>(master);
  prepare.for_error_pass = false;
  auto* weights = const_cast<QuantisedWeights*>(args.weights);
  const Program* program = &b.program;
  KernelLibrary* library = &b.library;
  return [=](const KernelStep& step) {
    static_cast<void>(keep);
    if (prepares) library->quantise_weights(prepare, *weights);
    ConvForward now = args;
    now.codes.width = width_of(step, width);
    now.shape = at(over, *program, step.samples);
    library->conv_forward(now);
  };
}

KernelLaunch bind_accumulators(const KernelBinding& b) {
  const auto* product = b.op<ops::Product>();
  const ops::Contraction& over = product->over;
  ConvAccumulators args;
  args.pass = over.pass;
  args.sums = b.address<Int128>(product->sums);
  const auto operand = [&](const ops::Quantised& of) {
    return Operand{b.address<void>(of.codes), b.address<Affine>(of.grid), {}};
  };
  (over.pass == Pass::kError ? args.g : args.x) = operand(product->lhs);
  if (over.pass == Pass::kWeightGradient) {
    args.g = operand(product->rhs);
  } else {
    args.weights = &weights_of(b, master_behind(b.program, product->rhs.codes), over.shape);
  }
  const Program* program = &b.program;
  KernelLibrary* library = &b.library;
  return [=](const KernelStep& step) {
    ConvAccumulators now = args;
    now.x.width = width_of(step, product->lhs.width);
    now.g.width = width_of(step, over.pass == Pass::kError ? product->lhs.width : product->rhs.width);
    now.shape = at(over, *program, step.samples);
    library->conv_accumulators(now);
  };
}

KernelLaunch bind_conv_backward(const KernelBinding& b) {
  const Program& program = b.program;
  ConvBackward args;
  std::shared_ptr<Buffer> keep, x_keep;
  Tensor g_width, x_width, x, dx, g_values;
  ops::Contraction over;
  const ops::Product* integer = nullptr;
  const ops::FloatProduct* chain = nullptr;
  bool error = false;
  for (const int node : b.kernel.match.nodes) {
    const Operation& operation = program.node(node).operation;
    if (const auto* product = std::get_if<ops::Product>(&operation)) {
      if (product->over.pass == Pass::kWeightGradient) integer = product;
      error = error || product->over.pass == Pass::kError;
    }
    if (const auto* product = std::get_if<ops::FloatProduct>(&operation)) {
      if (product->over.pass == Pass::kWeightGradient) chain = product;
      error = error || product->over.pass == Pass::kError;
      if (product->over.pass == Pass::kError) dx = product->y;
    }
    if (const auto* rescale = std::get_if<ops::Rescale>(&operation)) {
      (rescale->over.pass == Pass::kError ? dx : x) = rescale->y;
    }
  }
  const Tensor dw = integer != nullptr ? x : chain->y;
  over = integer != nullptr ? integer->over : chain->over;
  // The streamed operand of the forward pass.
  ops::Quantised x_codes;
  if (integer != nullptr) {
    x_codes = integer->lhs;
  } else if (const auto* values = writer_of<ops::Dequantise>(program, chain->lhs)) {
    x_codes = values->x;
  }
  if (x_codes.codes) {
    x_width = x_codes.width;
    args.x = {b.address<void>(x_codes.codes), b.address<Affine>(x_codes.grid), {}};
  } else {
    args.x = {b.address<void>(chain->lhs), record<Affine>(b, x_keep), {}};
  }
  // The gradient.
  if (const auto* quantise = b.op<ops::Quantise>()) {
    g_width = quantise->width;
    g_values = quantise->x;
    args.g = {b.address<void>(quantise->codes), b.address<Affine>(quantise->grid), {}};
    args.stochastic = quantise->rounding != Rounding::kNearest;
    args.given_noise = b.address<float>(quantise->noise);
    args.noise = philox_stream(quantise->seed, 0, RandomPurpose::kGradientRounding, quantise->tensor_id);
    x = quantise->step;
  } else {
    g_values = chain->rhs;
    args.g = {b.address<void>(g_values), record<Affine>(b, keep), {}};
    args.stochastic = false;
    x = {};
  }
  const Tensor step_number = x;
  args.gradient = conv_gradient(b, g_values);
  for (const int reader : program.readers(g_values)) {
    const auto* range = std::get_if<ops::Range>(&program.node(reader).operation);
    if (range != nullptr) args.g_range = b.address<Range>(range->ranges);
  }
  if (const auto* bound = b.op<ops::ProductBound>(); bound != nullptr) {
    for (int i = 0; b.op<ops::ProductBound>(i) != nullptr; ++i) {
      const auto* of = b.op<ops::ProductBound>(i);
      if (chain != nullptr && of->bound == chain->bound) args.x_range = b.address<Range>(of->lhs_range);
    }
  }
  const Tensor master = [&] {
    for (const Node& node : program.nodes()) {
      const auto* fwd = std::get_if<ops::Product>(&node.operation);
      if (fwd != nullptr && fwd->over.pass == Pass::kForward && x_codes.codes && fwd->lhs.codes == x_codes.codes) {
        return master_behind(program, fwd->rhs.codes);
      }
      const auto* values = std::get_if<ops::FloatProduct>(&node.operation);
      if (values != nullptr && values->over.pass == Pass::kForward && !x_codes.codes && values->lhs == chain->lhs &&
          values->over.shape == over.shape) {
        return values->rhs;
      }
    }
    throw std::logic_error("no forward product of " + node_text(program.node(b.kernel.match.nodes.front())));
  }();
  args.weights = &weights_of(b, master, over.shape);
  args.dw = b.address<float>(dw);
  std::shared_ptr<GradientJoin> join;
  if (error) {
    const bool joins = b.op<ops::NormGradientSums>() != nullptr || b.op<ops::ReluGradient>() != nullptr;
    if (joins) {
      join = std::make_shared<GradientJoin>(join_of(b, dx));
    } else {
      args.dx = b.address<float>(dx);
      if (const auto* magnitude = b.op<ops::Magnitude>()) args.dx_bound = b.address<float>(magnitude->bound);
    }
    args.join = join.get();
  }
  KernelLibrary* library = &b.library;
  const Program* of = &program;
  return [=](const KernelStep& step) {
    static_cast<void>(keep);
    static_cast<void>(x_keep);
    static_cast<void>(join);
    ConvBackward now = args;
    now.g.width = width_of(step, g_width);
    now.x.width = width_of(step, x_width);
    now.shape = at(over, *of, step.samples);
    if (step_number) now.noise.step = step.inputs.value<std::uint32_t>(step_number);
    library->conv_backward(now);
  };
}

KernelLaunch bind_pool_backward(const KernelBinding& b) {
  const auto* pool = b.op<ops::AveragePoolGradient>();
  AveragePoolBackward args;
  args.positions = b.program.spec(pool->dx).shape[1] * b.program.spec(pool->dx).shape[2];
  args.channels = b.program.spec(pool->dx).shape[3];
  args.dpooled = b.address<float>(pool->dpooled);
  const bool joins = b.op<ops::NormGradientSums>() != nullptr || b.op<ops::ReluGradient>() != nullptr;
  const auto join = std::make_shared<GradientJoin>(join_of(b, pool->dx));
  if (joins) {
    args.join = join.get();
  } else {
    args.dx = b.address<float>(pool->dx);
  }
  const Program* program = &b.program;
  const Tensor dpooled = pool->dpooled;
  KernelLibrary* library = &b.library;
  return [args, join, program, dpooled, library](const KernelStep& step) {
    AveragePoolBackward now = args;
    now.n = rows(*program, dpooled, step.samples);
    library->average_pool_backward(now);
  };
}

KernelLaunch bind_norm_forward(const KernelBinding& b) {
  const auto* apply = b.op<ops::NormApply>(0);
  const auto* sum = b.op<ops::Add>();
  const auto* other = b.op<ops::NormApply>(1);
  if (sum != nullptr && other != nullptr && sum->a == other->z) std::swap(apply, other);
  NormForward args;
  args.channels = b.program.spec(apply->y).shape.back();
  args.y = b.address<float>(apply->y);
  args.norm = b.address<NormChannel>(apply->norm);
  Tensor z = apply->z;
  if (sum != nullptr) {
    args.shortcut = other != nullptr ? b.address<float>(other->y) : b.address<float>(sum->b);
    if (other != nullptr) args.shortcut_norm = b.address<NormChannel>(other->norm);
    z = sum->z;
  }
  const auto* relu = b.op<ops::Relu>();
  args.relu = relu != nullptr;
  if (relu != nullptr) {
    z = relu->z;
    args.mask_bits = b.address<std::uint32_t>(relu->positive);
  }
  args.z = b.address<float>(z);
  if (const auto* range = b.op<ops::Range>()) args.range = b.address<Range>(range->ranges);
  const Program* program = &b.program;
  const Tensor y = apply->y;
  KernelLibrary* library = &b.library;
  return [args, program, y, library](const KernelStep& step) {
    NormForward now = args;
    now.positions = rows(*program, y, step.samples);
    library->norm_forward(now);
  };
}

KernelLaunch bind_linear_forward(const KernelBinding& b) {
  const auto* chain = b.op<ops::FloatProduct>();
  const auto* bias = b.op<ops::AddBias>();
  LinearForward args;
  args.inputs = chain->over.shape.c;
  args.outputs = chain->over.shape.o;
  args.x = b.address<float>(chain->lhs);
  args.w = b.address<float>(chain->rhs);
  args.bias = b.address<float>(bias->bias);
  args.y = b.address<float>(bias->y);
  const Program* program = &b.program;
  const Tensor y = bias->y;
  KernelLibrary* library = &b.library;
  return [args, program, y, library](const KernelStep& step) {
    LinearForward now = args;
    now.n = rows(*program, y, step.samples);
    library->linear_forward(now);
  };
}

KernelLaunch bind_linear_backward(const KernelBinding& b) {
  const auto* bias = b.op<ops::BiasGradient>();
  LinearBackward args;
  args.dy = b.address<float>(bias->dy);
  args.dbias = b.address<float>(bias->dbias);
  for (int i = 0; b.op<ops::FloatProduct>(i) != nullptr; ++i) {
    const auto* product = b.op<ops::FloatProduct>(i);
    args.inputs = product->over.shape.c;
    args.outputs = product->over.shape.o;
    if (product->over.pass == Pass::kError) {
      args.w = b.address<float>(product->rhs);
      args.dx = b.address<float>(product->y);
    } else {
      args.x = b.address<float>(product->lhs);
      args.dw = b.address<float>(product->y);
    }
  }
  const Program* program = &b.program;
  const Tensor dy = bias->dy;
  KernelLibrary* library = &b.library;
  return [args, program, dy, library](const KernelStep& step) {
    LinearBackward now = args;
    now.n = rows(*program, dy, step.samples);
    library->linear_backward(now);
  };
}

KernelLaunch bind_norm_from_running(const KernelBinding& b) {
  const auto* op = b.op<ops::NormFromRunning>();
  const std::int64_t channels = b.program.spec(op->norm).size();
  const auto *mean = b.address<float>(op->running_mean), *variance = b.address<float>(op->running_variance);
  const auto *gamma = b.address<float>(op->gamma), *beta = b.address<float>(op->beta);
  auto* norm = b.address<NormChannel>(op->norm);
  KernelLibrary* library = &b.library;
  return [=](const KernelStep&) { library->norm_from_running(channels, mean, variance, gamma, beta, norm); };
}

KernelLaunch bind_norm_gradient_prepare(const KernelBinding& b) {
  const auto* op = b.op<ops::NormParameterGradient>();
  NormGradientPrepare args;
  args.channels = b.program.spec(op->norm).size();
  args.norm = b.address<NormChannel>(op->norm);
  args.sums = b.address<NormGradientSums>(op->sums);
  args.gradient = b.address<NormGradientChannel>(op->gradient);
  args.dgamma = b.address<float>(op->dgamma);
  args.dbeta = b.address<float>(op->dbeta);
  const std::int64_t count = op->count / b.program.batch();
  KernelLibrary* library = &b.library;
  return [args, count, library](const KernelStep& step) {
    NormGradientPrepare now = args;
    now.count = static_cast<std::uint64_t>(count * step.samples);
    library->norm_gradient_prepare(now);
  };
}

KernelLaunch bind_average_pool(const KernelBinding& b) {
  const auto* op = b.op<ops::AveragePool>();
  const auto& shape = b.program.spec(op->x).shape;
  AveragePool args;
  args.positions = shape[1] * shape[2];
  args.channels = shape[3];
  args.x = b.address<float>(op->x);
  args.pooled = b.address<float>(op->pooled);
  const Program* program = &b.program;
  const Tensor pooled = op->pooled;
  KernelLibrary* library = &b.library;
  return [args, program, pooled, library](const KernelStep& step) {
    AveragePool now = args;
    now.n = rows(*program, pooled, step.samples);
    library->average_pool(now);
  };
}

KernelLaunch bind_softmax(const KernelBinding& b) {
  const auto* op = b.op<ops::SoftmaxLoss>();
  SoftmaxCrossEntropy args;
  args.classes = b.program.spec(op->logits).shape.back();
  args.logits = b.address<float>(op->logits);
  args.labels = b.address<std::int32_t>(op->labels);
  args.dlogits = b.address<float>(op->dlogits);
  std::shared_ptr<Buffer> keep;
  args.losses = op->losses ? b.address<float>(op->losses) : record<float>(b, keep, b.program.spec(op->labels).size());
  args.record = b.address<LossRecord>(op->loss);
  const Program* program = &b.program;
  const Tensor logits = op->logits;
  KernelLibrary* library = &b.library;
  return [args, program, logits, keep, library](const KernelStep& step) {
    SoftmaxCrossEntropy now = args;
    now.n = rows(*program, logits, step.samples);
    library->softmax_cross_entropy(now);
  };
}

namespace {

/// Elements of a list that lies side by side, gaps of zeros included; those of a tensor of samples at this step.
std::int64_t list_size(const Program& program, const std::vector<Tensor>& list, std::int64_t samples) {
  if (list.size() == 1) {
    const TensorSpec& spec = program.spec(list.front());
    return spec.sample_axis < 0 ? spec.size() : spec.size() / program.batch() * samples;
  }
  std::int64_t size = 0;
  for (const Tensor tensor : list) size += ops::place_step(program.spec(tensor).size());
  return size;
}

}  // namespace

KernelLaunch bind_find_non_finite(const KernelBinding& b) {
  const auto* op = b.op<ops::FindNonFinite>();
  const auto* x = b.address<float>(op->x.front());
  auto* place = b.address<std::int64_t>(op->place);
  const Program* program = &b.program;
  KernelLibrary* library = &b.library;
  return [op, x, place, program, library](const KernelStep& step) {
    library->find_non_finite(x, list_size(*program, op->x, step.samples), place);
  };
}

KernelLaunch bind_sgd(const KernelBinding& b) {
  const auto* op = b.op<ops::SgdUpdate>();
  SgdUpdate args;
  args.size = list_size(b.program, op->parameters, b.program.batch());
  args.gradient = b.address<float>(op->gradients.front());
  args.momentum_buffer = b.address<float>(op->momenta.front());
  args.parameter = b.address<float>(op->parameters.front());
  args.momentum = op->momentum;
  args.weight_decay = op->weight_decay;
  args.guard = b.address<std::int64_t>(op->guard);
  if (const auto* search = b.op<ops::FindNonFinite>()) args.non_finite = b.address<std::int64_t>(search->place);
  const Tensor rate = op->rate;
  KernelLibrary* library = &b.library;
  return [args, rate, library](const KernelStep& step) {
    SgdUpdate now = args;
    now.lr = step.inputs.value<float>(rate);
    library->sgd_update(now);
  };
}

KernelLaunch bind_tensor_range(const KernelBinding& b) {
  const auto* op = b.op<ops::Range>();
  const auto* x = b.address<float>(op->x);
  auto* range = b.address<Range>(op->ranges);
  const Program* program = &b.program;
  const Tensor of = op->x;
  KernelLibrary* library = &b.library;
  return [=](const KernelStep& step) {
    const TensorSpec& spec = program->spec(of);
    const std::int64_t size = spec.sample_axis < 0 ? spec.size() : spec.size() / program->batch() * step.samples;
    library->tensor_range(x, size, range);
  };
}

}  // namespace bitcycle
