// SPDX-License-Identifier: Apache-2.0
#include "nn/data/batch_stream.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace bitcycle {
namespace {

constexpr int kMostWorkers = 256;

/// A batch that is being made, or is ready.
struct Slot {
  std::int64_t number = -1;
  std::vector<ImageIndex> images;
  std::size_t taken = 0, done = 0;  // images that a worker has begun, has finished
  std::size_t first_error = 0;      // the image that `error` is of
  std::exception_ptr error;
  std::vector<std::uint8_t> pixels;

  bool ready() const { return done == images.size(); }
};

}  // namespace

struct BatchStream::State {
  const ImageSource& source;
  AugmentRules rules;
  ImagePart part;
  ImagesOf images_of;
  std::int64_t image_bytes;
  std::vector<Slot> slots;

  std::mutex mutex;
  std::condition_variable work, progress;
  std::int64_t next = 0;  // of the slots: batches next .. next + slots - 1
  bool begun = false, stopping = false;
  std::vector<std::thread> workers;

  State(const ImageSource& from, const AugmentRules& drawn, ImagePart of, ImagesOf images, std::int64_t bytes,
        std::size_t count)
      : source(from), rules(drawn), part(of), images_of(std::move(images)), image_bytes(bytes), slots(count) {}

  Slot& slot(std::int64_t number) {
    return slots[static_cast<std::size_t>(number % static_cast<std::int64_t>(slots.size()))];
  }

  void fill(std::int64_t number) {
    Slot& s = slot(number);
    s.number = number;
    s.images.clear();
    s.taken = s.done = 0;
    s.error = nullptr;
    images_of(number, s.images);
    if (s.images.size() * static_cast<std::size_t>(image_bytes) > s.pixels.size()) {
      throw std::logic_error("a batch of more images than the stream has room for");
    }
  }

  /// The next image that nobody has begun, in the order in which batches are needed.
  Slot* waiting() {
    for (std::int64_t number = next; number < next + static_cast<std::int64_t>(slots.size()); ++number) {
      Slot& s = slot(number);
      if (s.number == number && s.taken < s.images.size()) return &s;
    }
    return nullptr;
  }

  void run() {
    const auto reader = source.reader(rules);
    std::unique_lock lock(mutex);
    while (true) {
      Slot* s = nullptr;
      work.wait(lock, [&] { return stopping || (s = waiting()) != nullptr; });
      if (stopping) return;
      const std::size_t i = s->taken++;
      const ImageIndex image = s->images[i];
      lock.unlock();
      std::exception_ptr error;
      try {
        reader->read(part, image.image, image.epoch, s->pixels.data() + i * static_cast<std::size_t>(image_bytes));
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error && (!s->error || i < s->first_error)) {
        s->error = error;
        s->first_error = i;
      }
      ++s->done;
      progress.notify_all();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    work.notify_all();
    for (auto& worker : workers) worker.join();
    workers.clear();
  }
};

BatchStream::BatchStream(const ImageSource& source, const AugmentRules& rules, ImagePart part, ImagesOf images_of,
                         std::int64_t most, std::int64_t image_bytes, int workers, std::int64_t ahead)
    : state_(std::make_unique<State>(source, rules, part, std::move(images_of), image_bytes,
                                     static_cast<std::size_t>(std::max<std::int64_t>(1, ahead) + 1))) {
  for (Slot& s : state_->slots) s.pixels.resize(static_cast<std::size_t>(most * image_bytes));
  try {
    for (int i = 0; i < std::max(1, workers); ++i) state_->workers.emplace_back([s = state_.get()] { s->run(); });
  } catch (...) {
    state_->stop();
    throw;
  }
}

BatchStream::~BatchStream() { state_->stop(); }

std::int64_t BatchStream::bytes() const {
  std::int64_t sum = 0;
  for (const Slot& s : state_->slots) sum += static_cast<std::int64_t>(s.pixels.size());
  return sum;
}

const std::uint8_t* BatchStream::get(std::int64_t number) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  const auto window = static_cast<std::int64_t>(s.slots.size());
  if (!s.begun || number < s.next || number > s.next + 1) {
    // Images that are begun are finished first: their memory is used again.
    for (Slot& slot : s.slots) slot.images.resize(slot.taken);
    s.progress.wait(lock,
                    [&] { return std::all_of(s.slots.begin(), s.slots.end(), [](auto& x) { return x.ready(); }); });
    s.next = number;
    s.begun = true;
    for (std::int64_t n = number; n < number + window; ++n) s.fill(n);
    s.work.notify_all();
  } else if (number == s.next + 1) {
    Slot& used = s.slot(s.next);
    used.images.resize(used.taken);
    s.progress.wait(lock, [&] { return used.ready(); });
    s.next = number;
    s.fill(number + window - 1);
    s.work.notify_all();
  }
  Slot& slot = s.slot(number);
  s.progress.wait(lock, [&] { return slot.ready(); });
  if (slot.error) std::rethrow_exception(slot.error);
  return slot.pixels.data();
}

int worker_count(int asked, int threads) {
  if (asked > 0) return std::min(asked, kMostWorkers);
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return std::min(threads > 0 ? std::min(threads, cores) : cores, kMostWorkers);
}

}  // namespace bitcycle
