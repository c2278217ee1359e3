# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# `export`: the files, their README, the accuracy that it names, and what it refuses.

test_files_readme_and_the_accuracy_of_eval() {
  tiny config.yaml 4
  run 0 "$BITCYCLE" train config.yaml --out run
  run 0 "$BITCYCLE" eval run --bits 4 --json
  local accuracy
  accuracy=$(json test_accuracy)
  run 0 "$BITCYCLE" export run --bits 4 --samples 2 --json
  equal "$(json test_accuracy)" "$accuracy" "accuracy of eval and export"
  equal "$(json bits)" 4 bits
  contains "$out" '"bits": 4,'  # a number
  equal "$(json step)" 4 step
  local file
  for file in weights.safetensors model.onnx samples/pixels.npy samples/labels.npy samples/logits.npy README.md; do
    [ -s "run/export/$file" ] || failed "run/export/$file is not there"
  done
  contains "$(cat run/export/README.md)" "Bits of weights and activations: 4."
  contains "$(cat run/export/README.md)" "onnxruntime.InferenceSession"
  run 0 "$BITCYCLE" export run --no-onnx --bits 16 --samples 0 --out codes
  [ -e codes/model.onnx ] && failed "model.onnx was written"
  [ -e codes/samples ] && failed "samples were written"
  lacks "$(cat codes/README.md)" "onnx"
  contains "$out" "codes/weights.safetensors"
}

test_another_export_replaces_the_set_as_a_whole() {
  tiny config.yaml 2
  run 0 "$BITCYCLE" train config.yaml --out first
  run 0 "$BITCYCLE" train config.yaml --set train.seed=4 --out second
  run 0 "$BITCYCLE" export first --out x --bits 8 --samples 2
  [ "$(wc -l <x/README.md)" -le 10 ] || failed "README.md has $(wc -l <x/README.md) lines"
  contains "$(head -1 x/README.md)" "from the run first at step 2"
  contains "$(head -1 x/README.md)" "exported by bitcycle"
  grep -q onnxruntime x/README.md || failed "no example of reading"
  echo mine >x/notes.txt
  run 0 "$BITCYCLE" export second --out x --bits 8 --no-onnx --samples 0
  equal "$(cd x && ls)" "README.md
notes.txt
weights.safetensors" "files"
  contains "$(head -1 x/README.md)" "from the run second at step 2"
  # An export that was interrupted says so, and can be made again.
  run 0 "$BITCYCLE" export first --out x --bits 8 --samples 2
  rm -r x/samples && : >x/samples
  run 1 "$BITCYCLE" export second --out x --bits 8 --samples 2
  is_error
  contains "$(cat x/README.md)" "it was interrupted"
  rm x/samples
  run 0 "$BITCYCLE" export second --out x --bits 8 --samples 2
  contains "$(head -1 x/README.md)" "from the run second"
}

test_what_cannot_be_exported_is_refused() {
  tiny config.yaml 2
  run 0 "$BITCYCLE" train config.yaml --out run
  run 1 "$BITCYCLE" export run --bits 12 --out x
  is_error
  contains "$err" "choose --bits 2 to 8, or --no-onnx"
  [ -e x ] && failed "a folder was left"
  run 1 "$BITCYCLE" export config.yaml
  is_error
  contains "$err" "the folder of a run is needed"
  run 1 "$BITCYCLE" export run --checkpoint 77
  is_error
  contains "$err" "checkpoint of step 77"
  run 2 "$BITCYCLE" export run --bits 40
  is_error
}

test_the_exported_model_costs_what_the_run_costs() {
  tiny config.yaml 2
  run 0 "$BITCYCLE" train config.yaml --set model.name=resnet20 --set train.batch=4 --out run
  run 0 "$BITCYCLE" export run --samples 0 --bits 8
  run 0 "$BITCYCLE" cost run --json
  local macs layers
  macs=$(json macs_per_image) layers=$(json layers | grep -o '"layer"' | wc -l)
  run 0 "$BITCYCLE" cost run/export/model.onnx --schedule run --json
  equal "$(json macs_per_image)" "$macs" "MACs of an image"
  equal "$(json layers | grep -o '"layer"' | wc -l)" "$layers" "layers"
  run 0 "$BITCYCLE" cost run/export/model.onnx --precision static-8
  contains "$out" "Not counted: 21 integer products with weights that are all 1"
}
