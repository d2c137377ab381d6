// Cuts a box out of a frame and resizes it into the caller's memory.
//
// Bilinear (OpenCV's INTER_LINEAR geometry): each source row that is needed is stretched once, the last two are kept,
// and an output row blends them. Antialiased (Pillow's BILINEAR: a triangle as wide as the scale): source rows are
// summed first, because that runs over contiguous bytes, then columns. Enlarging, the two are the same filter.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "crop_kernels.hpp"
#include "crop_kernels_avx512.hpp"

namespace reidkit {

struct Frame {
    const uint8_t* pixels;  // three interleaved channels
    ptrdiff_t row_bytes;    // may be negative
    int height;
    int width;
};

struct Box {
    int left, top, right, bottom;

    int width() const { return right - left; }
    int height() const { return bottom - top; }
    bool empty() const { return right <= left || bottom <= top; }
};

// The pixels a box (x1, y1, x2, y2) covers: clipped to the frame, then truncated, as BoT-SORT cuts them.
// The coordinates must be finite.
inline Box pixels_of(const double* xyxy, const Frame& frame) {
    auto clip = [](double value, int limit) { return static_cast<int>(std::clamp(value, 0.0, double(limit))); };
    return {clip(xyxy[0], frame.width), clip(xyxy[1], frame.height), clip(xyxy[2], frame.width),
            clip(xyxy[3], frame.height)};
}

// How a crop is written.
struct CropFormat {
    int height, width;
    bool planar;       // (3, height, width), else (height, width, 3)
    bool swap_colors;  // RGB <-> BGR
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

// Cuts crops of one format; keeps its work space, so that only the first and ever larger boxes allocate.
// One thread at a time.
class CropCutter {
  public:
    explicit CropCutter(InstructionSet set) : kernels_(set) {}

    // out: 3 * height * width values, 0 ... 255; floats are not rounded. The box must not be empty.
    template <class Out>
    void cut(const Frame& frame, const Box& box, const CropFormat& format, Out* out) {
        static_assert(std::is_same_v<Out, uint8_t> || std::is_same_v<Out, float>);
        const bool shrinks = box.height() > format.height || box.width() > format.width;
        if (format.antialias && shrinks) {
            cut_antialiased(frame, box, format, out);
        } else {
            cut_bilinear(frame, box, format, out);
        }
    }

  private:
    // Which source samples make each output sample along one axis: `counts` samples from `firsts` on.
    struct Taps {
        std::vector<int32_t> firsts, counts;
        std::vector<float> weights;
        int stride;

        // Pillow's precompute_coeffs for the triangle filter.
        void plan(int source, int target) {
            const double scale = double(source) / target;
            const double support = std::max(scale, 1.0);
            stride = static_cast<int>(std::ceil(support)) * 2 + 1;
            firsts.resize(target);
            counts.resize(target);
            weights.resize(size_t(target) * stride);
            for (int i = 0; i < target; ++i) {
                const double center = (i + 0.5) * scale;
                const int first = std::max(0, static_cast<int>(center - support + 0.5));
                const int count = std::min(source, static_cast<int>(center + support + 0.5)) - first;
                float* weight = weights.data() + size_t(i) * stride;
                double total = 0;
                for (int tap = 0; tap < count; ++tap) total += triangle((first + tap + 0.5 - center) / support);
                for (int tap = 0; tap < count; ++tap)
                    weight[tap] = float(triangle((first + tap + 0.5 - center) / support) / total);
                firsts[i] = first;
                counts[i] = count;
            }
        }

        static double triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }
    };

    // Between which two samples of an axis an output sample lies: `part` of the way from `first` to the next.
    struct Position {
        int first;
        double part;
    };

    // OpenCV's: pixel centres at half-integers, the edge repeated.
    static Position position(int i, double scale, int source) {
        const double at = std::max(0.0, (i + 0.5) * scale - 0.5);
        const int first = static_cast<int>(at);
        return first < source - 1 ? Position{first, at - first} : Position{source - 1, 0.0};
    }

    static int fixed_point(double part, int bits) { return static_cast<int>(part * (1 << bits) + 0.5); }

    template <class T>
    static Channels<T> channels_of(T* row, const CropFormat& format) {
        const ptrdiff_t apart = format.planar ? format.width : 1;
        T* outer[2] = {row, row + 2 * apart};
        return {outer[format.swap_colors], row + apart, outer[!format.swap_colors], format.planar ? 1 : 3};
    }

    // Calls write(from, to, count) for each contiguous part of output row y.
    template <class Out, class Write>
    static void for_each_run(const CropFormat& format, int y, Out* out, Write write) {
        const size_t width = format.width;
        if (!format.planar) return write(0, out + y * 3 * width, int(3 * width));
        for (size_t plane = 0; plane < 3; ++plane)
            write(plane * width, out + (plane * format.height + y) * width, int(width));
    }

    template <class Out>
    void cut_bilinear(const Frame& frame, const Box& box, const CropFormat& format, Out* out) {
        const size_t row_size = 3 * size_t(format.width);
        plan_columns(box.width(), format.width);
        rows_.resize(2 * row_size);
        int held[2] = {-1, -1};
        auto stretched = [&](int y) {
            int16_t* row = rows_.data() + (y & 1) * row_size;
            if (held[y & 1] != y) {
                stretch(frame.pixels + (box.top + y) * frame.row_bytes + 3 * ptrdiff_t(box.left), box, format, row);
                held[y & 1] = y;
            }
            return static_cast<const int16_t*>(row);
        };
        const double scale = double(box.height()) / format.height;
        for (int y = 0; y < format.height; ++y) {
            const Position at = position(y, scale, box.height());
            const auto weight = static_cast<int16_t>(std::min(fixed_point(at.part, row_weight_bits), 32767));
            const int16_t* upper = stretched(at.first);
            const int16_t* lower = weight == 0 ? upper : stretched(at.first + 1);
            for_each_run(format, y, out, [&](size_t from, Out* to, int count) {
                if constexpr (std::is_same_v<Out, uint8_t>) {
                    kernels_.blend_rows_u8(upper + from, lower + from, weight, count, to);
                } else {
                    kernels_.blend_rows_f32(upper + from, lower + from, weight, count, to);
                }
            });
        }
    }

    // The last source pixel has no right neighbour: it is reached with the whole weight on the right one of its pair.
    void plan_columns(int source, int target) {
        offsets_.resize(target);
        column_weights_.resize(target);
        const double scale = double(source) / target;
        for (int x = 0; x < target; ++x) {
            Position at = position(x, scale, source);
            if (at.first == source - 1 && source > 1) at = {source - 2, 1.0};
            offsets_[x] = 3 * at.first;
            column_weights_[x] = fixed_point(at.part, column_weight_bits);
        }
    }

    void stretch(const uint8_t* source, const Box& box, const CropFormat& format, int16_t* row) {
        uint8_t pair[6];
        if (box.width() == 1) {  // no pair to read
            std::copy_n(source, 3, pair);
            std::copy_n(source, 3, pair + 3);
            source = pair;
        }
        kernels_.stretch_row(source, offsets_.data(), column_weights_.data(), format.width, channels_of(row, format));
    }

    template <class Out>
    void cut_antialiased(const Frame& frame, const Box& box, const CropFormat& format, Out* out) {
        const int source_size = 3 * box.width();
        row_taps_.plan(box.height(), format.height);
        column_taps_.plan(box.width(), format.width);
        summed_.resize(size_t(source_size) + 1);
        filtered_.resize(3 * size_t(format.width));
        const uint8_t* corner = frame.pixels + box.top * frame.row_bytes + 3 * ptrdiff_t(box.left);
        for (int y = 0; y < format.height; ++y) {
            kernels_.sum_rows(corner + row_taps_.firsts[y] * frame.row_bytes, frame.row_bytes,
                              row_taps_.weights.data() + size_t(y) * row_taps_.stride, row_taps_.counts[y], source_size,
                              summed_.data());
            kernels_.sum_columns(summed_.data(), column_taps_.firsts.data(), column_taps_.counts.data(),
                                 column_taps_.weights.data(), column_taps_.stride, format.width,
                                 channels_of(filtered_.data(), format));
            for_each_run(format, y, out, [&](size_t from, Out* to, int count) {
                if constexpr (std::is_same_v<Out, uint8_t>) {
                    kernels_.round_row_u8(filtered_.data() + from, count, to);
                } else {
                    std::copy_n(filtered_.data() + from, count, to);
                }
            });
        }
    }

    const CropKernels kernels_;
    std::vector<int32_t> offsets_, column_weights_;
    std::vector<int16_t> rows_;
    Taps row_taps_, column_taps_;
    std::vector<float> summed_, filtered_;
};

}  // namespace reidkit
