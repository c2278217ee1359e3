# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# The digests that shipped configs must end with: one file, the README, and what is computed here.

record="$SOURCE/configs/expected_digests.json"

# Lines "config digest set...", from the record.
entries() {
  local i=0 config digest set
  while config=$("$JSON_GET" "$i/config" <"$record" 2>/dev/null); do
    digest=$("$JSON_GET" "$i/digest" <"$record")
    set=$("$JSON_GET" "$i/set" <"$record" | tr -d '[]"' | tr ',' ' ')
    printf '%s %s %s\n' "$config" "$digest" "$set"
    i=$((i + 1))
  done
}

test_readme_shows_the_recorded_digest() {
  local config digest set count=0
  while read -r config digest set; do
    [ -f "$SOURCE/configs/$config" ] || failed "configs/$config is not there"
    equal "${#digest}" 32 "length of the digest of $config $set"
    if [ -z "$set" ]; then
      grep -qF "$digest" "$SOURCE/README.md" || failed "README does not show $digest of $config"
      count=$((count + 1))
    fi
  done < <(entries)
  equal "$count" 1 "configs whose whole run is recorded"
}

test_a_short_quickstart_ends_with_the_recorded_digest() {
  local config digest set item options=()
  while read -r config digest set; do
    [ -n "$set" ] || continue
    for item in $set; do options+=(--set "$item"); done
    run 0 "$BITCYCLE" train "$SOURCE/configs/$config" "${options[@]}" --out run
    contains "$out" "$digest  equal"
    return
  done < <(entries)
  failed "no short run is recorded"
}

test_another_digest_than_the_recorded_one_is_an_error() {
  mkdir configs
  tiny configs/small.yaml 2
  printf '[{"config": "small.yaml", "set": [], "digest": "%s"}]\n' 0123456789abcdef0123456789abcdef \
    >configs/expected_digests.json
  run 3 "$BITCYCLE" train configs/small.yaml --out a
  is_error
  contains "$out" "DIFFERENT"
  # A changed config has no recorded digest.
  run 0 "$BITCYCLE" train configs/small.yaml --out b --set train.seed=9
  lacks "$out" "expected"
  echo '{' >configs/expected_digests.json
  run 1 "$BITCYCLE" train configs/small.yaml --out c
  is_error
  contains "$err" "expected_digests.json"
}
