# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# cost on accelerators: configs, runs and topologies, formats, and what is refused.

topology() {
  printf 'Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n'
  printf 'Conv1, 224, 224, 7, 7, 3, 64, 2,\n'
}

test_side_by_side_totals_come_first() {
  run 0 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --accelerator bitfusion-45nm --accelerator stripes
  contains "$out" "bitfusion-45nm"
  contains "$out" "stripes"
  contains "$out" "weight_gradient"
  contains "$out" "saved activations"
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
  run 2 "$BITCYCLE" cost t.csv --accelerator loom --format scalesim
}

test_keys_of_an_accelerator_can_be_set() {
  topology >t.csv
  run 0 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --set accelerator.dataflow=ws --set accelerator.array.rows=16 \
    --set accelerator.array.columns=32 --explain Conv1
  contains "$out" "weight stationary"
  contains "$out" "/16)"
  run 1 "$BITCYCLE" cost t.csv --accelerator systolic-int8 --set accelerator.dataflw=ws
  contains "$err" "did you mean 'dataflow'"
}

test_a_recorded_run_is_priced_again() {
  run 0 "$BITCYCLE" train "$SOURCE/configs/quickstart.yaml" --set train.steps=8 --set train.batch=8 --set data.train_images=64 \
    --set data.test_images=16 --out r --quiet
  run 0 "$BITCYCLE" cost r --accelerator horowitz-45nm --baseline 8 --json
  contains "$out" '"total_nj"'
  contains "$out" '"baseline"'
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

test_bad_input_is_one_clear_error() {
  run 1 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --accelerator bitfusion-45nm --metric executed
  contains "$err" "cannot multiply 8 x 16 bits"
  run 1 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --accelerator bitfuson-45nm
  contains "$err" "did you mean 'bitfusion-45nm'"
  run 1 "$BITCYCLE" cost missing.csv --accelerator stripes
  run 2 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --baseline 8
  contains "$err" "needs an --accelerator"
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
  contains "$out" "cifar10-resnet20-cpt-3-6,64000,,69.954,,"
  run 2 "$BITCYCLE" schedule "$folder/resnet20-cpt-3-8.yaml" "$folder/resnet20-cpt-3-6.yaml" --plot
}
