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

test_what_a_case_cannot_mean_is_refused() {
  cp -r "$golden/conv3x3_b8_g8" odd
  chmod -R u+w odd
  cp odd/case.json whole.json
  odd() {  # EXPRESSION MESSAGE
    sed "$1" whole.json >odd/case.json
    run 1 "$BITCYCLE" replay odd
    is_error
    contains "$err" "odd/case.json"
    contains "$err" "$2"
  }
  odd 's/"close"/"clos"/' "the key 'clos' means nothing in a case of this kind; did you mean 'close'?"
  odd 's/"kind"/"tolerances_of_everything": 3, "kind"/' "there are kind, op, quantizer"
  # Tolerances at which zeros would pass.
  for bound in 1e30 1 -1 '"much"' null; do
    odd "s/\"kind\"/\"close_tolerance\": $bound, \"kind\"/" "a number of at least 0 and below 1"
  done
  odd 's/"exact": \[/"exact": ["y", /' "key 'exact' names \"y\"; expected names among qx, qw"
  rm odd/x.npy odd/qw.npy
  odd '' "the case needs 'odd/x.npy', 'odd/qw.npy', which are not there; copy the recorded case as a whole"

  cp -r "$SOURCE/tests/golden/steps/resnet8_b8_g16" step
  chmod -R u+w step
  cp step/case.json whole.json
  step() {
    sed "$1" whole.json >step/case.json
    run 1 "$BITCYCLE" replay step
    is_error
    contains "$err" "step/case.json"
    contains "$err" "$2"
  }
  step 's/"kind"/"error_grid_bits": 7, "kind"/' "error_grid_bits is 7; the grids have 16 or 24 bits"
  step 's/"bits": 8/"bits": 99/' "'bits' is 99, not an integer from 2 to 32"
  step 's/"batch": 16/"batch": -1/' "'batch' is -1, not an integer from 1 to"
  step 's/"kind"/"loss_tolerance": 1e30, "kind"/' "'loss_tolerance' is 1e+30, not a number of at least 0 and below 1"
  step 's/"kind"/"tolerance": {"conv1.weight": 1e30}, "kind"/' "tolerance of 'conv1.weight' is 1e+30"
  step 's/"loss"/"los"/' "the key 'los' means nothing in a case of this kind; did you mean 'loss'?"
  rm step/labels.npy
  step '' "the case needs 'step/labels.npy', which is not there"

  cp -r "$SOURCE/tests/golden/trajectories/resnet8_cpt_3_8" long
  chmod -R u+w long
  sed -i 's/"cycles"/"cycle"/' long/case.json
  mkdir empty
  run 1 "$BITCYCLE" replay long --data empty
  contains "$err" "long/case.json, precision: the key 'cycle' means nothing"
}

# Puts four bytes over the first value of an array whose header has 128 bytes.
first_value() { printf '%b' "$2" | dd of="$1" bs=1 seek=128 conv=notrunc 2>/dev/null; }

test_operands_that_make_no_golden_vectors_are_refused() {
  cp -r "$golden/conv3x3_b8_g8" case
  chmod -R u+w case
  cp -r case nan
  first_value nan/x.npy '\x00\x00\xc0\x7f'
  run 1 "$BITCYCLE" replay nan
  contains "$err" "nan/x.npy: value 0 is not finite"
  cp -r case wide
  first_value wide/noise.npy '\x00\x00\xa0\x40'
  run 1 "$BITCYCLE" replay wide
  contains "$err" "wide/noise.npy: value 0 is 5.000000; rounding noise is at least -0.5 and below 0.5"
  cp -r case twice
  sed -i 's/"bits":/"bits": 4, "bits":/' twice/case.json
  run 1 "$BITCYCLE" replay twice
  contains "$err" "twice/case.json: the key 'bits' is given twice"
}

test_the_origin_of_the_rounding_noise_is_said() {
  run 0 "$BITCYCLE" replay "$golden/conv3x3_b8_g8"
  contains "$out" "The gradient dy is rounded with the noise of $golden/conv3x3_b8_g8/noise.npy."
  cp -r "$golden/conv3x3_b8_g8" nearest
  chmod -R u+w nearest
  rm nearest/noise.npy
  tr -d '\n' <nearest/case.json | sed 's/"dy", *"noise"/"dy"/; s/"exact": *\[[^]]*\]/"exact": ["qx"]/; s/"close": *\[[^]]*\]/"close": ["y"]/' >case.json
  cp case.json nearest/case.json
  run 0 "$BITCYCLE" replay nearest
  contains "$out" "The gradient dy is rounded to nearest, for the case has no array 'noise'."
  run 0 "$BITCYCLE" replay nearest --json
  contains "$(json gradient_rounding)" "to nearest"
}

test_a_wrong_shape_blames_the_array_that_has_it() {
  cp -r "$golden/conv3x3_b8_g8" case
  chmod -R u+w case
  # 4 x 16 x 8 x 8 becomes 4 x 16 x 4 x 16, and of dy 8 x 16 x 8 x 4: as many values.
  reshaped() {  # ARRAY SHAPE
    rm -rf bent
    cp -r case bent
    sed -i "1s/(4, 16, 8, 8)/$2/" "bent/$1.npy"
    run 1 "$BITCYCLE" replay bent
    is_error
  }
  reshaped x "(4, 16, 4,16)"
  contains "$err" "bent/x.npy: shape (4, 16, 4, 16); expected (4, 16, 8, 8), as qx.npy has it"
  contains "$err" "padding 1 and groups 1 of case.json"
  reshaped dy "(8, 16, 8, 4)"
  contains "$err" "bent/dy.npy: shape (8, 16, 8, 4); expected (4, 16, 8, 8), as qg.npy has it"
  # With nothing recorded beside it, all three are named.
  tr -d '\n' <case/case.json | sed 's/"dy", *"noise"/"dy"/; s/"exact": *\[[^]]*\]/"exact": []/; s/"close": *\[[^]]*\]/"close": []/' >case.json
  cp case.json case/case.json
  reshaped x "(4, 16, 4,16)"
  contains "$err" "bent/case.json: x.npy of shape (4, 16, 4, 16), w.npy of "
  contains "$err" "x and w make results of shape (4, 16, 4, 16)"
}

test_a_recorded_result_of_another_shape_is_named() {
  cp -r "$golden/conv3x3_b8_g8" case
  chmod -R u+w case
  sed -i '1s/(4, 16, 8, 8)/(8, 16, 8, 4)/' case/y.npy
  run 1 "$BITCYCLE" replay case
  is_error
  contains "$err" "case/y.npy: shape (8, 16, 8, 4); the operands make (4, 16, 8, 8)"
  run 1 "$BITCYCLE" replay "$golden"
  contains "$err" "a case is a folder that holds case.json, as '$golden/adamw' does"
}

test_out_that_cannot_be_made_is_one_clear_error() {
  : >file
  local case
  for case in "$golden/conv3x3_b8_g8" "$SOURCE/tests/golden/steps/resnet8_b8_g16"; do
    run 1 "$BITCYCLE" replay "$case" --out file/x
    is_error
    contains "$err" "cannot make the folder 'file/x': Not a directory; check the path"
    lacks "$err" "filesystem error"
  done
}

test_pictures_that_are_not_at_hand_are_counted() {
  local case=$SOURCE/tests/golden/images/imagenet_sample
  run 2 "$BITCYCLE" replay "$case" --data nowhere
  contains "$err" "--data 'nowhere' is no folder"
  mkdir empty
  run 0 "$BITCYCLE" replay "$case" --data empty
  contains "$out" "were not at hand and not compared"
  lacks "$out" "All results are within"
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

test_averages_of_weights_are_replayed() {
  local averages="$SOURCE/tests/golden/averaging/swa_average"
  run 0 "$BITCYCLE" replay "$averages" --out results
  contains "$out" "All results are within their tolerances."
  cmp -s results/running_mean.npy "$averages/running_mean.npy" || [ -s results/running_mean.npy ] ||
    failed "no results were written"
  cp -r "$averages" changed
  chmod -R u+w changed
  # Other statistics have another mean; a file of another shape is said by name.
  cp changed/batch_means.npy changed/batch_variances.npy
  run 3 "$BITCYCLE" replay changed
  cp changed/average.npy changed/points.npy
  run 1 "$BITCYCLE" replay changed
  is_error
  contains "$err" "points.npy is"
}
