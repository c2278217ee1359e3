# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# The command lines that the paper's README prints.

cifar_line="--save_folder ./logs --arch cifar100_resnet_74 --workers 4 --dataset cifar100 --is_cyclic_precision
  --cyclic_num_bits_schedule 3 8 --cyclic_num_grad_bits_schedule 8 8 --num_cyclic_period 32"

# Files of CIFAR's format and size: random pixels, labels in range.
make_cifar100() {
  mkdir -p "$1"
  local image
  image=$(head -c 3072 /dev/urandom | base64 -w 0)
  local record="$1/record"
  { printf '\003\007'; printf '%s' "$image" | base64 -d; } >"$record"
  # 2^n copies, then cut: 50,000 and 10,000 records.
  cp "$record" "$1/train.bin"
  local _
  for _ in $(seq 16); do cat "$1/train.bin" "$1/train.bin" >"$1/double"; mv "$1/double" "$1/train.bin"; done
  head -c $((10000 * 3074)) "$1/train.bin" >"$1/test.bin"
  truncate -s $((50000 * 3074)) "$1/train.bin"
  rm "$record"
}

test_cifar_line_parses_and_wants_the_data() {
  # shellcheck disable=SC2086
  run 1 "$BITCYCLE" train $cifar_line --datadir PATH
  is_error
  contains "$err" "PATH"
  lacks "$err" "unknown option"
}

test_cifar_line_trains() {
  make_cifar100 data
  # The options as they are printed; a smaller model and a few steps, so that the test is short.
  run 0 "$BITCYCLE" train --save_folder ./logs --arch cifar100_resnet_8 --workers 4 --dataset cifar100 --datadir data \
    --is_cyclic_precision --cyclic_num_bits_schedule 3 8 --cyclic_num_grad_bits_schedule 8 8 --num_cyclic_period 2 \
    --iters 4 --batch_size 4 --eval_every 4 --set data.test_images=16 --set data.train_images=64 --json
  equal "$(json steps)" 4 steps
  contains "$err" "--workers has no effect"
  [ -f logs/cifar100_resnet_8/metrics.jsonl ] || failed "the run folder is not logs/cifar100_resnet_8"
  grep -q 'cyclic_cosine' logs/cifar100_resnet_8/config.yaml || failed "the schedule is not cyclic"
}

test_imagenet_line_says_that_the_model_is_not_there() {
  run 1 "$BITCYCLE" train --save_folder ./logs --arch resnet34 --warm_up --datadir PATH_TO_IMAGENET \
    --is_cyclic_precision --cyclic_num_bits_schedule 3 8 --cyclic_num_grad_bits_schedule 8 8 --num_cyclic_period 32 \
    --automatic_resume
  is_error
  contains "$err" "resnet34"
  contains "$err" "cifar10_resnet_N"
}

test_unsupported_options_are_refused_by_name() {
  local option
  for option in "--swa_start 100" "--pretrained" "--resume model.pth.tar" "--start_iter 5" "--cmd test"; do
    # shellcheck disable=SC2086
    run 2 "$BITCYCLE" train --arch cifar10_resnet_20 --datadir data $option
    is_error
    contains "$err" "${option%% *}"
  done
}

test_wrong_values_are_errors() {
  run 2 "$BITCYCLE" train --arch cifar10_resnet_20 --datadir data --is_cyclic_precision --cyclic_num_bits_schedule 3
  is_error
  contains "$err" "MIN MAX"
  run 2 "$BITCYCLE" train --arch cifar10_resnet_20 --datadir data --iters many
  is_error
  run 2 "$BITCYCLE" train --arch cifar10_resnet_20 --datadir data --lr_schedule sometimes
  is_error
  run 2 "$BITCYCLE" train --arch cifar10_resnet_20
  is_error
  contains "$err" "--datadir"
  run 2 "$BITCYCLE" train --arch cifar10_resnet_20 --datadir data --cyclic_num_bit_schedule 3 8
  is_error
  contains "$err" "did you mean '--cyclic_num_bits_schedule'?"
  tiny config.yaml
  run 2 "$BITCYCLE" train config.yaml --lr 0.2
  is_error
  contains "$err" "--set"
}
