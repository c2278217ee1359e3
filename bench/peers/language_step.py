#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Words per second of one training step of the LSTM on Penn Treebank in PyTorch: plain float32, and a lean fake
quantisation of the same method (affine min-max codes, per-output weights made once a step, stochastic gradients), in
turns with bitcycle's step. The text is drawn at random, with as many different words.

  python3 bench/peers/language_step.py --against build/cli/bitcycle --rounds 3
  python3 bench/peers/language_step.py --layers 2 --hidden 512
"""
import argparse
import json
import os
import random
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

    def forward(self, x, weights):
        if not self.bits:
            return F.linear(x, weights, self.bias)
        y = QuantiseGradient.apply(F.linear(Quantise.apply(x, self.bits, None), weights), self.bits)
        return y if self.bias is None else y + self.bias


class Lstm(nn.Module):
    def __init__(self, args, bits):
        super().__init__()
        hidden = args.hidden
        self.encoder = nn.Embedding(args.vocabulary, hidden)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        limit = hidden**-0.5
        self.of_input = nn.ModuleList(QuantisedLinear(hidden, 4 * hidden, True, bits, limit) for _ in range(args.layers))
        self.of_hidden = nn.ModuleList(
            QuantisedLinear(hidden, 4 * hidden, False, bits, limit) for _ in range(args.layers))
        self.decoder = QuantisedLinear(hidden, args.vocabulary, True, bits, 0.1)

    def forward(self, tokens, state):
        x = self.encoder(tokens).unbind(0)
        after = []
        for w, u, (h, c) in zip(self.of_input, self.of_hidden, state):
            w_values, u_values, outputs = w.weights(), u.weights(), []
            for step in x:
                i, f, g, o = (w(step, w_values) + u(h, u_values)).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                outputs.append(h)
            x = outputs
            after.append((h.detach(), c.detach()))
        return self.decoder(torch.cat(x), self.decoder.weights()), after


def torch_speed(args, bits):
    """Words per second: the median over the steps."""
    torch.manual_seed(1)
    model = Lstm(args, bits)
    parameters = list(model.parameters())
    state = [(torch.zeros(args.batch, args.hidden), torch.zeros(args.batch, args.hidden))] * args.layers
    seconds = []
    for step in range(args.steps + 2):
        words = torch.randint(args.vocabulary, (args.time_steps + 1, args.batch))
        begin = time.perf_counter()
        logits, state = model(words[:-1], state)
        loss = F.cross_entropy(logits, words[1:].reshape(-1))
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.25)
        with torch.no_grad():
            for parameter in parameters:
                parameter -= 20 * parameter.grad
        if step >= 2:
            seconds.append(time.perf_counter() - begin)
    return args.time_steps * args.batch / statistics.median(seconds)


def bitcycle_speed(args, folder):
    words = [f"w{i}" for i in range(args.vocabulary - 2)]
    random.seed(1)
    for name, lines in (("train", 6000), ("valid", 60), ("test", 60)):
        text = words if name == "train" else []
        text = text + random.choices(words, k=20 * lines)
        with open(f"{folder}/{name}.txt", "w", encoding="utf-8") as file:
            for at in range(0, len(text), 20):
                print(*text[at:at + 20], file=file)
    with open(f"{folder}/lstm.yaml", "w", encoding="utf-8") as file:
        print(f"model: {{name: ptb_lstm, vocabulary: {args.vocabulary}, embedding: {args.hidden}, "
              f"hidden: {args.hidden}, layers: {args.layers}}}\n"
              f"data: {{name: text, path: {folder}}}\n"
              f"train: {{steps: 1000, batch: {args.batch}, time_steps: {args.time_steps}}}\n"
              "precision:\n  forward: {schedule: constant, max: 8}\n  gradient: {schedule: constant, max: 8}\n"
              "optimizer: {lr: 20, momentum: 0, weight_decay: 0, clip: 0.25}\n"
              "learning_rate: {schedule: constant}", file=file)
    command = [args.against, "train", f"{folder}/lstm.yaml", "--profile", str(args.steps + 5), "--json", "--quiet",
               "--threads", str(args.threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["tokens_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("layers", 1), ("hidden", 800), ("vocabulary", 10000), ("batch", 20), ("time_steps", 35),
                          ("threads", 2), ("steps", 5), ("rounds", 1)):
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=default)
    parser.add_argument("--against", help="the program bitcycle, whose step is timed in turns")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for _ in range(args.rounds):
        speeds = {"float32": torch_speed(args, 0), "fake_quantised_8_8": torch_speed(args, 8)}
        if args.against:
            with tempfile.TemporaryDirectory() as folder:
                speeds["bitcycle_8_8"] = bitcycle_speed(args, folder)
            speeds["ratio"] = speeds["bitcycle_8_8"] / speeds["fake_quantised_8_8"]
        print(json.dumps({name: round(speed, 2) for name, speed in speeds.items()}))


if __name__ == "__main__":
    main()
