#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seconds of one training step of a language model in PyTorch, lean fake quantisation of the same method at 8 x 8 bits
(affine min-max codes, per-output weights made once a step, stochastic gradients) and plain float32, in turns with
bitcycle's step. Texts are drawn at random, with as many different words. No dropout.

  python3 bench/peers/language_step.py --against build/cli/bitcycle --rounds 3                       LSTM 1 x 800
  python3 bench/peers/language_step.py --layers 2 --hidden 512 --against build/cli/bitcycle
  python3 bench/peers/language_step.py --model transformer --against build/cli/bitcycle              linears
  python3 bench/peers/language_step.py --model transformer --attention --against build/cli/bitcycle  attention, too
  python3 bench/peers/language_step.py --model head --against build/bench/bench_language_head        267,744 words

With --cpu-time seconds are those of all threads together, which other programs on the machine disturb less; take
--threads 1 then, so that nobody waits.
"""
import argparse
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    import torch
    import torch.nn.functional as F
    from torch import nn

    from fake_quant_model import Quantise, QuantiseGradient
except ImportError as error:
    sys.exit(f"language_step.py: error: {error}; PyTorch is needed, for example Debian's python3-torch")


class QuantisedLinear(nn.Module):
    """Weight codes are made once a step, in weights(); the input's and the gradient's at every use."""

    def __init__(self, inputs, outputs, bias, bits, limit):
        super().__init__()
        self.bits = bits
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def weights(self):
        return Quantise.apply(self.weight, self.bits, (1,)) if self.bits else self.weight

    def forward(self, x, weights=None):
        weights = self.weights() if weights is None else weights
        if not self.bits:
            return F.linear(x, weights, self.bias)
        y = QuantiseGradient.apply(F.linear(Quantise.apply(x, self.bits, None), weights), self.bits)
        return y if self.bias is None else y + self.bias


class Lstm(nn.Module):
    def __init__(self, args, bits):
        super().__init__()
        self.args = args
        hidden = args.hidden
        self.encoder = nn.Embedding(args.vocabulary, hidden)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        limit = hidden**-0.5
        self.of_input = nn.ModuleList(QuantisedLinear(hidden, 4 * hidden, True, bits, limit) for _ in range(args.layers))
        self.of_hidden = nn.ModuleList(
            QuantisedLinear(hidden, 4 * hidden, False, bits, limit) for _ in range(args.layers))
        self.decoder = QuantisedLinear(hidden, args.vocabulary, True, bits, 0.1)
        self.state = [(torch.zeros(args.batch, hidden), torch.zeros(args.batch, hidden))] * args.layers

    def loss(self):
        words = torch.randint(self.args.vocabulary, (self.args.time_steps + 1, self.args.batch))
        x = self.encoder(words[:-1]).unbind(0)
        after = []
        for w, u, (h, c) in zip(self.of_input, self.of_hidden, self.state):
            w_values, u_values, outputs = w.weights(), u.weights(), []
            for step in x:
                i, f, g, o = (w(step, w_values) + u(h, u_values)).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                outputs.append(h)
            x = outputs
            after.append((h.detach(), c.detach()))
        self.state = after
        return F.cross_entropy(self.decoder(torch.cat(x)), words[1:].reshape(-1))

    def update(self):
        parameters = list(self.parameters())
        torch.nn.utils.clip_grad_norm_(parameters, 0.25)
        with torch.no_grad():
            for parameter in parameters:
                parameter -= 20 * parameter.grad


class Layer(nn.Module):
    def __init__(self, args, bits):
        super().__init__()
        d, self.heads, self.attention_bits = args.hidden, args.heads, bits if args.attention else 0
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))
        self.qkvo = nn.ModuleList(QuantisedLinear(d, d, True, bits, d**-0.5) for _ in range(4))
        self.fc1 = QuantisedLinear(d, 4 * d, True, bits, d**-0.5)
        self.fc2 = QuantisedLinear(4 * d, d, True, bits, (4 * d) ** -0.5)

    def attend(self, x, mask):
        batch, steps, d = x.shape
        split = lambda y: y.view(batch, steps, self.heads, d // self.heads).transpose(1, 2)
        q, k, v = (split(linear(x)) for linear in self.qkvo[:3])
        bits = self.attention_bits
        code = (lambda y: Quantise.apply(y, bits, None)) if bits else (lambda y: y)
        through = (lambda y: QuantiseGradient.apply(y, bits)) if bits else (lambda y: y)
        scores = through(code(q) @ code(k).transpose(-1, -2)) * (d // self.heads) ** -0.5
        attended = through(code(torch.softmax(scores + mask, -1)) @ code(v))
        return self.qkvo[3](attended.transpose(1, 2).reshape(batch, steps, d))

    def forward(self, x, mask):
        x = x + self.attend(self.norms[0](x), mask)
        return x + self.fc2(F.relu(self.fc1(self.norms[1](x))))


class Transformer(nn.Module):
    def __init__(self, args, bits):
        super().__init__()
        self.args, d = args, args.hidden
        self.layers = nn.ModuleList(Layer(args, bits) for _ in range(args.layers))
        self.norm = nn.LayerNorm(d)
        self.head = QuantisedLinear(d, args.vocabulary, False, bits, d**-0.5)  # its weight is the embedding, too
        self.positions = torch.randn(args.time_steps, d)
        self.mask = torch.full((args.time_steps, args.time_steps), -math.inf).triu(1)
        self.optimiser = torch.optim.AdamW(self.parameters(), lr=5e-4, betas=(0.9, 0.98), weight_decay=0.01)

    def loss(self):
        words = torch.randint(self.args.vocabulary, (self.args.batch, self.args.time_steps + 1))
        x = F.embedding(words[:, :-1], self.head.weight) * self.args.hidden**0.5 + self.positions
        for layer in self.layers:
            x = layer(x, self.mask)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), words[:, 1:].reshape(-1))

    def update(self):
        self.optimiser.step()


class Head(nn.Module):
    """A head alone, and the gradient at what it reads."""

    def __init__(self, args, bits):
        super().__init__()
        self.args = args
        self.x = nn.Parameter(torch.randn(args.batch * args.time_steps, args.hidden))
        self.head = QuantisedLinear(args.hidden, args.vocabulary, False, bits, args.hidden**-0.5)

    def loss(self):
        return F.cross_entropy(self.head(self.x), torch.randint(self.args.vocabulary, (len(self.x),)))

    def update(self):
        pass


def torch_seconds(args, bits):
    """Of a step: the least over the steps, as other programs only add to it; the median is printed beside it."""
    torch.manual_seed(1)
    model = {"lstm": Lstm, "transformer": Transformer, "head": Head}[args.model](args, bits)
    clock = time.process_time if args.cpu_time else time.perf_counter
    seconds = []
    for step in range(args.steps + 2):
        begin = clock()
        loss = model.loss()
        for parameter in model.parameters():
            parameter.grad = None
        loss.backward()
        model.update()
        if step >= 2:
            seconds.append(clock() - begin)
    return min(seconds) if args.least else statistics.median(seconds)


def write_config(args, folder):
    words = [f"w{i}" for i in range(args.vocabulary - 2)]
    random.seed(1)
    for name, lines in (("train", 6000), ("valid", 60), ("test", 60)):
        text = words if name == "train" else []
        text = text + random.choices(words, k=20 * lines)
        with open(f"{folder}/{name}.txt", "w", encoding="utf-8") as file:
            for at in range(0, len(text), 20):
                print(*text[at:at + 20], file=file)
    if args.model == "lstm":
        model = "name: ptb_lstm"
        optimiser = "lr: 20, momentum: 0, weight_decay: 0, clip: 0.25"
    else:
        quantise = "linears+attention" if args.attention else "linears"
        model = f"name: transformer_lm, ffn: {4 * args.hidden}, heads: {args.heads}, quantise: {quantise}"
        optimiser = "name: adamw, lr: 0.0005, weight_decay: 0.01"
    with open(f"{folder}/model.yaml", "w", encoding="utf-8") as file:
        print(f"model: {{{model}, vocabulary: {args.vocabulary}, embedding: {args.hidden}, hidden: {args.hidden}, "
              f"layers: {args.layers}}}\n"
              f"data: {{name: text, path: {folder}}}\n"
              f"train: {{steps: 1000, batch: {args.batch}, time_steps: {args.time_steps}}}\n"
              "precision:\n  forward: {schedule: constant, max: 8}\n  gradient: {schedule: constant, max: 8}\n"
              f"optimizer: {{{optimiser}}}\nlearning_rate: {{schedule: constant}}", file=file)


def bitcycle_seconds(args, folder):
    def run(steps):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run([args.against, "train", f"{folder}/model.yaml", "--profile", str(steps), "--json", "--quiet",
                              "--threads", str(args.threads)], check=True, capture_output=True, text=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return json.loads(out), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    if args.cpu_time:
        return (run(2 + args.steps)[1] - run(2)[1]) / args.steps
    return args.batch * args.time_steps / run(args.steps + 5)[0]["tokens_per_second"]


def head_seconds(args):
    out = subprocess.run([args.against, str(args.threads), str(args.steps), str(args.vocabulary)], check=True,
                         capture_output=True, text=True).stdout
    made = json.loads(out)
    return made["thread_seconds" if args.cpu_time else "seconds"], made["memory_of_logits"]


SIZES = {"lstm": dict(layers=1, hidden=800, vocabulary=10000, batch=20, time_steps=35),
         "transformer": dict(layers=6, hidden=512, vocabulary=10000, batch=4, time_steps=512),
         "head": dict(layers=1, hidden=512, vocabulary=267744, batch=1, time_steps=512)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(SIZES), default="lstm")
    for name in ("layers", "hidden", "vocabulary", "batch", "time_steps"):
        parser.add_argument("--" + name.replace("_", "-"), type=int)
    for name, default in (("heads", 8), ("threads", 2), ("steps", 5), ("rounds", 1)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--attention", action="store_true", help="both products of attention quantised, too")
    parser.add_argument("--cpu-time", action="store_true", help="seconds of all threads together, not of the clock")
    parser.add_argument("--least", action="store_true", help="PyTorch's least step, not the median")
    parser.add_argument("--no-float32", action="store_true", help="the fake-quantised step alone")
    parser.add_argument("--against", help="the program bitcycle, or bench_language_head, timed in turns")
    args = parser.parse_args()
    for name, size in SIZES[args.model].items():
        if getattr(args, name) is None:
            setattr(args, name, size)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        if args.against and args.model != "head":
            write_config(args, folder)
        for _ in range(args.rounds):
            seconds = {} if args.no_float32 else {"float32": torch_seconds(args, 0)}
            seconds["fake_quantised_8_8"] = torch_seconds(args, 8)
            more = {}
            if args.against and args.model == "head":
                seconds["bitcycle_8_8"], more["memory_of_logits"] = head_seconds(args)
            elif args.against:
                seconds["bitcycle_8_8"] = bitcycle_seconds(args, folder)
            if args.against:
                more["ratio"] = round(seconds["fake_quantised_8_8"] / seconds["bitcycle_8_8"], 2)
            print(json.dumps({name: round(value, 4) for name, value in seconds.items()} | more), flush=True)


if __name__ == "__main__":
    main()
