# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# report: one page that needs nothing else; opened in a real browser where one is installed.

train() { run 0 "$BITCYCLE" train config.yaml --out "$@" --quiet; }

test_the_page_loads_nothing_and_reads_as_tables_without_scripts() {
  tiny config.yaml
  train a
  contains "$out" "a/report.html"
  train b --set train.seed=4
  train c --set precision.forward.schedule=constant --set name=static
  run 0 "$BITCYCLE" report a b c --out page.html --json
  equal "$(json experiments)" 2 "experiments"
  contains "$(head -c 300 page.html)" "<!DOCTYPE html>"
  if grep -oE '<(script|link|img|iframe)[^>]*(src|href)=' page.html; then failed "the page refers to another file"; fi
  local words
  words=$(sed '/<script>/,$d; s/<style.*<\/style>//' page.html)
  contains "$words" '<td class=t>c<'
  contains "$words" "86.01122816"  # GBitOPs, exact
  contains "$words" "12.5"         # the last accuracy
  # One run: a sentence with three significant digits.
  run 0 "$BITCYCLE" report a
  contains "$(cat a/report.html)" "took 86.0 GBitOPs by the metric paper"
}

test_a_run_given_twice_is_said_and_is_not_two_seeds() {
  tiny config.yaml
  train a
  cp -r a copy
  run 0 "$BITCYCLE" report a ./a copy --out page.html --json
  equal "$(json runs)" 1 "runs"
  contains "$err" "'./a' and 'a' are the same run"
  contains "$err" "'copy' and 'a' are the same run"
  contains "$(cat page.html)" "are the same run (the same config, seed and digest)"
}

test_unfinished_and_unevaluated_runs_are_marked() {
  tiny config.yaml 8
  train whole
  # As a kill leaves it: four steps and no evaluation.
  train part --set train.seed=5 --set train.checkpoint_every=3 --set train.evaluate_every=8
  rm part/summary.json part/checkpoints/*{6,8}.*
  : >part/metrics.jsonl
  sed -i 6,\$d part/steps.csv
  head -4 part/digests.jsonl >d && mv d part/digests.jsonl
  run 0 "$BITCYCLE" report whole part --out page.html --json
  equal "$(json experiments)" 2 "experiments"
  contains "$err" "Unfinished: part (4 of 8 planned steps)"
  contains "$err" "Not evaluated yet, so without an accuracy: part."
  local row
  row=$(grep '^<tr><td class=t>part<td class=t>synthetic' page.html)
  contains "$row" "<td class=t>unfinished<td>4<td>8<td>–<td>–"
  run 0 "$BITCYCLE" cost part --json
  equal "$(json steps)" 4 "steps that are priced: those that ran, not those of the newest checkpoint"
  lacks "$row" ">yes"
}

test_a_report_overwrites_nothing_but_reports() {
  tiny config.yaml
  train a
  local before
  before=$(cat a/metrics.jsonl a/config.yaml)
  for name in metrics.jsonl config.yaml steps.csv checkpoints/step-00000008.safetensors; do
    run 1 "$BITCYCLE" report a --out "a/$name"
    is_error
    contains "$err" "'a/$name' exists and is not a report of bitcycle"
  done
  equal "$(cat a/metrics.jsonl a/config.yaml)" "$before" "the records"
  # A name that a run folder reads, although nothing bears it yet: an unfinished run would look finished.
  rm a/summary.json
  run 1 "$BITCYCLE" report a --out a/summary.json
  contains "$err" "only files ending in .html"
  [ ! -e a/summary.json ] || failed "summary.json was written"
  echo "notes of mine" >notes.html
  run 1 "$BITCYCLE" report a --out notes.html
  contains "$err" "not a report of bitcycle"
  equal "$(cat notes.html)" "notes of mine" "the file"
  run 0 "$BITCYCLE" report a
  run 0 "$BITCYCLE" report a --out a/other.html
}

# Labels, console, colours of the reader's scheme, print, tables, pictures: page_check.py says what is looked at.
test_a_browser_shows_every_page_as_it_should_be() {
  local browser
  browser=$(command -v chromium || command -v chromium-browser || true)
  if [ -z "$browser" ] || ! command -v python3 >/dev/null; then
    echo "SKIPPED: chromium or python3 is not installed, so the page was not opened"
    return
  fi
  tiny config.yaml
  train cpt-s1
  train cpt-s2 --set train.seed=4
  train a-run-folder-with-quite-a-long-name-of-eight-bits --set precision.forward.schedule=constant
  train deep --set model.name=resnet74 --set train.steps=2 --set train.batch=2 --set train.evaluate_every=2
  # A name that would end the page's script element stays text.
  train '<!--<script>' --set data.train_images=128
  run 0 "$BITCYCLE" report cpt-s1 cpt-s2 a-run* deep '<!--<script>' --out page.html
  run 0 timeout 100 python3 "$SOURCE/tests/cli/page_check.py" "$browser" page.html deep/report.html
}

test_bad_input_is_one_clear_error() {
  run 2 "$BITCYCLE" report
  run 1 "$BITCYCLE" report missing
  is_error
  mkdir empty
  run 1 "$BITCYCLE" report empty
  contains "$err" "not a run folder"
  tiny config.yaml
  train a
  mkdir around
  cp -r a around/a
  run 1 "$BITCYCLE" report around
  contains "$err" "'around' is not a run folder: it has no config.yaml; 'around/a', which is in it, is one"
  run 1 "$BITCYCLE" report a --accelerator nothing
  is_error
  run 1 "$BITCYCLE" report a --out /nowhere/page.html
  is_error
  # Records that cannot be true, where no checksums say so: each is one message that names the file and the record.
  rm a/summary.json
  sed -i 's/,checksum$//; s/,[0-9a-f]\{16\}$//' a/steps.csv
  sed -i 's/,"checksum":"[0-9a-f]*"}$/}/' a/metrics.jsonl a/digests.jsonl
  run 0 "$BITCYCLE" report a --out page.html
  contains "$err" "the records of 'a' carry no checksums"
  damaged() {  # FILE EXPRESSION MESSAGE
    cp -r a damaged
    sed -i "$2" "damaged/$1"
    run 1 "$BITCYCLE" report damaged --out page.html
    is_error
    contains "$err" "damaged/$1"
    contains "$err" "$3"
    rm -r damaged
  }
  damaged steps.csv '4s|.*|nonsense|' "steps.csv:4' is damaged"
  damaged steps.csv '3s/,[^,]*,\([^,]*\)$/,nan,\1/' "step 1: the loss is not a finite number"
  damaged steps.csv '4s/^2,/0,/' "steps.csv:4' is of step 0, and the line before it of step 1"
  damaged steps.csv '4s/,8,/,77,/' "77 bits"
  damaged metrics.jsonl '2s/"test_accuracy":[^,]*/"test_accuracy":250/' "evaluation after step 8: an accuracy is not between 0 and 100"
  damaged metrics.jsonl '1s/"step":4/"step":40/' "metrics.jsonl:1' is of step 40: that of step 4 is missing"
}
