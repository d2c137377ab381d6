// Kernels in AVX-512 with byte permutations (VBMI).
//
// What a plan or parts hold is read before the loops: a store might lie over it, for all the compiler knows.
#pragma once

#ifdef __x86_64__

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "cpu.hpp"
#include "crop_kernels.hpp"
#include "crop_kernels_windows.hpp"

namespace reidkit {

template <int runs>
REIDKIT_AVX512 inline void stretch_runs_avx512(const WindowPlan& plan, const RowToStretch* rows, int count) {
    const __m512i sign = _mm512_set1_epi8(-128), upper = _mm512_set1_epi16(-256);
    const __m512i next = _mm512_set1_epi8(plan.next_byte);
    const int blocks = plan.blocks;
    const ptrdiff_t pitch = plan.pitch;
    const int32_t* const starts = plan.starts;
    const uint8_t* const all_picks = plan.picks;
    const int16_t *const all_first_weights = plan.first_weights, *const all_second_weights = plan.second_weights;
    for (int block = 0; block < blocks; ++block) {
        const int i = 32 * block, start = starts[block];
        const __m512i first_weights = _mm512_load_si512(all_first_weights + i);
        const __m512i second_weights = _mm512_load_si512(all_second_weights + i);
        __m512i picks[runs];
        picks[0] = _mm512_load_si512(all_picks + 2 * i);
        for (int run = 1; run < runs; ++run) picks[run] = _mm512_add_epi8(picks[run - 1], next);
        for (int row = 0; row < count; ++row) {
            const uint8_t* const window = rows[row].source + start;
            int16_t* const samples = rows[row].samples + i;
            const __m512i low = _mm512_xor_si512(_mm512_loadu_si512(window), sign);
            const __m512i high = _mm512_xor_si512(_mm512_loadu_si512(window + 64), sign);
            for (int run = 0; run < runs; ++run) {
                const __m512i bytes = _mm512_permutex2var_epi8(low, picks[run], high);
                const __m512i first = _mm512_mulhrs_epi16(_mm512_slli_epi16(bytes, 8), first_weights);
                const __m512i second = _mm512_mulhrs_epi16(_mm512_and_si512(bytes, upper), second_weights);
                _mm512_storeu_si512(samples + run * pitch, _mm512_add_epi16(first, second));
            }
        }
    }
}

REIDKIT_AVX512 inline void stretch_avx512(const WindowPlan& plan, const RowToStretch* rows, int count) {
    plan.runs == 3 ? stretch_runs_avx512<3>(plan, rows, count) : stretch_runs_avx512<1>(plan, rows, count);
}

constexpr WindowKernel avx512_windows{&stretch_avx512, 32, 128};

REIDKIT_AVX512 inline __m512i blended_avx512(const int16_t* upper, const int16_t* lower, __m512i up, __m512i low) {
    return _mm512_add_epi16(_mm512_mulhrs_epi16(_mm512_loadu_si512(upper), up),
                            _mm512_mulhrs_epi16(_mm512_loadu_si512(lower), low));
}

alignas(64) inline constexpr auto upper_bytes_avx512 = [] {
    std::array<uint8_t, 64> places{};
    for (size_t i = 0; i < places.size(); ++i) places[i] = static_cast<uint8_t>(2 * i + 1);
    return places;
}();

// Parts end with a whole vector that may lie over the one before it.
REIDKIT_AVX512 inline void blend_to_bytes_avx512(const RowPair* pairs, const CropLayout& layout, uint8_t* out) {
    constexpr int lanes = 64;
    if (layout.size < lanes) return Compiled<&blend_to_bytes>::avx512(pairs, layout, out);
    const __m512i half = _mm512_set1_epi16(128), sign = _mm512_set1_epi8(-128);
    const __m512i places = _mm512_load_si512(upper_bytes_avx512.data());
    const int rows = layout.rows, parts = layout.parts, size = layout.size;
    const ptrdiff_t apart = layout.apart, apart_in_crop = layout.apart_in_crop, rows_apart = layout.rows_apart;
    for (int row = 0; row < rows; ++row, out += rows_apart) {
        const __m512i up = _mm512_set1_epi16(pairs[row].upper_weight);
        const __m512i low = _mm512_set1_epi16(pairs[row].lower_weight);
        const int16_t *upper = pairs[row].upper, *lower = pairs[row].lower;
        uint8_t* bytes = out;
        for (int part = 0; part < parts; ++part, upper += apart, lower += apart, bytes += apart_in_crop) {
            for (int i = 0; i < size; i += lanes) {
                i = std::min(i, size - lanes);
                const __m512i left = _mm512_add_epi16(blended_avx512(upper + i, lower + i, up, low), half);
                const __m512i right = _mm512_add_epi16(blended_avx512(upper + i + 32, lower + i + 32, up, low), half);
                const __m512i levels = _mm512_permutex2var_epi8(left, places, right);
                _mm512_storeu_si512(bytes + i, _mm512_xor_si512(levels, sign));
            }
        }
    }
}

// Where floats go: to memory, past the caches, or on as halves.
enum class Sink { memory, past_caches, halves };

// 16 values of work space as floats: a product and a sum, not fused: the bits of the other sets. The compiler's own
// vectors, as GCC 12 warns of many an intrinsic's inside (its bug 105593).
template <Sink sink, class Value>
REIDKIT_AVX512 inline void store_floats_avx512(__m256i values, const float* scale, const float* bias, Value* out) {
    using Words [[gnu::vector_size(32)]] = int16_t;
    using Integers [[gnu::vector_size(64)]] = int32_t;
    using Floats [[gnu::vector_size(64)]] = float;
    const Floats floats = __builtin_convertvector(__builtin_convertvector((Words)values, Integers), Floats);
    const Floats normalized = floats * (Floats)_mm512_loadu_ps(scale) + (Floats)_mm512_loadu_ps(bias);
    if constexpr (sink == Sink::halves) {
        const __m256i halves = _mm512_maskz_cvtps_ph(0xFFFF, (__m512)normalized, _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), halves);
    } else if constexpr (sink == Sink::past_caches) {
        _mm512_stream_ps(out, normalized);
    } else {
        _mm512_storeu_ps(out, normalized);
    }
}

template <Sink sink, class Value>
REIDKIT_AVX512 inline void blend_avx512(const RowPair* pairs, const CropLayout& layout, const RowLevels& levels,
                                        Value* out) {
    constexpr int lanes = 32;
    const int rows = layout.rows, parts = layout.parts, size = layout.size;
    const ptrdiff_t apart = layout.apart, apart_in_crop = layout.apart_in_crop, rows_apart = layout.rows_apart;
    for (int row = 0; row < rows; ++row, out += rows_apart) {
        const __m512i up = _mm512_set1_epi16(pairs[row].upper_weight);
        const __m512i low = _mm512_set1_epi16(pairs[row].lower_weight);
        const int16_t *upper = pairs[row].upper, *lower = pairs[row].lower;
        const float *scale = levels.scale, *bias = levels.bias;
        Value* values = out;
        for (int part = 0; part < parts; ++part, upper += apart, lower += apart, values += apart_in_crop) {
            for (int i = 0; i < size; i += lanes) {
                i = std::min(i, size - lanes);
                const __m512i sums = blended_avx512(upper + i, lower + i, up, low);
                const __m256i front = _mm512_maskz_extracti64x4_epi64(0xFF, sums, 0);
                const __m256i back = _mm512_maskz_extracti64x4_epi64(0xFF, sums, 1);
                store_floats_avx512<sink>(front, scale + i, bias + i, values + i);
                store_floats_avx512<sink>(back, scale + i + 16, bias + i + 16, values + i + 16);
            }
            scale += size, bias += size;
        }
    }
}

// Whole cache lines go past the caches: a batch of floats does not fit them, and writing a line without reading it
// first takes half the time. Fence before others may look.
REIDKIT_AVX512 inline void blend_to_floats_avx512(const RowPair* pairs, const CropLayout& layout,
                                                  const RowLevels& levels, float* out) {
    constexpr int lanes = 32, line = 16;
    const bool whole_lines = reinterpret_cast<uintptr_t>(out) % 64 == 0 && layout.size % lanes == 0 &&
                             layout.apart_in_crop % line == 0 && layout.rows_apart % line == 0;
    const auto blend = layout.size < lanes ? &Compiled<&blend_to_floats>::avx512
                       : whole_lines       ? &blend_avx512<Sink::past_caches, float>
                                           : &blend_avx512<Sink::memory, float>;
    blend(pairs, layout, levels, out);
}

REIDKIT_AVX512 inline void fence_avx512() { _mm_sfence(); }

// Ends with a whole vector that may lie over the one before it.
REIDKIT_AVX512 inline void floats_to_halves_avx512(const float* floats, int count, Half* out) {
    constexpr int lanes = 16;
    if (count < lanes) return Compiled<&floats_to_halves>::avx512(floats, count, out);
    for (int i = 0; i < count; i += lanes) {
        i = std::min(i, count - lanes);
        const __m256i halves = _mm512_maskz_cvtps_ph(0xFFFF, _mm512_loadu_ps(floats + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), halves);
    }
}

REIDKIT_AVX512 inline void blend_to_halves_avx512(const RowPair* pairs, const CropLayout& layout,
                                                  const RowLevels& levels, Half* out) {
    const auto blend = layout.size < 32 ? &Compiled<&blend_to_halves<&floats_to_halves_avx512>>::avx512
                                        : &blend_avx512<Sink::halves, Half>;
    blend(pairs, layout, levels, out);
}

}  // namespace reidkit

#endif
