# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# cost of layers of one's own: files of layers, topologies and ONNX models, read and refused.

test_own_layers_become_a_workload_under_a_schedule() {
  cat >layers.csv <<END
Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides, padding, pass,
"stem, 7x7", 224, 224, 7, 7, 3, 64, 2, 3,
body, 56, 56, 3, 3, 64, 64, 1, same,
head, 1, 1, 1, 1, 64, 1000, 1, 0, inference
END
  local cyclic=cyclic_cosine:3-8/8,cycles=32,steps=64000,batch=128
  run 0 "$BITCYCLE" cost layers.csv --precision "$cyclic" --json
  equal "$(json batch)" 128 batch
  equal "$(json macs_per_image)" $((112 * 112 * 64 * 147 + 56 * 56 * 64 * 576 + 64000)) MACs
  equal "$(json layers/0/layer)" "stem, 7x7" "quoted name"
  equal "$(json layers/2/passes/1/macs)" 0.0 "the error pass of an inference layer"
  # The same as a config's schedule, alone and on hardware.
  tiny config.yaml 64000
  run 0 "$BITCYCLE" cost layers.csv --schedule config.yaml --set precision.forward.cycles=32 --set train.batch=128
  local by_config=$out
  run 0 "$BITCYCLE" cost layers.csv --precision "$cyclic"
  equal "$(echo "$by_config" | tail -n +2)" "$(echo "$out" | tail -n +2)" "--schedule and --precision"
  run 0 "$BITCYCLE" cost layers.csv --precision "$cyclic" --accelerator bitfusion-45nm --format csv
  contains "$out" '"stem, 7x7",weight_gradient,3,8,'
  contains "$out" "head,forward,8,8,"
  lacks "$out" "head,error"
  run 0 "$BITCYCLE" cost layers.csv --precision static-8/6 --inference --accelerator stripes
  contains "$out" "forward pass alone"
  lacks "$out" "weight_gradient"
  contains "$out" "1 step of 1 sample,"
  # Layers set apart, and the table of schedules.
  run 0 "$BITCYCLE" cost layers.csv --precision static-8 --set 'precision.layers=[{match: body, forward: 4}]' --format csv
  contains "$out" "body,forward,4,8,"
  run 1 "$BITCYCLE" cost layers.csv --precision static-8 --set 'precision.layers=[{match: bodi, forward: 4}]'
  contains "$err" "did you mean 'body'?"
  run 0 "$BITCYCLE" schedule layers.csv config.yaml --precision static-6 --accelerator stripes --format csv
  contains "$out" "config,64000,stripes,"
  contains "$out" "static-6,1,stripes,"
  # Columns that a schedule contradicts.
  printf 'Layer, M, N, K, lhs_bits, rhs_bits\na, 2, 3, 4, 8, 8\n' >bits.csv
  run 2 "$BITCYCLE" cost bits.csv --precision static-8
  contains "$err" "lhs_bits"
  printf 'Layer, M, N, K, batch\na, 2, 3, 4, 8\n' >batch.csv
  run 2 "$BITCYCLE" cost batch.csv --precision static-8 --set train.batch=4
  run 2 "$BITCYCLE" cost layers.csv --precision cyclic_cosine:3-8
  contains "$err" "steps=N"
}

test_what_means_nothing_for_a_topology_is_refused_by_name() {
  topology >t.csv
  run 2 "$BITCYCLE" cost t.csv --set bogus.key=5
  contains "$err" "bogus.key"
  run 2 "$BITCYCLE" cost t.csv --set train.batch=5
  contains "$err" "train.batch=5 has no effect"
  local option
  for option in --weight-update --quantisation --batch-norm --pooling --inference "--metric executed" "--baseline 8"; do
    # shellcheck disable=SC2086
    run 2 "$BITCYCLE" cost t.csv $option
    contains "$err" "${option%% *} means nothing"
  done
  run 2 "$BITCYCLE" cost t.csv --precision static-8 --set model.name=resnet20
  contains "$err" "model.name=resnet20 has no effect"
  run 2 "$BITCYCLE" cost t.csv --precision static-8 --widths 8x4
  run 2 "$BITCYCLE" cost t.csv --precision static-8 --batch-norm --accelerator stripes
  run 0 "$BITCYCLE" cost t.csv
  contains "$out" "t.csv: 1 product, once"
  lacks "$out" ".00 cycles"
}

test_hostile_layers_and_options_are_one_clear_error() {
  local columns='Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides' row
  for row in '-8,8,3,3,4,4,1' 'nan,8,3,3,4,4,1' '8.5,8,3,3,4,4,1' '8,8,3,3,4,4,0' '8,8,3' '8,8,3,3,4,4,1,1,1' \
    '999999999,999999999,1,1,999999999,1,1' '99999999999999999999,8,3,3,4,4,1'; do
    printf '%s\na,%s\n' "$columns" "$row" >bad.csv
    run 1 "$BITCYCLE" cost bad.csv --precision static-8
    is_error
    contains "$err" "bad.csv:2:"
  done
  printf '%s\n\033[31mred,8,8,3,3,4,4,1\n' "$columns" >bad.csv
  run 1 "$BITCYCLE" cost bad.csv
  lacks "$err" $'\033'
  printf '%s\n%s,8,8,3,3,4,4,1\n' "$columns" "$(head -c 1000 /dev/zero | tr '\0' x)" >bad.csv
  run 1 "$BITCYCLE" cost bad.csv
  contains "$err" "more than 256 bytes"
  : >bad.csv
  run 1 "$BITCYCLE" cost bad.csv
  ln -s /dev/zero endless.csv
  run 1 "$BITCYCLE" cost endless.csv
  contains "$err" "at most 16 MiB"
  # Padding and strides that make no sense still end.
  printf '%s, padding\na,256,256,256,256,1,1,256,128\nb,1,1,3,3,1,1,256,1000000000\n' "$columns" >odd.csv
  run 0 "$BITCYCLE" cost odd.csv --precision static-8 --accelerator systolic-int8 --format csv
  lacks "$out" nan
  lacks "$out" inf
  printf '%s, pass\na,8,8,3,3,4,4,1,error\n' "$columns" >error.csv
  run 2 "$BITCYCLE" cost error.csv --precision static-8 --inference
  contains "$err" "nothing is left to price"
  local text
  for text in "" static static- static-1 static-33 static-8-9 static-8/3-4 cyclic:3-8 static-8,bogus=1 static-8,steps \
    cyclic_cosine:3-8,steps=0 $'static-8\033[2J'; do
    run 2 "$BITCYCLE" cost odd.csv --precision "$text"
    is_error
    lacks "$err" $'\033'
  done
  for text in cyclic_cosine:8-3,steps=100 cyclic_cosine:3-8,steps=5 cyclic_cosine:3-8,steps=99999999999; do
    run 2 "$BITCYCLE" cost odd.csv --precision "$text"
    is_error
  done
  # A pipe is written to, not replaced.
  mkfifo pipe
  cat pipe >read.txt &
  run 0 "$BITCYCLE" schedule --precision static-8 --out pipe
  wait
  [ -p pipe ] || failed "the pipe was replaced"
  contains "$(cat read.txt)" "static-8: 1 step"
  run 2 "$BITCYCLE" schedule --precision static-8 --out .
}

test_onnx_models_are_priced_like_layers() {
  local golden="$SOURCE/tests/golden/onnx" macs
  macs=$(awk -F, '$1 == "residual" { sum += $3 } END { print sum }' "$golden/layers.csv")
  run 0 "$BITCYCLE" cost "$golden/residual.onnx" --schedule "$SOURCE/configs/quickstart.yaml" --batch 16 --json
  equal "$(json macs_per_image)" "$macs" "MACs"
  equal "$(json batch)" 16 batch
  equal "$(json layers/0/layer)" /conv1/Conv "name of a node"
  run 0 "$BITCYCLE" cost "$golden/residual.onnx" --precision cyclic_cosine:3-8/8,cycles=4,steps=100,batch=16 \
    --set 'precision.layers=[{match: "/layer2/*", forward: 4}]' --accelerator bitfusion-45nm --format csv
  contains "$out" "/layer2/conv1/Conv,forward,4,4,"
  contains "$out" "/layer1/conv1/Conv,weight_gradient,3,8,"
  run 0 "$BITCYCLE" schedule "$golden/residual.onnx" "$SOURCE/configs/quickstart.yaml" --accelerator stripes --format csv
  contains "$out" "quickstart,480,stripes,"
  run 0 "$BITCYCLE" cost "$golden/residual.onnx" --accelerator systolic-int8 --explain /fc/Gemm
  contains "$out" "/fc/Gemm, forward on systolic-int8"
  # Open axes, and batches that the file fixes.
  run 1 "$BITCYCLE" cost "$golden/attention.onnx" --precision static-8
  is_error
  contains "$err" "--dim 'sequence=SIZE'"
  run 0 "$BITCYCLE" cost "$golden/attention.onnx" --precision static-8 --dim sequence=6 --inference
  run 2 "$BITCYCLE" cost "$golden/attention.onnx" --precision static-8 --dim sequence=six
  run 2 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --dim sequence=6
  run 0 "$BITCYCLE" cost "$golden/quantised.onnx" --accelerator stripes
  contains "$out" "batches of 4 samples"
  contains "$out" "Not counted: 1 integer product with weights that are all 1"
  run 2 "$BITCYCLE" cost "$golden/quantised.onnx" --batch 8
  contains "$err" "--batch contradicts quantised.onnx"
  # Files that are none.
  run 1 "$BITCYCLE" cost no.onnx
  contains "$err" "there is no file or folder 'no.onnx'"
  head -c 3000 "$golden/residual.onnx" >cut.onnx
  run 1 "$BITCYCLE" cost cut.onnx
  is_error
  contains "$err" "cut.onnx: not an ONNX model, or a damaged one"
  ln -s /dev/zero endless.onnx
  run 1 "$BITCYCLE" cost endless.onnx
  is_error
}

test_layers_files_are_read_by_their_header() {
  printf 'K, N, M, Layer, batch\n2, 3, 5, a, 7\n2, 3, 5, a,\n' >layers.csv
  run 0 "$BITCYCLE" cost layers.csv --precision static-8,batch=4 --json
  contains "$err" "warning: layers.csv: layers have names that are there already; they are called a#2"
  equal "$(json macs_per_image)" $((30 * 7 + 30 * 4)) "MACs of a step"
  run 0 "$BITCYCLE" cost layers.csv --batch 4 --explain 'a#2'
  contains "$out" "a#2, forward"
  run 1 "$BITCYCLE" cost missing.csv --precision static-8
  is_error
  contains "$err" "there is no file or folder 'missing.csv'"
}
