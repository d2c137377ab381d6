// A box's rows as three interleaved bytes a pixel, whatever the frame holds.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpu.hpp"
#include "frame.hpp"

namespace reidkit {

REIDKIT_KERNEL void row_of_grey(const uint8_t* __restrict grey, int width, uint8_t* __restrict out) {
    for (int x = 0; x < width; ++x) out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = grey[x];
}

// Blue, green, red. `odd`: the first pixel is the right one of the two that share its chroma. What is darker than
// black is black before chroma is added, as in OpenCV's cvtColor.
REIDKIT_KERNEL void row_of_yuv(const uint8_t* __restrict luma, const uint8_t* __restrict u, const uint8_t* __restrict v,
                               ptrdiff_t chroma_step, int odd, const YuvMatrix& matrix, int width,
                               uint8_t* __restrict out) {
    const YuvMatrix m = matrix;
    const auto level = [](int32_t value) { return static_cast<uint8_t>(std::clamp(value >> YuvMatrix::bits, 0, 255)); };
    for (int x = 0; x < width; ++x) {
        const ptrdiff_t pair = ((x + odd) >> 1) * chroma_step;
        const int32_t grey = std::max(luma[x] - m.darkest, 0) * m.luma + (1 << (YuvMatrix::bits - 1));
        const int32_t blueness = u[pair] - 128, redness = v[pair] - 128;
        out[3 * x] = level(grey + m.blue_u * blueness);
        out[3 * x + 1] = level(grey - m.green_u * blueness - m.green_v * redness);
        out[3 * x + 2] = level(grey + m.red_v * redness);
    }
}

// Reads rows where they lie if `readable` bytes from their start are the box's own, else from a copy with that room.
class BoxRows {
  public:
    struct Kernels {
        decltype(&reidkit::row_of_grey) row_of_grey;
        decltype(&reidkit::row_of_yuv) row_of_yuv;

        explicit Kernels(InstructionSet set)
            : row_of_grey(compiled_for<&reidkit::row_of_grey>(set)),
              row_of_yuv(compiled_for<&reidkit::row_of_yuv>(set)) {}
    };

    // `held`: a row stays until as many others were asked for.
    BoxRows(const Frame& frame, const Box& box, int readable, int held, const Kernels& kernels,
            std::vector<uint8_t>& memory)
        : frame_(frame),
          box_(box),
          prefetcher_(frame, box),
          kernels_(kernels),
          memory_(memory),
          in_place_(frame.kind == Pixels::interleaved && 3 * box.width() >= readable),
          held_(held),
          room_(std::max(readable, 3 * box.width())) {
        memory.resize(static_cast<size_t>(held) * room_);
    }

    // Rows up to y will be asked for next, from top to bottom.
    void reach(int y) { prefetcher_.reach(y); }

    // Row y of the box.
    const uint8_t* operator()(int y) {
        const uint8_t* row = frame_.at(box_.top + y, box_.left);
        return in_place_ ? row : copied(row, y);
    }

  private:
    const uint8_t* copied(const uint8_t* row, int y) {
        uint8_t* const copy = memory_.data() + next_ * static_cast<ptrdiff_t>(room_);
        next_ = next_ + 1 < held_ ? next_ + 1 : 0;
        switch (frame_.kind) {
            case Pixels::interleaved:
                std::copy_n(row, 3 * box_.width(), copy);
                break;
            case Pixels::grey:
                kernels_.row_of_grey(row, box_.width(), copy);
                break;
            case Pixels::yuv420:
                const int pair_row = (box_.top + y) / 2;
                const ptrdiff_t pair = box_.left / 2 * frame_.chroma_step;
                kernels_.row_of_yuv(row, frame_.u + pair_row * frame_.u_row_bytes + pair,
                                    frame_.v + pair_row * frame_.v_row_bytes + pair, frame_.chroma_step, box_.left % 2,
                                    frame_.matrix, box_.width(), copy);
                break;
        }
        return copy;
    }

    const Frame& frame_;
    const Box& box_;
    RowPrefetcher prefetcher_;
    const Kernels& kernels_;
    std::vector<uint8_t>& memory_;
    const bool in_place_;
    const int held_, room_;
    int next_ = 0;  // place of the next copy
};

}  // namespace reidkit
