# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Schedules that are made of points, in the config or in a CSV file: shown, priced and trained as they are written.

test_a_csv_of_widths_is_shown_and_trained_and_belongs_to_the_runs_identity() {
  tiny config.yaml 6
  printf 'step,width\n0,4\n2,float32\n4,6\n' >widths.csv
  local set=(--set precision.forward.schedule=piecewise --set precision.forward.points=widths.csv)
  run 0 "$BITCYCLE" schedule config.yaml "${set[@]}" --format csv
  equal "$out" "first_step,steps,forward_bits,gradient_bits
0,2,4,8
2,2,float32,8
4,2,6,8" "stretches"
  run 0 "$BITCYCLE" train config.yaml "${set[@]}" --out run
  equal "$(cut -d, -f2 run/steps.csv | tr '\n' ' ')" "forward_bits 4 4 32 32 6 6 " "widths that were trained"
  contains "$(cat run/config.yaml)" "points: [[0, 4], [2, float32], [4, 6]]"

  mv widths.csv elsewhere.csv
  run 0 "$BITCYCLE" schedule run --format csv
  contains "$out" "2,2,float32,8"
  run 0 "$BITCYCLE" train config.yaml --set precision.forward.schedule=piecewise \
    --set precision.forward.points=elsewhere.csv --out run
  contains "$out" "finished already"
  printf '0,4\n2,5\n' >elsewhere.csv
  run 1 "$BITCYCLE" train config.yaml --set precision.forward.schedule=piecewise \
    --set precision.forward.points=elsewhere.csv --out run
  is_error
  contains "$err" "precision.forward.points"
}

test_errors_of_points_name_file_line_and_remedy() {
  tiny config.yaml
  # Another kind of file: nothing of it reaches the terminal, not even escaped.
  local bytes
  for bytes in '\0177ELF\0002\0001' 'step,width\n0,6\n\0033[31m20,8\n' '\0377\0376,4\n' '0,\0000\n'; do
    printf '%b' "$bytes" >binary.csv
    run 1 "$BITCYCLE" schedule config.yaml --set precision.forward.schedule=piecewise \
      --set precision.forward.points=binary.csv
    is_error
    contains "$err" "bytes that are not text; lines of a step and a width are needed"
    lacks "$err" '\x'
    lacks "$err" '\u'
  done
  printf '0,4\n5,40\n' >w.csv
  run 1 "$BITCYCLE" schedule config.yaml --set precision.forward.schedule=piecewise --set precision.forward.points=w.csv
  is_error
  contains "$err" "w.csv:2: a width of 40 bits is impossible: 2..32"
  run 1 "$BITCYCLE" schedule config.yaml --set precision.forward.schedule=piecewise --set 'precision.forward.points=[[3, 4]]'
  is_error
  contains "$err" "the width of step 0 is missing"
  run 1 "$BITCYCLE" schedule config.yaml --set 'precision.forward.points=[[0, 4]]'
  is_error
  contains "$err" "set schedule: piecewise"
}

test_headers_of_points_are_read_or_shown() {
  tiny config.yaml 8
  local set=(--set precision.forward.schedule=piecewise --set precision.forward.points=w.csv) header
  for header in 'Step, Width' '"step","width"' 'step,width'; do
    printf '%s\n0,4\n5,6\n' "$header" >w.csv
    run 0 "$BITCYCLE" schedule config.yaml "${set[@]}" --format csv
    contains "$out" "5,3,6,8"
  done
  printf ',step,width\n0,0,4\n1,5,6\n' >w.csv
  run 1 "$BITCYCLE" schedule config.yaml "${set[@]}"
  is_error
  contains "$err" "w.csv:1: the header is ',step,width'; lines of a step and a width are needed"
  contains "$err" "index=False"
  printf 'width,step\n4,0\n' >w.csv
  run 1 "$BITCYCLE" schedule config.yaml "${set[@]}"
  is_error
  contains "$err" "under the header 'step,width' or none"
  run 1 "$BITCYCLE" schedule config.yaml --set precision.forward.schedule=piecewise --set precision.forward.points=no.csv
  is_error
  contains "$err" "cannot read 'no.csv': there is no such file"
}

test_errors_of_schedules_name_file_and_line() {
  tiny config.yaml 8
  sed 's/cycles: 2/cycles: 200/' config.yaml >bad.yaml
  run 1 "$BITCYCLE" schedule bad.yaml
  is_error
  contains "$err" "bad.yaml:5:54: precision.forward: schedule 'cyclic_cosine': cycles is 200"
  run 1 "$BITCYCLE" schedule config.yaml --set precision.forward.min=9
  is_error
  contains "$err" "--set precision.forward.min=9: precision.forward: schedule 'cyclic_cosine': min is 9, above max 8"
}

test_points_behind_the_last_step_are_warned_of() {
  tiny config.yaml 8
  local set=(--set precision.forward.schedule=piecewise --set 'precision.forward.points=[[0,4],[4,6],[8,7],[100,8]]')
  local said="bitcycle: warning: precision.forward.points: the point of step 8 (7 bits) and 1 point after it lie behind the last step, 7"
  local verb
  for verb in cost schedule train; do
    run 0 "$BITCYCLE" "$verb" config.yaml "${set[@]}"
    contains "$err" "$said"
  done
  set=(--set precision.forward.schedule=piecewise --set 'precision.forward.points=[[0,4],[7,6]]')
  run 0 "$BITCYCLE" cost config.yaml "${set[@]}"
  equal "$err" "" "warnings"
}
