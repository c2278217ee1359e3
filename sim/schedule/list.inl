// SPDX-License-Identifier: Apache-2.0
// The schedules, a line for each file NAME.cpp: its registration, named here so that no linker drops the file.
BITCYCLE_SCHEDULE(constant)
BITCYCLE_SCHEDULE(cyclic_cosine)
BITCYCLE_SCHEDULE(linear)
BITCYCLE_SCHEDULE(piecewise)
BITCYCLE_SCHEDULE(triangular)
