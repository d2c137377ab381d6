// What compilers do not make of the plain kernels for AVX2.
#pragma once

#ifdef __x86_64__

#include <immintrin.h>

#include <algorithm>

#include "cpu.hpp"
#include "crop_kernels.hpp"

namespace reidkit {

// Ends with a whole vector that may lie over the one before it.
REIDKIT_AVX2 inline void floats_to_halves_avx2(const float* floats, int count, Half* out) {
    constexpr int lanes = 8;
    if (count < lanes) return Compiled<&floats_to_halves>::avx2(floats, count, out);
    for (int i = 0; i < count; i += lanes) {
        i = std::min(i, count - lanes);
        const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(floats + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), halves);
    }
}

}  // namespace reidkit

#endif
