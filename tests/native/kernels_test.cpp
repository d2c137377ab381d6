// The kernels against slow, plain versions of themselves, on every instruction set of this processor.
//
// Frames are allocated to the byte, so that AddressSanitizer sees one read too many, or end where a page that nobody
// may read begins, because it does not see intrinsics. Costs reach the limits of what is allowed, so that
// UndefinedBehaviorSanitizer sees an overflow.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "assignment.hpp"
#include "crop.hpp"

using namespace reidkit;

static std::atomic<int> allocations = 0;

void* operator new(size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            std::printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                             \
        }                                                                             \
    } while (false)

namespace {

std::mt19937 generator(20240501);

int between(int low, int high) { return std::uniform_int_distribution(low, high)(generator); }

struct HeapFrame {
    std::unique_ptr<uint8_t[]> memory;
    Frame frame;

    // `gap` bytes between rows, none after the last; upside down the first row is the last in memory.
    HeapFrame(int height, int width, int gap, bool upside_down) {
        const ptrdiff_t row_bytes = 3 * width + gap;
        const size_t size = size_t((height - 1) * row_bytes + 3 * width);
        memory = std::make_unique<uint8_t[]>(size);
        std::generate_n(memory.get(), size, [] { return static_cast<uint8_t>(between(0, 255)); });
        if (upside_down) {
            frame = {memory.get() + (height - 1) * row_bytes, -row_bytes, height, width};
        } else {
            frame = {memory.get(), row_bytes, height, width};
        }
    }
};

struct Weighted {
    int sample;
    double weight;
};

// The samples of a crop's axis that make sample i of its output.
std::vector<Weighted> samples_of(int i, int source, int target, bool antialias) {
    const double scale = double(source) / target, center = (i + 0.5) * scale;
    if (!antialias || scale <= 1) {
        const double at = std::clamp(center - 0.5, 0.0, source - 1.0);
        const int first = std::min(static_cast<int>(at), source - 1);
        return {{first, 1 - (at - first)}, {std::min(first + 1, source - 1), at - first}};
    }
    std::vector<Weighted> samples;
    double total = 0;
    for (int sample = 0; sample < source; ++sample) {
        const double weight = std::max(0.0, 1 - std::abs(sample + 0.5 - center) / scale);
        samples.push_back({sample, weight});
        total += weight;
    }
    for (auto& sample : samples) sample.weight /= total;
    return samples;
}

std::vector<double> plain_crop(const Frame& frame, const Box& box, const CropFormat& format) {
    std::vector<double> out(size_t(3 * format.height * format.width));
    for (int y = 0; y < format.height; ++y) {
        const auto rows = samples_of(y, box.height(), format.height, format.antialias);
        for (int x = 0; x < format.width; ++x) {
            const auto columns = samples_of(x, box.width(), format.width, format.antialias);
            for (int channel = 0; channel < 3; ++channel) {
                double sum = 0;
                for (const auto& row : rows)
                    for (const auto& column : columns)
                        sum += row.weight * column.weight *
                               frame.pixels[(box.top + row.sample) * frame.row_bytes + 3 * (box.left + column.sample) +
                                            channel];
                const int to = format.swap_colors ? 2 - channel : channel;
                out[size_t(format.planar ? (to * format.height + y) * format.width + x
                                         : (y * format.width + x) * 3 + to)] = sum;
            }
        }
    }
    return out;
}

template <class Out>
std::vector<Out> cut(InstructionSet set, const Frame& frame, const Box& box, const CropFormat& format) {
    std::vector<Out> out(size_t(3 * format.height * format.width));
    CropCutter(set).cut(frame, box, format, out.data());
    return out;
}

void check_crop(const Frame& frame, const Box& box, const CropFormat& format) {
    const auto bytes = cut<uint8_t>(InstructionSet::scalar, frame, box, format);
    const auto floats = cut<float>(InstructionSet::scalar, frame, box, format);
    const auto plain = plain_crop(frame, box, format);
    for (size_t i = 0; i < plain.size(); ++i) {
        CHECK(std::abs(floats[i] - plain[i]) < 0.02);
        CHECK(std::abs(bytes[i] - plain[i]) < 0.52);
    }
    for (const InstructionSet set : instruction_sets) {
        if (set > best_instruction_set()) continue;
        CHECK(cut<uint8_t>(set, frame, box, format) == bytes);
        CHECK(cut<float>(set, frame, box, format) == floats);
    }
}

void crops_equal_the_plain_ones() {
    for (int trial = 0; trial < 400; ++trial) {
        const int height = between(1, trial % 2 ? 12 : 90), width = between(1, trial % 2 ? 12 : 90);
        const HeapFrame heap(height, width, between(0, 5), trial % 3 == 0);
        const int left = between(0, width - 1), top = between(0, height - 1);
        const Box box{left, top, between(left + 1, width), between(top + 1, height)};
        check_crop(heap.frame, box,
                   {between(1, 40), between(1, 70), bool(between(0, 1)), bool(between(0, 1)), bool(between(0, 1))});
        check_crop(heap.frame, {0, 0, width, height}, {8, 16, true, false, bool(between(0, 1))});
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
        for (const int target : {16, 48}) check_crop(frame, box, {5, target, true, false, bool(width % 2)});
    }
    munmap(memory, readable + page);
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
    const CropFormat format{64, 32, true, true, false};
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
    const HeapFrame heap(200, 300, 0, false);
    std::vector<uint8_t> out(3 * 64 * 32);
    std::vector<double> costs(40 * 50);
    for (double& cost : costs) cost = between(0, 9) / 10.0;
    CropCutter cutter(best_instruction_set());
    Assigner assigner(best_instruction_set());
    int before = 0;
    for (int time = 0; time < 2; ++time) {
        before = allocations;
        for (const bool antialias : {false, true})
            for (const Box& box : {Box{10, 20, 200, 190}, Box{0, 0, 10, 10}})
                cutter.cut(heap.frame, box, {64, 32, true, true, antialias}, out.data());
        assigner.solve({costs.data(), 40, 50, 50, 1}, 0.15);
    }
    CHECK(allocations == before);
}

// All assignments, each row trying its columns in rising order and then alone: the first of the cheapest.
struct PlainAssigner {
    const CostMatrix& costs;
    double limit;
    std::vector<int> columns, best;
    std::vector<bool> taken;
    __int128 lowest = std::numeric_limits<__int128>::max();

    static int64_t rounded(double cost) { return std::llround(std::ldexp(cost, 40)); }

    void place(int row, __int128 total) {
        if (row == costs.rows) {
            if (total < lowest) {
                lowest = total;
                best = columns;
            }
            return;
        }
        for (int column = 0; column < costs.columns; ++column) {
            const double cost = costs.data[row * costs.row_stride + column * costs.column_stride];
            if (taken[column] || std::isinf(cost) || rounded(cost) >= rounded(limit)) continue;
            taken[column] = true;
            columns[row] = column;
            place(row + 1, total + rounded(cost));
            taken[column] = false;
        }
        columns[row] = -1;
        place(row + 1, total + rounded(limit));
    }
};

std::vector<int> plain_assignment(const CostMatrix& costs, double limit) {
    PlainAssigner plain{costs, limit, std::vector<int>(costs.rows), {}, std::vector<bool>(costs.columns)};
    plain.place(0, 0);
    return plain.best;
}

void assignments_equal_the_plain_ones() {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    for (int trial = 0; trial < 6000; ++trial) {
        const int rows = between(0, 6), columns = between(0, 6), kinds = between(1, 4);
        const double unit = trial % 5 == 0 ? largest_cost / 4 : trial % 5 == 1 ? 0x1p-40 : 0.25;
        std::vector<double> values(size_t(rows * columns));
        for (double& value : values)
            value = between(0, 9) < trial % 4 ? infinity : between(trial % 5 == 0 ? -4 : 0, kinds) * unit;
        const bool transposed = trial % 2;
        const CostMatrix costs{values.data(), rows, columns, transposed ? 1 : columns, transposed ? rows : 1};
        for (const double limit : {kinds * unit, 2 * unit, 4 * unit}) {
            const auto expected = plain_assignment(costs, limit);
            for (const InstructionSet set : instruction_sets)
                if (set <= best_instruction_set()) CHECK(Assigner(set).solve(costs, limit) == expected);
        }
    }
}

void large_assignments_stay_in_range() {
    for (int trial = 0; trial < 20; ++trial) {
        const int rows = between(1, 60), columns = between(1, 60);
        std::vector<double> values(size_t(rows * columns));
        for (double& value : values) value = between(0, 1) ? largest_cost : -largest_cost * between(0, 8) / 8;
        Assigner assigner(best_instruction_set());
        const auto& column_of = assigner.solve({values.data(), rows, columns, columns, 1}, largest_cost);
        std::vector<bool> taken(columns);
        for (const int column : column_of) {
            if (column < 0) continue;
            CHECK(!taken[column]);
            taken[column] = true;
        }
    }
}

void costs_out_of_range_are_refused() {
    std::vector<double> values(40, 1.0);
    const auto refused = [&values](double limit) {
        try {
            Assigner(best_instruction_set()).solve({values.data(), 1, 40, 40, 1}, limit);
        } catch (const std::invalid_argument&) {
            return true;
        }
        return false;
    };
    CHECK(!refused(0.5));
    for (const double limit : {std::nan(""), HUGE_VAL, -HUGE_VAL, 2 * largest_cost}) CHECK(refused(limit));
    for (const double bad : {std::nan(""), -HUGE_VAL, 2 * largest_cost, -2 * largest_cost}) {
        for (const size_t where : {0, 17, 39}) {
            values.assign(40, 1.0);
            values[where] = bad;
            CHECK(refused(0.5));
        }
    }
}

}  // namespace

int main() {
    crops_equal_the_plain_ones();
    nothing_is_read_beyond_the_frame();
    boxes_are_clipped_and_truncated();
    threads_cut_from_one_frame();
    the_second_time_allocates_nothing();
    assignments_equal_the_plain_ones();
    large_assignments_stay_in_range();
    costs_out_of_range_are_refused();
    std::printf("all hold on %s and below\n", name_of(best_instruction_set()));
}
