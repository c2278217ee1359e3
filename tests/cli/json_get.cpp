// SPDX-License-Identifier: Apache-2.0
// json_get [KEY]: reads stdin, which must be exactly one JSON object (or, with KEY, array), and prints the value of a
// key (a path with '/'), or all top-level keys, one a line. Exit code 1 where it is not JSON, 2 where the key is not
// there.
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

int main(int argc, char** argv) {
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  if (json.is_discarded() || !(json.is_object() || (json.is_array() && argc > 1))) {
    std::cerr << "not one JSON object: " << text << '\n';
    return 1;
  }
  if (argc < 2) {
    for (const auto& item : json.items()) std::cout << item.key() << '\n';
    return 0;
  }
  const nlohmann::ordered_json::json_pointer pointer("/" + std::string(argv[1]));
  if (!json.contains(pointer)) {
    std::cerr << "no key '" << argv[1] << "' in " << text << '\n';
    return 2;
  }
  const auto& value = json.at(pointer);
  std::cout << (value.is_string() ? value.get<std::string>() : value.dump()) << '\n';
  return 0;
}
