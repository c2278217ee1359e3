// SPDX-License-Identifier: Apache-2.0
// Rows of elementwise work, written once over 16-lane vectors (simd_*.inl) and compiled for each instruction set.
// Included inside an unnamed namespace. Formulas: sim/ops and docs/numerics.md; every function does the same IEEE
// operations in the same order.
#include "sim/cpu/channel_lanes.inl"
#include "sim/cpu/epilogue_rows.inl"
#include "sim/cpu/flat_rows.inl"
#include "sim/cpu/language_rows.inl"
#include "sim/cpu/noise_rows.inl"
#include "sim/cpu/norm_rows.inl"
#include "sim/cpu/ordered_rows.inl"
#include "sim/cpu/quantise_rows.inl"
// After what it uses.
#include "sim/cpu/float_rows.inl"
