// SPDX-License-Identifier: Apache-2.0
// An accelerator's file, key by key. Each key's meaning, unit and range: docs/cost-models.md, Accelerators.
#include <algorithm>
#include <set>

#include "cost_models/accelerator.h"
#include "cost_models/csv.h"
#include "cost_models/yaml_section.h"

namespace bitcycle {
namespace {

constexpr std::size_t kMostName = 100;
constexpr std::int64_t kLeastOutputBits = 8;

std::string text_of(std::int64_t value) { return std::to_string(value); }

/// The least that a buffer must hold for its design to work at all.
void require_room(YamlSection& buffer, const BufferSpec& spec, const Accelerator& design) {
  const bool results = spec.role == BufferRole::kOut, systolic = design.model == CostModel::kSystolic;
  const std::int64_t width = results ? design.output_bits : design.max_bits;
  // SCALE-Sim fills a buffer by hundreds of words, and drains whole lines of the array.
  const std::int64_t words = !systolic ? 1 : (results ? design.columns : 100);
  const double least = static_cast<double>(words * width);
  const double held = systolic && !results ? spec.size_bits : spec.usable_bits();
  if (held >= least) return;
  buffer.fail(buffer.need("size"),
              "'size' is too small: this design needs " + (words == 1 ? "a word" : std::to_string(words) + " words") +
                  " of " + std::to_string(width) + " bits in this buffer" +
                  (spec.double_buffered && held < spec.size_bits ? ", of which half is usable" : ""));
}

BufferSpec read_buffer(YamlSection buffer, const std::string& name, const Accelerator& design) {
  buffer.only({"role", "size", "double_buffered", "read", "write"});
  BufferSpec spec;
  spec.name = name;
  spec.role = buffer.choice<BufferRole>(
      "role", {{"lhs", BufferRole::kLhs}, {"rhs", BufferRole::kRhs}, {"out", BufferRole::kOut}});
  spec.size_bits = buffer.quantity("size", QuantityKind::kSize, false);
  spec.double_buffered = buffer.flag_or("double_buffered", true);
  spec.read_pj_per_bit = buffer.quantity("read", QuantityKind::kEnergyPerBit, true);
  spec.write_pj_per_bit = buffer.quantity("write", QuantityKind::kEnergyPerBit, true);
  require_room(buffer, spec, design);
  buffer.note("double_buffered", spec.double_buffered ? "true: half of it is used at a time" : "false");
  buffer.finish();
  return spec;
}

void read_precision(YamlSection precision, Accelerator& result) {
  precision.only({"minimum", "maximum", "fusion_minimum", "lhs_bits_per_cycle", "rhs_bits_per_cycle"});
  result.min_bits = static_cast<int>(precision.count("minimum", 1, 32));
  result.max_bits = static_cast<int>(precision.count("maximum", result.min_bits, 32));
  precision.note("minimum", text_of(result.min_bits) + " bit");
  precision.note("maximum", text_of(result.max_bits) + " bit");
  if (result.model == CostModel::kFusionArray) {
    result.fusion_min_bits = static_cast<int>(precision.count("fusion_minimum", 1, result.max_bits));
    precision.note("fusion_minimum", text_of(result.fusion_min_bits) + " bit");
  }
  if (result.model == CostModel::kBitSerial) {
    result.lhs_serial_bits = static_cast<int>(precision.count("lhs_bits_per_cycle", 0, 32));
    result.rhs_serial_bits = static_cast<int>(precision.count("rhs_bits_per_cycle", 0, 32));
    const auto serial = [](int bits) { return bits == 0 ? "all" : text_of(bits) + " bit"; };
    precision.note("lhs_bits_per_cycle", serial(result.lhs_serial_bits));
    precision.note("rhs_bits_per_cycle", serial(result.rhs_serial_bits));
  }
  precision.finish();
}

void read_array(YamlSection array, Accelerator& result) {
  array.only({"rows", "columns", "lanes"});
  result.rows = array.count("rows", 1, 1000000);
  result.columns = array.count("columns", 1, 1000000);
  array.note("rows", text_of(result.rows));
  array.note("columns", text_of(result.columns));
  if (result.model == CostModel::kBitSerial) {
    result.lanes = array.count("lanes", 1, 1000000);
    array.note("lanes", text_of(result.lanes));
  }
  array.finish();
}

void read_dram(YamlSection dram, Accelerator& result) {
  dram.only({"energy", "bandwidth"});
  result.dram_pj_per_bit = dram.quantity("energy", QuantityKind::kEnergyPerBit, true);
  if (result.has_time()) {
    if (dram.is_word("bandwidth", "unlimited")) {
      dram.note("bandwidth", "unlimited");
    } else {
      result.dram_bits_per_cycle = dram.quantity("bandwidth", QuantityKind::kRate, false);
    }
  }
  dram.finish();
}

void read_compute(YamlSection compute, Accelerator& result) {
  compute.only({"core", "multiply", "at_bits", "add"});
  if (compute.has("core")) {
    if (!result.has_time() || result.model == CostModel::kHierarchy)
      compute.fail(compute.need("core"),
                   "'compute.core' is the energy of an array's cycle; this model needs that of a multiply-accumulate");
    if (compute.has("multiply") || compute.has("add"))
      compute.fail(compute.need("core"),
                   "'compute' says what a cycle of the array costs (core), or what a multiply-accumulate costs "
                   "(multiply, at_bits, add); not both");
    result.core_nj_per_cycle = compute.quantity("core", QuantityKind::kEnergyPerCycle, false);
  } else {
    result.mac.multiply_pj = compute.quantity("multiply", QuantityKind::kEnergy, true);
    result.mac.at_bits = static_cast<int>(compute.count("at_bits", 1, 64));
    compute.note("at_bits", text_of(result.mac.at_bits) + " bit");
    result.mac.add_pj = compute.quantity("add", QuantityKind::kEnergy, true);
    if (!(result.mac.multiply_pj + result.mac.add_pj > 0.0)) {
      compute.fail(compute.need("multiply"),
                   "'compute.multiply' and 'compute.add' are both 0: a multiply-accumulate would cost nothing");
    }
  }
  compute.finish();
}

void read_float32(YamlSection& top, Accelerator& result) {
  if (!(top.has("float32") && top.need("float32").IsMap())) {
    if (top.text("float32") != "none") {
      top.fail(top.need("float32"), "'float32' must be 'none', or say what a multiply-accumulate costs (mac)");
    }
    top.note("float32", "none");
    return;
  }
  YamlSection section = top.section("float32");
  section.only({"mac", "macs_per_cycle"});
  Float32Spec spec;
  spec.mac_pj = section.quantity("mac", QuantityKind::kEnergy, false);
  if (result.has_time()) {
    const std::int64_t macs = section.count("macs_per_cycle", 1, 1000000000);
    section.note("macs_per_cycle", text_of(macs));
    spec.macs_per_cycle = static_cast<double>(macs);
  }
  section.finish();
  result.float32 = spec;
}

/// energies: absolute, or {relative_to: WHAT ONE UNIT IS}.
void read_scale(YamlSection& top, YamlFile& file, Accelerator& result) {
  if (!top.has("energies") || top.is_word("energies", "absolute")) return;
  if (!top.need("energies").IsMap()) {
    top.fail(top.need("energies"), "'energies' must be 'absolute', or '{relative_to: WHAT ONE UNIT STANDS FOR}'");
  }
  YamlSection section = top.section("energies");
  section.only({"relative_to"});
  result.relative_to = section.text("relative_to");
  if (result.relative_to.empty()) section.fail(section.need("relative_to"), "'energies.relative_to' is empty");
  section.note("relative_to", result.relative_to);
  section.finish();
  file.relative = true;
}

void read_buffers(YamlSection& top, Accelerator& result) {
  YamlSection buffers = top.section("buffers");
  std::set<BufferRole> roles;
  for (const auto& key : buffers.keys()) {
    result.buffers.push_back(read_buffer(buffers.section(key), key, result));
    if (!roles.insert(result.buffers.back().role).second) {
      buffers.fail(buffers.need(key), "two buffers have the role of '" + key + "'");
    }
  }
  if (roles.size() != 3) buffers.fail(top.need("buffers"), "'buffers' must have one of each role: lhs, rhs, out");
}

void read_time(YamlSection& top, YamlFile& file, Accelerator& result) {
  result.clock_hz = file.clock_hz = top.quantity("clock", QuantityKind::kFrequency, false);
  if (result.model != CostModel::kHierarchy) read_array(top.section("array"), result);
  if (result.relative() && !top.has("leakage")) return;
  result.leakage_mw = top.quantity("leakage", QuantityKind::kPower, true);
  if (result.relative() && result.leakage_mw > 0.0) {
    top.fail(top.need("leakage"), "'leakage' is a power; a design that states ratios only cannot add it, leave it out");
  }
}

}  // namespace

Accelerator read_accelerator(const YAML::Node& root, const std::string& path) {
  Accelerator result;
  result.file = path;
  YamlFile file;
  file.name = path;
  YamlSection top(root, file, "");
  top.only({"name",
            "description",
            "model",
            "technology",
            "clock",
            "array",
            "dataflow",
            "precision",
            "output_bits",
            "float32",
            "compute",
            "buffers",
            "dram",
            "leakage",
            "area",
            "energies",
            "hierarchy",
            "objective",
            "strided_error_pass",
            "im2col_first_layer"});
  result.name = top.text("name");
  if (result.name.empty() || result.name.size() > kMostName || !is_printable(result.name)) {
    top.fail(top.need("name"), "'name' must be 1 to " + std::to_string(kMostName) +
                                   " bytes of text without line breaks and control characters");
  }
  result.description = top.text("description");
  result.model = top.choice<CostModel>("model", {{"metric", CostModel::kMetric},
                                                 {"arithmetic", CostModel::kArithmetic},
                                                 {"systolic", CostModel::kSystolic},
                                                 {"bit-serial", CostModel::kBitSerial},
                                                 {"fusion-array", CostModel::kFusionArray},
                                                 {"hierarchy", CostModel::kHierarchy}});
  top.note("model", top.text("model"));
  read_precision(top.section("precision"), result);
  if (result.has_energy()) {
    read_scale(top, file, result);
    result.technology_nm = top.quantity("technology", QuantityKind::kLength, false);
    if (result.has_time()) read_time(top, file, result);
    // Results are the operands of the next layer: fewer bits than those have would hold none.
    result.output_bits =
        static_cast<int>(top.count("output_bits", std::min<std::int64_t>(kLeastOutputBits, result.max_bits), 64));
    top.note("output_bits", text_of(result.output_bits) + " bit");
    read_float32(top, result);
    read_dram(top.section("dram"), result);
    read_compute(top.section("compute"), result);
    result.zero_inserted_errors = top.choice<bool>("strided_error_pass", {{"zero-inserted", true}, {"skipped", false}});
    top.note("strided_error_pass", top.text("strided_error_pass"));
    if (top.has("area")) result.area_mm2 = top.quantity("area", QuantityKind::kArea, false);
  }
  if (result.model == CostModel::kSystolic || result.model == CostModel::kBitSerial) {
    result.dataflow = top.choice<Dataflow>(
        "dataflow",
        {{"os", Dataflow::kOutputStationary}, {"ws", Dataflow::kWeightStationary}, {"is", Dataflow::kInputStationary}});
    top.note("dataflow", top.text("dataflow"));
  }
  if (result.model == CostModel::kFusionArray) {
    result.im2col_first_layer = top.flag_or("im2col_first_layer", true);
    top.note("im2col_first_layer", result.im2col_first_layer ? "true" : "false");
  }
  if (result.model == CostModel::kHierarchy) {
    read_hierarchy(top.section("hierarchy"), result);
    if (top.has("objective")) {
      result.objective = top.choice<Objective>(
          "objective",
          {{"energy", Objective::kEnergy}, {"cycles", Objective::kCycles}, {"energy-delay", Objective::kEnergyDelay}});
      top.note("objective", top.text("objective"));
    }
  } else if (result.has_time()) {
    read_buffers(top, result);
  }
  top.finish();
  result.constants = std::move(file.constants);
  return result;
}

}  // namespace bitcycle
