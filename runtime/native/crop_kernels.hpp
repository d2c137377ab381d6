// The inner loops of cutting crops, in plain C++: rows in, one row out. This is the definition; every instruction set
// (cpu.hpp) computes the same bits.
//
// A row of work space holds the crop's samples in the crop's order, planes or pixels, 3 * width of them.
//
// Two taps (INTER_LINEAR). A stretched row is int16: levels less 128, with 8 fraction bits, 1/256 of a level off at
// most. Rows are blended the same way. Products are rounded to the nearest, halves up: what processors call a rounding
// high multiply (pmulhrsw, sqrdmulh).
//
// Many taps. Weights are whole numbers, sums are 32 bits wide. For Pillow's filters 22 bits and rows of bytes between
// the passes: its own arithmetic, hence its own bytes. For INTER_CUBIC 14 bits, and rows keep 6 fraction bits and what
// lies beyond black and white.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cpu.hpp"

namespace reidkit {

// A float of 16 bits, IEEE 754's binary16.
struct Half {
    uint16_t bits;
    bool operator==(const Half&) const = default;
};

REIDKIT_KERNEL int16_t rounded_product(int16_t value, int16_t weight) {  // in the form that compilers know
    return static_cast<int16_t>((((value * weight) >> 14) + 1) >> 1);
}

// The pixels firsts[x] and seconds[x] of a row, side by side. Reads and writes one byte past the last.
REIDKIT_KERNEL void pick_pixels(const uint8_t* __restrict row, const int32_t* __restrict firsts,
                                const int32_t* __restrict seconds, int width, bool swap_colors,
                                uint8_t* __restrict first_out, uint8_t* __restrict second_out) {
    const auto copy = [swap_colors](const uint8_t* from, uint8_t* to) {
        uint32_t pixel;
        std::memcpy(&pixel, from, 4);
        if (swap_colors) pixel = __builtin_bswap32(pixel) >> 8;
        std::memcpy(to, &pixel, 4);
    };
    for (int x = 0; x < width; ++x) {
        copy(row + 3 * static_cast<ptrdiff_t>(firsts[x]), first_out + 3 * x);
        copy(row + 3 * static_cast<ptrdiff_t>(seconds[x]), second_out + 3 * x);
    }
}

// out[i] is the weighted sum of first[i * step] and second[i * step].
template <int step>
REIDKIT_KERNEL void weigh(const uint8_t* __restrict first, const uint8_t* __restrict second,
                          const int16_t* __restrict first_weights, const int16_t* __restrict second_weights, int count,
                          int16_t* __restrict out) {
    const auto level = [](uint8_t byte) { return static_cast<int16_t>((byte ^ 0x80) << 8); };
    for (int i = 0; i < count; ++i) {
        out[i] = static_cast<int16_t>(rounded_product(level(first[i * step]), first_weights[i]) +
                                      rounded_product(level(second[i * step]), second_weights[i]));
    }
}

REIDKIT_KERNEL int16_t blended(int16_t upper, int16_t lower, int16_t upper_weight, int16_t lower_weight) {
    return static_cast<int16_t>(rounded_product(upper, upper_weight) + rounded_product(lower, lower_weight));
}

// Two stretched rows, and how much of each is in a row of the crop.
struct RowPair {
    const int16_t *upper, *lower;
    int16_t upper_weight, lower_weight;
};

// Rows of a crop, and their parts, `size` samples each: a row's planes, or all of it. Parts begin so many samples apart
// in a stretched row and in the crop, rows so many in the crop.
struct CropLayout {
    int rows, parts, size;
    ptrdiff_t apart, apart_in_crop, rows_apart;
};

// What makes a sample of work space a float, value * scale + bias: as many of both as a row has samples.
struct RowLevels {
    const float *scale, *bias;
};

// Weighted sums of stretched rows, to the nearest level.
REIDKIT_KERNEL void blend_to_bytes(const RowPair* pairs, const CropLayout& layout, uint8_t* out) {
    for (int row = 0; row < layout.rows; ++row) {
        for (int part = 0; part < layout.parts; ++part) {
            const int16_t* __restrict upper = pairs[row].upper + part * layout.apart;
            const int16_t* __restrict lower = pairs[row].lower + part * layout.apart;
            uint8_t* __restrict bytes = out + row * layout.rows_apart + part * layout.apart_in_crop;
            for (int i = 0; i < layout.size; ++i) {
                const int16_t sum = blended(upper[i], lower[i], pairs[row].upper_weight, pairs[row].lower_weight);
                bytes[i] = static_cast<uint8_t>(((static_cast<int16_t>(sum + 128) >> 8) & 255) ^ 0x80);
            }
        }
    }
}

// The same, not rounded.
REIDKIT_KERNEL void blend_to_floats(const RowPair* pairs, const CropLayout& layout, const RowLevels& levels,
                                    float* out) {
    for (int row = 0; row < layout.rows; ++row) {
        for (int part = 0; part < layout.parts; ++part) {
            const int16_t* __restrict upper = pairs[row].upper + part * layout.apart;
            const int16_t* __restrict lower = pairs[row].lower + part * layout.apart;
            const float* __restrict scale = levels.scale + part * static_cast<ptrdiff_t>(layout.size);
            const float* __restrict bias = levels.bias + part * static_cast<ptrdiff_t>(layout.size);
            float* __restrict floats = out + row * layout.rows_apart + part * layout.apart_in_crop;
            for (int i = 0; i < layout.size; ++i) {
                const int16_t sum = blended(upper[i], lower[i], pairs[row].upper_weight, pairs[row].lower_weight);
                floats[i] = static_cast<float>(sum) * scale[i] + bias[i];
            }
        }
    }
}

REIDKIT_KERNEL void bytes_to_floats(const uint8_t* __restrict bytes, const float* __restrict scale,
                                    const float* __restrict bias, int count, float* __restrict out) {
    for (int i = 0; i < count; ++i) out[i] = static_cast<float>(bytes[i]) * scale[i] + bias[i];
}

// To the nearest, halves to even.
REIDKIT_KERNEL void floats_to_halves(const float* __restrict floats, int count, Half* __restrict out) {
    constexpr uint32_t one_half = 0x3F000000, infinity = 0x7F800000;
    constexpr uint32_t smallest_normal = 113U << 23, beyond_all = 143U << 23;  // 2^-14 and 2^16
    for (int i = 0; i < count; ++i) {
        const auto bits = std::bit_cast<uint32_t>(floats[i]), magnitude = bits & 0x7FFFFFFF;
        // The sum's last bit is worth 2^-24, as that of a subnormal half.
        const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - one_half;
        const uint32_t normal = (magnitude - (112U << 23) + 0xFFF + ((magnitude >> 13) & 1)) >> 13;
        const uint32_t special = magnitude > infinity ? 0x7E00 | ((magnitude >> 13) & 0x3FF) : 0x7C00;
        const uint32_t half = magnitude < smallest_normal ? subnormal : magnitude < beyond_all ? normal : special;
        out[i].bits = static_cast<uint16_t>(half | ((bits >> 16) & 0x8000));
    }
}

// blend_to_floats, and then a set's floats_to_halves.
template <auto to_halves>
REIDKIT_KERNEL void blend_to_halves(const RowPair* pairs, const CropLayout& layout, const RowLevels& levels,
                                    Half* out) {
    constexpr int at_once = 64;
    float floats[at_once];
    for (int row = 0; row < layout.rows; ++row) {
        for (int part = 0; part < layout.parts; ++part) {
            for (int begin = 0; begin < layout.size; begin += at_once) {
                const ptrdiff_t from = part * layout.apart + begin;
                const ptrdiff_t level = part * static_cast<ptrdiff_t>(layout.size) + begin;
                const int size = std::min(at_once, layout.size - begin);
                const RowPair pair{pairs[row].upper + from, pairs[row].lower + from, pairs[row].upper_weight,
                                   pairs[row].lower_weight};
                blend_to_floats(&pair, {1, 1, size, 0, 0, 0}, {levels.scale + level, levels.bias + level}, floats);
                to_halves(floats, size, out + row * layout.rows_apart + part * layout.apart_in_crop + begin);
            }
        }
    }
}

// How many-tap rows of work space are computed: Row is uint8_t for Pillow's filters, int16_t for INTER_CUBIC.
template <class Row>
constexpr int tap_weight_bits = std::is_same_v<Row, uint8_t> ? 22 : 14;
template <class Row>
constexpr int tap_row_bits = std::is_same_v<Row, uint8_t> ? 0 : 6;

// Where a row's channels go, in the order they have in the frame: planes (step 1) or pixels (step 3).
template <class T>
struct Channels {
    T* first;
    T* second;
    T* third;
    ptrdiff_t step;
};

// Output pixel x is the weighted sum of `taps` pixels from firsts[x] on; its weights begin at weights[x * taps].
// Reads one byte past the last pixel.
template <class Row>
REIDKIT_KERNEL void sum_columns(const uint8_t* row, const int32_t* firsts, const int32_t* weights, int taps, int width,
                                Channels<Row> out) {
    using Bytes [[gnu::vector_size(4)]] = uint8_t;  // three channels and a lane that nobody reads
    using Pixel [[gnu::vector_size(16)]] = int32_t;
    constexpr int drop = tap_weight_bits<Row> - tap_row_bits<Row>;
    using Limits = std::numeric_limits<Row>;
    const auto finished = [](int32_t sum) {
        return static_cast<Row>(std::clamp<int32_t>(sum >> drop, Limits::min(), Limits::max()));
    };
    for (ptrdiff_t x = 0; x < width; ++x) {
        const uint8_t* source = row + 3 * static_cast<ptrdiff_t>(firsts[x]);
        const int32_t* weight = weights + x * taps;
        Pixel sum = Pixel{} + (1 << (drop - 1));
        for (int tap = 0; tap < taps; ++tap) {
            Bytes pixel;
            std::memcpy(&pixel, source + 3 * tap, sizeof pixel);
            sum += weight[tap] * __builtin_convertvector(pixel, Pixel);
        }
        out.first[x * out.step] = finished(sum[0]);
        out.second[x * out.step] = finished(sum[1]);
        out.third[x * out.step] = finished(sum[2]);
    }
}

constexpr int summed_at_once = 64;  // sum_rows does whole such parts of rows

// out[i] is the weighted sum of rows' i, to the nearest level. The `taps` rows lie in a ring, the first one at `slot`.
template <class Row>
REIDKIT_KERNEL void sum_rows(const Row* ring, size_t row_size, int slot, const int32_t* weights, int taps, int count,
                             uint8_t* out) {
    constexpr int drop = tap_weight_bits<Row> + tap_row_bits<Row>;
    for (int begin = 0; begin < count; begin += summed_at_once) {
        int32_t sums[summed_at_once];
        for (int32_t& sum : sums) sum = 1 << (drop - 1);
        for (int tap = 0; tap < taps; ++tap) {
            const Row* row = ring + (slot + tap < taps ? slot + tap : slot + tap - taps) * row_size + begin;
            for (int i = 0; i < summed_at_once; ++i) sums[i] += weights[tap] * row[i];
        }
        for (int i = 0; i < summed_at_once; ++i)
            out[begin + i] = static_cast<uint8_t>(std::clamp(sums[i] >> drop, 0, 255));
    }
}

}  // namespace reidkit
