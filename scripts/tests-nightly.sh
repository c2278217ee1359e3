# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# run_nightly (sourced by ./run-tests --nightly): the long sets one after the other, each a call of ./run-tests. One that
# fails does not stop the next; a table comes last. Exit code: 0 where none failed.

run_nightly() {
  local logs=$root/build-nightly seconds=${fuzz:-60} name start code result failed=0 table=""
  local -a options=() arguments
  mkdir -p "$logs" || die "cannot make the folder $logs"
  options=(--jobs "$jobs")
  for name in asan tsan fuzz clang aarch64; do
    arguments=("--$name" "${options[@]}")
    [ -z "$filter" ] || arguments+=(--filter "$filter")
    # The suite itself runs in the other sets.
    [ "$name" != fuzz ] || arguments=(--fuzz "$seconds" --filter '^fuzz\.' "${options[@]}")
    say "$program: ----- $name: run-tests ${arguments[*]}"
    start=$SECONDS
    # Each part has its own build folder, whatever this call was given.
    env -u BITCYCLE_BUILD_DIR "$root/run-tests" "${arguments[@]}" 2>&1 | tee "$logs/$name.log"
    code=${PIPESTATUS[0]}
    result=$(grep -E '^[0-9]+% tests passed' "$logs/$name.log" | tail -n 1)
    if [ "$code" = 0 ]; then
      result="passed  ${result#*, }"
    else
      failed=$((failed + 1))
      [ -n "$result" ] && [ "${result#100%}" = "$result" ] || result=$(grep -E ': error: ' "$logs/$name.log" | tail -n 1)
      result="FAILED  ${result:-exit code $code}"
    fi
    table+=$(printf '  %-8s %6d s  %s' "$name" "$((SECONDS - start))" "$result")$'\n'
  done
  say "$program: the nightly sets (logs in $logs):"
  printf '%s' "$table" >&2
  [ "$failed" = 0 ] || die "$failed of 5 sets failed"
}
