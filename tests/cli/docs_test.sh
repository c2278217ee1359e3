# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# The commands of the documentation work as they stand: every block that is marked `sh` runs in an empty folder that has
# what a clone has. The blocks of a page run one after the other, as a reader runs them.

# page NAME LEAST: runs the commands of a page, of which at least LEAST must call the program.
page() {
  local part count
  for part in configs tests; do ln -s "$SOURCE/$part" "$part"; done
  [ -e bitcycle ] || ln -s "$BITCYCLE" bitcycle
  awk '/^```/ { inside = ($0 == "```sh"); next } inside' "$SOURCE/$1" >commands.sh
  count=$(grep -c '\./bitcycle ' commands.sh)
  [ "$count" -ge "$2" ] || failed "$1 calls bitcycle $count times, expected $2 or more"
  run 0 bash -exuo pipefail commands.sh
  # A warning would surprise the reader of the page.
  lacks "$err" "bitcycle: error: "
  lacks "$err" "bitcycle: warning: "
}

test_commands_for_researchers_work() {
  page docs/for-researchers.md 13
  contains "$out" "small-seed2"
  [ -s compare.html ] || failed "there is no compare.html"
}

test_commands_for_verification_work() {
  page docs/for-verification.md 11
  [ -s my-vectors/accumulators_y.npy ] || failed "the case of one's own wrote no accumulators"
  contains "$out" "exit code 3"
  grep -qE '^[0-9a-f]{2}$' qw.hex || failed "qw.hex holds no bytes"
  equal "$(grep -cvE '^0[0-7]$' qw.hex)" 0 "codes of more than 3 bits"
}

# README trains longer than a test may take: here with few and small steps.
test_commands_of_readme_work() {
  cat >bitcycle <<'END'
#!/usr/bin/env bash
[ "$1" != train ] || set -- "$@" --set train.steps=8 --set train.batch=8 --set data.train_images=32 --set data.test_images=16
exec "$BITCYCLE" "$@"
END
  # It tells to run these tests, which are running.
  printf '#!/bin/sh\ntouch tests-were-run\n' >run-tests
  chmod +x bitcycle run-tests
  page README.md 6
  [ -s compare.html ] || failed "there is no compare.html"
  [ -e tests-were-run ] || failed "README does not say how to run the tests"
}

# One screen: with the picture beside the text, not above it.
test_readme_is_one_screen() {
  [ "$(wc -l <"$SOURCE/README.md")" -le 50 ] || failed "README.md has $(wc -l <"$SOURCE/README.md") lines"
  contains "$(cat "$SOURCE/README.md")" 'align="right"'
}

test_filters_in_documents_select_tests() {
  local list filter
  # A line's end may stand between --filter and its name.
  list=$(ctest --test-dir "${BITCYCLE%/cli/*}" -N 2>/dev/null | sed -n 's/^ *Test *#[0-9]*: //p')
  cat "$SOURCE"/*.md "$SOURCE"/docs/*.md | tr '\n' ' ' |
    grep -oE "run-tests [^\`#]*--filter [^\` ]+" | sed "s/.*--filter //; s/'//g" | tr '|' '\n' | sort -u >filters
  [ "$(wc -l <filters)" -ge 6 ] || failed "only these filters were found: $(cat filters)"
  while read -r filter; do
    grep -qE -e "$filter" <<<"$list" || failed "no test matches the filter '$filter', which a document names"
  done <filters
}
test_commands_for_architects_work() {
  page docs/for-architects.md 9
  contains "$out" "my-design"
}


# Every link between documents names a file that is there, and a heading of it.
test_links_of_documents_lead_somewhere() {
  local page link file anchor links=0
  for page in "$SOURCE"/*.md "$SOURCE"/docs/*.md "$SOURCE"/bench/*/*.md; do
    while read -r link; do
      case "$link" in http*) continue ;; esac
      file=$(dirname "$page")/${link%%#*}
      [ -n "${link%%#*}" ] || file=$page
      [ -e "$file" ] || failed "$page: there is no '$link'"
      links=$((links + 1))
      case "$link" in *'#'*) anchor=${link#*#} ;; *) continue ;; esac
      # A heading's anchor: small letters, spaces as dashes, no other marks.
      sed -n 's/^##* //p' "$file" | tr 'A-Z ' 'a-z-' | sed 's/[^a-z0-9_-]//g' >anchors
      grep -qxF -e "$anchor" anchors || failed "$page: '$link' names no heading"
    done < <(tr '\n' ' ' <"$page" | grep -oE '\]\([^) ]+\)|src="[^"]+"' | sed 's/^](//; s/)$//; s/^src="//; s/"$//')
  done
  [ "$links" -ge 60 ] || failed "only $links links were found"
}
