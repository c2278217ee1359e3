// SPDX-License-Identifier: Apache-2.0
// Accelerator: one design as data, read from YAML (configs/accelerators). Every constant carries its unit; units are
// converted on reading. Unknown keys, missing units and impossible values are errors with file and line. Fields named
// pj, nj and mw hold ratios instead where the design is relative().
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cost_models/loop_nest.h"

namespace YAML {
class Node;
}

namespace bitcycle {

/// How products are timed and priced: docs/cost-models.md.
enum class CostModel : std::uint8_t {
  kMetric,       // a figure of merit: neither time nor energy
  kArithmetic,   // energy of the arithmetic and of compulsory memory traffic; no time
  kSystolic,     // a systolic array, output, weight or input stationary
  kBitSerial,    // an array whose operands come bit by bit
  kFusionArray,  // multipliers that split into narrower ones, tiles found by search
  kHierarchy,    // any levels of buffers and arrays, loops over them found by search
};

enum class Dataflow : std::uint8_t { kOutputStationary, kWeightStationary, kInputStationary };

/// What a buffer holds: the streamed operand, the stationary one (weights), or results.
enum class BufferRole : std::uint8_t { kLhs, kRhs, kOut };

struct BufferSpec {
  std::string name;
  BufferRole role = BufferRole::kLhs;
  double size_bits = 0.0;
  bool double_buffered = true;  // half of it is usable at a time
  double read_pj_per_bit = 0.0, write_pj_per_bit = 0.0;
  double usable_bits() const { return double_buffered ? size_bits / 2 : size_bits; }
};

/// Energy of one multiply-accumulate: multiply * (a * b) / (at * at) + add, a and b the two widths.
struct MacEnergy {
  double multiply_pj = 0.0;
  int at_bits = 8;
  double add_pj = 0.0;
  double pj(int lhs_bits, int rhs_bits) const {
    return multiply_pj * lhs_bits * rhs_bits / (static_cast<double>(at_bits) * at_bits) + add_pj;
  }
};

/// A level of a hierarchy: a buffer, or an array of what lies further in.
struct HierarchyLevel {
  std::string name;
  bool array = false;
  // A buffer; inside an array, one in each element.
  std::array<bool, 3> holds{};  // lhs, rhs, out; what it does not hold passes by
  double usable_bits = 0.0;
  double bits_per_cycle = 0.0;  // of one instance, read and written together; 0: never waits
  // An array.
  std::int64_t rows = 1, columns = 1;
  std::vector<Loop> row_loops, column_loops;  // that may be spread over them
};

/// What a search makes least; the other one decides ties.
enum class Objective : std::uint8_t { kEnergy, kCycles, kEnergyDelay };

/// A float32 multiply-accumulate.
struct Float32Spec {
  double mac_pj = 0.0;
  double macs_per_cycle = 0.0;  // 0: the model has no time
};

struct Accelerator {
  std::string name, description, file;
  std::vector<std::string> settings;  // "KEY=VALUE": what --set accelerator.* changed of the file
  CostModel model = CostModel::kMetric;
  /// What one unit of energy stands for, where the design states ratios only, e.g. "a multiply-accumulate of 16 bits";
  /// empty: energies are joules. Ratios must not be printed as joules or watts.
  std::string relative_to;
  double technology_nm = 0.0;
  double clock_hz = 0.0;
  std::int64_t rows = 0, columns = 0, lanes = 1;  // of the array; lanes: of one element's reduction
  Dataflow dataflow = Dataflow::kOutputStationary;
  int min_bits = 2, max_bits = 32;               // operands that it takes; an unsupported width is an error
  int fusion_min_bits = 2;                       // fusion array: the narrowest multiplier
  int lhs_serial_bits = 0, rhs_serial_bits = 0;  // bit serial: bits a cycle; 0: all at once
  bool zero_inserted_errors = false;             // a strided error pass multiplies the zeros, too
  bool im2col_first_layer = false;
  int output_bits = 32;
  std::vector<BufferSpec> buffers;
  /// From the DRAM inwards. buffers then has one entry a level, an array's with the energy of a bit sent through it.
  std::vector<HierarchyLevel> hierarchy;
  Objective objective = Objective::kEnergyDelay;
  double dram_bits_per_cycle = 0.0;  // 0: never waits
  double dram_pj_per_bit = 0.0;
  MacEnergy mac;
  double core_nj_per_cycle = 0.0;  // instead of mac: the whole array, one compute cycle
  double leakage_mw = 0.0;
  double area_mm2 = 0.0;               // 0: the design does not state it
  std::optional<Float32Spec> float32;  // none: it cannot run float32 layers
  /// What the file says, for --explain: "KEY = VALUE UNIT  (SOURCE)" of each constant as written, and the model, array,
  /// dataflow and widths as "KEY = VALUE".
  std::vector<std::string> constants;

  bool has_time() const { return model != CostModel::kMetric && model != CostModel::kArithmetic; }
  bool has_energy() const { return model != CostModel::kMetric; }
  bool relative() const { return !relative_to.empty(); }
  const BufferSpec* buffer(BufferRole role) const;
  /// What is priced: the file's description, and what the settings changed of it.
  std::string described() const;
};

/// Multiply-accumulates that the whole array does a cycle at these widths, every element busy; 0 where the model has no
/// time. Two operations each: TOPS = 2e-12 * this * clock_hz.
double peak_macs_per_cycle(const Accelerator& accelerator, int lhs_bits, int rhs_bits);

/// KEY=VALUE, the key after "accelerator.", dotted. A quantity may bring its unit: "dram.bandwidth=25.6 GB/s".
struct AcceleratorSetting {
  std::string key, value;
};

/// Reads a file. Throws std::invalid_argument "FILE:LINE: ...".
Accelerator load_accelerator(const std::string& path, const std::vector<AcceleratorSetting>& settings = {});
/// The same of a text; `file` names it in errors.
Accelerator parse_accelerator(const std::string& text, const std::string& file,
                              const std::vector<AcceleratorSetting>& settings = {});
/// A name of `folder`/*.yaml, or a path. Throws std::invalid_argument naming what there is.
std::string accelerator_path(const std::string& name_or_path, const std::string& folder);
/// Names in the folder, sorted.
std::vector<std::string> accelerator_names(const std::string& folder);

/// The design of a parsed file (accelerator_reader.cpp), and its levels (hierarchy_reader.cpp).
Accelerator read_accelerator(const YAML::Node& root, const std::string& file);
class YamlSection;
void read_hierarchy(YamlSection levels, Accelerator& result);

}  // namespace bitcycle
