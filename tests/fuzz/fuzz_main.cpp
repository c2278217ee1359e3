// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer, under any compiler: on seeds and on mutations of them, drawn from Philox, for
// a number of inputs. What libFuzzer finds by coverage this cannot; what it finds it finds everywhere, in the suite.
//   fuzz_... INPUTS SEED-FILE...
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "sim/number/philox.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "usage: %s INPUTS SEED-FILE...\n", arguments[0]);
    return 2;
  }
  std::vector<std::string> seeds;
  for (int i = 2; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    if (seeds.back().empty()) {
      std::fprintf(stderr, "seed %s is missing or empty\n", arguments[i]);
      return 2;
    }
  }
  const auto run = [](const std::string& input) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  };
  for (const auto& seed : seeds) run(seed);
  const long inputs = std::atol(arguments[1]);
  for (long n = 0; n < inputs; ++n) {
    const auto stream =
        bitcycle::philox_stream(1, static_cast<std::uint32_t>(n), bitcycle::RandomPurpose::kSyntheticData, 7);
    std::uint64_t drawn = 0;
    const auto below = [&](std::size_t bound) {
      return bitcycle::bounded(bitcycle::philox_word(stream, drawn++), static_cast<std::uint32_t>(bound));
    };
    std::string input = seeds[below(seeds.size())];
    for (std::uint32_t changes = 1 + below(6); changes > 0 && !input.empty(); --changes) {
      const std::size_t at = below(input.size());
      switch (below(5)) {
        case 0: input[at] = static_cast<char>(below(256)); break;
        case 1: input.erase(at, 1 + below(8)); break;
        case 2: input.insert(at, input.substr(below(input.size()), 1 + below(16))); break;
        case 3: input.resize(at); break;
        default: input[at] = static_cast<char>(input[at] ^ (1 << below(8))); break;
      }
    }
    run(input);
  }
  std::printf("%ld inputs: each read or refused\n", inputs);
  return 0;
}
