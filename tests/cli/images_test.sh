# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Image folders from outside: what is in them, packs, trainings over them, and files that cannot be read.

# make_images FOLDER: 2 classes of 8 training and 3 test photographs, links of small JPEG files.
make_images() {
  local class part i
  local -a files=("$SOURCE"/tests/golden/images/imagenet_sample/*.jpg)
  for class in cat dog; do
    for part in train val; do
      mkdir -p "$1/$part/$class"
      for i in 0 1 2 3 4 5 6 7; do
        if [ "$part" = train ] || [ "$i" -lt 3 ]; then
          cp "${files[$(((i + ${#class} * i) % ${#files[@]}))]}" "$1/$part/$class/$i.jpg"
        fi
      done
    done
  done
}

# A training of a second over it: image_config FILE DATA [STEPS].
image_config() {
  cat >"$1" <<END
model: {name: resnet8, classes: 2}
data: {name: imagefolder, path: $2, image_size: 32, resize: 40}
train: {steps: ${3:-8}, batch: 4, seed: 3, evaluate_every: 4, checkpoint_every: 4, log_every: 1}
precision:
  forward: {schedule: cyclic_cosine, min: 3, max: 8, cycles: 2}
  gradient: {schedule: constant, max: 8}
digest: {every: 1}
END
}

test_a_folder_is_counted_and_what_is_broken_is_listed() {
  make_images images
  run 0 "$BITCYCLE" data images
  contains "$out" "image folder of 2 classes, read by libjpeg-turbo"
  contains "$out" "16 images"
  contains "$out" "No problem was found."
  head -c 900 images/train/cat/3.jpg >short.jpg
  mv short.jpg images/train/cat/3.jpg
  printf '\211PNG\r\n\032\n' >images/val/dog/1.jpg
  run 1 "$BITCYCLE" data images --json
  contains "$out" "images/train/cat/3.jpg' cannot be read: it is cut off"
  contains "$out" "images/val/dog/1.jpg' cannot be read: it is a PNG file"
  contains "$out" '"images": 16,'
  cp images/train/dog/1.jpg images/train/loose.jpg
  touch images/train/cat/notes.txt images/train/cat/more.txt
  run 1 "$BITCYCLE" data images
  contains "$out$err" "images/train: 1 JPEG file lies beside the class folders and is left out"
  contains "$out$err" "cat/more.txt, cat/notes.txt are left out: only files named .jpg"
  rm -r images/val/dog
  run 1 "$BITCYCLE" data images
  is_error
  contains "$err" "lacks class folders that train/ has: dog"
}

test_training_over_a_folder_resumes_to_the_same_bits_whatever_reads() {
  make_images images
  image_config config.yaml images
  run 0 "$BITCYCLE" train config.yaml --out whole --json
  local whole
  whole=$(json digest)
  run 0 "$BITCYCLE" train config.yaml --out other --set data.workers=5 --threads 1 --isa portable --json
  equal "$(json digest)" "$whole" "digests of other kernels and other workers"
  # An image in the middle that cannot be read: the run is saved, and goes on when the file is back.
  mkdir kept
  mv images/train/dog/?.jpg kept/
  local file
  for file in kept/?.jpg; do head -c 400 "$file" >"images/train/dog/${file#kept/}"; done
  truncate -r kept/0.jpg images/train/dog/0.jpg
  for file in kept/?.jpg; do truncate -r "$file" "images/train/dog/${file#kept/}"; done
  run 1 "$BITCYCLE" train config.yaml --out broken
  is_error
  contains "$err" "cannot be read"
  contains "$err" "images/train/dog/"
  contains "$err" "The run is saved at step"
  mv kept/?.jpg images/train/dog/
  run 0 "$BITCYCLE" train config.yaml --out broken --json
  equal "$(json digest)" "$whole" "digests of the run that was stopped"
  # Another file under its name is another set.
  cp images/train/cat/1.jpg images/train/cat/0.jpg
  local -a constant=(--set precision.forward.schedule=constant --set learning_rate.schedule=constant)
  run 0 "$BITCYCLE" train config.yaml --out stopped "${constant[@]}" --set train.steps=4 --json
  cp images/train/cat/2.jpg images/train/cat/0.jpg
  run 1 "$BITCYCLE" train config.yaml --out stopped "${constant[@]}"
  is_error
  contains "$err" "are not those that stopped was trained on"
}

test_a_broken_picture_of_val_loses_no_step() {
  make_images images
  image_config config.yaml images
  local -a options=(--set train.evaluate_every=3 --set train.checkpoint_every=8 --set learning_rate.schedule=plateau
    --set precision.forward.schedule=constant --set swa.start=3 --set swa.freq=3)
  run 0 "$BITCYCLE" train config.yaml --out whole --json "${options[@]}"
  local whole
  whole=$(json digest)
  # The evaluation of step 3 meets a file that is cut off: the steps before it are saved, and it comes first later.
  mv images/val/dog/1.jpg kept.jpg
  head -c 400 kept.jpg >images/val/dog/1.jpg
  truncate -r kept.jpg images/val/dog/1.jpg
  local try
  for try in 1 2; do
    run 1 "$BITCYCLE" train config.yaml --out broken "${options[@]}"
    is_error
    contains "$err" "images/val/dog/1.jpg"
    contains "$err" "The run is saved at step 3"
    contains "$err" "mend it and start again with --restart: it is another set"
    equal "$(ls broken/checkpoints)" step-00000003.safetensors "checkpoints at try $try"
  done
  [ ! -s broken/metrics.jsonl ] || ! grep -q '"step"' broken/metrics.jsonl || failed "an evaluation was recorded"
  # What waits for its evaluation is whole.
  run 0 "$BITCYCLE" cost broken
  mv kept.jpg images/val/dog/1.jpg
  run 0 "$BITCYCLE" train config.yaml --out broken --json "${options[@]}"
  contains "$err" "resumed at step 3 of 8"
  equal "$(json digest)" "$whole" "digests of the run that was stopped"
  local file
  for file in steps.csv widths.csv digests.jsonl cost.csv; do
    cmp "whole/$file" "broken/$file" || failed "$file differs"
  done
  equal "$(grep -o '"step":[0-9]*.*"digest":"[0-9a-f]*"' broken/metrics.jsonl)" \
    "$(grep -o '"step":[0-9]*.*"digest":"[0-9a-f]*"' whole/metrics.jsonl)" "evaluations"
  equal "$(grep -o '"swa_models.*"swa_digest":"[0-9a-f]*"' broken/metrics.jsonl)" \
    "$(grep -o '"swa_models.*"swa_digest":"[0-9a-f]*"' whole/metrics.jsonl)" "averages"
}

test_networks_of_imagenet_with_integers_everywhere() {
  make_images images
  image_config config.yaml images
  local -a network=(--set model.name=imagenet_resnet18 --set train.batch=2)
  local -a integers=(--set model.first_layer=quantised --set model.projections=quantised)
  run 1 "$BITCYCLE" train config.yaml "${network[@]}" --set 'precision.layers=[{match: conv1, forward: 8}]'
  is_error
  contains "$err" "the pattern 'conv1' matches no quantised layer of"
  contains "$err" "conv1 is float32 whatever the schedule says. model.first_layer=quantised"
  local device
  for device in cpu cuda-on-host; do
    run 0 "$BITCYCLE" verify config.yaml --device $device --against reference --steps 1 "${network[@]}" "${integers[@]}"
  done
  # Strided 7x7 and 1x1 products of codes, priced by the schedule's widths.
  run 0 "$BITCYCLE" program config.yaml "${network[@]}" "${integers[@]}"
  contains "$out" "group2_layer0.downsample.0"
  local paper other
  run 0 "$BITCYCLE" cost config.yaml "${network[@]}" --json
  paper=$(json executed_gbitops)
  run 0 "$BITCYCLE" cost config.yaml "${network[@]}" "${integers[@]}" --json
  other=$(json executed_gbitops)
  [ "$paper" != "$other" ] || failed "integers in place of float32 cost the same: $paper"
  run 1 "$BITCYCLE" train config.yaml "${network[@]}" --set model.first_layer=int8
  contains "$err" "published, quantised, float32"
}

test_a_pack_gives_the_folders_evaluation_and_its_own_identity() {
  make_images images
  run 0 "$BITCYCLE" data images --pack set.pack --resize 40 --threads 2 --json
  local digest
  digest=$(json checksum)
  run 0 "$BITCYCLE" data set.pack
  contains "$out" "pack of 2 classes, short side 40, digest $digest"
  contains "$out" "No problem was found."
  image_config config.yaml images 4
  run 0 "$BITCYCLE" train config.yaml --out folder --json
  local loss
  loss=$("$BITCYCLE" eval folder --json 2>/dev/null | "$JSON_GET" test_loss)
  equal "$("$BITCYCLE" eval folder --set data.path=set.pack --json 2>/dev/null | "$JSON_GET" test_loss)" "$loss" \
    "losses of folder and pack"
  run 0 "$BITCYCLE" train config.yaml --out packed --set data.path=set.pack --json
  run 1 "$BITCYCLE" train config.yaml --out wrong --set data.path=set.pack --set data.resize=48
  is_error
  contains "$err" "have a short side of 40"
  # A byte of a picture is another one.
  printf 'xxxx' | dd of=set.pack bs=1 seek=100 conv=notrunc status=none
  run 1 "$BITCYCLE" data set.pack
  contains "$out" "is not what was packed"
  head -c 5000 set.pack >short.pack
  run 1 "$BITCYCLE" data short.pack
  is_error
  contains "$err" "it is cut off"
}

test_a_pack_replaces_a_pack_and_nothing_else() {
  make_images images
  echo mine >notes.txt
  local other
  for other in notes.txt images/train/cat/1.jpg; do
    cp "$other" before
    run 1 "$BITCYCLE" data images --pack "$other" --resize 40
    is_error
    contains "$err" "'$other' exists and is no pack; name a new file"
    cmp -s "$other" before || failed "$other was touched"
  done
  run 0 "$BITCYCLE" data images --pack set.pack --resize 40
  run 0 "$BITCYCLE" data images --pack set.pack --resize 48
  contains "$out" "short side 48"
  run 2 "$BITCYCLE" data images --pack big.pack --resize 99999
  contains "$err" "--resize is 99999: at most 4096"
  run 2 "$BITCYCLE" data images --resize 40
  contains "$err" "--resize goes with --pack"
  # A file that may not grow is an error with a message, and leaves nothing.
  # shellcheck disable=SC2016  # the inner shell expands it
  run 1 bash -c 'ulimit -f 4; exec "$0" data images --pack limited.pack --resize 200' "$BITCYCLE"
  is_error
  contains "$err" "file-size limit"
  [ -z "$(ls ./*limited* 2>/dev/null)" ] || failed "a part of a pack is left: $(ls ./*limited*)"
  # What a killed process left goes with the next pack of that name; other files stay.
  local gone
  gone=$(bash -c 'echo $$')
  touch "set.pack.tmp$gone" "other.pack.tmp$gone"
  run 0 "$BITCYCLE" data images --pack set.pack --resize 40
  [ ! -e "set.pack.tmp$gone" ] || failed "a temporary file of a killed process stays"
  [ -e "other.pack.tmp$gone" ] || failed "another file was removed"
}

test_sets_and_models_that_do_not_fit_are_refused() {
  make_images images
  image_config config.yaml images
  run 1 "$BITCYCLE" train config.yaml --set data.image_size=48
  contains "$err" "data.image_size is 48, and data.resize is 40"
  run 1 "$BITCYCLE" train config.yaml --set data.image_size=36
  contains "$err" "set data.image_size to 32"
  run 1 "$BITCYCLE" train config.yaml --set model.classes=3
  contains "$err" "model.classes is 3, data 'imagefolder' has 2 classes"
  run 1 "$BITCYCLE" train config.yaml --set 'data.mean=[0.5]'
  contains "$err" "data.mean has 1 numbers"
  run 1 "$BITCYCLE" train config.yaml --set 'data.mean=[123.7, 116.3, 103.5]'
  contains "$err" "data.mean holds 123.7: it is the mean of pixel / 255, so 0 to 1"
  run 1 "$BITCYCLE" train config.yaml --set 'data.deviation=[1e-30, 1, 1]'
  contains "$err" "data.deviation holds 1e-30"
  run 1 "$BITCYCLE" train config.yaml --set data.path=nowhere
  contains "$err" "is no folder and no pack"
  [ ! -e runs ] || failed "a refused run left a folder"
}
