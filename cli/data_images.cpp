// SPDX-License-Identifier: Apache-2.0
#include "cli/data_images.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "nn/data/check_images.h"
#include "nn/data/image_folder.h"
#include "nn/data/jpeg.h"
#include "nn/data/pack.h"

namespace bitcycle::cli {
namespace {

constexpr std::size_t kShown = 20;

/// A line that is redrawn on a terminal.
class Counter {
 public:
  Counter(Console& console, std::string what) : console_(console), what_(std::move(what)) {}
  ~Counter() {
    if (drawn_) console_.notes() << "\r\033[K" << std::flush;
  }
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;
  void operator()(std::int64_t done, std::int64_t of) {
    if (!console_.terminal() || console_.quiet()) return;
    console_.notes() << "\r\033[K" << what_ << " " << grouped(done) << " of " << grouped(of) << std::flush;
    drawn_ = true;
  }

 private:
  Console& console_;
  std::string what_;
  bool drawn_ = false;
};

/// A signal came while a pack was written.
struct Stopped {};

std::string range_text(const std::vector<std::int64_t>& sides) {
  if (sides.empty()) return "none";
  return std::to_string(sides.front()) + " to " + std::to_string(sides.back()) + ", median " +
         std::to_string(sides[sides.size() / 2]);
}

nlohmann::ordered_json object_of(const ImageCheck& check) {
  nlohmann::ordered_json json{{"images", check.images}, {"bytes", check.bytes}};
  const auto sides = [&](const char* name, const std::vector<std::int64_t>& list) {
    if (!list.empty()) json[name] = {{"least", list.front()}, {"median", list[list.size() / 2]}, {"most", list.back()}};
  };
  sides("short_side", check.shorter);
  sides("long_side", check.longer);
  json["grey"] = check.grey;
  json["cmyk"] = check.cmyk;
  json["damaged"] = check.damaged;
  json["unreadable"] = check.unreadable;
  return json;
}

void print_part(std::ostream& out, const char* part, const ImageCheck& check) {
  out << "  " << part << "  " << grouped(check.images) << " images, "
      << fixed(static_cast<double>(check.bytes) / 1048576.0, 1) << " MiB; short side " << range_text(check.shorter)
      << "; long side " << range_text(check.longer);
  if (check.grey > 0) out << "; " << grouped(check.grey) << " grey";
  if (check.cmyk > 0) out << "; " << grouped(check.cmyk) << " CMYK";
  out << "\n";
}

void print_list(std::ostream& out, const std::string& title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  out << title << ":\n";
  for (std::size_t i = 0; i < std::min(lines.size(), kShown); ++i) out << "  " << lines[i] << "\n";
  if (lines.size() > kShown) out << "  and " << grouped(static_cast<std::int64_t>(lines.size() - kShown)) << " more\n";
}

int print(Console& console, const std::string& title, nlohmann::ordered_json json, const ImageCheck& train,
          const ImageCheck& test) {
  json["train"] = object_of(train);
  json["val"] = object_of(test);
  console.json(json);
  std::ostream& out = console.result();
  out << title << "\n";
  print_part(out, "train", train);
  print_part(out, "val  ", test);
  std::vector<std::string> damaged = train.damaged, unreadable = train.unreadable;
  damaged.insert(damaged.end(), test.damaged.begin(), test.damaged.end());
  unreadable.insert(unreadable.end(), test.unreadable.begin(), test.unreadable.end());
  print_list(out, grouped(static_cast<std::int64_t>(damaged.size())) + " damaged, which the decoder makes good",
             damaged);
  print_list(out,
             grouped(static_cast<std::int64_t>(unreadable.size())) + " cannot be read, and a training stops at them",
             unreadable);
  if (damaged.empty() && unreadable.empty()) out << "No problem was found.\n";
  return unreadable.empty() ? kSuccess : kFailure;
}

}  // namespace

int report_images(Console& console, const std::filesystem::path& path, const ImageDataOptions& options) {
  if (is_pack(path)) {
    if (options.pack) throw std::runtime_error("'" + path.string() + "' is a pack already; --pack needs a folder");
    const PackIndex index = read_pack_index(path);
    Counter counter(console, "read");
    const ImageCheck train = check_pack(path, index.train, options.threads, std::ref(counter));
    const ImageCheck test = check_pack(path, index.test, options.threads, std::ref(counter));
    return print(console,
                 path.string() + ": pack of " + grouped(static_cast<std::int64_t>(index.classes.size())) +
                     " classes, short side " + std::to_string(index.resize) + ", digest " + to_text(index.digest),
                 {{"name", "imagefolder"},
                  {"pack", path.string()},
                  {"classes", index.classes.size()},
                  {"resize", index.resize},
                  {"checksum", to_text(index.digest)}},
                 train, test);
  }
  const ImageFolder folder = read_image_folder(path);
  for (const auto& text : folder.warnings) console.warning(text);
  if (options.pack) {
    PackIndex index;
    const InterruptGuard guard("");
    try {
      Counter counter(console, "packed");
      index =
          write_pack(folder, *options.pack, options.resize, options.threads, [&](std::int64_t done, std::int64_t of) {
            if (guard.stop()->load()) throw Stopped();
            counter(done, of);
          });
    } catch (const Stopped&) {
      std::cerr << "bitcycle: error: stopped before '" << options.pack->string() << "' was whole: it was not written\n";
      return 128 + guard.signal();
    }
    console.json({{"pack", options.pack->string()},
                  {"classes", index.classes.size()},
                  {"train_images", index.train.size()},
                  {"test_images", index.test.size()},
                  {"resize", index.resize},
                  {"bytes", std::filesystem::file_size(*options.pack)},
                  {"checksum", to_text(index.digest)}});
    console.result() << options.pack->string() << ": " << grouped(folder.train.count()) << " training and "
                     << grouped(folder.test.count()) << " test images of " << folder.classes.size()
                     << " classes, short side " << index.resize << ", "
                     << fixed(static_cast<double>(std::filesystem::file_size(*options.pack)) / 1048576.0, 1)
                     << " MiB, digest " << to_text(index.digest) << "\nA config names it by data.path.\n";
    return kSuccess;
  }
  Counter counter(console, "read");
  const ImageCheck train = check_images(folder.train, options.threads, std::ref(counter));
  const ImageCheck test = check_images(folder.test, options.threads, std::ref(counter));
  return print(console,
               path.string() + ": image folder of " + grouped(static_cast<std::int64_t>(folder.classes.size())) +
                   " classes, read by " + jpeg_decoder(),
               {{"name", "imagefolder"},
                {"folder", path.string()},
                {"classes", folder.classes},
                {"decoder", jpeg_decoder()},
                {"warnings", folder.warnings}},
               train, test);
}

}  // namespace bitcycle::cli
