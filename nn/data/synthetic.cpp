// SPDX-License-Identifier: Apache-2.0
#include "nn/data/synthetic.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "sim/number/philox.h"

namespace bitcycle {
namespace {

constexpr std::uint64_t kSeed = 0x6269746379636C65U;  // fixed: the set does not change with train.seed
constexpr int kSide = 32;

/// The random words of one image, in the order they are drawn.
class Draws {
 public:
  Draws(std::uint32_t image, bool test)
      : stream_(philox_stream(kSeed, image, RandomPurpose::kSyntheticData, test ? 1 : 0)) {}
  std::uint32_t word() {
    if (lane_ == 4) {
      block_ = philox_block(stream_, next_++);
      lane_ = 0;
    }
    return block_.word[lane_++];
  }
  /// Uniform in first..last.
  int between(int first, int last) {
    return first + static_cast<int>(bounded(word(), static_cast<std::uint32_t>(last - first + 1)));
  }

 private:
  PhiloxStream stream_;
  PhiloxBlock block_{};
  std::uint64_t next_ = 0;
  int lane_ = 4;
};

/// Is pixel (dy, dx) off the centre part of the shape? r: half its size.
using Inside = bool (*)(int dy, int dx, int r, int period);
struct Shape {
  const char* name;
  Inside inside;
};

bool in_box(int dy, int dx, int r) { return std::abs(dy) <= r && std::abs(dx) <= r; }

constexpr std::array<Shape, kSyntheticClasses> kShapes{{
    {"disc", [](int dy, int dx, int r, int) { return dy * dy + dx * dx <= r * r; }},
    {"ring",
     [](int dy, int dx, int r, int) {
       const int d = dy * dy + dx * dx;
       return d <= r * r && d > (r - 3) * (r - 3);
     }},
    {"square", [](int dy, int dx, int r, int) { return in_box(dy, dx, r - 1); }},
    {"frame", [](int dy, int dx, int r, int) { return in_box(dy, dx, r - 1) && !in_box(dy, dx, r - 4); }},
    {"triangle", [](int dy, int dx, int r, int) { return dy <= r - 1 && dy >= 1 - r && 2 * std::abs(dx) <= dy + r; }},
    {"plus", [](int dy, int dx, int r, int) { return in_box(dy, dx, r) && (std::abs(dy) <= 1 || std::abs(dx) <= 1); }},
    {"saltire", [](int dy, int dx, int r,
                   int) { return in_box(dy, dx, r) && (std::abs(dy - dx) <= 1 || std::abs(dy + dx) <= 1); }},
    {"rows", [](int dy, int dx, int r, int period) { return in_box(dy, dx, r) && (dy + 64) % period < period / 2; }},
    {"columns", [](int dy, int dx, int r, int period) { return in_box(dy, dx, r) && (dx + 64) % period < period / 2; }},
    {"checks",
     [](int dy, int dx, int r, int period) {
       return in_box(dy, dx, r) && ((dy + 64) % period < period / 2) != ((dx + 64) % period < period / 2);
     }},
}};

void draw(std::uint8_t* pixels, int label, std::uint32_t image, bool test) {  // pixels (32, 32, 3)
  Draws draws(image, test);
  const int r = draws.between(6, 10);
  const int centre_y = draws.between(11, 20), centre_x = draws.between(11, 20);
  const int period = 2 * draws.between(2, 3);
  const int slope_y = draws.between(-2, 2), slope_x = draws.between(-2, 2);
  const int noise = draws.between(10, 40);
  const int polarity = draws.between(0, 1) == 0 ? -1 : 1;
  std::array<int, 3> background{}, contrast{};
  for (int c = 0; c < 3; ++c) {
    background[static_cast<std::size_t>(c)] = draws.between(70, 185);
    contrast[static_cast<std::size_t>(c)] = polarity * draws.between(25, 85);
  }
  const Inside inside = kShapes[static_cast<std::size_t>(label)].inside;
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const bool on = inside(y - centre_y, x - centre_x, r, period);
      const std::uint32_t word = draws.word();
      for (std::size_t c = 0; c < 3; ++c) {
        const int grain = static_cast<int>((word >> (8 * c)) & 0xFF) - 128;  // -128..127
        const int value =
            background[c] + slope_y * (y - 16) + slope_x * (x - 16) + (on ? contrast[c] : 0) + (grain * noise) / 128;
        pixels[(static_cast<std::size_t>(y) * kSide + static_cast<std::size_t>(x)) * 3 + c] =
            static_cast<std::uint8_t>(std::clamp(value, 0, 255));
      }
    }
  }
}

}  // namespace

const char* synthetic_class_name(std::int64_t label) { return kShapes.at(static_cast<std::size_t>(label)).name; }

ImageSet draw_synthetic(std::int64_t images, bool test) {
  ImageSet set;
  set.count = images;
  set.classes = kSyntheticClasses;
  const auto size = static_cast<std::size_t>(set.height * set.width * set.channels);
  set.pixels.resize(static_cast<std::size_t>(images) * size);
  set.labels.resize(static_cast<std::size_t>(images));
  for (std::size_t i = 0; i < set.labels.size(); ++i) {
    const int label = static_cast<int>(i % kSyntheticClasses);
    set.labels[i] = label;
    draw(set.pixels.data() + i * size, label, static_cast<std::uint32_t>(i), test);
  }
  return set;
}

}  // namespace bitcycle
