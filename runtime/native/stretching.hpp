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
          pick_block_(compiled_for<&pick_block>(set)),
          windows_(windows_of(set)),
          pairs_(set) {}

    // Rows of `source` pixels become rows of `target`.
    void plan(int source, int target, bool planar, bool swap_colors) {
        width_ = target;
        planar_ = planar;
        swap_colors_ = swap_colors;
        source_bytes_ = 3 * source;
        pairs_.plan(source, target);
        const int repeats = planar ? 1 : 3;
        first_weights_.resize(pitch());
        second_weights_.resize(pitch());
        for (int i = 0, x = 0; x < target; ++x) {
            for (int repeat = 0; repeat < repeats; ++repeat, ++i) {
                first_weights_[i] = pairs_.first_weights[x];
                second_weights_[i] = pairs_.second_weights[x];
            }
        }
        by_windows_ = windows_.stretch != nullptr && plan_windows();
        if (!by_windows_) picked_.resize(2 * (3 * static_cast<size_t>(target) + 1));
    }

    // How many bytes from a row's start must be readable.
    int readable() const { return by_windows_ ? windows_.bytes : source_bytes_ + 1; }

    // Samples from one plane of a stretched row to the next, or of one without planes.
    int pitch() const { return (run_length() + cache_line_words - 1) / cache_line_words * cache_line_words; }

    // Samples that a stretched row needs room for.
    int row_size() const { return planar_ ? 3 * pitch() : pitch(); }

    void operator()(const RowToStretch* rows, int count) {
        if (by_windows_) {
            windows_.stretch(plan_, rows, count);
        } else {
            for (int i = 0; i < count; ++i) stretch_picked(rows[i].source, rows[i].samples);
        }
    }

  private:
    static constexpr int cache_line_words = 32;  // and as many as the longest block has

    static WindowKernel windows_of([[maybe_unused]] InstructionSet set) {
#ifdef __x86_64__
        if (set == InstructionSet::avx512) return avx512_windows;
#endif
#ifdef __aarch64__
        if (set == InstructionSet::neon) return neon_windows;
#endif
        return {};
    }

    int run_length() const { return planar_ ? width_ : 3 * width_; }

    void stretch_picked(const uint8_t* row, int16_t* out) {
        uint8_t *first = picked_.data(), *second = first + 3 * static_cast<ptrdiff_t>(width_) + 1;
        pick_pixels_(row, pairs_.firsts.data(), pairs_.seconds.data(), width_, swap_colors_ && !planar_, first, second);
        if (!planar_) {
            weigh_pixels_(first, second, first_weights_.data(), second_weights_.data(), 3 * width_, out);
            return;
        }
        for (int plane = 0; plane < 3; ++plane) {
            const int channel = swap_colors_ ? 2 - plane : plane;
            weigh_planes_(first + channel, second + channel, first_weights_.data(), second_weights_.data(), width_,
                          out + plane * static_cast<ptrdiff_t>(pitch()));
        }
    }

    // Whether all channels of each block of samples lie within a window.
    bool plan_windows() {
        const int samples = run_length(), blocks = (samples + windows_.samples - 1) / windows_.samples;
        const int last_start = std::max(source_bytes_ - windows_.bytes, 0), repeats = planar_ ? 1 : 3;
        place_samples();
        starts_.resize(blocks);
        picks_.resize(2 * static_cast<size_t>(blocks) * windows_.samples);
        for (int block = 0; block < blocks; ++block) {
            const int begin = block * windows_.samples, end = std::min(begin + windows_.samples, samples);
            const int start = std::min(3 * pairs_.firsts[begin / repeats], last_start);
            if (3 * pairs_.seconds[(end - 1) / repeats] + 2 - start >= windows_.bytes) return false;
            starts_[block] = start;
            pick_block_(firsts_.data() + begin, seconds_.data() + begin, start, end - begin, &picks_[2 * begin]);
        }
        plan_ = {.starts = starts_.data(),
                 .picks = picks_.data(),
                 .first_weights = first_weights_.data(),
                 .second_weights = second_weights_.data(),
                 .blocks = blocks,
                 .runs = planar_ ? 3 : 1,
                 .pitch = pitch(),
                 .next_byte = static_cast<int8_t>(swap_colors_ ? -1 : 1)};
        return true;
    }

    // The bytes of the row that samples of the first run are made of.
    void place_samples() {
        firsts_.resize(run_length());
        seconds_.resize(run_length());
        const int channels = planar_ ? 1 : 3, channel = swap_colors_ ? 2 : 0, step = swap_colors_ ? -1 : 1;
        for (int i = 0, x = 0; x < width_; ++x) {
            for (int place = 0; place < channels; ++place, ++i) {
                firsts_[i] = 3 * pairs_.firsts[x] + channel + place * step;
                seconds_[i] = 3 * pairs_.seconds[x] + channel + place * step;
            }
        }
    }

    decltype(&pick_pixels) pick_pixels_;
    decltype(&weigh<3>) weigh_planes_;
    decltype(&weigh<1>) weigh_pixels_;
    decltype(&pick_block) pick_block_;
    WindowKernel windows_;
    Pairs pairs_;

    int width_ = 0, source_bytes_ = 0;
    bool planar_ = true, swap_colors_ = false, by_windows_ = false;
    std::vector<int32_t> firsts_, seconds_, starts_;
    Aligned<int16_t> first_weights_, second_weights_;
    Aligned<uint8_t> picks_, picked_;
    WindowPlan plan_{};
};

}  // namespace reidkit
