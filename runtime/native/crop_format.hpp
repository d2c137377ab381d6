// How crops are written, and where in a crop the resized box goes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "resampling.hpp"

namespace reidkit {

struct CropFormat {
    int height, width;
    bool planar;  // (3, height, width), else (height, width, 3)
    bool swap_colors;
    Filter filter = Filter::bilinear;

    // Floats are level * gain + offset, by channel of the crop.
    std::array<float, 3> gain{1, 1, 1}, offset{};

    // The box keeps its shape, as large as fits and centred, with the levels `padding` around it.
    bool letterbox = false;
    std::array<uint8_t, 3> padding{};

    size_t values() const { return size_t(3) * height * width; }
};

// Where a crop's picture lies in it.
struct Inset {
    int top, left, height, width;

    // Sides are rounded to the nearest pixel; of an odd margin the larger half is below and on the right.
    static Inset of(int box_height, int box_width, const CropFormat& format) {
        if (!format.letterbox) return {0, 0, format.height, format.width};
        const double scale =
            std::min(static_cast<double>(format.height) / box_height, static_cast<double>(format.width) / box_width);
        const auto scaled = [scale](int side, int most) {
            return std::clamp(static_cast<int>(side * scale + 0.5), 1, most);
        };
        const int height = scaled(box_height, format.height), width = scaled(box_width, format.width);
        return {(format.height - height) / 2, (format.width - width) / 2, height, width};
    }
};

// The contiguous parts of a crop's row that hold its picture: of each plane, or of the pixels.
template <class Value>
struct CropRows {
    int parts, part_size;
    ptrdiff_t rows_apart, apart;  // values from one row to the next, and from one part
    Value* begin;

    CropRows(const CropFormat& format, const Inset& inset, Value* crop)
        : parts(format.planar ? 3 : 1),
          part_size(format.planar ? inset.width : 3 * inset.width),
          rows_apart(format.planar ? format.width : 3 * format.width),
          apart(rows_apart * format.height),
          begin(crop + inset.top * rows_apart + (format.planar ? 1 : 3) * inset.left) {}

    Value* part(int y, int part) const { return begin + y * rows_apart + part * apart; }
};

}  // namespace reidkit
