// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules: pure functions of the step in binary64, rounded once to binary32.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bitcycle {

struct LearningRateSpec {
  std::string schedule = "piecewise";  // one of learning_rate_names()
  double lr = 0.1;                     // optimizer.lr
  std::int64_t steps = 1;
  std::vector<double> points{0.5, 0.75};  // piecewise: fractions of the run (below or equal 1) or steps (above 1)
  double factor = 0.1;       // piecewise, plateau: multiplier at each fall; anneal_cosine: floor = lr * factor^2
  double ratio = 0.01;       // linear: final share of lr
  double cyclic_min = 0.0;   // cyclic: lowest rate
  std::int64_t cycles = 32;  // cyclic
  bool warm_up = false;
  std::int64_t warm_up_steps = 400;
  double warm_up_lr = 0.01;
  bool operator==(const LearningRateSpec&) const = default;
};

/// With t = step / steps, in binary64:
///   piecewise      lr * factor^(number of points reached); a point p <= 1 is step p * steps
///   linear         lr while t < 0.5; lr * (1 - (1 - ratio) * (t - 0.5) / 0.4) while t < 0.9; then lr * ratio
///   anneal_cosine  floor + 0.5 * (lr - floor) * (1 + cos(pi * t)), floor = lr * factor^2
///   constant       lr
///   cyclic         cyclic_min + 0.5 * (lr - cyclic_min) * (1 + cos(pi * ((step mod P) / P))), P = int(steps / cycles):
///                  from lr down to cyclic_min, then back at once (cyclic learning rate on a static precision)
///   cyclic_triangular  cyclic_min + (lr - cyclic_min) * (1 - |2 (step mod P) / P - 1|): up from cyclic_min and down
///   again
///   inverse_square_root  lr * sqrt(w / step) from step w on, w = warm_up_steps (1 without warm_up)
///   cosine         cyclic_min + (lr - cyclic_min)/2 * (1 + cos(pi (step - w) / (steps - w))) from step w on (w: 0
///                  without warm_up)
///   plateau        lr * factor^k, k the number of evaluations so far whose validation loss (of images: test loss) was
///                  not below that of all before, compared in binary32
/// With warm_up the first warm_up_steps steps run at warm_up_lr; those of inverse_square_root and cosine at warm_up_lr
/// + step * ((lr - warm_up_lr) / warm_up_steps), a line that ends at lr. The paper's code has the first three
/// (GATECH-EIC/CPT, cpt_cifar/train.py): its piecewise points are steps 32,000 and 48,000 of 64,000, its pi has ten
/// digits, and its anneal_cosine takes no warm-up.
std::vector<std::string> learning_rate_names();
/// Throws std::invalid_argument naming key, value and what is legal.
void check_learning_rate(const LearningRateSpec& spec);
/// `falls` of plateau, which a step alone does not tell.
float learning_rate_at(const LearningRateSpec& spec, std::int64_t step, std::int64_t falls = 0);
inline bool is_plateau(const LearningRateSpec& spec) { return spec.schedule == "plateau"; }
/// A later step up to which, exclusive, the rate is that of `step`.
std::int64_t learning_rate_until(const LearningRateSpec& spec, std::int64_t step);
/// True where two specs are known to give every step the same rate, whatever else they hold.
bool same_learning_rates(const LearningRateSpec& a, const LearningRateSpec& b);
/// With 9 significant digits, which tell binary32 numbers apart.
std::string rate_text(float rate);

}  // namespace bitcycle
