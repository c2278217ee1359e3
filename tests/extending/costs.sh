#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016  # marks of Markdown
# costs.sh [--check]: counts what a new part costs, in files and lines: those of the examples of docs/extending.md, and
# of parts of the program with the lines elsewhere that name them. Prints the table; with --check compares it with the
# page's.
set -eu
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
page=docs/extending.md

# example SECTION: lines of the complete file that the section shows.
example() {
  awk -v section="## $1" '
    /^## / { inside = $0 == section }
    inside && /^```cpp$/ { counting = 1; count = 0; next }
    inside && counting && /^```$/ { counting = 0; if (whole) { print count; exit } }
    counting { count++; if (count == 1) whole = /SPDX/ }' "$page"
}
# registrations SECTION: lines that the section says to add.
registrations() {
  awk -v section="## $1" '/^## / { inside = $0 == section } inside && /^Registration: |Registration: / { n++ } END { print n + 0 }' "$page"
}
shown() {  # shown PART NAME SECTION WHERE
  printf '| %s | `%s`, below | 1 | %s | %s: %s |\n' "$1" "$2" "$(example "$3")" "$(registrations "$3")" "$4"
}
# lines FILE...: their lines in all.
lines() { cat -- "$@" | wc -l; }
# naming REGEX FILE...: lines that name it.
naming() { local regex=$1; shift; cat -- "$@" | grep -cE "$regex"; }
built() {  # built PART EXAMPLE LINES-ELSEWHERE WHERE FILE...
  local part=$1 name=$2 elsewhere=$3 where=$4
  shift 4
  printf '| %s | %s | %s | %s | %s: %s |\n' "$part" "$name" "$#" "$(lines "$@")" "$elsewhere" "$where"
}

table() {
  local pool='max_pool|MaxPool'
  shown "[schedule](#a-schedule)" linear_decay "A schedule" '`sim/schedule/list.inl`'
  shown "[quantiser](#a-quantiser)" power_of_two "A quantiser" '`sim/quantisers/list.inl`'
  shown "[model](#a-model)" plain "A model" '`nn/models/list.inl`'
  built "model" '`mobilenet_v2`' "$(naming mobilenet_v2 nn/models/list.inl)" '`nn/models/list.inl`' nn/models/mobilenet_v2.cpp
  shown "[layer](#a-layer)" sum_of "A layer" '`nn/builder/builder.h`'
  built "[operation](#an-operation)" '`max_pool` and its gradient' "$(naming "$pool" sim/ops/operation.h)" \
    '`sim/ops/operation.h`' sim/ops/max_pool.h sim/ops/max_pool.cpp
  built "[instruction set](#an-instruction-set)" '`avxvnni`' "$(naming AvxVnni sim/cpu/isa_list.inl)" '`sim/cpu/isa_list.inl`' \
    sim/cpu/kernels_avxvnni.cpp
  built "[kernel](#a-kernel): what it stands for" '`max_pool` and its gradient' \
    "$(naming "$pool" sim/device/fused/list.inl sim/device/fused_operations.h sim/device/kernel_library.h sim/device/kernel_library_overrides.inl)" \
    'its line, its arguments and its place in `KernelLibrary`' sim/device/fused/max_pool.cpp
  built "kernel: as plain loops" '`max_pool` and its gradient' "$(naming "$pool" sim/reference/operations.h sim/reference/reference_library.cpp)" \
    '`sim/reference/`' sim/reference/max_pool.cpp
  built "kernel: on the CPU, for every instruction set" '`max_pool` and its gradient' \
    "$(naming "$pool" sim/cpu/kernels.h sim/cpu/tables.inl sim/cpu/kernels_*.cpp)" '`sim/cpu/`' \
    sim/cpu/max_pool.cpp sim/cpu/max_pool.inl sim/cpu/max_pool_row.h
  built "[kernel: on a GPU](#a-cuda-kernel)" 'the same, and sums of a batch norm before' \
    "$(naming "$pool" cuda/kernels/all_kernels.h cuda/kernels/all_kernels.cu)" '`cuda/kernels/all_kernels.*`' \
    cuda/kernels/kernels_max_pool.h cuda/kernels/max_pool.cu cuda/device/max_pool.cpp
}

counted=$(table)
if [ "${1:-}" != --check ]; then
  printf '%s\n' '| part | example | its files | their lines | lines elsewhere |' '|---|---|---|---|---|' "$counted"
  exit
fi
written=$(awk '/^\| part \| example \|/ { inside = 1; getline; next } inside && !/^\|/ { exit } inside' "$page")
[ "$counted" = "$written" ] || {
  printf '%s\n' "the table of $page differs from what is counted (<):" >&2
  diff <(printf '%s\n' "$counted") <(printf '%s\n' "$written") >&2
  exit 1
}
