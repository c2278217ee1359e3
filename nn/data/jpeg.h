// SPDX-License-Identifier: Apache-2.0
// JPEG files to rows of RGB pixels by libjpeg-turbo, as Pillow gives them: exact inverse DCT (islow), smooth
// upsampling, grey repeated in three channels, CMYK by Adobe's convention, EXIF orientation and colour profiles
// ignored.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace bitcycle {

struct JpegInfo {
  std::int64_t width = 0, height = 0;
  int components = 0;         // stored: 1 grey, 3 colour, 4 CMYK
  std::int64_t warnings = 0;  // damage that the decoder made good; of the whole picture after rows() to its end
  std::string first_warning;  // the library's words
};

/// Rows and columns of a picture: [top, top + height) and [left, left + width).
struct PixelBox {
  std::int64_t top = 0, left = 0, height = 0, width = 0;
  bool operator==(const PixelBox&) const = default;
};

/// Reads one file at a time and keeps its memory for the next one. Not for several threads at once.
class JpegReader {
 public:
  JpegReader();
  ~JpegReader();
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  /// Reads the header; `bytes` must live until the last call. Throws std::runtime_error beginning with `origin`: no
  /// JPEG file (naming the kind where it is a known one), damaged, cut off, a kind of JPEG that is not read, more than
  /// 2^27 pixels.
  const JpegInfo& open(std::string_view bytes, const std::string& origin);
  /// Calls row(y, pixels) for y = box.top and on, pixels those of the columns box.left and on, 3 bytes each. The same
  /// bytes as those of the whole picture, whatever the box. Throws as open() does, also where the file is cut off
  /// behind the box.
  void rows(const PixelBox& box, const std::function<void(std::int64_t y, const std::uint8_t* pixels)>& row);
  /// Counts warnings of the picture that was read last.
  const JpegInfo& info() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "libjpeg-turbo 2.1.5": what the program was compiled with. Decoders of other versions may give other pixels.
std::string jpeg_decoder();

}  // namespace bitcycle
