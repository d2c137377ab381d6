// The inner loops of cutting crops: rows in, one row out. Each is compiled for every instruction set (cpu.hpp) and
// computes the same bits in all of them.
//
// Stretched rows (two taps) are int16 with 7 fraction bits, 255 << 7 still fits: half the width of floats, and within
// 1/64 of a grey level. Summed rows (many taps) are float.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu.hpp"

namespace reidkit {

constexpr int row_fraction_bits = 7;
constexpr int column_weight_bits = 14;  // 0 ... 1 << 14, both ends included
constexpr int row_weight_bits = 15;     // 0 ... (1 << 15) - 1

// Where a row's channels go, in the order they have in the frame: planes (step 1) or pixels (step 3).
template <class T>
struct Channels {
    T* first;
    T* second;
    T* third;
    ptrdiff_t step;
};

template <ptrdiff_t step>
REIDKIT_KERNEL void stretch_row_by(const uint8_t* __restrict row, const int32_t* __restrict offsets,
                                   const int32_t* __restrict weights, int width, int16_t* __restrict first,
                                   int16_t* __restrict second, int16_t* __restrict third) {
    constexpr int drop = column_weight_bits - row_fraction_bits;
    for (int x = 0; x < width; ++x) {
        uint32_t left, right;  // inside the pair's six bytes, so `right` begins with the left pixel's last channel
        std::memcpy(&left, row + offsets[x], 4);
        std::memcpy(&right, row + offsets[x] + 2, 4);
        auto blended = [weight = weights[x]](uint32_t from_byte, uint32_t to_byte) {
            const auto from = static_cast<int32_t>(from_byte & 255), to = static_cast<int32_t>(to_byte & 255);
            const int32_t change = ((to - from) * weight + (1 << (drop - 1))) >> drop;
            return static_cast<int16_t>((from << row_fraction_bits) + change);
        };
        first[x * step] = blended(left, right >> 8);
        second[x * step] = blended(left >> 8, right >> 16);
        third[x * step] = blended(left >> 16, right >> 24);
    }
}

// Output pixel x blends the neighbouring source pixels at byte offsets[x] and offsets[x] + 3; weights are the right
// one's. Reads these six bytes and no more.
REIDKIT_KERNEL void stretch_row(const uint8_t* row, const int32_t* offsets, const int32_t* weights, int width,
                                Channels<int16_t> out) {
    if (out.step == 1) {
        stretch_row_by<1>(row, offsets, weights, width, out.first, out.second, out.third);
    } else {
        stretch_row_by<3>(row, offsets, weights, width, out.first, out.second, out.third);
    }
}

// out = upper + (lower - upper) * weight, to the nearest grey level.
REIDKIT_KERNEL void blend_rows_u8(const int16_t* __restrict upper, const int16_t* __restrict lower, int16_t weight,
                                  int count, uint8_t* __restrict out) {
    for (int i = 0; i < count; ++i) {  // in the form that compilers know as a rounding high multiply (pmulhrsw)
        const auto step = static_cast<int16_t>(lower[i] - upper[i]);
        const auto change = static_cast<int16_t>((((step * weight) >> (row_weight_bits - 1)) + 1) >> 1);
        const auto value = static_cast<int16_t>(upper[i] + change + (1 << (row_fraction_bits - 1)));
        out[i] = static_cast<uint8_t>(value >> row_fraction_bits);
    }
}

// The same, not rounded.
REIDKIT_KERNEL void blend_rows_f32(const int16_t* __restrict upper, const int16_t* __restrict lower, int16_t weight,
                                   int count, float* __restrict out) {
    constexpr float unit = 1.0F / (1 << row_fraction_bits);
    const float scaled = static_cast<float>(weight) * (unit / (1 << row_weight_bits));
    for (int i = 0; i < count; ++i) {
        out[i] = static_cast<float>(upper[i]) * unit + static_cast<float>(lower[i] - upper[i]) * scaled;
    }
}

// out[i] = sum over taps of weights[tap] * rows[tap * row_bytes + i].
REIDKIT_KERNEL void sum_rows(const uint8_t* __restrict rows, ptrdiff_t row_bytes, const float* __restrict weights,
                             int taps, int count, float* __restrict out) {
    for (int i = 0; i < count; ++i) out[i] = weights[0] * static_cast<float>(rows[i]);
    for (int tap = 1; tap < taps; ++tap) {
        const uint8_t* __restrict row = rows + tap * row_bytes;
        for (int i = 0; i < count; ++i) out[i] += weights[tap] * static_cast<float>(row[i]);
    }
}

// Output pixel x is the weighted sum of `taps` pixels from firsts[x] on; its weights begin at weights[x * taps].
// Reads one float past the last pixel.
REIDKIT_KERNEL void sum_columns(const float* row, const int32_t* firsts, const float* weights, int taps, int width,
                                Channels<float> out) {
    using Pixel [[gnu::vector_size(16)]] = float;  // three channels and a lane that nobody reads
    for (ptrdiff_t x = 0; x < width; ++x) {
        const float* source = row + 3 * static_cast<ptrdiff_t>(firsts[x]);
        Pixel sum = {};
        for (int tap = 0; tap < taps; ++tap) {
            Pixel pixel;
            std::memcpy(&pixel, source + 3 * tap, sizeof pixel);
            sum += weights[x * taps + tap] * pixel;
        }
        out.first[x * out.step] = sum[0];
        out.second[x * out.step] = sum[1];
        out.third[x * out.step] = sum[2];
    }
}

// To the nearest grey level; the values are not negative.
REIDKIT_KERNEL void round_row_u8(const float* __restrict row, int count, uint8_t* __restrict out) {
    for (int i = 0; i < count; ++i) {
        const auto value = static_cast<int32_t>(row[i] + 0.5F);
        out[i] = static_cast<uint8_t>(value < 255 ? value : 255);
    }
}

}  // namespace reidkit
