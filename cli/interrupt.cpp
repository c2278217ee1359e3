// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

namespace bitcycle::cli {
namespace {

// A signal handler can reach nothing but globals.
std::atomic<bool> stop_requested{false};
std::atomic<int> caught_signal{0};
std::atomic<const std::string_view*> announcement{nullptr};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
              std::atomic<const std::string_view*>::is_always_lock_free);

extern "C" void handle_interrupt(int number) {
  if (stop_requested.load()) _exit(128 + number);
  caught_signal.store(number);
  stop_requested.store(true);
  if (const std::string_view* text = announcement.load(); text != nullptr) {
    const auto written = write(STDERR_FILENO, text->data(), text->size());
    static_cast<void>(written);
  }
}

void install(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A terminal that closes is no end where the user said so before (nohup).
  struct sigaction before {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard(std::string_view said) {
  static std::string_view text;
  text = said;
  announcement.store(&text);
  stop_requested.store(false);
  caught_signal.store(0);
  install(handle_interrupt);
}

InterruptGuard::~InterruptGuard() { install(SIG_DFL); }

const std::atomic<bool>* InterruptGuard::stop() const { return &stop_requested; }

int InterruptGuard::signal() const { return caught_signal.load(); }

}  // namespace bitcycle::cli
