// Cuts a box out of a frame and resizes it into the caller's memory.
//
// Bilinear, with OpenCV's geometry: each source row that is needed is stretched once, two are kept, and every output
// row blends them. Antialiased, with Pillow's: source rows are summed first, as that runs over contiguous bytes, then
// columns. Where a crop is enlarged the two are the same filter.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "crop_kernels.hpp"
#include "crop_kernels_avx512.hpp"
#include "frame.hpp"
#include "resampling.hpp"

namespace reidkit {

// How a crop is written.
struct CropFormat {
    int height, width;
    bool planar;  // (3, height, width), else (height, width, 3)
    bool swap_colors;
    bool antialias;
};

// The kernels of one instruction set.
struct CropKernels {
    decltype(&reidkit::stretch_row) stretch_row;
    decltype(&reidkit::blend_rows_u8) blend_rows_u8;
    decltype(&reidkit::blend_rows_f32) blend_rows_f32;
    decltype(&reidkit::sum_rows) sum_rows;
    decltype(&reidkit::sum_columns) sum_columns;
    decltype(&reidkit::round_row_u8) round_row_u8;

    explicit CropKernels(InstructionSet set)
        : stretch_row(compiled_for<&reidkit::stretch_row>(set)),
          blend_rows_u8(compiled_for<&reidkit::blend_rows_u8>(set)),
          blend_rows_f32(compiled_for<&reidkit::blend_rows_f32>(set)),
          sum_rows(compiled_for<&reidkit::sum_rows>(set)),
          sum_columns(compiled_for<&reidkit::sum_columns>(set)),
          round_row_u8(compiled_for<&reidkit::round_row_u8>(set)) {
#ifdef __x86_64__
        if (set == InstructionSet::avx512) stretch_row = &stretch_row_avx512;
#endif
    }
};

// Keeps its work space from crop to crop, so that it allocates only for the first ones and for ever larger boxes.
// One thread at a time.
class CropCutter {
  public:
    explicit CropCutter(InstructionSet set) : kernels_(set) {}

    // Writes 3 * height * width values in 0 ... 255, bytes to the nearest and floats not rounded. The box lies in the
    // frame and is not empty.
    template <class Value>
    void cut(const Frame& frame, const Box& box, const CropFormat& format, Value* out) {
        static_assert(std::is_same_v<Value, uint8_t> || std::is_same_v<Value, float>);
        const bool shrinks = box.height() > format.height || box.width() > format.width;
        if (format.antialias && shrinks) {
            cut_antialiased(frame, box, format, out);
        } else {
            cut_bilinear(frame, box, format, out);
        }
    }

  private:
    template <class Value>
    void cut_bilinear(const Frame& frame, const Box& box, const CropFormat& format, Value* out) {
        const size_t row_size = 3 * static_cast<size_t>(format.width);
        plan_columns(box.width(), format.width);
        stretched_.resize(2 * row_size);
        int held[2] = {-1, -1};  // which row each half of `stretched_` has
        const auto stretched_row = [&](int y) -> const int16_t* {
            int16_t* row = stretched_.data() + (y % 2) * row_size;
            if (held[y % 2] != y) stretch_row(frame.at(box.top + y, box.left), box.width(), format, row);
            held[y % 2] = y;
            return row;
        };
        RowPrefetcher prefetcher(frame, box);
        for (int y = 0; y < format.height; ++y) {
            const Position at = position_of(y, box.height(), format.height);
            const int weight = std::min(at.fixed_point_part(row_weight_bits), (1 << row_weight_bits) - 1);
            prefetcher.reach(at.first);
            const int16_t* upper = stretched_row(at.first);
            const int16_t* lower = weight == 0 ? upper : stretched_row(at.first + 1);
            for_each_run(format, y, out, [&](size_t from, Value* to, int count) {
                const auto blend = [&](auto kernel) {
                    kernel(upper + from, lower + from, static_cast<int16_t>(weight), count, to);
                };
                if constexpr (std::is_same_v<Value, uint8_t>) {
                    blend(kernels_.blend_rows_u8);
                } else {
                    blend(kernels_.blend_rows_f32);
                }
            });
        }
    }

    // The last source pixel has no right neighbour: it is the right one of its pair, with all the weight.
    void plan_columns(int source, int target) {
        offsets_.resize(target);
        column_weights_.resize(target);
        for (int x = 0; x < target; ++x) {
            Position at = position_of(x, source, target);
            if (at.first == source - 1 && source > 1) at = {source - 2, 1.0};
            offsets_[x] = 3 * at.first;
            column_weights_[x] = at.fixed_point_part(column_weight_bits);
        }
    }

    void stretch_row(const uint8_t* source, int source_width, const CropFormat& format, int16_t* row) {
        uint8_t pair[6];
        if (source_width == 1) {  // which has no pair
            std::copy_n(source, 3, pair);
            std::copy_n(source, 3, pair + 3);
            source = pair;
        }
        kernels_.stretch_row(source, offsets_.data(), column_weights_.data(), format.width, channels_of(format, row));
    }

    template <class Value>
    void cut_antialiased(const Frame& frame, const Box& box, const CropFormat& format, Value* out) {
        const int source_size = 3 * box.width();
        row_taps_.plan(box.height(), format.height);
        column_taps_.plan(box.width(), format.width);
        summed_.resize(static_cast<size_t>(source_size) + 1);  // sum_columns reads one more
        filtered_.resize(3 * static_cast<size_t>(format.width));
        RowPrefetcher prefetcher(frame, box);
        for (int y = 0; y < format.height; ++y) {
            const int first = row_taps_.firsts[y], count = row_taps_.count;
            prefetcher.reach(first + count);
            kernels_.sum_rows(frame.at(box.top + first, box.left), frame.row_bytes, row_taps_.weights_of(y), count,
                              source_size, summed_.data());
            kernels_.sum_columns(summed_.data(), column_taps_.firsts.data(), column_taps_.weights.data(),
                                 column_taps_.count, format.width, channels_of(format, filtered_.data()));
            for_each_run(format, y, out, [&](size_t from, Value* to, int run) {
                if constexpr (std::is_same_v<Value, uint8_t>) {
                    kernels_.round_row_u8(filtered_.data() + from, run, to);
                } else {
                    std::copy_n(filtered_.data() + from, run, to);
                }
            });
        }
    }

    // Where the frame's channels go in a row of work space, which has the layout and the colours of the crop.
    template <class T>
    static Channels<T> channels_of(const CropFormat& format, T* row) {
        const ptrdiff_t apart = format.planar ? format.width : 1, step = format.planar ? 1 : 3;
        if (format.swap_colors) return {row + 2 * apart, row + apart, row, step};
        return {row, row + apart, row + 2 * apart, step};
    }

    // Calls write(position in the row of work space, where to, how many) for the contiguous parts of output row y.
    template <class Value, class Write>
    static void for_each_run(const CropFormat& format, int y, Value* out, Write write) {
        const size_t width = format.width;
        if (!format.planar) return write(0, out + y * 3 * width, static_cast<int>(3 * width));
        for (size_t plane = 0; plane < 3; ++plane)
            write(plane * width, out + (plane * format.height + y) * width, format.width);
    }

    const CropKernels kernels_;
    std::vector<int32_t> offsets_, column_weights_;
    std::vector<int16_t> stretched_;
    Taps row_taps_, column_taps_;
    std::vector<float> summed_, filtered_;
};

}  // namespace reidkit
