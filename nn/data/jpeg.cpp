// SPDX-License-Identifier: Apache-2.0
#include "nn/data/jpeg.h"

#include <cstdio>
// libjpeg's header needs stdio.h before it.
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace bitcycle {
namespace {

constexpr std::int64_t kMostPixels = std::int64_t{1} << 27;
constexpr std::size_t kMargin = 32;  // columns beside a box, so that smooth upsampling has its neighbours: two blocks

/// libjpeg's errors come back by longjmp: a function that calls it sets `jump` itself and holds nothing with a
/// destructor.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
  char first_warning[JMSG_LENGTH_MAX];
};

void on_error(j_common_ptr common) {
  auto* errors = reinterpret_cast<ErrorManager*>(common->err);
  (*common->err->format_message)(common, errors->text);
  std::longjmp(errors->jump, 1);
}
void on_message(j_common_ptr common, int level) {
  if (level >= 0) return;
  auto* errors = reinterpret_cast<ErrorManager*>(common->err);
  if (common->err->num_warnings++ == 0) (*common->err->format_message)(common, errors->first_warning);
}
void be_silent(j_common_ptr) {}

// The source is the file's bytes in memory; asking for more means that the file is cut off.
void begin_source(j_decompress_ptr) {}
boolean want_more(j_decompress_ptr info) {
  auto* errors = reinterpret_cast<ErrorManager*>(info->err);
  std::snprintf(errors->text, sizeof errors->text, "it is cut off: its data end before the picture does");
  std::longjmp(errors->jump, 1);
}
void skip_bytes(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  if (static_cast<std::size_t>(count) > info->src->bytes_in_buffer) want_more(info);
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= static_cast<std::size_t>(count);
}

std::string kind_of(std::string_view bytes) {
  const auto begins = [&](std::string_view magic, std::size_t at = 0) {
    return bytes.size() >= at + magic.size() && bytes.substr(at, magic.size()) == magic;
  };
  using namespace std::string_view_literals;
  if (bytes.empty()) return "the file is empty";
  if (begins("\x89PNG"sv)) return "it is a PNG file";
  if (begins("GIF8"sv)) return "it is a GIF file";
  if (begins("BM"sv)) return "it is a BMP file";
  if (begins("II*\0"sv) || begins("MM\0*"sv)) return "it is a TIFF file";
  if (begins("RIFF"sv) && begins("WEBP"sv, 8)) return "it is a WebP file";
  if (begins("\0\0\0\x0CjP  "sv)) return "it is a JPEG 2000 file";
  if (begins("ftyp"sv, 4)) return "it is a HEIF or AVIF file";
  return "it is no JPEG file";
}

}  // namespace

struct JpegReader::State {
  jpeg_decompress_struct jpeg{};
  ErrorManager errors{};
  jpeg_source_mgr source{};
  JpegInfo info;
  std::string_view bytes;
  std::string origin;
  std::vector<std::uint8_t> line, rgb;
  JSAMPROW row = nullptr;
  bool rest_is_there = false;

  /// False: errors.text says why.
  bool read_header() {
    if (setjmp(errors.jump) != 0) return false;
    // A new one for every file: it would read one without tables of its own by the tables of the file before.
    jpeg_destroy_decompress(&jpeg);
    jpeg_create_decompress(&jpeg);
    source.init_source = begin_source;
    source.fill_input_buffer = want_more;
    source.skip_input_data = skip_bytes;
    source.resync_to_restart = jpeg_resync_to_restart;
    source.term_source = begin_source;
    source.next_input_byte = reinterpret_cast<const JOCTET*>(bytes.data());
    source.bytes_in_buffer = bytes.size();
    jpeg.src = &source;
    jpeg_read_header(&jpeg, TRUE);
    return true;
  }
  bool start() {
    if (setjmp(errors.jump) != 0) return false;
    if (jpeg.num_components == 1) {
      jpeg.out_color_space = JCS_GRAYSCALE;
    } else {
      jpeg.out_color_space = jpeg.num_components == 3 ? JCS_RGB : JCS_CMYK;
    }
    jpeg_start_decompress(&jpeg);
    return true;
  }
  bool crop(JDIMENSION* left, JDIMENSION* width) {
    if (setjmp(errors.jump) != 0) return false;
    jpeg_crop_scanline(&jpeg, left, width);
    return true;
  }
  bool skip(JDIMENSION count) {
    if (setjmp(errors.jump) != 0) return false;
    jpeg_skip_scanlines(&jpeg, count);
    return true;
  }
  bool read_row() {
    if (setjmp(errors.jump) != 0) return false;
    if (jpeg_read_scanlines(&jpeg, &row, 1) == 1) return true;
    std::snprintf(errors.text, sizeof errors.text, "the decoder gave no row");
    return false;
  }
  bool finish() {
    if (setjmp(errors.jump) != 0) return false;
    if (jpeg.output_scanline == jpeg.output_height) {
      jpeg_finish_decompress(&jpeg);
      return true;
    }
    // The rest is not decoded; whether it is there, the mark at its end says.
    const auto* rest = source.next_input_byte;
    const bool met = jpeg.unread_marker == JPEG_EOI;
    const void* end = met ? rest : memmem(rest, source.bytes_in_buffer, "\xFF\xD9", 2);
    const bool buffered = jpeg.buffered_image != 0 || jpeg_has_multiple_scans(&jpeg) != 0;
    jpeg_abort_decompress(&jpeg);
    if (end != nullptr || buffered) return true;
    std::snprintf(errors.text, sizeof errors.text, "it is cut off: its data end before the picture does");
    return false;
  }
  void count_warnings() {
    info.warnings = jpeg.err->num_warnings;
    if (info.warnings > 0) info.first_warning = errors.first_warning;
  }
  [[noreturn]] void fail() {
    jpeg_abort_decompress(&jpeg);
    throw std::runtime_error(origin + " cannot be read: " + errors.text);
  }
};

JpegReader::JpegReader() : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.jpeg.err = jpeg_std_error(&s.errors.base);
  s.errors.base.error_exit = on_error;
  s.errors.base.emit_message = on_message;
  s.errors.base.output_message = be_silent;
  if (setjmp(s.errors.jump) != 0) throw std::runtime_error(std::string("libjpeg: ") + s.errors.text);
  jpeg_create_decompress(&s.jpeg);
}

JpegReader::~JpegReader() { jpeg_destroy_decompress(&state_->jpeg); }

const JpegInfo& JpegReader::info() const { return state_->info; }

const JpegInfo& JpegReader::open(std::string_view bytes, const std::string& origin) {
  State& s = *state_;
  s.bytes = bytes;
  s.origin = origin;
  s.info = {};
  s.errors.base.num_warnings = 0;
  if (bytes.size() < 3 || bytes.substr(0, 2) != "\xFF\xD8") {
    throw std::runtime_error(origin + " cannot be read: " + kind_of(bytes) +
                             "; pictures are JPEG files, so convert it or take it out of the folder");
  }
  if (!s.read_header()) s.fail();
  s.info.width = s.jpeg.image_width;
  s.info.height = s.jpeg.image_height;
  s.info.components = s.jpeg.num_components;
  const auto refuse = [&](const std::string& why) {
    std::snprintf(s.errors.text, sizeof s.errors.text, "%s", why.c_str());
    s.fail();
  };
  if (s.info.components != 1 && s.info.components != 3 && s.info.components != 4) {
    refuse("it has " + std::to_string(s.info.components) + " components; 1 (grey), 3 (colour) and 4 (CMYK) are read");
  }
  if (s.info.width * s.info.height > kMostPixels) {
    refuse("it has " + std::to_string(s.info.width) + "x" + std::to_string(s.info.height) +
           " pixels; at most 2^27 are read");
  }
  return s.info;
}

void JpegReader::rows(const PixelBox& box, const std::function<void(std::int64_t y, const std::uint8_t* pixels)>& row) {
  State& s = *state_;
  if (box.top < 0 || box.left < 0 || box.height < 1 || box.width < 1 || box.top + box.height > s.info.height ||
      box.left + box.width > s.info.width) {
    throw std::logic_error("a box outside of the picture " + s.origin);
  }
  if (!s.start()) s.fail();
  // Columns that are decoded, in whole blocks, with neighbours.
  auto first = static_cast<JDIMENSION>(std::max<std::int64_t>(0, box.left - static_cast<std::int64_t>(kMargin)));
  auto count = static_cast<JDIMENSION>(
      std::min(s.info.width, box.left + box.width + static_cast<std::int64_t>(kMargin)) - first);
  if (count < static_cast<JDIMENSION>(s.info.width)) {
    if (!s.crop(&first, &count)) s.fail();
  }
  const auto components = static_cast<std::size_t>(s.jpeg.output_components);
  s.line.resize(static_cast<std::size_t>(s.jpeg.output_width) * components);
  s.rgb.resize(static_cast<std::size_t>(box.width) * 3);
  s.row = s.line.data();
  if (box.top > 0 && !s.skip(static_cast<JDIMENSION>(box.top))) s.fail();
  const auto inside = static_cast<std::size_t>(box.left - static_cast<std::int64_t>(first));
  for (std::int64_t y = box.top; y < box.top + box.height; ++y) {
    if (!s.read_row()) s.fail();
    const std::uint8_t* from = s.line.data() + inside * components;
    if (components == 3) {
      row(y, from);
      continue;
    }
    for (std::size_t x = 0; x < static_cast<std::size_t>(box.width); ++x) {
      std::uint8_t* to = s.rgb.data() + 3 * x;
      if (components == 1) {
        to[0] = to[1] = to[2] = from[x];
        continue;
      }
      // Stored values are 255 - C, M, Y, K, so the stored K is what 255 - K is; v / 255 rounded, without a division.
      const int light = from[4 * x + 3];
      for (std::size_t c = 0; c < 3; ++c) {
        const int t = (255 - from[4 * x + c]) * light + 128;
        to[c] = static_cast<std::uint8_t>(std::max(0, light - ((t + (t >> 8)) >> 8)));
      }
    }
    row(y, s.rgb.data());
  }
  const bool whole = s.finish();
  s.count_warnings();
  if (!whole) s.fail();
}

std::string jpeg_decoder() {
#define BITCYCLE_TEXT_OF(x) #x
#define BITCYCLE_TEXT(x) BITCYCLE_TEXT_OF(x)
  return "libjpeg-turbo " BITCYCLE_TEXT(LIBJPEG_TURBO_VERSION);
#undef BITCYCLE_TEXT
#undef BITCYCLE_TEXT_OF
}

}  // namespace bitcycle
