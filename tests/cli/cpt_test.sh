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
  contains "$err" "--datadir is data.path"
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

imagenet_line="--save_folder ./logs --arch resnet34 --warm_up --is_cyclic_precision --cyclic_num_bits_schedule 3 8
  --cyclic_num_grad_bits_schedule 8 8 --num_cyclic_period 32 --automatic_resume"

test_imagenet_line_parses_and_wants_the_data() {
  # shellcheck disable=SC2086
  run 1 "$BITCYCLE" train $imagenet_line --datadir PATH_TO_IMAGENET
  is_error
  contains "$err" "PATH_TO_IMAGENET"
  # shellcheck disable=SC2086
  run 2 "$BITCYCLE" train $imagenet_line
  contains "$err" "--datadir is missing"
}

# 2 classes of 4 training and 1 test photographs.
make_imagenet() {
  local class i
  for class in n01 n02; do
    mkdir -p "$1/train/$class" "$1/val/$class"
    for i in 0 1 2 3; do cp "$SOURCE/tests/golden/images/imagenet_sample/h2v1.jpg" "$1/train/$class/$i.JPEG"; done
    cp "$SOURCE/tests/golden/images/imagenet_sample/grey.jpg" "$1/val/$class/0.JPEG"
  done
}

test_imagenet_line_trains() {
  make_imagenet imagenet
  # The options as they are printed; a smaller model, small images and few of them.
  run 0 "$BITCYCLE" train --save_folder ./logs --arch resnet18 --warm_up --dataset imagenet --datadir imagenet \
    --workers 3 --is_cyclic_precision --cyclic_num_bits_schedule 3 8 --cyclic_num_grad_bits_schedule 8 8 \
    --num_cyclic_period 2 --automatic_resume --epoch 2 --batch_size 3 --eval_every 5 --lr_schedule linear \
    --set data.image_size=32 --set data.resize=40 --json
  equal "$(json steps)" 6 steps
  contains "$err" "2 epochs of 8 images are 6 steps: 3 of 3 images an epoch"
  contains "$err" "--warm_up has no effect, as in the paper's ImageNet code"
  contains "$err" "--lr_schedule has no effect"
  contains "$err" "--eval_every has no effect"
  contains "$err" "--automatic_resume is what always happens"
  local run=logs/resnet18_num_bit_3_8_grad_bit_8_8_period_2
  equal "$(grep -c '"step"' "$run/metrics.jsonl")" 2 "evaluations, one an epoch"
  grep -q 'workers: 3' "$run/config.yaml" || failed "--workers is not data.workers"
}

test_imagenet_program_has_its_own_arguments() {
  make_imagenet imagenet
  local common="--arch resnet18 --datadir imagenet --cyclic_num_grad_bits_schedule 8 8"
  # Static training is a schedule from 8 to 8; a config that does not fit ends it before a step.
  # shellcheck disable=SC2086
  run 1 "$BITCYCLE" train $common --cyclic_num_bits_schedule 8 8 --is_cyclic_precision --epoch 90 --batch_size 4 \
    --set model.classes=7 --save_folder logs
  contains "$err" "model.classes is 7, data 'imagefolder' has 2 classes"
  contains "$out" "90 epochs of 8 images are 180 steps"
  # shellcheck disable=SC2086
  run 2 "$BITCYCLE" train $common
  contains "$err" "--arch resnet18 needs --cyclic_num_bits_schedule MIN MAX"
  local option
  for option in "--iters 5" "--swa_start 5" "--dataset cifar10" "--start_epoch 3" "--cmd test" "--pretrained"; do
    # shellcheck disable=SC2086
    run 2 "$BITCYCLE" train $common --cyclic_num_bits_schedule 8 8 $option
    is_error
    contains "$err" "${option%% *}"
  done
  # Without --is_cyclic_precision a width to itself is static training, and nothing else is in a folder of that name.
  # shellcheck disable=SC2086
  run 1 "$BITCYCLE" train $common --cyclic_num_bits_schedule 6 6 --epoch 2 --set model.classes=7
  contains "$out" "are static 6/8 bits, with --is_cyclic_precision or without"
  # shellcheck disable=SC2086
  run 2 "$BITCYCLE" train $common --cyclic_num_bits_schedule 3 8
  contains "$err" "--cyclic_num_bits_schedule 3 8 without --is_cyclic_precision trains in float32"
  # shellcheck disable=SC2086
  run 0 "$BITCYCLE" train $common --cyclic_num_bits_schedule 8 8 --num_bits 0 --num_grad_bits 0 --epoch 1 \
    --batch_size 4 --save_folder logs --set data.image_size=32 --set data.resize=40
  contains "$out" "% in float32"
  lacks "$out" "32 bits"
  # The other name of the model, and a packed file.
  run 0 "$BITCYCLE" data imagenet --pack p.pack --resize 40
  # shellcheck disable=SC2086
  run 0 "$BITCYCLE" train --arch imagenet_resnet18 --datadir p.pack --epoch 1 --batch_size 4 --save_folder packed \
    --cyclic_num_bits_schedule 8 8 --cyclic_num_grad_bits_schedule 8 8 --set data.image_size=32 --set data.resize=40
  [ -d packed/resnet18_num_bit_8_8_grad_bit_8_8_period_32 ] || failed "the folder has another name: $(ls packed)"
  # shellcheck disable=SC2086
  run 2 "$BITCYCLE" train $common --cyclic_num_bits_schedule 8 8 --workers -3
  contains "$err" "--workers is -3"
  # shellcheck disable=SC2086
  run 2 "$BITCYCLE" train $common --cyclic_num_bits_schedule 3 8 9
  contains "$err" "--cyclic_num_bits_schedule takes two widths, MIN MAX, and 3 stand there: 3 8 9"
  run 1 "$BITCYCLE" train --arch resnet101 --datadir imagenet --epoch 3
  contains "$err" "--arch resnet101: there is no such model"
  [ -d logs/resnet18_num_bit_0_0_grad_bit_0_0_period_32 ] || failed "the folder has another name: $(ls logs)"
  run 2 "$BITCYCLE" train --arch cifar10_resnet_20 --datadir data --epoch 3
  contains "$err" "--epoch belongs to the paper's ImageNet code"
}

test_step_ratio_is_the_floor_of_the_cosine() {
  make_cifar100 data
  run 0 "$BITCYCLE" train --arch cifar100_resnet_8 --dataset cifar100 --datadir data --iters 4 --batch_size 4 \
    --lr_schedule anneal_cosine --step_ratio 0.5 --set data.test_images=16 --set data.train_images=64
  grep -q 'factor: 0.5' save_checkpoints/cifar100_resnet_8/config.yaml || failed "step_ratio is not the factor"
}

test_averaged_weights_of_the_published_code() {
  make_cifar100 data
  local common="--arch cifar100_resnet_8 --dataset cifar100 --datadir data --iters 4 --batch_size 4 --eval_every 2"
  # shellcheck disable=SC2086
  run 0 "$BITCYCLE" train $common --swa_start 0 --swa_freq 2 --num_bits 8 --num_grad_bits 8 \
    --set data.test_images=16 --set data.train_images=64
  contains "$out" "averaged weights"
  contains "$out" "the mean of those after 2 steps"
  grep -q '"swa_models":2' save_checkpoints/cifar100_resnet_8/metrics.jsonl || failed "no second average"
  # shellcheck disable=SC2086
  run 1 "$BITCYCLE" train $common --swa_start 2 --swa_freq 3
  contains "$err" "--swa_freq 3: swa.freq is 3, and train.evaluate_every is 2"
  contains "$err" "of the paper's options --swa_freq is swa.freq, --eval_every is train.evaluate_every"
  # shellcheck disable=SC2086
  run 1 "$BITCYCLE" train $common --swa_freq 3 --set data.train_images=5000000
  contains "$out$err" "--swa_freq has no effect without --swa_start"
}

test_unsupported_options_are_refused_by_name() {
  local option
  for option in "--pretrained" "--resume model.pth.tar" "--start_iter 5" "--cmd test"; do
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
  mkdir photographs
  run 2 "$BITCYCLE" train --arch resnet18 --datadir photographs --epoch 999999999999 \
    --is_cyclic_precision --cyclic_num_bits_schedule 4 8 --cyclic_num_grad_bits_schedule 8 8
  is_error
  contains "$err" "--epoch is 999999999999: 1 to 100000 are possible"
  tiny config.yaml
  run 2 "$BITCYCLE" train config.yaml --lr 0.2
  is_error
  contains "$err" "--set"
}
