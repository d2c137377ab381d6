// The inner loops of cutting crops: one row in, one row out, compiled once for each instruction set.
//
// Two-tap rows are int16 with 7 fraction bits (255 << 7 still fits): exact to 1/128 of a grey level and half as wide as
// floats. Filtered rows (antialiasing, many taps) are float.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu.hpp"

namespace reidkit {

constexpr int row_fraction_bits = 7;
constexpr int column_weight_bits = 14;  // horizontal weights: 0 ... 1 << 14, both ends included
constexpr int row_weight_bits = 15;     // vertical weights: 0 ... (1 << 15) - 1

// Where the three channels of a row go, in the order they have in the frame: planes (step 1) or pixels (step 3).
template <class T>
struct Channels {
    T* first;
    T* second;
    T* third;
    ptrdiff_t step;
};

struct RowKernels {
    // Output pixel x blends the neighbouring source pixels at byte offsets[x] and offsets[x] + 3.
    // Reads these six bytes and no more.
    void (*stretch)(const uint8_t* row, const int32_t* offsets, const int32_t* weights, int width,
                    Channels<int16_t> out);
    // out = upper + (lower - upper) * weight, rounded to nearest or kept as it is.
    void (*blend_u8)(const int16_t* upper, const int16_t* lower, int16_t weight, int count, uint8_t* out);
    void (*blend_f32)(const int16_t* upper, const int16_t* lower, int16_t weight, int count, float* out);
    // out[i] = sum over taps of weights[tap] * rows[tap * row_bytes + i].
    void (*sum_rows)(const uint8_t* rows, ptrdiff_t row_bytes, const float* weights, int taps, int count, float* out);
    // Output pixel x is the weighted sum of counts[x] pixels from firsts[x] on; weights come in lines of `stride`.
    // Reads one float past the last pixel.
    void (*sum_columns)(const float* row, const int32_t* firsts, const int32_t* counts, const float* weights,
                        int stride, int width, Channels<float> out);
    void (*round_u8)(const float* row, int count, uint8_t* out);
};

namespace body {

template <ptrdiff_t step>
REIDKIT_INLINE void stretch(const uint8_t* __restrict row, const int32_t* __restrict offsets,
                            const int32_t* __restrict weights, int width, int16_t* __restrict first,
                            int16_t* __restrict second, int16_t* __restrict third) {
    constexpr int drop = column_weight_bits - row_fraction_bits;
    for (int x = 0; x < width; ++x) {
        uint32_t left, right;  // both inside the pair's six bytes; `right` starts at the left pixel's last channel
        std::memcpy(&left, row + offsets[x], 4);
        std::memcpy(&right, row + offsets[x] + 2, 4);
        const int32_t weight = weights[x];
        auto blended = [&](uint32_t a, uint32_t b) {
            const auto from = static_cast<int32_t>(a & 255), to = static_cast<int32_t>(b & 255);
            return static_cast<int16_t>((from << row_fraction_bits) +
                                        (((to - from) * weight + (1 << (drop - 1))) >> drop));
        };
        first[x * step] = blended(left, right >> 8);
        second[x * step] = blended(left >> 8, right >> 16);
        third[x * step] = blended(left >> 16, right >> 24);
    }
}

REIDKIT_INLINE void stretch(const uint8_t* row, const int32_t* offsets, const int32_t* weights, int width,
                            Channels<int16_t> out) {
    if (out.step == 1) {
        stretch<1>(row, offsets, weights, width, out.first, out.second, out.third);
    } else {
        stretch<3>(row, offsets, weights, width, out.first, out.second, out.third);
    }
}

REIDKIT_INLINE void blend_u8(const int16_t* __restrict upper, const int16_t* __restrict lower, int16_t weight,
                             int count, uint8_t* __restrict out) {
    for (int i = 0; i < count; ++i) {
        const auto change = static_cast<int16_t>(lower[i] - upper[i]);
        const auto moved = static_cast<int16_t>((((change * weight) >> (row_weight_bits - 1)) + 1) >> 1);
        const auto value = static_cast<int16_t>(upper[i] + moved + (1 << (row_fraction_bits - 1)));
        out[i] = static_cast<uint8_t>(value >> row_fraction_bits);
    }
}

REIDKIT_INLINE void blend_f32(const int16_t* __restrict upper, const int16_t* __restrict lower, int16_t weight,
                              int count, float* __restrict out) {
    constexpr float unit = 1.0F / (1 << row_fraction_bits);
    const float part = static_cast<float>(weight) * (unit / (1 << row_weight_bits));
    for (int i = 0; i < count; ++i) {
        out[i] = static_cast<float>(upper[i]) * unit + static_cast<float>(lower[i] - upper[i]) * part;
    }
}

REIDKIT_INLINE void sum_rows(const uint8_t* __restrict rows, ptrdiff_t row_bytes, const float* __restrict weights,
                             int taps, int count, float* __restrict out) {
    for (int i = 0; i < count; ++i) out[i] = weights[0] * static_cast<float>(rows[i]);
    for (int tap = 1; tap < taps; ++tap) {
        const uint8_t* __restrict row = rows + tap * row_bytes;
        const float weight = weights[tap];
        for (int i = 0; i < count; ++i) out[i] += weight * static_cast<float>(row[i]);
    }
}

REIDKIT_INLINE void sum_columns(const float* row, const int32_t* firsts, const int32_t* counts, const float* weights,
                                int stride, int width, Channels<float> out) {
    typedef float Pixel __attribute__((vector_size(16)));  // three channels and one lane for nobody
    for (int x = 0; x < width; ++x) {
        const float* from = row + 3 * static_cast<ptrdiff_t>(firsts[x]);
        const float* weight = weights + static_cast<ptrdiff_t>(x) * stride;
        Pixel sum = {0, 0, 0, 0};
        for (int tap = 0; tap < counts[x]; ++tap) {
            Pixel pixel;
            std::memcpy(&pixel, from + 3 * tap, sizeof pixel);
            sum += weight[tap] * pixel;
        }
        out.first[x * out.step] = sum[0];
        out.second[x * out.step] = sum[1];
        out.third[x * out.step] = sum[2];
    }
}

REIDKIT_INLINE void round_u8(const float* __restrict row, int count, uint8_t* __restrict out) {
    for (int i = 0; i < count; ++i) {
        const auto value = static_cast<int32_t>(row[i] + 0.5F);
        out[i] = static_cast<uint8_t>(value > 255 ? 255 : value);
    }
}

}  // namespace body

// One table per instruction set, each function a body compiled for it.
#define REIDKIT_ROW_KERNELS(set, target)                                                                             \
    namespace set {                                                                                                  \
    target inline void stretch(const uint8_t* row, const int32_t* offsets, const int32_t* weights, int width,        \
                               Channels<int16_t> out) {                                                              \
        body::stretch(row, offsets, weights, width, out);                                                            \
    }                                                                                                                \
    target inline void blend_u8(const int16_t* upper, const int16_t* lower, int16_t weight, int count,               \
                                uint8_t* out) {                                                                      \
        body::blend_u8(upper, lower, weight, count, out);                                                            \
    }                                                                                                                \
    target inline void blend_f32(const int16_t* upper, const int16_t* lower, int16_t weight, int count,              \
                                 float* out) {                                                                       \
        body::blend_f32(upper, lower, weight, count, out);                                                           \
    }                                                                                                                \
    target inline void sum_rows(const uint8_t* rows, ptrdiff_t row_bytes, const float* weights, int taps, int count, \
                                float* out) {                                                                        \
        body::sum_rows(rows, row_bytes, weights, taps, count, out);                                                  \
    }                                                                                                                \
    target inline void sum_columns(const float* row, const int32_t* firsts, const int32_t* counts,                   \
                                   const float* weights, int stride, int width, Channels<float> out) {               \
        body::sum_columns(row, firsts, counts, weights, stride, width, out);                                         \
    }                                                                                                                \
    target inline void round_u8(const float* row, int count, uint8_t* out) { body::round_u8(row, count, out); }      \
    constexpr RowKernels kernels{stretch, blend_u8, blend_f32, sum_rows, sum_columns, round_u8};                     \
    }

REIDKIT_ROW_KERNELS(scalar, )
#ifdef REIDKIT_X86
REIDKIT_ROW_KERNELS(avx2, REIDKIT_AVX2)
REIDKIT_ROW_KERNELS(avx512, REIDKIT_AVX512)
#endif
#undef REIDKIT_ROW_KERNELS

inline const RowKernels& row_kernels(InstructionSet set) {
#ifdef REIDKIT_X86
    if (set == InstructionSet::avx512) return avx512::kernels;
    if (set == InstructionSet::avx2) return avx2::kernels;
#endif
    (void)set;
    return scalar::kernels;
}

}  // namespace reidkit
