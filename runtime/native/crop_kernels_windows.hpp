// What byte-permuting instruction sets share: samples of a stretched row, picked out of windows of the source row.
#pragma once

#include <cstddef>
#include <cstdint>

namespace reidkit {

// A run is a plane of the crop's row, or all of an interleaved one. Each takes its samples the same way, from one byte
// of the row on: `first_byte` for the first run, then `next_byte` further for each.
struct WindowPlan {
    const int32_t* starts;                       // of each block's window, in bytes
    const uint16_t *first_picks, *second_picks;  // a sample's two bytes in the window, 256 times, plus 255
    const int16_t *first_weights, *second_weights;
    int blocks, runs, run_length;  // a run ends with its block, the excess is overwritten by the next run
    ptrdiff_t first_byte, next_byte;
};

struct WindowKernel {
    void (*stretch)(const uint8_t* row, const WindowPlan& plan, int16_t* out) = nullptr;
    int samples = 0, bytes = 0;  // in a block and its window
};

}  // namespace reidkit
