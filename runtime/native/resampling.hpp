// Which samples of an axis make each sample of its resized copy, and with what weight.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace reidkit {

// `part` of the way from the sample `first` to the next one.
struct Position {
    int first;
    double part;

    int fixed_point_part(int bits) const { return static_cast<int>(part * (1 << bits) + 0.5); }
};

// Where sample `i` of `target` lies among `source` samples: OpenCV's rule, centres at halves and the edges repeated.
inline Position position_of(int i, int source, int target) {
    const double at = std::max(0.0, (i + 0.5) * (static_cast<double>(source) / target) - 0.5);
    const int first = static_cast<int>(at);
    return first < source - 1 ? Position{first, at - first} : Position{source - 1, 0.0};
}

// Sample i is the weighted sum of `count` samples from firsts[i] on; its weights begin at weights[i * count].
struct Taps {
    int count = 0;
    std::vector<int32_t> firsts;
    std::vector<float> weights;

    // A triangle as wide as the scale, cut at the edges: Pillow's rule for its BILINEAR. It covers at most `count`
    // samples, the same number for all, for loops that a processor can foresee; further weights are 0.
    void plan(int source, int target) {
        const double scale = static_cast<double>(source) / target, radius = std::max(scale, 1.0);
        count = std::min(source, static_cast<int>(2 * radius) + 1);
        firsts.resize(target);
        weights.resize(static_cast<size_t>(target) * count);
        for (int i = 0; i < target; ++i) {
            const double center = (i + 0.5) * scale;
            const int begin = static_cast<int>(center - radius + 0.5), end = static_cast<int>(center + radius + 0.5);
            const int first = std::clamp(begin, 0, source - count);
            firsts[i] = first;
            float* const weight = weights_of(i);
            float total = 0;
            for (int tap = 0; tap < count; ++tap) {
                const int sample = first + tap;
                const double height = 1.0 - std::abs(sample + 0.5 - center) / radius;
                weight[tap] = sample >= begin && sample < end ? static_cast<float>(std::max(0.0, height)) : 0.0F;
                total += weight[tap];
            }
            for (int tap = 0; tap < count; ++tap) weight[tap] /= total;
        }
    }

    float* weights_of(int i) { return weights.data() + static_cast<size_t>(i) * count; }
};

}  // namespace reidkit
