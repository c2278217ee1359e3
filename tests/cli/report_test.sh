# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# report: one page that needs nothing else; opened in a real browser where one is installed.

runs() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --out a --quiet
  run 0 "$BITCYCLE" train config.yaml --set train.seed=4 --out b --quiet
  run 0 "$BITCYCLE" train config.yaml --set precision.forward.schedule=constant --set name=static --out c --quiet
}

test_a_training_leaves_a_report_of_its_own() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --out a --quiet
  contains "$out" "a/report.html"
  contains "$(head -c 300 a/report.html)" "<!DOCTYPE html>"
}

test_the_page_loads_nothing_from_elsewhere() {
  runs
  run 0 "$BITCYCLE" report a b c --out page.html --json
  equal "$(json experiments)" 2 "experiments"
  if grep -oE '<(script|link|img|iframe)[^>]*(src|href)=' page.html; then failed "the page refers to another file"; fi
}

test_a_browser_draws_every_plot_without_an_error() {
  local browser
  browser=$(command -v chromium || command -v chromium-browser || true)
  if [ -z "$browser" ]; then
    echo "SKIPPED: chromium is not installed, so the page was not opened"
    return
  fi
  runs
  run 0 "$BITCYCLE" report a b c --out page.html
  # A name that would end the page's script element stays text.
  run 0 "$BITCYCLE" train config.yaml --set 'name=<!--<script>' --out d --quiet
  run 0 "$BITCYCLE" report d --out odd.html
  local page
  for page in page.html odd.html; do
    run 0 timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$PWD/profile" \
      --enable-logging=stderr --virtual-time-budget=10000 --dump-dom "file://$PWD/$page"
    contains "$out" 'data-plots="8"'
    lacks "$out" 'data-errors'
    lacks "$err" 'CONSOLE'
    run 0 timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$PWD/profile" \
      --virtual-time-budget=10000 --window-size=1000,3000 --screenshot="$PWD/shot.png" "file://$PWD/$page"
    # A page of plots does not compress to the size of an empty one.
    [ "$(stat -c %s shot.png)" -gt 60000 ] || failed "the screenshot of $page is nearly empty"
  done
}

test_bad_input_is_one_clear_error() {
  run 2 "$BITCYCLE" report
  run 1 "$BITCYCLE" report missing
  is_error
  mkdir empty
  run 1 "$BITCYCLE" report empty
  contains "$err" "not a run folder"
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --out a --quiet
  run 1 "$BITCYCLE" report a --accelerator nothing
  is_error
  run 1 "$BITCYCLE" report a --out /nowhere/page.html
  is_error
  echo nonsense >>a/steps.csv
  run 1 "$BITCYCLE" report a
  is_error
}
