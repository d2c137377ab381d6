// Embeddings, a row each: brought to length 1, compared, averaged.
//
// Sums are taken in sixteen parts that are joined pairwise: in this order on every machine, however wide its vectors.
#pragma once

#include <cmath>

#include "cpu.hpp"

namespace reidkit {

template <class Value>
REIDKIT_KERNEL double dot(const Value* a, const Value* b, int width) {
    constexpr int parts = 16;
    double sums[parts] = {};
    int i = 0;
    for (; i + parts <= width; i += parts)
        for (int part = 0; part < parts; ++part) sums[part] += double(a[i + part]) * b[i + part];
    for (int part = 0; i < width; ++i, ++part) sums[part] += double(a[i]) * b[i];
    for (int half = parts / 2; half > 0; half /= 2)
        for (int part = 0; part < half; ++part) sums[part] += sums[part + half];
    return sums[0];
}

REIDKIT_KERNEL void scale(double* values, int width, double factor) {
    for (int i = 0; i < width; ++i) values[i] *= factor;
}

// Writes the values, at length 1 if wished, and returns the length they had: unusable if that is 0 or not finite.
template <class Value>
REIDKIT_KERNEL double to_unit(const Value* __restrict values, int width, bool normalize, double* __restrict out) {
    for (int i = 0; i < width; ++i) out[i] = values[i];
    const double length = std::sqrt(dot(out, out, width));
    if (normalize) scale(out, width, 1 / length);
    return length;
}

// Brings the values to length 1 where they lie, if wished and if they have a length; whether they have one is returned.
REIDKIT_KERNEL bool unit_in_place(float* values, int width, bool normalize) {
    const double length = std::sqrt(dot(values, values, width));
    if (!std::isfinite(length) || length == 0) return false;
    if (normalize)
        for (int i = 0; i < width; ++i) values[i] = static_cast<float>(values[i] / length);
    return true;
}

// Moves an average of length 1, if there is one yet, towards `next`; where they cancel out, onto it.
REIDKIT_KERNEL void blend(double* __restrict average, bool begun, const double* __restrict next, int width,
                          double weight) {
    if (begun) {
        const double rest = 1 - weight;
        for (int i = 0; i < width; ++i) average[i] = average[i] * weight + next[i] * rest;
        if (const double length = std::sqrt(dot(average, average, width)); length > 0) {
            scale(average, width, 1 / length);
            return;
        }
    }
    for (int i = 0; i < width; ++i) average[i] = next[i];
}

// The kernels, compiled for one instruction set.
struct EmbeddingKernels {
    decltype(&reidkit::dot<double>) dot;
    decltype(&reidkit::to_unit<float>) to_unit_float;
    decltype(&reidkit::to_unit<double>) to_unit_double;
    decltype(&reidkit::unit_in_place) unit_in_place;
    decltype(&reidkit::blend) blend;

    explicit EmbeddingKernels(InstructionSet set)
        : dot(compiled_for<&reidkit::dot<double>>(set)),
          to_unit_float(compiled_for<&reidkit::to_unit<float>>(set)),
          to_unit_double(compiled_for<&reidkit::to_unit<double>>(set)),
          unit_in_place(compiled_for<&reidkit::unit_in_place>(set)),
          blend(compiled_for<&reidkit::blend>(set)) {}

    double to_unit(const float* values, int width, bool normalize, double* out) const {
        return to_unit_float(values, width, normalize, out);
    }
    double to_unit(const double* values, int width, bool normalize, double* out) const {
        return to_unit_double(values, width, normalize, out);
    }
};

}  // namespace reidkit
