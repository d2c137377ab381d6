// What byte-permuting instruction sets share: samples of a stretched row, picked out of windows of the source row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu.hpp"

namespace reidkit {

// A run is a plane of the crop's row, or all of an interleaved one. Each takes its samples the same way, `next_byte`
// further than the one before.
struct WindowPlan {
    const int32_t* starts;  // of each block's window, in bytes
    const uint8_t* picks;   // where in the window a sample's two bytes are, for the first run
    const int16_t *first_weights, *second_weights;
    int blocks, runs, pitch;  // runs begin so many samples apart, as a whole block may be written at their ends
    int8_t next_byte;
};

// Where samples that begin at such bytes of the row lie in the window that begins at `start`.
REIDKIT_KERNEL void pick_block(const int32_t* __restrict firsts, const int32_t* __restrict seconds, int start,
                               int count, uint8_t* __restrict picks) {
    for (int i = 0; i < count; ++i) {
        picks[2 * i] = static_cast<uint8_t>(firsts[i] - start);
        picks[2 * i + 1] = static_cast<uint8_t>(seconds[i] - start);
    }
}

struct RowToStretch {
    const uint8_t* source;
    int16_t* samples;
};

struct WindowKernel {
    void (*stretch)(const WindowPlan& plan, const RowToStretch* rows, int count) = nullptr;
    int samples = 0, bytes = 0;  // in a block and its window
};

}  // namespace reidkit
