// SPDX-License-Identifier: Apache-2.0
// The quantisers, a line for each file NAME.cpp: its registration, named here so that no linker drops the file.
BITCYCLE_QUANTISER(affine)
BITCYCLE_QUANTISER(affine_with_zero)
