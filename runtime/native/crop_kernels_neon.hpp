// Kernels in NEON, as every 64-bit ARM has it.
#pragma once

#ifdef __aarch64__

#include <arm_neon.h>

#include <algorithm>
#include <cstdint>

#include "cpu.hpp"
#include "crop_kernels.hpp"
#include "crop_kernels_windows.hpp"

namespace reidkit {

inline void stretch_neon(const WindowPlan& plan, const RowToStretch* rows, int count) {
    const uint8x16_t sign = vdupq_n_u8(0x80), next = vreinterpretq_u8_s8(vdupq_n_s8(plan.next_byte));
    const int16x8_t upper = vdupq_n_s16(-256);
    for (int block = 0; block < plan.blocks; ++block) {
        const int i = 8 * block;
        const int16x8_t first_weights = vld1q_s16(plan.first_weights + i);
        const int16x8_t second_weights = vld1q_s16(plan.second_weights + i);
        for (int row = 0; row < count; ++row) {
            uint8x16x4_t window = vld1q_u8_x4(rows[row].source + plan.starts[block]);
            for (uint8x16_t& part : window.val) part = veorq_u8(part, sign);
            uint8x16_t picks = vld1q_u8(plan.picks + 2 * i);
            for (int run = 0; run < plan.runs; ++run) {
                const int16x8_t bytes = vreinterpretq_s16_u8(vqtbl4q_u8(window, picks));
                const int16x8_t first = vqrdmulhq_s16(vshlq_n_s16(bytes, 8), first_weights);
                const int16x8_t second = vqrdmulhq_s16(vandq_s16(bytes, upper), second_weights);
                vst1q_s16(rows[row].samples + run * plan.pitch + i, vaddq_s16(first, second));
                picks = vaddq_u8(picks, next);
            }
        }
    }
}

constexpr WindowKernel neon_windows{&stretch_neon, 8, 64};

REIDKIT_KERNEL int16x8_t blended_neon(const int16_t* upper, const int16_t* lower, int16x8_t up, int16x8_t low) {
    return vaddq_s16(vqrdmulhq_s16(vld1q_s16(upper), up), vqrdmulhq_s16(vld1q_s16(lower), low));
}

// Parts end with a whole vector that may lie over the one before it.
inline void blend_to_bytes_neon(const RowPair* pairs, const CropLayout& layout, uint8_t* out) {
    constexpr int lanes = 16;
    if (layout.size < lanes) return blend_to_bytes(pairs, layout, out);
    for (int row = 0; row < layout.rows; ++row) {
        const int16x8_t up = vdupq_n_s16(pairs[row].upper_weight), low = vdupq_n_s16(pairs[row].lower_weight);
        for (int part = 0; part < layout.parts; ++part) {
            const int16_t* const upper = pairs[row].upper + part * layout.apart;
            const int16_t* const lower = pairs[row].lower + part * layout.apart;
            uint8_t* const bytes = out + row * layout.rows_apart + part * layout.apart_in_crop;
            for (int i = 0; i < layout.size; i += lanes) {
                i = std::min(i, layout.size - lanes);
                const int8x8_t left = vrshrn_n_s16(blended_neon(upper + i, lower + i, up, low), 8);
                const int8x8_t right = vrshrn_n_s16(blended_neon(upper + i + 8, lower + i + 8, up, low), 8);
                vst1q_u8(bytes + i, veorq_u8(vreinterpretq_u8_s8(vcombine_s8(left, right)), vdupq_n_u8(0x80)));
            }
        }
    }
}

inline void blend_to_floats_neon(const RowPair* pairs, const CropLayout& layout, const RowLevels& levels, float* out) {
    constexpr int lanes = 8;
    if (layout.size < lanes) return blend_to_floats(pairs, layout, levels, out);
    for (int row = 0; row < layout.rows; ++row) {
        const int16x8_t up = vdupq_n_s16(pairs[row].upper_weight), low = vdupq_n_s16(pairs[row].lower_weight);
        for (int part = 0; part < layout.parts; ++part) {
            const int16_t* const upper = pairs[row].upper + part * layout.apart;
            const int16_t* const lower = pairs[row].lower + part * layout.apart;
            const float* const scale = levels.scale + part * static_cast<ptrdiff_t>(layout.size);
            const float* const bias = levels.bias + part * static_cast<ptrdiff_t>(layout.size);
            float* const floats = out + row * layout.rows_apart + part * layout.apart_in_crop;
            for (int i = 0; i < layout.size; i += lanes) {
                i = std::min(i, layout.size - lanes);
                const int16x8_t sums = blended_neon(upper + i, lower + i, up, low);
                const auto store = [&](int at, int32x4_t four) {  // a product and a sum, not fused: as the others
                    const float32x4_t product = vmulq_f32(vcvtq_f32_s32(four), vld1q_f32(scale + at));
                    vst1q_f32(floats + at, vaddq_f32(product, vld1q_f32(bias + at)));
                };
                store(i, vmovl_s16(vget_low_s16(sums)));
                store(i + 4, vmovl_high_s16(sums));
            }
        }
    }
}

// Ends with a whole vector that may lie over the one before it.
inline void floats_to_halves_neon(const float* floats, int count, Half* out) {
    constexpr int lanes = 4;
    if (count < lanes) return floats_to_halves(floats, count, out);
    for (int i = 0; i < count; i += lanes) {
        i = std::min(i, count - lanes);
        const float16x4_t halves = vcvt_f16_f32(vld1q_f32(floats + i));
        vst1_u16(reinterpret_cast<uint16_t*>(out + i), vreinterpret_u16_f16(halves));
    }
}

}  // namespace reidkit

#endif
