# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# `replay` on recorded cases, whole and damaged.

golden="$SOURCE/tests/golden/ops"

test_recorded_cases_hold() {
  local case
  for case in "$golden"/conv3x3_b8_g8 "$golden"/linear_b4_g8; do
    run 0 "$BITCYCLE" replay "$case" --isa portable --threads 1
    contains "$out" "All results are within their tolerances."
    contains "$out" "qx"
    run 0 "$BITCYCLE" replay "$case" --json
    equal "$(json ok)" true ok
    equal "$(json kind)" operator kind
  done
}

test_results_are_written() {
  run 0 "$BITCYCLE" replay "$golden/conv3x3_b8_g8" --out written
  [ -n "$(ls written/*.npy)" ] || failed "no .npy was written"
}

test_a_changed_result_is_found() {
  cp -r "$golden/conv3x3_b8_g8" changed
  chmod -R u+w changed
  # The last bytes of the recorded codes.
  local size
  size=$(stat -c %s changed/qw.npy)
  printf '\377\377' | dd of=changed/qw.npy bs=1 seek=$((size - 2)) conv=notrunc 2>/dev/null
  run 3 "$BITCYCLE" replay changed
  contains "$out" "DIFFERS"
}

test_a_case_without_recorded_results_is_computed_for_out() {
  cp -r "$golden/conv3x3_b8_g8" inputs
  chmod -R u+w inputs
  sed -i '/"exact"/,/\]/d; /"close"/,/\]/d; s/"noise"/"noise"/; s/\],$/]/' inputs/case.json
  run 1 "$BITCYCLE" replay inputs
  is_error
  contains "$err" "records no results"
  run 0 "$BITCYCLE" replay inputs --out made --json
  equal "$(json ok)" null ok
  [ -e made/y.npy ] || failed "made/y.npy was not written"
}

test_tolerances_are_those_of_the_case() {
  cp -r "$golden/conv3x3_b8_g8" strict
  chmod -R u+w strict
  run 0 "$BITCYCLE" replay strict
  sed -i 's/"kind"/"close_tolerance": 0, "kind"/' strict/case.json
  run 3 "$BITCYCLE" replay strict
  contains "$out" "DIFFERS"
  sed -i 's/"close_tolerance": 0/"close_tolerance": "much"/' strict/case.json
  run 1 "$BITCYCLE" replay strict
  is_error
  contains "$err" "close_tolerance"
}

test_damaged_cases_are_clear_errors() {
  run 1 "$BITCYCLE" replay nowhere
  is_error
  contains "$err" "nowhere"
  cp -r "$golden/conv3x3_b8_g8" damaged
  chmod -R u+w damaged
  truncate -s 100 damaged/x.npy
  run 1 "$BITCYCLE" replay damaged
  is_error
  contains "$err" "x.npy"
  echo '{"kind": "dance"}' >damaged/case.json
  run 1 "$BITCYCLE" replay damaged
  is_error
  contains "$err" "dance"
  echo '{' >damaged/case.json
  run 1 "$BITCYCLE" replay damaged
  is_error
}
