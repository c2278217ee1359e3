# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# cost on accelerators: configs and runs, schedules side by side, formats, and what is refused.

test_side_by_side_totals_come_first() {
  run 0 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --accelerator bitfusion-45nm --accelerator stripes
  contains "$out" "bitfusion-45nm"
  contains "$out" "stripes"
  contains "$out" "weight_gradient"
  contains "$out" "saved activations"
  # Units: time, power, throughput and efficiency, and what of them is relative.
  local unit
  for unit in "mean power" "TOPS/W" "energy x delay" "J s" "DRAM GB/s" "effective GMACs" "Absolute:" "Relative:"; do
    contains "$out" "$unit"
  done
  lacks "$out" "1 steps"
}

test_csv_has_the_promised_columns() {
  topology >t.csv
  run 0 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --format csv
  contains "$out" "layer,pass,lhs_bits,rhs_bits,m,n,k,macs,total_cycles,compute_cycles,stall_cycles,utilisation,ifmap_read_bits,ifmap_write_bits,"
  contains "$out" "dram_read_bits,dram_write_bits,compute_nj,buffers_nj,dram_nj,leakage_nj,total_nj"
  contains "$out" "Conv1,forward,8,8,12100,64,147,113836800,158421,"
}

test_scalesim_reports_are_written() {
  topology >t.csv
  run 0 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --format scalesim --out reports
  contains "$(cat reports/COMPUTE_REPORT.csv)" "Total Cycles"
  contains "$(cat reports/DETAILED_ACCESS_REPORT.csv)" "SRAM IFMAP Reads"
  contains "$(sed -n 1p reports/COMPUTE_REPORT.csv)" "Layer, Pass, LHS Bits, RHS Bits"
  contains "$(sed -n 2p reports/COMPUTE_REPORT.csv)" "Conv1, forward, 8, 8"
  contains "$(sed -n 2p reports/DETAILED_ACCESS_REPORT.csv)" "Conv1, forward, 8, 8"
  run 2 "$BITCYCLE" cost t.csv --accelerator loom --format scalesim
}

test_keys_of_an_accelerator_can_be_set() {
  topology >t.csv
  run 0 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --set accelerator.dataflow=ws --set accelerator.array.rows=16 \
    --set accelerator.array.columns=32 --explain Conv1
  contains "$out" "weight stationary"
  contains "$out" "/16)"
  contains "$out" "dataflow = ws"
  contains "$out" "array.rows = 16  (--set)"
  # The description says what was priced.
  run 0 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --set accelerator.array.rows=16
  contains "$out" "systolic-int8: priced with array.rows=16 (--set). Without that, it is: A 32 x 32 systolic array"
  run 1 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --set accelerator.dataflw=ws
  contains "$err" "did you mean 'dataflow'"
}

test_a_recorded_run_is_priced_again() {
  run 0 "$BITCYCLE" train "$SOURCE/configs/quickstart.yaml" --set train.steps=8 --set train.batch=8 --set data.train_images=64 \
    --set data.test_images=16 --out r --quiet
  run 0 "$BITCYCLE" cost r --accelerator horowitz-45nm --baseline 8 --json
  contains "$out" '"total_nj"'
  contains "$out" '"baseline"'
  # What was recorded stays what it is.
  run 2 "$BITCYCLE" cost r --set precision.forward.max=4
  contains "$err" "would change what the recorded run 'r' is"
  run 2 "$BITCYCLE" cost r --accelerator stripes --set train.batch=1
  run 2 "$BITCYCLE" cost r --precision static-8
  run 2 "$BITCYCLE" schedule r --set train.steps=4
  run 0 "$BITCYCLE" cost r --accelerator stripes --set accelerator.array.rows=32 --set cost.count_batch_norm=true
  # steps.csv cut short is not a whole run.
  head -n 4 r/steps.csv >cut.csv && mv cut.csv r/steps.csv
  run 1 "$BITCYCLE" cost r
  is_error
  contains "$err" "steps.csv"
  contains "$err" "cut short"
  run 1 "$BITCYCLE" cost r --accelerator stripes
}

test_validate_says_what_was_checked() {
  run 0 "$BITCYCLE" cost --validate
  contains "$out" "dram_filter_reads_words"
  contains "$out" "Timeloop"
  contains "$out" "not checked"
  contains "$out" "Counts are equal"
  run 0 "$BITCYCLE" cost --validate --json
  equal "$(json equal)" true "equal"
  run 2 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --validate
}

test_a_hierarchy_is_priced_and_explained() {
  printf 'Layer, M, N, K,\nfc, 64, 48, 96,\n' >t.csv
  run 0 "$BITCYCLE" cost t.csv --accelerator eyeriss-hierarchy --widths 8x8 --explain fc \
    --set "accelerator.hierarchy.global_buffer.size=64 KB"
  contains "$out" "global_buffer, loops:"
  contains "$out" "array, at once:"
  contains "$out" "hierarchy.global_buffer.size = 64 KB  (--set)"
  contains "$out" "hierarchy.array.rows = 12"
  run 1 "$BITCYCLE" cost t.csv --accelerator eyeriss-hierarchy --set accelerator.dram.energy=1e308
  contains "$err" "is not possible"
}

test_small_products_and_lists_of_names_are_read_aright() {
  printf 'Layer, M, N, K,\na, 1, 2, 3,\n' >small.csv
  run 0 "$BITCYCLE" cost small.csv --accelerator stripes
  contains "$out" "3.840e-07"  # GBitOPs
  contains "$out" "3.750e-10"  # effective GMACs
  run 1 "$BITCYCLE" cost small.csv --accelerator stripes,loom
  contains "$err" "several are named one by one: --accelerator A --accelerator B"
}

test_bad_input_is_one_clear_error() {
  run 1 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --accelerator bitfusion-45nm --metric executed
  contains "$err" "cannot multiply 8 x 16 bits"
  contains "$err" "precision.error_weights=requantised"
  run 0 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --accelerator systolic-int8 --metric executed \
    --set precision.error_weights=requantised
  run 1 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --accelerator bitfuson-45nm
  contains "$err" "did you mean 'bitfusion-45nm'"
  run 1 "$BITCYCLE" cost missing.csv --accelerator stripes
  run 2 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --metric executed
  contains "$err" "needs an --accelerator"
  run 2 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --baseline 8x8
  contains "$err" "static-8/6"
  topology >t.csv
  run 2 "$BITCYCLE" cost t.csv --accelerator stripes --widths 8
  contains "$err" "--widths 8x4"
  run 1 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --accelerator stripes --explain conv9
  contains "$err" "there is no layer 'conv9'"
}

test_schedules_are_compared_in_one_table() {
  local folder="$SOURCE/configs/experiments/cifar10"
  run 0 "$BITCYCLE" schedule "$folder/resnet20-cpt-3-8.yaml" "$folder/resnet20-static-8.yaml" --accelerator bitfusion-45nm
  contains "$out" "63.327 %"
  contains "$out" "100.000 %"
  contains "$out" "3: 20.5 %"
  run 0 "$BITCYCLE" schedule "$folder/resnet20-cpt-3-8.yaml" "$folder/resnet20-cpt-3-6.yaml" --format csv
  # Both against static 8/8, the largest widths of the two.
  contains "$out" "cifar10-resnet20-cpt-3-8,64000,,63.327,,,8/8,128,"
  contains "$out" "cifar10-resnet20-cpt-3-6,64000,,39.349,,,8/8,128,"
  run 0 "$BITCYCLE" schedule "$folder/resnet20-cpt-3-8.yaml" "$folder/resnet20-cpt-3-6.yaml" --sort bitops_percent \
    --out table.txt
  equal "$out" "" "standard output beside --out"
  contains "$(sed -n 3p table.txt)" "cpt-3-6"
  contains "$(cat table.txt)" "static at 8/8 bits, the largest widths of these schedules"
  run 0 "$BITCYCLE" schedule "$folder/resnet20-cpt-3-8.yaml" "$folder/resnet20-cpt-3-6.yaml" --baseline static-6 \
    --sort -gbitops --json
  equal "$(json baseline)" "static-6/6" "baseline"
  equal "$(json schedules/1/config)" "cifar10-resnet20-cpt-3-6" "sorted"
  equal "$(json schedules/1/static_forward_bits)" 6 "a width is a number"
  run 2 "$BITCYCLE" schedule "$folder/resnet20-cpt-3-8.yaml" "$folder/resnet20-cpt-3-6.yaml" --sort bitops
  contains "$err" "bitops_percent"
  run 2 "$BITCYCLE" schedule "$folder/resnet20-cpt-3-8.yaml" "$folder/resnet20-cpt-3-6.yaml" --plot
}

test_a_baseline_that_no_step_reaches_is_said() {
  # Two steps of a cycle of eight: 3 and 3 of 3 to 8 bits.
  tiny config.yaml 2
  local few=(config.yaml --set precision.forward.cycles=1)
  local said="names 8/8 bits, but no step has more than"
  run 0 "$BITCYCLE" cost "${few[@]}"
  contains "$out" "the schedule $said"
  run 0 "$BITCYCLE" cost "${few[@]}" --json
  contains "$(json notes/0)" "$said"
  run 0 "$BITCYCLE" cost "${few[@]}" --accelerator stripes
  contains "$out" "the schedule $said"
  run 0 "$BITCYCLE" schedule "${few[@]}"
  contains "$out" "the schedule $said"
  run 0 "$BITCYCLE" schedule "${few[@]}" --json
  contains "$(json notes/0)" "$said"
  sed 's/^model/name: other\nmodel/' config.yaml >other.yaml
  run 0 "$BITCYCLE" schedule "${few[@]}" other.yaml
  contains "$out" "config $said"
  contains "$out" "other $said"
  # Not where the reader chose the baseline, or a step has these widths.
  run 0 "$BITCYCLE" cost "${few[@]}" --baseline static-8
  lacks "$out" "$said"
  run 0 "$BITCYCLE" schedule "${few[@]}" --baseline static-8
  lacks "$out" "$said"
  run 0 "$BITCYCLE" cost "${few[@]}" --set train.steps=2000
  lacks "$out" "$said"
}

test_layers_set_apart_count_everywhere_alike() {
  tiny config.yaml 64
  cat >>config.yaml <<END
cost: {count_batch_norm: false}
END
  local apart='precision.layers=[{match: "group2_*", forward: 4, gradient: 4}]'
  run 0 "$BITCYCLE" cost config.yaml --set "$apart" --baseline static-8 --json
  local paper static percent
  paper=$(json paper_gbitops) static=$(json static_paper_gbitops)
  percent=$(awk "BEGIN { printf \"%.3f\", 100 * $paper / $static }")
  run 0 "$BITCYCLE" schedule config.yaml config.yaml --set "$apart" --baseline static-8 --format csv --accelerator bitops
  contains "$out" "config,64,bitops,$percent,"
  run 0 "$BITCYCLE" schedule config.yaml --set "$apart" --baseline static-8
  contains "$out" "costs $percent % of static 8/8"
  contains "$out" "of the MACs"
  run 0 "$BITCYCLE" schedule config.yaml --set "$apart" --format csv
  contains "$out" "first_step,steps,forward_bits,gradient_bits,layers"
  contains "$out" ",4,4,group2_layer0.conv1"
}

test_patterns_that_match_nothing_are_refused_by_all() {
  tiny config.yaml
  local pattern
  for pattern in 'bogus*' fc; do
    local set="precision.layers=[{match: '$pattern', forward: 4}]" verb why="matches no layer of resnet8"
    [ "$pattern" != fc ] || why="matches no quantised layer of resnet8: fc is float32"
    for verb in "train --restart" cost schedule; do
      # shellcheck disable=SC2086
      run 1 "$BITCYCLE" $verb config.yaml --set "$set"
      is_error
      contains "$err" "the pattern '$pattern' $why"
    done
    run 1 "$BITCYCLE" cost config.yaml --accelerator stripes --set "$set"
    run 1 "$BITCYCLE" schedule config.yaml config.yaml --set "$set"
    contains "$err" "--set precision.layers: the pattern '$pattern'"
  done
  sed "s/^precision:/precision:\n  layers: [{match: bogus, forward: 4}]/" config.yaml >apart.yaml
  run 1 "$BITCYCLE" schedule apart.yaml
  contains "$err" "apart.yaml: precision.layers: the pattern 'bogus'"
  run 1 "$BITCYCLE" schedule config.yaml --layer bogus
  contains "$err" "there is no layer 'bogus'"
}

test_explanations_are_json_where_json_is_asked_for() {
  topology >t.csv
  run 0 "$BITCYCLE" cost t.csv --accelerator loom --explain Conv1 --json
  equal "$(json explanations/0/layer)" Conv1 layer
  tiny config.yaml 64
  run 0 "$BITCYCLE" cost config.yaml --accelerator loom --explain conv1 --json
  equal "$(json explanations/0/passes/0/widths/0/lhs_bits)" 3 "smallest width"
  run 0 "$BITCYCLE" cost config.yaml --accelerator loom --explain conv1
  contains "$out" "3 x 3 bits: 14 of 64 steps (21.9 %)"
  contains "$out" "the formulas at the widest, 8 x 8 bits:"
  run 2 "$BITCYCLE" cost config.yaml --accelerator loom --explain conv1 --format csv
  contains "$err" "--explain writes text or JSON"
  local verb
  for verb in cost schedule; do
    run 2 "$BITCYCLE" "$verb" config.yaml --json --format csv
    contains "$err" "--json and --format csv contradict each other"
  done
}

test_a_billion_steps_are_answered_at_once() {
  local cycles command
  for cycles in 32 500000000; do
    for command in cost schedule; do
      run 0 timeout 5 "$BITCYCLE" "$command" "$SOURCE/configs/quickstart.yaml" --set train.steps=1000000000 \
        --set "precision.forward.cycles=$cycles"
      contains "$out" "1,000,000,000"
    done
  done
  contains "$out" "3                         8  500,000,000  50.00 %"
  # What cannot be listed is refused as a list alone.
  run 1 "$BITCYCLE" schedule --precision cyclic_cosine:3-8/8,cycles=500000000,steps=1000000000 --format csv
  is_error
  contains "$err" "too often to be listed"
  contains "$err" "precision.forward.cycles"
}

test_contradictions_are_refused() {
  printf 'Layer, M, N, K\na, 2, 3, 4\n' >layers.csv
  run 2 "$BITCYCLE" cost layers.csv --precision static-8,steps=5,steps=6
  contains "$err" "steps is given twice"
  run 2 "$BITCYCLE" cost layers.csv --precision static-8,steps=5 --set train.steps=6
  contains "$err" "both say what train.steps is"
  run 2 "$BITCYCLE" cost layers.csv --precision static-8,batch=5 --batch 6
  contains "$err" "and --batch contradict each other"
  run 2 "$BITCYCLE" schedule layers.csv --precision static-8 --set precision.forward.max=6
  run 2 "$BITCYCLE" cost layers.csv --schedule "$SOURCE/configs/quickstart.yaml" --batch 6 --set train.batch=6
}

test_tables_of_schedules_are_sorted_by_their_headers() {
  local base="$SOURCE/configs/quickstart.yaml" column
  for column in 'BitOPs*' 'GBitOPs' 'stripes: energy' 'energy*' 'stripes: time' 'time*' largest; do
    run 0 "$BITCYCLE" schedule "$base" --precision static-2 --accelerator stripes --sort "$column"
    contains "$(sed -n 3p stdout.txt)" "static-2"
    run 0 "$BITCYCLE" schedule "$base" --precision static-2 --accelerator stripes --sort "-$column"
    contains "$(sed -n 4p stdout.txt)" "static-2"
  done
  for column in steps batch watts energy_delay_js; do
    run 0 "$BITCYCLE" schedule "$base" --precision static-2 --accelerator stripes --sort "$column"
  done
  run 2 "$BITCYCLE" schedule "$base" "$base" --sort bitopspercent
  contains "$err" "did you mean 'bitops_percent'? The columns are"
  # Of other steps and batches the table says so.
  printf 'Layer, M, N, K\na, 2, 3, 4\n' >layers.csv
  run 0 "$BITCYCLE" schedule layers.csv "$base" --precision static-6
  contains "$out" "each schedule's own run: quickstart 480 steps of 128 samples, static-6 1 step of 1 sample."
}

test_accelerators_that_cannot_be_are_refused() {
  topology >t.csv
  run 1 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --set accelerator.dram.bandwidth=64
  is_error
  contains "$err" "'64' has no unit"
  contains "$err" "bit/cycle, B/cycle"
  run 0 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --set 'accelerator.dram.bandwidth=64 bit/cycle'
  local buffer
  for buffer in ifmap filter ofmap; do
    run 1 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --set "accelerator.buffers.$buffer.size=1 bit"
    is_error
    contains "$err" "systolic-int8.yaml:"
    contains "$err" "is too small"
  done
  run 2 "$BITCYCLE" cost t.csv --accelerator stripes --accelerator stripes
  contains "$err" "given twice"
  sed 's/^dataflow: .*/dataflow: ws/' "$SOURCE/configs/accelerators/systolic-int8.yaml" >other.yaml
  run 2 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --accelerator ./other.yaml
  contains "$err" "two accelerators have the name 'systolic-int8'"
  local name
  for name in '""' '"a\\nb"' '"\\e[31m"'; do
    sed -i "s|^name: .*|name: $name|" other.yaml
    run 1 "$BITCYCLE" cost t.csv --accelerator ./other.yaml
    is_error
    contains "$err" "other.yaml:2: 'name' must be"
  done
  run 1 "$BITCYCLE" cost t.csv --accelerator stripes --set 'accelerator.buffers.bogus.size=1 KiB'
  contains "$err" "stripes.yaml: 'buffers.bogus.role' is missing"
  run 1 "$BITCYCLE" cost t.csv --accelerator bitfusion
  contains "$err" "did you mean 'bitfusion-45nm'?"
  for name in $'a\nb' $'a\r'; do
    run 2 "$BITCYCLE" cost t.csv --accelerator "$name"
    is_error
    contains "$err" "the value of --accelerator holds a line break"
  done
  run 1 "$BITCYCLE" cost t.csv --accelerator $'a\tb'
  is_error
  run 1 "$BITCYCLE" cost t.csv --accelerator stripes --explain Conv2
  contains "$err" "did you mean 'Conv1'? The layers are Conv1"
}
