// Which samples of an axis make each sample of its resized copy, and with what weight.
//
// OpenCV's two filters (modules/imgproc/src/resize.cpp, Apache-2.0) look at the two or four nearest samples however
// much an axis shrinks. Pillow's two (src/libImaging/Resample.c, MIT-CMU) widen with the scale, and so do not alias;
// columns are resampled first, as Pillow did before 13, which takes the other order for some crops.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned.hpp"
#include "cpu.hpp"

namespace reidkit {

enum class Filter { bilinear, bicubic, antialiased_bilinear, antialiased_bicubic };

constexpr bool is_antialiased(Filter filter) {
    return filter == Filter::antialiased_bilinear || filter == Filter::antialiased_bicubic;
}

// Each sample of `target` as two of `source` and their weights: INTER_LINEAR's, centres at halves and the edges
// repeated. Weights sum to `one` and neither is all of it: what needs one sample alone has it twice, by halves.
struct Pairs {
    static constexpr int bits = 15, one = 1 << bits;
    Aligned<int32_t> firsts, seconds;
    Aligned<int16_t> first_weights, second_weights;

    explicit Pairs(InstructionSet set) : fill_(compiled_for<&fill>(set)) {}

    void plan(int source, int target) {
        firsts.resize(target);
        seconds.resize(target);
        first_weights.resize(target);
        second_weights.resize(target);
        fill_(source, target, firsts.data(), seconds.data(), first_weights.data(), second_weights.data());
    }

    // How far apart the samples lie, at most, that so many neighbours are made of; and one more.
    int span(int neighbours) const {
        int widest = 0;
        const int target = static_cast<int>(firsts.size());
        for (int i = 0; i < target; i += neighbours)
            widest = std::max(widest, seconds[std::min(i + neighbours, target) - 1] - firsts[i]);
        return widest + 1;
    }

  private:
    REIDKIT_KERNEL static void fill(int source, int target, int32_t* __restrict firsts, int32_t* __restrict seconds,
                                    int16_t* __restrict first_weights, int16_t* __restrict second_weights) {
        const double scale = static_cast<double>(source) / target, last = source - 1.0;
        for (int i = 0; i < target; ++i) {
            double at = (i + 0.5) * scale - 0.5;
            at = at < 0 ? 0 : at;
            at = at > last ? last : at;
            const auto whole = static_cast<int32_t>(at);
            const auto weight = static_cast<int32_t>((at - whole) * one + 0.5);  // 0 ... one
            const int32_t shared = (weight > 0) & (weight < one), first = whole + (weight == one);
            firsts[i] = first;
            seconds[i] = first + shared;
            first_weights[i] = static_cast<int16_t>(shared ? one - weight : one / 2);
            second_weights[i] = static_cast<int16_t>(shared ? weight : one / 2);
        }
    }

    decltype(&fill) fill_;
};

// Sample i is the weighted sum of `count` samples from firsts[i] on; its weights begin at weights[i * count] and are
// whole numbers that sum to about 1 << bits. The count is the same for all, so some weights are 0.
struct Taps {
    int count = 0;
    std::vector<int32_t> firsts, weights;

    void plan(Filter filter, int source, int target, int bits) {
        const double scale = static_cast<double>(source) / target;
        if (is_antialiased(filter)) {
            plan_antialiased(filter, source, target, scale, bits);
        } else {
            plan_nearest_four(source, target, scale, bits);
        }
    }

    const int32_t* weights_of(int i) const { return weights.data() + static_cast<size_t>(i) * count; }

  private:
    // Keys' cubic: 1 at 0, 0 at 1 and beyond 2, negative between these.
    static double cubic(double x, double a) {
        x = std::abs(x);
        if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    }

    static double height_at(Filter filter, double x) {
        return filter == Filter::antialiased_bicubic ? cubic(x, -0.5) : std::max(0.0, 1 - std::abs(x));
    }

    static int32_t fixed_point(double weight, int bits) {
        return static_cast<int32_t>(weight * (1 << bits) + (weight < 0 ? -0.5 : 0.5));
    }

    void reset(int target, int most) {
        count = most;
        firsts.resize(target);
        weights.assign(static_cast<size_t>(target) * count, 0);
    }

    // The filter stretched by the scale, cut off at the edges, its weights made to sum to 1.
    void plan_antialiased(Filter filter, int source, int target, double scale, int bits) {
        const double stretch = std::max(scale, 1.0);
        const double radius = stretch * (filter == Filter::antialiased_bicubic ? 2 : 1);
        reset(target, std::min(source, static_cast<int>(2 * radius) + 2));
        for (int i = 0; i < target; ++i) {
            const double center = (i + 0.5) * scale;
            const int begin = std::max(0, static_cast<int>(center - radius + 0.5));
            const int end = std::min(source, static_cast<int>(center + radius + 0.5));
            firsts[i] = std::min(begin, source - count);
            int32_t* const weight = weights.data() + static_cast<size_t>(i) * count;
            const auto height = [&](int sample) { return height_at(filter, (sample - center + 0.5) * (1 / stretch)); };
            double total = 0;
            for (int sample = begin; sample < end; ++sample) total += height(sample);
            for (int sample = begin; sample < end; ++sample)
                weight[sample - firsts[i]] = fixed_point(height(sample) / total, bits);
        }
    }

    // INTER_CUBIC's: edges repeated, so an edge sample bears the weight of those beyond it.
    void plan_nearest_four(int source, int target, double scale, int bits) {
        reset(target, std::min(source, 4));
        for (int i = 0; i < target; ++i) {
            const double at = (i + 0.5) * scale - 0.5;
            const int nearest = static_cast<int>(std::floor(at));
            firsts[i] = std::clamp(nearest - 1, 0, source - count);
            int32_t* const weight = weights.data() + static_cast<size_t>(i) * count;
            for (int sample = nearest - 1; sample < nearest + 3; ++sample)
                weight[std::clamp(sample, 0, source - 1) - firsts[i]] += fixed_point(cubic(sample - at, -0.75), bits);
        }
    }
};

}  // namespace reidkit
