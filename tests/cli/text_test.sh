# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Language models from outside: texts, perplexity, state that steps carry, the falling learning rate.

# A text of few words whose order can be learnt: words FILE LINES SHIFT.
words() {
  awk -v lines="$2" -v shift="$3" 'BEGIN {
    for (line = 0; line < lines; ++line) {
      for (word = 0; word < 7; ++word) printf "w%d ", (line * 3 + word * word + shift) % 11
      print ""
    }
  }' >"$1"
}
texts() {
  mkdir -p "$1"
  words "$1/train.txt" 42 0
  words "$1/valid.txt" 8 1
  words "$1/test.txt" 9 2
}
# An LSTM that trains in a second: 5 steps an epoch, the last of 3 time steps. lstm CONFIG [STEPS].
lstm() {
  texts text
  cat >"$1" <<END
model: {name: ptb_lstm, vocabulary: 14, embedding: 8, hidden: 12, layers: 2, dropout: 0.25}
data: {name: text, path: text}
train: {steps: ${2:-12}, batch: 4, time_steps: 20, evaluate_every: 2, checkpoint_every: 2, log_every: 1, seed: 3}
eval: {streams: 2}
precision:
  forward: {schedule: cyclic_cosine, min: 4, max: 8, cycles: 2}
  gradient: {schedule: constant, max: 8}
optimizer: {lr: 30, momentum: 0, weight_decay: 0, clip: 0.25}
learning_rate: {schedule: plateau, factor: 0.25}
digest: {every: 1}
END
}

# A Transformer that trains in a second. transformer CONFIG [STEPS].
transformer() {
  texts text
  cat >"$1" <<END
model: {name: transformer_lm, vocabulary: 14, embedding: 8, ffn: 12, heads: 2, layers: 2, dropout: 0.1,
        quantise: linears+attention}
data: {name: text, path: text}
train: {steps: ${2:-8}, batch: 4, time_steps: 9, evaluate_every: 4, checkpoint_every: 2, log_every: 1, seed: 3}
eval: {streams: 2}
precision:
  forward: {schedule: cyclic_cosine, min: 4, max: 8, cycles: 2}
  gradient: {schedule: constant, max: 8}
optimizer: {name: adamw, lr: 0.01, weight_decay: 0.01, clip: 1}
learning_rate: {schedule: inverse_square_root, warm_up: true, warm_up_steps: 3, warm_up_lr: 0.001}
digest: {every: 1}
END
}

# Trains config.yaml: the same digest however it is run, and from the checkpoint of step 4.
is_the_same_however_it_is_trained() {
  run 0 "$BITCYCLE" train config.yaml --out whole --json
  local digest how
  digest=$(json digest)
  contains "$err" "perplexity: validation"
  for how in "--threads 1" "--threads 7" "--isa portable" "--isa avx2" "--device reference"; do
    # shellcheck disable=SC2086
    run 0 "$BITCYCLE" train config.yaml --out other --restart --json $how
    equal "$(json digest)" "$digest" "digests with $how"
    rm -r other*
  done
  run 0 "$BITCYCLE" train whole/config.yaml --from whole:4 --out fork --json
  equal "$(json digest)" "$digest" "digests of a run that goes on from a checkpoint"
}

test_a_transformer_is_the_same_however_it_is_trained() {
  transformer config.yaml
  is_the_same_however_it_is_trained  # second moments are in the checkpoint
  run 0 "$BITCYCLE" cost config.yaml --layers
  contains "$out" "layers.1.self_attn.pv"
  contains "$out" "8 steps of 4 sequences of 9 words; "
  contains "$out" "million MACs for a sequence,"
  # 2 x (4 x 256^2 + 2 x 256 x 1024 + 2 x 256 x 5) + 256 x 14 a word, of sequences of 9 words.
  run 0 "$BITCYCLE" train config.yaml --out large --set train.steps=1 \
    --set precision.forward.cycles=1 --set model.embedding=256 --set model.ffn=1024
  contains "$err$out" " 1.6 million MACs for a word"
}

# A Transformer with a vocabulary in three bands that trains in a second. adaptive CONFIG [STEPS].
adaptive() {
  texts text
  cat >"$1" <<END
model: {name: transformer_wiki103, vocabulary: 14, cutoffs: [4, 9], band_factor: 2, embedding: 16, ffn: 12, heads: 2,
        layers: 2, dropout: 0.1, attention_dropout: 0.1, activation_dropout: 0.1, head_dropout: 0.2,
        quantise: linears+attention}
data: {name: text, path: text, dictionary: frequency}
train: {steps: ${2:-8}, batch: 4, time_steps: 9, evaluate_every: 4, checkpoint_every: 2, log_every: 1, seed: 3}
eval: {streams: 2}
precision:
  forward: {schedule: cyclic_cosine, min: 4, max: 8, cycles: 2}
  gradient: {schedule: constant, max: 8}
optimizer: {name: nag, lr: 0.5, momentum: 0.9, weight_decay: 0, clip: 0.1}
learning_rate: {schedule: cosine, cyclic_min: 0.0001, warm_up: true, warm_up_steps: 3, warm_up_lr: 0.001}
digest: {every: 1}
END
}

test_a_transformer_with_bands_is_the_same_however_it_is_trained() {
  adaptive config.yaml
  is_the_same_however_it_is_trained  # the rate of the step before is in the checkpoint, as the momenta are
  run 0 "$BITCYCLE" cost config.yaml --layers
  contains "$out" "adaptive_softmax.tail.1.2"
  run 0 "$BITCYCLE" program config.yaml --layer 'adaptive_softmax*'
  contains "$out" "band_labels"
  # Every width, attention in float32, and the parts that the paper counts.
  run 0 "$BITCYCLE" verify config.yaml --device cpu --against reference --steps 2 --set precision.forward.min=12 \
    --set precision.forward.max=12 --set precision.gradient.max=16 --set model.quantise=ffn+head
  run 0 "$BITCYCLE" verify config.yaml --device cpu --against reference --steps 2 --set precision.forward.max=float32 \
    --set precision.forward.schedule=constant --set precision.gradient.max=float32
  run 1 "$BITCYCLE" train config.yaml --out run --set 'model.cutoffs=[9, 4]'
  contains "$err" "each above the one before"
  run 1 "$BITCYCLE" train config.yaml --out run --set 'model.cutoffs=[4, 14]'
  contains "$err" "below the vocabulary"
  run 1 "$BITCYCLE" train config.yaml --out run --set model.band_factor=3
  contains "$err" "a multiple of the factor"
}

test_bands_learn() {
  adaptive config.yaml 80
  sed -i 's/dropout: 0\.[12]/dropout: 0/g; s/lr: 0.5/lr: 1/' config.yaml
  run 0 "$BITCYCLE" train config.yaml --out run --json --set train.evaluate_every=20
  local last
  last=$(json test_perplexity_max_width)
  [ "$(head -n 1 run/metrics.jsonl | grep -o '"test_perplexity":[0-9]*' | cut -d: -f2)" -gt "${last%.*}" ] ||
    failed "the perplexity does not fall"
}

# The configs of the experiments, small in what takes time.
test_the_wikitext_experiments_run() {
  texts text
  local cell
  for cell in transformer-cpt-4-8 adaptive-cpt-4-8; do
    run 0 "$BITCYCLE" cost "$SOURCE/configs/experiments/wikitext103/$cell.yaml"
    run 0 "$BITCYCLE" program "$SOURCE/configs/experiments/wikitext103/$cell.yaml" --layer 'layers.0.*'
    contains "$out" "layers.0.fc1"
    run 0 "$BITCYCLE" train "$SOURCE/configs/experiments/wikitext103/$cell.yaml" --out "$cell" --set train.steps=2 --set precision.forward.cycles=1 \
      --set data.name=text --set data.path=text --set model.vocabulary=14 --set 'model.cutoffs=[4, 9]' \
      --set model.embedding=64 --set model.ffn=32 --set model.layers=2 --set train.batch=2 --set train.time_steps=8 \
      --set eval.streams=2
    contains "$out" "perplexity"
  done
}

# The real files, where BITCYCLE_DATA names a folder with wikitext-2: its validation part is learnt, its test part read.
test_wikitext_trains_from_its_tokens() {
  local data=${BITCYCLE_DATA:-}/wikitext-2
  if [ ! -e "$data/wiki.valid.tokens" ]; then
    echo "BITCYCLE_DATA names no folder with wikitext-2"
    return 0
  fi
  mkdir tokens
  cp "$data/wiki.valid.tokens" tokens/wiki.train.tokens
  head -n 200 "$data/wiki.test.tokens" >tokens/wiki.valid.tokens
  sed -n 201,400p "$data/wiki.test.tokens" >tokens/wiki.test.tokens
  adaptive config.yaml 30
  run 0 "$BITCYCLE" train config.yaml --out run --json --set data.name=wikitext --set data.path=tokens \
    --set model.vocabulary=14000 --set 'model.cutoffs=[1000, 4000]' --set train.evaluate_every=10 \
    --set train.time_steps=32 --set eval.streams=8
  contains "$err" "count as '<unk>'"
  # Both are among the most frequent words, which come first.
  contains "$(head -n 20 run/dictionary.txt)" "<unk>"
  contains "$(head -n 20 run/dictionary.txt)" "<eos>"
  local last
  last=$(json test_perplexity_max_width)
  [ "$(head -n 1 run/metrics.jsonl | grep -o '"test_perplexity":[0-9]*' | cut -d: -f2)" -gt "${last%.*}" ] ||
    failed "the perplexity does not fall"
  head -c 100000 tokens/wiki.train.tokens >short.txt
  mv short.txt tokens/wiki.train.tokens
  run 1 "$BITCYCLE" train config.yaml --out cut --set data.name=wikitext --set data.path=tokens
  contains "$err" "it was cut off"
}

test_optimisers_and_models_that_do_not_go_together_are_refused() {
  transformer config.yaml
  run 1 "$BITCYCLE" train config.yaml --out run --set model.heads=3
  contains "$err" "model.embedding must be a multiple of 6, twice the heads"
  run 1 "$BITCYCLE" train config.yaml --out run --set learning_rate.schedule=plateau
  contains "$err" "goes with optimizer.name sgd"
  run 1 "$BITCYCLE" train "$SOURCE/configs/quickstart.yaml" --out run --set optimizer.name=adamw
  contains "$err" "which trains language models"
}

test_kernels_of_attention_are_compared_node_by_node() {
  transformer config.yaml
  local isa
  for isa in auto portable; do
    run 0 "$BITCYCLE" verify config.yaml --against reference --steps 1 --isa "$isa"
    contains "$out" "equal"
  done
}

# A run on other texts: nothing of what is there is lost, and no number is given for words that are others.
test_a_run_keeps_to_the_text_that_it_was_trained_on() {
  lstm config.yaml 4
  run 0 "$BITCYCLE" train config.yaml --out run --json
  local digest perplexity
  digest=$(json digest)
  run 0 "$BITCYCLE" eval run --json
  perplexity=$(json test_perplexity)
  cp -r text original
  cp -r run copy
  sed -i '1s/^/new /' text/train.txt
  run 1 "$BITCYCLE" train config.yaml --out run --set train.steps=8 --set precision.forward.cycles=4
  is_error
  contains "$err" "the text in 'text' is not that which run was trained on"
  diff -r run copy >differences.txt || failed "the finished run has changed: $(cat differences.txt)"
  run 1 "$BITCYCLE" eval run
  is_error
  contains "$err" "the text in 'text' is not that which 'run' was trained on, and its words have other numbers"
  # Words that the dictionary has, in another order.
  cp original/train.txt text/train.txt
  words text/test.txt 9 5
  run 0 "$BITCYCLE" eval run
  contains "$err" "the texts in 'text' are not those that 'run' was trained on; the dictionary is the same"
  cp original/test.txt text/test.txt
  run 0 "$BITCYCLE" eval run --json
  equal "$(json test_perplexity)" "$perplexity" "perplexities"
  run 0 "$BITCYCLE" train config.yaml --out run --json
  equal "$(json digest)" "$digest" digests
}

test_a_fork_may_leave_a_plateau_and_begin_one() {
  lstm config.yaml 8
  run 0 "$BITCYCLE" train config.yaml --out parent
  run 0 "$BITCYCLE" train config.yaml --from parent:4 --out away --set learning_rate.schedule=constant \
    --set optimizer.lr=0.5
  equal "$(tail -n 1 away/steps.csv | cut -d, -f5)" 0.5 "the rate of a constant schedule"
  run 0 "$BITCYCLE" train config.yaml --from away:6 --out back
  equal "$(sed -n 8p back/steps.csv | cut -d, -f5)" 30 "a plateau's first rate"
  # What cannot go on from there leaves nothing behind.
  run 1 "$BITCYCLE" train config.yaml --from parent:4 --out other --set model.vocabulary=20
  is_error
  contains "$err" "model.vocabulary"
  sed -i '1s/^/new /' text/train.txt
  run 1 "$BITCYCLE" train config.yaml --from parent:4 --out other
  is_error
  contains "$err" "is not that which parent was trained on"
  [ ! -e other ] || failed "a folder was left"
}

test_keys_that_a_model_does_not_read_are_said() {
  transformer config.yaml 2
  run 0 "$BITCYCLE" train config.yaml --out run --set model.hidden=77 --set model.head_dropout=0.5 \
    --set precision.forward.cycles=1
  contains "$err" "model.hidden has no effect: transformer_lm does not read it"
  contains "$err" "model.head_dropout has no effect"
  lacks "$err" "model.heads has no effect"
  # More streams than the text has blocks are those that it has.
  run 0 "$BITCYCLE" eval run --json
  local perplexity
  perplexity=$(json test_perplexity)
  run 0 "$BITCYCLE" eval run --json --set eval.streams=65536
  equal "$(json test_perplexity)" "$perplexity" "perplexities"
}

test_a_training_is_the_same_however_it_is_run() {
  lstm config.yaml
  run 0 "$BITCYCLE" train config.yaml --out whole --json
  local digest
  digest=$(json digest)
  contains "$err" "perplexity: validation"
  contains "$err" "tokens/s"
  lacks "$err" "accuracy"
  equal "$(wc -l <whole/dictionary.txt | tr -d ' ')" 13 "words of the dictionary"
  [ "$(cut -d, -f5 whole/steps.csv | sort -u | wc -l)" -gt 2 ] || failed "the learning rate has not fallen"
  local how
  for how in "--threads 1" "--threads 7" "--isa portable" "--isa avx2" "--device reference"; do
    # shellcheck disable=SC2086
    run 0 "$BITCYCLE" train config.yaml --out other --restart --json $how
    equal "$(json digest)" "$digest" "digests with $how"
    rm -r other*
  done
  # Interrupted at every second step by a kill, it goes on to the same state and the same records.
  "$BITCYCLE" train config.yaml --out killed --set train.steps=400 >first.txt 2>&1 </dev/null &
  local process=$! tries
  for tries in $(seq 600); do
    [ "$(wc -l 2>/dev/null <killed/metrics.jsonl)" -lt 3 ] 2>/dev/null || break
    sleep 0.02
  done
  kill -KILL "$process" 2>/dev/null
  wait "$process" 2>/dev/null
  [ ! -e killed/summary.json ] || failed "the run had ended before it was killed, $tries"
  run 0 "$BITCYCLE" train config.yaml --out killed --set train.steps=400 --json
  digest=$(json digest)
  run 0 "$BITCYCLE" train config.yaml --out long --set train.steps=400 --json
  equal "$(json digest)" "$digest" "digests after a kill"
  run 0 "$BITCYCLE" verify killed long --json
  equal "$(cut -d, -f1-5 killed/steps.csv)" "$(cut -d, -f1-5 long/steps.csv)" "steps after a kill"
}

test_perplexity_is_measured_and_falls() {
  lstm config.yaml 60
  sed -i 's/lr: 30/lr: 16/; s/dropout: 0.25/dropout: 0/; s/layers: 2/layers: 1/' config.yaml
  run 0 "$BITCYCLE" train config.yaml --out run --json --set train.evaluate_every=20
  local test validation
  test=$(json test_perplexity_max_width)
  validation=$(json validation_perplexity_max_width)
  lacks "$out" "accuracy"
  [ "$(head -n 1 run/metrics.jsonl | grep -o '"test_perplexity":[0-9]*' | cut -d: -f2)" -gt "${test%.*}" ] ||
    failed "the perplexity does not fall"
  run 0 "$BITCYCLE" eval run --json
  equal "$(json test_perplexity)" "$test" "test perplexities"
  equal "$(json validation_perplexity)" "$validation" "validation perplexities"
  run 0 "$BITCYCLE" eval run --bits 4
  contains "$out" "test perplexity"
  run 0 "$BITCYCLE" train config.yaml --out run --set train.evaluate_every=20
  contains "$out" "perplexity        validation"
  # Another text is another run.
  echo "w1 w2" >>text/train.txt
  run 1 "$BITCYCLE" train config.yaml --out run --set train.evaluate_every=20 --set train.steps=61
  is_error
  run 1 "$BITCYCLE" export run
  is_error
  contains "$err" "language models"
}

# The perplexity of words behind words that they see, from losses of texts that one block predicts as a whole: lines of
# three words and their end, blocks of 8 words, and 4 words before them. A text begins behind the end of a line.
test_words_are_predicted_behind_eval_context() {
  transformer config.yaml
  sed -i 's/time_steps: 9/time_steps: 8/' config.yaml
  run 0 "$BITCYCLE" train config.yaml --out run --json
  local first='w0 w1 w5\n' second='w9 w0 w4\n' third='w3 w4 w8\n' part context
  # Sum of the losses of a text: losses TEXT CONTEXT.
  losses() {
    mkdir -p part
    cp text/train.txt part/train.txt
    # shellcheck disable=SC2059
    printf "$1" | tee part/valid.txt >part/test.txt
    run 0 "$BITCYCLE" eval run --json --set data.path=part --set "eval.context=$2"
    equal "$(json validation_loss)" "$(json test_loss)" "losses of the same text"
    awk -v loss="$(json test_loss)" -v words="$(json test_words)" 'BEGIN { printf "%.15g", loss * words }'
  }
  local parts=("$first$second" "$second$third" "$second" "$third") sums=() by_hand whole=()
  for part in "${parts[@]}"; do sums+=("$(losses "$part" 0)"); done
  for context in 0 4; do whole+=("$(losses "$first$second$third" "$context")"); done
  by_hand=$(awk -v a="${sums[0]}" -v b="${sums[1]}" -v c="${sums[2]}" -v d="${sums[3]}" -v zero="${whole[0]}" \
    -v four="${whole[1]}" 'function off(x, y) { return (x - y) ^ 2 > 1e-18 * y ^ 2 }
      BEGIN { print off(zero, a + d), off(four, a + b - c), off(zero, four) }')
  equal "$by_hand" "0 0 1" "whether ${whole[0]} is not ${sums[0]} + ${sums[3]}, ${whole[1]} not ${sums[0]} + \
${sums[1]} - ${sums[2]}, and whether these differ"

  # A training's own evaluations see as much; progress and report say both perplexities.
  run 0 "$BITCYCLE" train config.yaml --out behind --json --set eval.context=4
  local validation test
  contains "$err" "perplexity: validation $(printf %.2f "$(json validation_perplexity)"), test $(printf %.2f \
    "$(json test_perplexity)") "
  validation=$(json validation_perplexity_max_width)
  test=$(json test_perplexity_max_width)
  run 0 "$BITCYCLE" eval run --json --set eval.context=4
  equal "$(json validation_perplexity) $(json test_perplexity)" "$validation $test" "perplexities behind 4 words"
  run 0 "$BITCYCLE" eval run --json
  [ "$(json validation_perplexity)" != "$validation" ] || failed "4 words before change nothing"
  run 0 "$BITCYCLE" report behind --out page.html
  contains "$(cat page.html)" "that of the validation text"
  contains "$(cat page.html)" "last validation perplexity"
}

test_every_verb_knows_language_models() {
  lstm config.yaml
  run 0 "$BITCYCLE" schedule config.yaml
  run 0 "$BITCYCLE" program config.yaml --layer decoder
  contains "$out" "quantise"
  run 0 "$BITCYCLE" program config.yaml --evaluation --json
  run 0 "$BITCYCLE" cost config.yaml --accelerator systolic-int8 --layers
  contains "$out" "decoder"
  run 0 "$BITCYCLE" verify config.yaml --device cpu --against reference --steps 6
  run 0 "$BITCYCLE" train config.yaml --out run --tensorboard
  run 0 "$BITCYCLE" train run/config.yaml --from run:8 --out fork --set precision.forward.max=6
  run 0 "$BITCYCLE" report run fork --out page.html
  contains "$(cat page.html)" "perplexity"
  run 0 "$BITCYCLE" train config.yaml --profile 2
  contains "$out" "tokens/s"
}

test_texts_are_checked() {
  lstm config.yaml
  run 0 "$BITCYCLE" data text --json
  equal "$(json train_words)" 336 "words"
  rm text/test.txt
  run 1 "$BITCYCLE" data text
  is_error
  printf 'w1 \377\n' >text/test.txt
  run 1 "$BITCYCLE" train config.yaml
  is_error
  contains "$err" "line 1: the byte 0xff begins no UTF-8 character"
  : >text/test.txt
  run 1 "$BITCYCLE" train config.yaml
  is_error
  contains "$err" "holds no word"
  texts text
  run 1 "$BITCYCLE" train config.yaml --set train.batch=300
  is_error
  contains "$err" "too short"
  run 1 "$BITCYCLE" train config.yaml --set eval.context=5
  is_error
  contains "$err" "carries its state"
  run 1 "$BITCYCLE" train config.yaml --set data.name=synthetic
  is_error
  contains "$err" "reads texts"
  run 1 "$BITCYCLE" train config.yaml --set optimizer.momentum=0.9
  is_error
  contains "$err" "optimizer.clip"
}

# docs/cost-models.md: 4.03e3, 2.77e3, 3.09e3 and 2.48e3 in the paper.
test_the_papers_figures_come_out() {
  local cell
  for cell in "static-8 4,026.5" "static-6 2,768.2" "cpt-5-8 3,085.4" "cpt-5-6 2,484.7"; do
    run 0 "$BITCYCLE" cost "$SOURCE/configs/experiments/ptb/lstm-2x512-${cell% *}.yaml" --set train.steps=5000 \
      --set cost.paper_samples=1 --set 'cost.paper_layers=rnn*'
    contains "$out" " ${cell#* } "
  done
  contains "$out" "counts 1 (cost.paper_samples), and of the layers rnn*"
  run 1 "$BITCYCLE" cost "$SOURCE/configs/experiments/ptb/lstm-2x512-static-8.yaml" --set 'cost.paper_layers=rnn*,none'
  contains "$err" "'none' of cost.paper_layers matches no layer of ptb_lstm"
}

# docs/cost-models.md: one word of an update, fc1, fc2 and the output projection. 1.44e6, 9.87e5 and 1.0e6 in the paper;
# its fourth figure, 7.66e5, lacks one of 32 cycles.
test_the_papers_figures_of_the_transformer_come_out() {
  local cell
  for cell in "static-8 1,436,811" "static-6 987,808" "cpt-4-8 1,004,025" "cpt-4-6 790,558"; do
    run 0 "$BITCYCLE" cost "$SOURCE/configs/experiments/wikitext103/transformer-${cell% *}.yaml" \
      --set train.batch=1 --set train.time_steps=1
    contains "$out" " ${cell#* } "
  done
  # The paper's 7.66e5, 22.4 % less than static 6/8: 31 of the 32 cycles.
  run 0 "$BITCYCLE" cost "$SOURCE/configs/experiments/wikitext103/transformer-cpt-4-6.yaml" \
    --set train.batch=1 --set train.time_steps=1 --set train.steps=48438 --set precision.forward.cycles=31
  contains "$out" " 765,859 "
}
