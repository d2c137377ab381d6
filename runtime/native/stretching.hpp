// Stretches rows of a box to the width of a crop by two taps, into the crop's order of samples.
//
// Where an instruction set can permute bytes, neighbouring samples of the crop are picked out of one window of the row;
// if they lie too far apart for that, and elsewhere, pixels are fetched one by one and then weighed all together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "aligned.hpp"
#include "cpu.hpp"
#include "crop_kernels.hpp"
#include "crop_kernels_avx512.hpp"
#include "crop_kernels_neon.hpp"
#include "resampling.hpp"

namespace reidkit {

class RowStretcher {
  public:
    explicit RowStretcher(InstructionSet set)
        : pick_pixels_(compiled_for<&pick_pixels>(set)),
          weigh_planes_(compiled_for<&weigh<3>>(set)),
          weigh_pixels_(compiled_for<&weigh<1>>(set)),
          windows_(windows_of(set)) {}

    // Rows of `source` pixels become rows of `target`.
    void plan(int source, int target, bool planar, bool swap_colors) {
        width_ = target;
        planar_ = planar;
        swap_colors_ = swap_colors;
        source_bytes_ = 3 * source;
        const int samples = planar ? target : 3 * target, repeats = planar ? 1 : 3;
        const size_t padded = static_cast<size_t>(samples) + windows_.samples;
        first_weights_.resize(padded);
        second_weights_.resize(padded);
        firsts_.resize(target);
        seconds_.resize(target);
        const double scale = static_cast<double>(source) / target;
        for (int x = 0; x < target; ++x) {
            const Pair pair = Pair::of(x, source, scale);
            firsts_[x] = 3 * pair.first;
            seconds_[x] = 3 * pair.second;
            for (int i = x * repeats; i < (x + 1) * repeats; ++i) {
                first_weights_[i] = pair.first_weight;
                second_weights_[i] = pair.second_weight;
            }
        }
        by_windows_ = windows_.stretch != nullptr && plan_windows(samples);
        if (!by_windows_) picked_.resize(2 * (3 * static_cast<size_t>(target) + 1));
    }

    // How many bytes from a row's start must be readable.
    int readable() const { return by_windows_ ? windows_.bytes + 2 : source_bytes_ + 1; }

    // Samples beyond the row's end that may be written, to no meaning.
    int slack() const { return windows_.samples; }

    void operator()(const uint8_t* row, int16_t* out) {
        if (by_windows_) {
            windows_.stretch(row, plan_, out);
            return;
        }
        uint8_t *first = picked_.data(), *second = first + 3 * static_cast<ptrdiff_t>(width_) + 1;
        pick_pixels_(row, firsts_.data(), seconds_.data(), width_, swap_colors_ && !planar_, first, second);
        if (!planar_) {
            weigh_pixels_(first, second, first_weights_.data(), second_weights_.data(), 3 * width_, out);
            return;
        }
        for (int plane = 0; plane < 3; ++plane) {
            const int channel = swap_colors_ ? 2 - plane : plane;
            weigh_planes_(first + channel, second + channel, first_weights_.data(), second_weights_.data(), width_,
                          out + plane * static_cast<ptrdiff_t>(width_));
        }
    }

  private:
    static WindowKernel windows_of([[maybe_unused]] InstructionSet set) {
#ifdef __x86_64__
        if (set == InstructionSet::avx512) return avx512_windows;
#endif
#ifdef __aarch64__
        if (set == InstructionSet::neon) return neon_windows;
#endif
        return {};
    }

    // Whether each block of samples lies within a window.
    bool plan_windows(int samples) {
        const int blocks = (samples + windows_.samples - 1) / windows_.samples;
        const int last_start = std::max(source_bytes_ - windows_.bytes - 2, 0);  // planes begin up to 2 bytes later
        starts_.resize(blocks);
        first_picks_.assign(static_cast<size_t>(blocks) * windows_.samples, nothing);
        second_picks_.assign(static_cast<size_t>(blocks) * windows_.samples, nothing);
        for (int block = 0; block < blocks; ++block) {
            const int begin = block * windows_.samples, end = std::min(begin + windows_.samples, samples);
            const int start = std::min(firsts_[planar_ ? begin : begin / 3], last_start);
            if (seconds_[planar_ ? end - 1 : (end - 1) / 3] + 2 - start >= windows_.bytes) return false;
            starts_[block] = start;
            for (int i = begin; i < end; ++i) {
                const int pixel = planar_ ? i : i / 3, place = planar_ ? 0 : i % 3;
                const int channel = planar_ ? 0 : swap_colors_ ? 2 - place : place;
                first_picks_[i] = pick_of(firsts_[pixel] + channel - start);
                second_picks_[i] = pick_of(seconds_[pixel] + channel - start);
            }
        }
        plan_ = {starts_.data(),
                 first_picks_.data(),
                 second_picks_.data(),
                 first_weights_.data(),
                 second_weights_.data(),
                 blocks,
                 planar_ ? 3 : 1,
                 samples,
                 planar_ && swap_colors_ ? ptrdiff_t(2) : ptrdiff_t(0),
                 planar_ && swap_colors_ ? ptrdiff_t(-1) : ptrdiff_t(1)};
        return true;
    }

    static constexpr uint16_t nothing = 0xFFFF;
    static uint16_t pick_of(int byte) { return static_cast<uint16_t>(byte << 8 | 0xFF); }

    decltype(&pick_pixels) pick_pixels_;
    decltype(&weigh<3>) weigh_planes_;
    decltype(&weigh<1>) weigh_pixels_;
    WindowKernel windows_;

    int width_ = 0, source_bytes_ = 0;
    bool planar_ = true, swap_colors_ = false, by_windows_ = false;
    std::vector<int32_t> firsts_, seconds_, starts_;
    Aligned<int16_t> first_weights_, second_weights_;
    Aligned<uint16_t> first_picks_, second_picks_;
    Aligned<uint8_t> picked_;
    WindowPlan plan_{};
};

}  // namespace reidkit
