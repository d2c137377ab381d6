// The crop kernels: the plain ones against slow, exact arithmetic, all others against the plain ones, bit by bit.
//
// Frames are allocated to the byte, so that AddressSanitizer sees one read too many, or end where a page that nobody
// may read begins, because it does not see intrinsics.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "assignment.hpp"
#include "checks.hpp"
#include "crop.hpp"

using namespace reidkit;

static std::atomic<int> allocations = 0;

void* operator new(size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
void* operator new(size_t size, std::align_val_t alignment) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    const auto unit = static_cast<size_t>(alignment);
    if (void* memory = std::aligned_alloc(unit, (size + unit - 1) / unit * unit)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }

namespace {

// `gap` bytes between rows, none after the last; upside down the first row is the last in memory.
struct Plane {
    std::unique_ptr<uint8_t[]> memory;
    const uint8_t* first;
    ptrdiff_t row_bytes;

    Plane(int height, int bytes, int gap, bool upside_down) : row_bytes(bytes + gap) {
        const size_t size = size_t((height - 1) * row_bytes + bytes);
        memory = std::make_unique<uint8_t[]>(size);
        std::generate_n(memory.get(), size, [] { return static_cast<uint8_t>(between(0, 255)); });
        first = memory.get();
        if (upside_down) {
            first += (height - 1) * row_bytes;
            row_bytes = -row_bytes;
        }
    }
};

struct HeapFrame {
    std::vector<Plane> planes;
    Frame frame;

    HeapFrame(int height, int width, int gap, bool upside_down, Pixels kind = Pixels::interleaved) {
        planes.emplace_back(height, kind == Pixels::interleaved ? 3 * width : width, gap, upside_down);
        frame = {planes[0].first, planes[0].row_bytes, height, width, kind};
        if (kind != Pixels::yuv420) return;
        const int rows = (height + 1) / 2, columns = (width + 1) / 2;
        frame.chroma_step = between(1, 2);
        for (int i = 0; i < 3 - frame.chroma_step; ++i)
            planes.emplace_back(rows, int(frame.chroma_step) * columns, gap, upside_down);
        frame.u = planes[1].first;
        frame.v = frame.chroma_step == 2 ? frame.u + 1 : planes[2].first;
        frame.u_row_bytes = planes[1].row_bytes;
        frame.v_row_bytes = planes.back().row_bytes;
        frame.matrix = YuvMatrix::of(coin(), coin());
    }
};

double level(const Frame& frame, int y, int x, int channel) {
    if (frame.kind == Pixels::interleaved) return frame.at(y, x)[channel];
    if (frame.kind == Pixels::grey) return *frame.at(y, x);
    const auto& m = frame.matrix;
    const ptrdiff_t pair = x / 2 * frame.chroma_step;
    const double u = frame.u[y / 2 * frame.u_row_bytes + pair] - 128.0;
    const double v = frame.v[y / 2 * frame.v_row_bytes + pair] - 128.0;
    const double coloured[] = {m.blue_u * u, -m.green_u * u - m.green_v * v, m.red_v * v};
    const double grey = std::max(*frame.at(y, x) - m.darkest, 0) * double(m.luma);
    return std::clamp(std::floor((grey + coloured[channel]) / (1 << YuvMatrix::bits) + 0.5), 0.0, 255.0);
}

struct Weighted {
    int sample;
    double weight;
};

double height_of(Filter filter, double x) {
    x = std::abs(x);
    if (filter == Filter::bilinear || filter == Filter::antialiased_bilinear) return std::max(0.0, 1 - x);
    const double a = filter == Filter::bicubic ? -0.75 : -0.5;
    if (x >= 2) return 0;
    return x < 1 ? (a + 2) * x * x * x - (a + 3) * x * x + 1 : a * (x * x * x - 5 * x * x + 8 * x - 4);
}

// The samples of a crop's axis that make sample i of its output.
std::vector<Weighted> samples_of(Filter filter, int i, int source, int target) {
    const double scale = double(source) / target, center = (i + 0.5) * scale;
    const bool antialias = is_antialiased(filter);
    std::vector<Weighted> samples;
    double total = 0;
    for (int sample = antialias ? 0 : -3; sample < (antialias ? source : source + 3); ++sample) {
        const double weight = height_of(filter, (sample + 0.5 - center) / (antialias ? std::max(scale, 1.0) : 1));
        if (weight == 0) continue;
        samples.push_back({std::clamp(sample, 0, source - 1), weight});
        total += weight;
    }
    for (auto& sample : samples) sample.weight /= total;
    return samples;
}

// Levels in the crop's order, not rounded at the end; a letterbox's margin is -1.
std::vector<double> plain_crop(const Frame& frame, const Box& box, const CropFormat& format) {
    const Inset inset = Inset::of(box.height(), box.width(), format);
    std::vector<double> out(format.values(), -1), row(size_t(box.width()));
    for (int y = 0; y < inset.height; ++y) {
        const auto rows = samples_of(format.filter, y, box.height(), inset.height);
        for (int x = 0; x < inset.width; ++x) {
            const auto columns = samples_of(format.filter, x, box.width(), inset.width);
            for (int channel = 0; channel < 3; ++channel) {
                double sum = 0;
                for (const auto& [sample_y, weight_y] : rows) {
                    double part = 0;
                    for (const auto& [sample_x, weight_x] : columns)
                        part += weight_x * level(frame, box.top + sample_y, box.left + sample_x, channel);
                    if (is_antialiased(format.filter)) part = std::clamp(std::floor(part + 0.5), 0.0, 255.0);
                    sum += weight_y * part;
                }
                const int to = format.swap_colors ? 2 - channel : channel;
                const int to_y = inset.top + y, to_x = inset.left + x;
                out[size_t(format.planar ? (to * format.height + to_y) * format.width + to_x
                                         : (to_y * format.width + to_x) * 3 + to)] = std::clamp(sum, 0.0, 255.0);
            }
        }
    }
    return out;
}

template <class Out>
std::vector<Out> cut(InstructionSet set, const Frame& frame, const Box& box, const CropFormat& format) {
    std::vector<Out> out(format.values());
    CropCutter(set).cut(frame, box, format, out.data());
    return out;
}

void check_sets_agree(const Frame& frame, const Box& box, const CropFormat& format) {
    const auto bytes = cut<uint8_t>(InstructionSet::scalar, frame, box, format);
    const auto halves = cut<Half>(InstructionSet::scalar, frame, box, format);
    const auto floats = cut<float>(InstructionSet::scalar, frame, box, format);
    for (const InstructionSet set : instruction_sets) {
        if (!is_usable(set)) continue;
        CHECK(cut<uint8_t>(set, frame, box, format) == bytes);
        CHECK(cut<Half>(set, frame, box, format) == halves);
        CHECK(cut<float>(set, frame, box, format) == floats);
    }
}

void check_crop(const Frame& frame, const Box& box, CropFormat format) {
    const auto plain = plain_crop(frame, box, format);
    const auto bytes = cut<uint8_t>(InstructionSet::scalar, frame, box, format);
    const auto levels = cut<float>(InstructionSet::scalar, frame, box, format);
    const double rounding = format.filter == Filter::bilinear ? 0.02 : 0.55;
    const double between_passes = is_antialiased(format.filter) ? 1 : 0;  // sums of a half, rounded the other way
    for (size_t i = 0; i < plain.size(); ++i) {
        if (plain[i] < 0) {
            CHECK(bytes[i] == format.padding[format.planar ? i / (plain.size() / 3) : i % 3]);
            continue;
        }
        CHECK(std::abs(levels[i] - plain[i]) < rounding + between_passes);
        CHECK(std::abs(bytes[i] - plain[i]) < 0.55 + between_passes);
    }
    format.gain = {0.02F, 0.017F, 0.0175F};
    format.offset = {-2.1F, -2.0F, -1.8F};
    const auto floats = cut<float>(InstructionSet::scalar, frame, box, format);
    for (size_t i = 0; i < plain.size(); ++i) {
        const size_t channel = format.planar ? i / (plain.size() / 3) : i % 3;
        CHECK(std::abs(floats[i] - (levels[i] * format.gain[channel] + format.offset[channel])) < 1e-5);
    }
    check_sets_agree(frame, box, format);
}

CropFormat some_format(int height, int width) {
    CropFormat format{height, width, coin(), coin(), Filter(between(0, 3))};
    format.letterbox = between(0, 3) == 0;
    format.padding = {114, 7, 250};
    return format;
}

void crops_equal_the_plain_ones() {
    for (int trial = 0; trial < 300; ++trial) {
        const int height = between(1, trial % 2 ? 12 : 90), width = between(1, trial % 2 ? 12 : 90);
        const HeapFrame heap(height, width, between(0, 5), trial % 3 == 0, Pixels(between(0, 2)));
        const int left = between(0, width - 1), top = between(0, height - 1);
        const Box box{left, top, between(left + 1, width), between(top + 1, height)};
        check_crop(heap.frame, box, some_format(between(1, 40), between(1, 70)));
    }
}

// Boxes of the sizes that cameras see, from 8 to 2000 pixels.
void instruction_sets_agree() {
    const HeapFrame heap(2000, 1000, 8, false);
    for (const auto& [height, width] : {std::pair(8, 8),
                                        {30, 12},
                                        {80, 32},
                                        {200, 83},
                                        {257, 128},
                                        {400, 160},
                                        {411, 171},
                                        {700, 300},
                                        {2000, 1000}}) {
        const int left = between(0, 1000 - width), top = between(0, 2000 - height);
        CropFormat format{64, 128, coin(), coin(), Filter::bilinear};
        check_sets_agree(heap.frame, {left, top, left + width, top + height}, format);
        check_sets_agree(heap.frame, {left, top, left + width, top + height}, some_format(between(1, 60), 96));
    }
}

void nothing_is_read_beyond_the_frame() {
    const size_t page = size_t(sysconf(_SC_PAGESIZE)), readable = 4 * page;
    void* memory = mmap(nullptr, readable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK(mprotect(static_cast<uint8_t*>(memory) + readable, page, PROT_NONE) == 0);
    for (int width = 1; width < 130; ++width) {
        const int height = between(1, 9), row_bytes = 3 * width;
        const Frame frame{static_cast<uint8_t*>(memory) + readable - height * row_bytes, row_bytes, height, width};
        const Box box{between(0, width - 1), between(0, height - 1), width, height};
        for (const int target : {16, 48}) check_sets_agree(frame, box, some_format(5, target));
        check_sets_agree(frame, {0, 0, width, height}, {5, 96, coin(), coin()});
    }
    munmap(memory, readable + page);
}

void nothing_is_written_beside_the_crop() {
    const HeapFrame heap(60, 70, 0, false);
    for (int trial = 0; trial < 100; ++trial) {
        const CropFormat format = some_format(between(1, 9), between(1, 140));
        constexpr size_t margin = 64;
        for (const InstructionSet set : instruction_sets) {
            if (!is_usable(set)) continue;
            std::vector<uint8_t> memory(format.values() + 2 * margin, 201);
            CropCutter(set).cut(heap.frame, {0, 0, between(1, 70), 60}, format, memory.data() + margin);
            CHECK(std::all_of(memory.begin(), memory.begin() + margin, [](uint8_t byte) { return byte == 201; }));
            CHECK(std::all_of(memory.end() - margin, memory.end(), [](uint8_t byte) { return byte == 201; }));
        }
    }
}

// Every half and its neighbours, and the middles between halves, where ties go to the even one.
void halves_are_the_nearest() {
    std::vector<float> floats;
    for (uint32_t bits = 0; bits < 0x7C00; ++bits) {
        const uint32_t exponent = bits >> 10, fraction = bits & 0x3FF;
        const float half =
            exponent == 0 ? std::ldexp(float(fraction), -24) : std::ldexp(float(fraction | 0x400), int(exponent) - 25);
        const float step = std::ldexp(1.0F, std::max(int(exponent), 1) - 25);
        for (const float value :
             {half, half + step / 2, std::nextafter(half + step / 2, 0.0F), std::nextafter(half + step / 2, 1e9F)}) {
            floats.push_back(value);
            floats.push_back(-value);
        }
    }
    for (const float value : {65519.0F, 65520.0F, 65536.0F, 1e30F, HUGE_VALF, 1e-30F}) floats.push_back(value);
    const int count = int(floats.size());
    std::vector<Half> expected(floats.size()), found(floats.size());
    floats_to_halves(floats.data(), count, expected.data());
    for (size_t i = 0; i < 8 * 0x7C00; i += 8) {  // the half, then its middle, a little less, a little more
        const auto bits = static_cast<uint16_t>(i / 8);
        CHECK(expected[i].bits == bits && expected[i + 1].bits == (bits | 0x8000));
        CHECK(expected[i + 2].bits == bits + (bits & 1));
        CHECK(expected[i + 4].bits == bits && expected[i + 6].bits == bits + 1);
    }
    for (const InstructionSet set : instruction_sets) {
        if (!is_usable(set)) continue;
        CropKernels(set).floats_to_halves(floats.data(), count, found.data());
        CHECK(found == expected);
    }
}

void boxes_are_clipped_and_truncated() {
    const Frame frame{nullptr, 0, 50, 100};
    const double inside[] = {10.9, 20.1, 30.9, 40.99}, around[] = {-5.5, -0.5, 1e300, 50.5},
                 beyond[] = {100.0, 0.0, 120.0, 10.0}, thin[] = {3.2, 5.0, 3.9, 9.0};
    const Box box = pixels_of(inside, frame), whole = pixels_of(around, frame);
    CHECK(box.left == 10 && box.top == 20 && box.right == 30 && box.bottom == 40);
    CHECK(whole.left == 0 && whole.top == 0 && whole.right == 100 && whole.bottom == 50);
    CHECK(pixels_of(beyond, frame).empty() && pixels_of(thin, frame).empty());
}

void threads_cut_from_one_frame() {
    const HeapFrame heap(200, 300, 4, false);
    const CropFormat format{64, 32, true, true};
    const auto expected = cut<uint8_t>(best_instruction_set(), heap.frame, {10, 20, 200, 190}, format);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            CropCutter cutter(best_instruction_set());
            std::vector<uint8_t> out(expected.size());
            for (int repeat = 0; repeat < 50; ++repeat) {
                cutter.cut(heap.frame, {10, 20, 200, 190}, format, out.data());
                CHECK(out == expected);
            }
        });
    }
    for (auto& thread : threads) thread.join();
}

void the_second_time_allocates_nothing() {
    const HeapFrame heap(200, 300, 0, false), chroma(200, 300, 0, false, Pixels::yuv420);
    std::vector<Half> out(3 * 64 * 32);
    std::vector<double> costs(40 * 50);
    for (double& cost : costs) cost = between(0, 9) / 10.0;
    CropCutter cutter(best_instruction_set());
    Assigner assigner(best_instruction_set());
    int before = 0;
    for (int time = 0; time < 2; ++time) {
        before = allocations;
        for (int filter = 0; filter < 4; ++filter)
            for (const Frame& frame : {heap.frame, chroma.frame})
                for (const Box& box : {Box{10, 20, 200, 190}, Box{0, 0, 10, 10}, Box{0, 0, 300, 200}})
                    cutter.cut(frame, box, {64, 32, true, true, Filter(filter)}, out.data());
        assigner.solve({costs.data(), 40, 50, 50, 1}, 0.15);
    }
    CHECK(allocations == before);
}

}  // namespace

int main() {
    crops_equal_the_plain_ones();
    instruction_sets_agree();
    nothing_is_read_beyond_the_frame();
    nothing_is_written_beside_the_crop();
    halves_are_the_nearest();
    boxes_are_clipped_and_truncated();
    threads_cut_from_one_frame();
    the_second_time_allocates_nothing();
    std::printf("all hold on");
    for (const InstructionSet set : instruction_sets)
        if (is_usable(set)) std::printf(" %s", name_of(set));
    std::printf("\n");
}
