# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# The step as a program: what is printed, for people and for programs.

test_every_node_has_layer_pass_shapes_bytes_and_kernel() {
  run 0 "$BITCYCLE" program "$SOURCE/configs/quickstart.yaml" --layer conv1 --device reference
  contains "$out" "conv1/y sums int32 (128, 32, 32, 16)"
  contains "$out" "conv1/dw sums int64 (16, 3, 3, 3)"
  contains "$out" "reference rescale #"
  lacks "$out" "group1_layer0"
  run 0 "$BITCYCLE" program "$SOURCE/configs/quickstart.yaml" --layer conv1
  contains "$out" "convolution forward #"
  contains "$out" "convolution backward #"
  run 0 "$BITCYCLE" program "$SOURCE/configs/quickstart.yaml" --layer images --device cuda
  contains "$out" "load images #"
  run 0 "$BITCYCLE" program "$SOURCE/configs/quickstart.yaml" --evaluation
  contains "$out" "running_grid"
  lacks "$out" "weight gradient"
  run 0 "$BITCYCLE" program "$SOURCE/configs/quickstart.yaml" --set precision.forward.max=16 --layer fc --json
  contains "$out" '"operation": "float_product"'
  contains "$out" '"tensor": "gradient/fc.weight"'
}

test_a_layer_or_device_that_is_not_there_is_an_error() {
  run 2 "$BITCYCLE" program "$SOURCE/configs/quickstart.yaml" --layer 'group9*'
  contains "$err" "group9*"
  run 2 "$BITCYCLE" program "$SOURCE/configs/quickstart.yaml" --device abacus
  is_error
}
