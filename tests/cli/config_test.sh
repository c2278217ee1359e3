# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Bad configs and bad paths: one clear message, exit code 1, nothing made.

test_mistyped_key_names_the_nearest() {
  tiny config.yaml
  sed -i 's/evaluate_every/evaluate_evry/' config.yaml
  run 1 "$BITCYCLE" train config.yaml
  is_error
  contains "$err" "evaluate_evry"
  contains "$err" "evaluate_every"
  contains "$err" "config.yaml"
  [ ! -e runs ] || failed "a run folder was made"
}

test_mistyped_set_key_names_the_nearest() {
  tiny config.yaml
  run 1 "$BITCYCLE" train config.yaml --set precision.forwrad.max=6
  is_error
  contains "$err" "precision.forward.max"
}

test_impossible_widths_are_refused() {
  tiny config.yaml
  local width
  for width in 0 1 33 -4 2.5 eight; do
    run 1 "$BITCYCLE" train config.yaml --set "precision.forward.max=$width"
    is_error
    contains "$err" "$width"
  done
  run 1 "$BITCYCLE" schedule config.yaml --set precision.forward.min=9
  is_error
}

test_missing_config_names_the_nearest_file() {
  tiny config.yaml
  run 1 "$BITCYCLE" train confg.yaml
  is_error
  contains "$err" "did you mean 'config.yaml'?"
  mkdir folder
  run 1 "$BITCYCLE" train folder
  is_error
  contains "$err" "folder"
}

test_broken_yaml_names_the_line() {
  printf 'train: {steps: 4\nmodel: [\n' >config.yaml
  run 1 "$BITCYCLE" train config.yaml
  is_error
  contains "$err" "config.yaml"
}

test_a_config_without_keys_is_no_training() {
  : >empty.yaml
  printf '# only words\n' >comment.yaml
  echo null >null.yaml
  echo '{}' >braces.yaml
  local file
  for file in empty comment null braces; do
    run 1 "$BITCYCLE" cost $file.yaml
    is_error
    contains "$err" "$file.yaml"
    contains "$err" "holds no key"
  done
  run 1 "$BITCYCLE" train /dev/zero
  is_error
  contains "$err" "is a device"
  tiny config.yaml
  cat config.yaml <(printf -- '---\nname: second\n') >two.yaml
  run 1 "$BITCYCLE" schedule two.yaml
  is_error
  contains "$err" "a second YAML document"
  printf 'train: {steps: 4}\n\0\0' >zeros.yaml
  run 1 "$BITCYCLE" schedule zeros.yaml
  is_error
  [ ! -e runs ] || failed "a run folder was made"
  # A pipe is read like a file, and only once.
  run 0 bash -c "'$BITCYCLE' schedule <(cat config.yaml)"
  run 0 bash -c "cat config.yaml | '$BITCYCLE' cost /dev/stdin"
  run 0 bash -c "'$BITCYCLE' cost <(cat config.yaml) --precision static-4"
  contains "$out" "static-4"
  run 0 bash -c "'$BITCYCLE' train <(cat config.yaml) --set train.steps=2 --set train.seed=9 --out piped --quiet"
  # The kind of other files is known by their ending only.
  printf 'Layer, M, N, K\na, 8, 8, 8\n' >layers.txt
  for file in layers.txt /dev/stdin; do
    run 1 bash -c "cat layers.txt | '$BITCYCLE' cost $file"
    is_error
    contains "$err" "layers are read from a file whose name ends in .csv or .onnx"
  done
}

test_nesting_without_end_is_named_with_its_place() {
  printf 'name: a\nmodel: %s\n' "$(printf '[%.0s' {1..3000})" >deep.yaml
  run 1 "$BITCYCLE" cost deep.yaml
  is_error
  contains "$err" "deep.yaml:2:"
  contains "$err" "lists begin inside one another"
  run 1 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --accelerator ./deep.yaml
  is_error
  contains "$err" "deep.yaml:2: hundreds of sections or lists"
  run 1 "$BITCYCLE" cost "$SOURCE/configs/quickstart.yaml" --set "precision.layers=$(printf '[%.0s' {1..3000})"
  is_error
  contains "$err" "--set precision.layers: hundreds of sections or lists"
  [ "${#err}" -lt 400 ] || failed "the message repeats the value"
}

test_unknown_model_lists_the_known() {
  tiny config.yaml
  run 1 "$BITCYCLE" cost config.yaml --set model.name=resnet19
  is_error
  contains "$err" "resnet20"
}

test_missing_data_says_where_to_get_it() {
  tiny config.yaml
  run 1 "$BITCYCLE" train config.yaml --set data.name=cifar10 --set data.path=nowhere
  is_error
  contains "$err" "nowhere"
  run 1 "$BITCYCLE" data nowhere
  is_error
  mkdir empty
  run 1 "$BITCYCLE" data empty
  is_error
  contains "$err" "bitcycle data --help"
}

test_a_truncated_data_file_is_refused() {
  mkdir set
  local name
  for name in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    head -c 4000 /dev/zero >"set/$name.bin"
  done
  run 1 "$BITCYCLE" data set
  is_error
  contains "$err" "data_batch_1.bin"
}

test_run_folders_are_checked() {
  run 1 "$BITCYCLE" eval nowhere
  is_error
  mkdir folder
  run 1 "$BITCYCLE" eval folder
  is_error
  contains "$err" "folder"
  run 1 "$BITCYCLE" verify folder folder
  is_error
}

test_values_with_commas_arrive_whole() {
  tiny config.yaml
  run 0 "$BITCYCLE" schedule config.yaml --set 'learning_rate.points=[0.25, 0.5]' --json
}
