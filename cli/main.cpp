// SPDX-License-Identifier: Apache-2.0
// The program: finds the verb, runs it, and turns whatever it throws into one message and an exit code.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/nearest.h"
#include "cli/terminal_text.h"
#include "cli/verbs.h"

namespace bitcycle::cli {
namespace {

void print_help(std::ostream& out) {
  out << "bitcycle " BITCYCLE_VERSION
         ": trains neural networks in integer arithmetic at exactly the bit-widths that a precision\n"
         "schedule asks for, with the same bits on every machine, and computes what it costs.\n\n"
         "Usage: bitcycle VERB [ARGUMENT]... [OPTION]...\n\n";
  for (const auto& verb : verbs()) {
    out << "  " << verb.name << std::string(11 - verb.name.size(), ' ') << verb.summary << '\n';
  }
  out << "\n'bitcycle VERB --help' shows a verb's options with an example. A first run:\n"
         "  bitcycle train configs/quickstart.yaml\n\n"
         "Exit codes: 0 done; 1 failed; 2 wrong command line; 3 results differ from the expected ones;\n"
         "129, 130 or 143 interrupted (hang-up, Ctrl-C, termination), saved, can be continued.\n";
}

int dispatch(const std::vector<std::string>& words) {
  if (words.empty()) {
    print_help(std::cerr);
    return kUsage;
  }
  const std::string& name = words.front();
  if (name == "--help" || name == "-h" || name == "help") {
    // `help VERB` is `VERB --help`.
    if (name == "help" && words.size() > 1) return dispatch({words[1], "--help"});
    print_help(std::cout);
    return kSuccess;
  }
  if (name == "--version") {
    std::cout << "bitcycle " BITCYCLE_VERSION "\n";
    return kSuccess;
  }
  std::vector<std::string> names;
  for (const auto& verb : verbs()) {
    if (verb.name == name) return verb.run({words.begin() + 1, words.end()});
    names.push_back(verb.name);
  }
  std::string list;
  for (const auto& known : names) list += (list.empty() ? "" : ", ") + known;
  throw UsageError("there is no verb '" + name + "'" + did_you_mean(name, names) + "\n  verbs: " + list +
                   "\n  'bitcycle --help' says what each does");
}

int guarded(const std::vector<std::string>& words) {
  const auto complain = [](const std::string& text, int code) {
    std::cout.flush();
    std::cerr << "bitcycle: error: " << text << std::endl;
    return code;
  };
  try {
    return dispatch(words);
  } catch (const UsageError& error) {
    return complain(error.what(), kUsage);
  } catch (const MismatchError& error) {
    return complain(error.what(), kMismatch);
  } catch (const std::bad_alloc&) {
    return complain(
        "out of memory: this command needs more than the system gives it (free memory, ulimit -v, or the "
        "limit of a container)",
        kFailure);
  } catch (const std::filesystem::filesystem_error& error) {
    const bool denied = error.code().value() == EACCES || error.code().value() == EPERM;
    return complain("'" + error.path1().string() + "': " + error.code().message() + "; " +
                        (denied ? "make it, and the folders above it, readable for you" : "check the path"),
                    kFailure);
  } catch (const std::exception& error) {
    return complain(error.what(), kFailure);
  }
}

}  // namespace
}  // namespace bitcycle::cli

int main(int argc, char** argv) {
  using namespace bitcycle::cli;
  // A reader that went away (`| head`) ends no training: its words are dropped.
  std::signal(SIGPIPE, SIG_IGN);
  // A file that may not grow (ulimit -f) is an error of the write, which has a message.
  std::signal(SIGXFSZ, SIG_IGN);
  std::ios::sync_with_stdio(false);
  const TerminalGuard out(std::cout), err(std::cerr);
  int code = guarded({argv + 1, argv + argc});
  std::cout.flush();
  if (!std::cout && code == kSuccess) {
    // A reader that went away is no error, a full disk is.
    pollfd output{STDOUT_FILENO, POLLOUT, 0};
    if (poll(&output, 1, 0) != 1 || (output.revents & (POLLERR | POLLHUP)) == 0) {
      std::cerr << "bitcycle: error: the result could not be written to standard output" << std::endl;
      code = kFailure;
    }
  }
  return code;
}
