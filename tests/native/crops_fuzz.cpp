// libFuzzer on the crop kernels: whatever the frame, the box and the crop, nothing is touched that is not theirs, and
// every instruction set of this processor writes the same bits. cmake --workflow --preset fuzz
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "crop.hpp"

using namespace reidkit;

namespace {

// Takes values off the fuzzer's bytes, zeros once they are used up.
struct Bytes {
    const uint8_t* data;
    size_t size;

    template <class T>
    T take() {
        T value{};
        const size_t count = std::min(sizeof value, size);
        std::memcpy(&value, data, count);
        data += count;
        size -= count;
        return value;
    }
    int between(int low, int high) { return low + take<uint16_t>() % (high - low + 1); }
};

// Allocated to the byte, so that AddressSanitizer sees one too many. Rows `row_bytes` apart, the last one `width` long.
std::unique_ptr<uint8_t[]> plane(int height, ptrdiff_t row_bytes, int width, Bytes& bytes) {
    const size_t size = size_t((height - 1) * row_bytes + width);
    auto memory = std::make_unique<uint8_t[]>(size);
    const uint8_t seed = bytes.take<uint8_t>();
    for (size_t i = 0; i < size; ++i) memory[i] = static_cast<uint8_t>(i * i * 31 + seed * (i >> 3));
    return memory;
}

template <class Value>
void cut(const Frame& frame, const Box& box, const CropFormat& format) {
    static std::vector<CropCutter> cutters = [] {
        std::vector<CropCutter> all;
        for (const InstructionSet set : instruction_sets)
            if (is_usable(set)) all.emplace_back(set);
        return all;
    }();
    const size_t values = format.values();
    const auto expected = std::make_unique<Value[]>(values), found = std::make_unique<Value[]>(values);
    cutters[0].cut(frame, box, format, expected.get());
    for (size_t i = 1; i < cutters.size(); ++i) {
        cutters[i].cut(frame, box, format, found.get());
        if (std::memcmp(expected.get(), found.get(), values * sizeof(Value)) != 0) std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Bytes bytes{data, size};
    const int height = bytes.between(1, 24), width = bytes.between(1, 200), gap = bytes.between(0, 3);
    Frame frame{nullptr, 0, height, width, Pixels(bytes.between(0, 2))};
    const int row = (frame.kind == Pixels::interleaved ? 3 : 1) * width;
    const auto pixels = plane(height, row + gap, row, bytes);
    frame.pixels = pixels.get();
    frame.row_bytes = row + gap;
    frame.chroma_step = bytes.between(1, 2);
    const int chroma_row = int(frame.chroma_step) * ((width + 1) / 2), chroma_height = (height + 1) / 2;
    const auto u = plane(chroma_height, chroma_row, chroma_row, bytes);
    const auto v = plane(chroma_height, chroma_row, chroma_row, bytes);
    frame.u = u.get();
    frame.v = frame.chroma_step == 2 ? u.get() + 1 : v.get();
    frame.u_row_bytes = frame.v_row_bytes = chroma_row;
    frame.matrix = YuvMatrix::of(bytes.between(0, 1), bytes.between(0, 1));

    double xyxy[4];
    for (double& coordinate : xyxy) {
        coordinate = bytes.between(0, 3) ? bytes.between(-20, 220) : bytes.take<double>();
        if (!std::isfinite(coordinate)) return 0;  // refused at the door
    }
    const Box box = pixels_of(xyxy, frame);
    if (box.empty()) return 0;

    CropFormat format{bytes.between(1, 12), bytes.between(1, 140), bytes.between(0, 1) == 1, bytes.between(0, 1) == 1,
                      Filter(bytes.between(0, 3))};
    format.letterbox = bytes.between(0, 1);
    format.gain = {0.017F, 0.02F, 0.5F};
    format.offset = {-2.1F, 0, 3};
    switch (bytes.between(0, 2)) {
        case 0:
            cut<uint8_t>(frame, box, format);
            break;
        case 1:
            cut<Half>(frame, box, format);
            break;
        default:
            cut<float>(frame, box, format);
    }
    return 0;
}
