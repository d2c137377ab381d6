// How far boxes are from covering each other: 1 - IoU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cpu.hpp"

namespace reidkit {

struct BoxXyxy {
    double x1, y1, x2, y2;

    double area() const { return (x2 - x1) * (y2 - y1); }
};

// From one box to `count` others, whose edges and areas lie in columns.
REIDKIT_KERNEL void distances_to(BoxXyxy box, const double* __restrict x1, const double* __restrict y1,
                                 const double* __restrict x2, const double* __restrict y2,
                                 const double* __restrict areas, int count, double* __restrict out) {
    const double area = box.area();
    for (int i = 0; i < count; ++i) {
        const double width = std::max(std::min(box.x2, x2[i]) - std::max(box.x1, x1[i]), 0.0);
        const double height = std::max(std::min(box.y2, y2[i]) - std::max(box.y1, y1[i]), 0.0);
        const double shared = height * width;
        out[i] = 1 - shared / (area + areas[i] - shared);
    }
}

// Compares one set of boxes with another after the other, in the same memory. One thread at a time.
class OverlapMeter {
  public:
    explicit OverlapMeter(InstructionSet set) : distances_to_(compiled_for<&distances_to>(set)) {}

    // Fills (rows, columns).
    void measure(const BoxXyxy* first, int rows, const BoxXyxy* second, int columns, double* distances) {
        for (std::vector<double>* column : {&x1_, &y1_, &x2_, &y2_, &areas_}) column->resize(columns);
        for (int i = 0; i < columns; ++i) {
            x1_[i] = second[i].x1;
            y1_[i] = second[i].y1;
            x2_[i] = second[i].x2;
            y2_[i] = second[i].y2;
            areas_[i] = second[i].area();
        }
        for (int row = 0; row < rows; ++row)
            distances_to_(first[row], x1_.data(), y1_.data(), x2_.data(), y2_.data(), areas_.data(), columns,
                          distances + ptrdiff_t(row) * columns);
    }

  private:
    decltype(&distances_to) distances_to_;
    std::vector<double> x1_, y1_, x2_, y2_, areas_;
};

}  // namespace reidkit
