// The native tracker core in a table of its own: walks, crowds and nonsense, for the sanitizers; decisions are compared
// with the NumPy core's in tests/parity/test_botsort_cores.py.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <set>
#include <stdexcept>
#include <vector>

#include "checks.hpp"
#include "tracker_core.hpp"

using namespace reidkit;

namespace {

constexpr int dim = 19;  // not a multiple of any vector's width

// What Python's TrackTable is: exactly as large as it says, so that AddressSanitizer sees a step beyond.
class Table {
  public:
    explicit Table(int capacity) : capacity_(capacity) { quads_.reserve(8); }

    TrackColumns columns() {
        TrackColumns tracks{};
        tracks.capacity = capacity_;
        tracks.embedding_dim = dim;
        tracks.id = column(id_, tracks);
        tracks.state = column(state_, tracks);
        tracks.confirmed = reinterpret_cast<bool*>(column(confirmed_, tracks));
        tracks.start_frame = column(start_frame_, tracks);
        tracks.last_frame = column(last_frame_, tracks);
        tracks.score = column(score_, tracks);
        tracks.class_id = column(class_id_, tracks);
        tracks.detection_index = column(detection_index_, tracks);
        for (Quad** quad : {&tracks.position, &tracks.velocity, &tracks.cov_position, &tracks.cov_mixed,
                            &tracks.cov_velocity, &tracks.cov_xy}) {
            quads_.emplace_back();
            *quad = reinterpret_cast<Quad*>(column(quads_.back(), tracks, 4));
        }
        tracks.has_embedding = reinterpret_cast<bool*>(column(has_embedding_, tracks));
        tracks.embedded_frame = column(embedded_frame_, tracks);
        tracks.embedding = column(embedding_, tracks, dim);
        return tracks;
    }

  private:
    template <class T>
    T* column(std::vector<T>& memory, TrackColumns& tracks, int width = 1) {
        memory.assign(size_t(capacity_) * size_t(width), T(7));  // rows are zeroed when they are taken
        tracks.all.push_back({reinterpret_cast<char*>(memory.data()), sizeof(T) * size_t(width)});
        return memory.data();
    }

    int capacity_;
    std::vector<int64_t> id_, start_frame_, last_frame_, class_id_, detection_index_, embedded_frame_;
    std::vector<int8_t> state_, confirmed_, has_embedding_;
    std::vector<double> score_, embedding_;
    std::vector<std::vector<double>> quads_;
};

struct Frame {
    std::vector<double> boxes, scores;
    std::vector<float> embeddings;
    std::vector<char> embedded;

    int count() const { return static_cast<int>(scores.size()); }
    void add(double x, double y, double width, double height, double score) {
        boxes.insert(boxes.end(), {x, y, x + width, y + height});
        scores.push_back(score);
        for (int i = 0; i < dim; ++i) embeddings.push_back(static_cast<float>(between(-9, 9)) + 0.5f);
        embedded.push_back(coin());
    }
};

TrackerSettings settings(bool fuse_score) {
    return {.detections = {0.6, 0.1, 0.0, true},
            .new_track_score = 0.7,
            .match_cost = 0.8,
            .second_match_cost = 0.5,
            .unconfirmed_match_cost = 0.7,
            .fuse_score = fuse_score,
            .confirmed_rule = {0.5, 0.5, 0.5},
            .unconfirmed_rule = {0.5, 0.2, 1.0},
            .ema_weight = 0.9,
            .duplicate_iou = 0.85,
            .longest_lost = 4,
            .longest_kept = 9};
}

Frame crowd(int people) {
    Frame frame;
    for (int i = 0; i < people; ++i)
        frame.add(between(0, 60) * 8, between(0, 40) * 8, between(1, 9) * 8, between(1, 9) * 8, between(0, 20) / 20.0);
    return frame;
}

void read(TrackerCore& core, const Frame& frame) {
    core.detections().read(frame.count(), frame.boxes.data(), frame.scores.data(), nullptr);
    if (coin())
        core.detections().read_embeddings(frame.embeddings.data(), dim,
                                          coin() ? reinterpret_cast<const bool*>(frame.embedded.data()) : nullptr);
}

void check_tracks(const TrackerCore& core, const Frame& frame, int64_t next_id) {
    const TrackColumns& tracks = core.tracks;
    std::set<int64_t> detections;
    for (int row = 0; row < tracks.count; ++row) {
        CHECK(tracks.id[row] < next_id && (row == 0 || tracks.id[row - 1] < tracks.id[row]));
        CHECK(tracks.state[row] == tracked || tracks.state[row] == lost);
        for (int i = 0; i < 4; ++i) CHECK(std::isfinite(tracks.position[row][i]) && tracks.cov_position[row][i] > 0);
        if (tracks.has_embedding[row])
            CHECK(std::abs(dot(tracks.embedding_of(row), tracks.embedding_of(row), dim) - 1) < 1e-9);
    }
    for (const int row : core.shown()) {
        CHECK(tracks.state[row] == tracked && tracks.confirmed[row]);
        CHECK(tracks.detection_index[row] < frame.count() && detections.insert(tracks.detection_index[row]).second);
    }
}

// Crowds that come, go and jump, a camera that turns, time that leaps; Python's part is to grow the table.
void crowds_are_tracked() {
    for (int trial = 0; trial < 120; ++trial) {
        constexpr int capacity = 1500;
        Table table(capacity);
        TrackerCore core(settings(trial % 2), instruction_sets[trial % 4]);
        if (!is_usable(instruction_sets[trial % 4])) continue;
        core.tracks = table.columns();
        int64_t next_id = 1, now = 0;
        for (int number = 1; number <= 25; ++number) {
            const Frame frame = crowd(trial % 10 == 0 ? between(0, 100) : between(0, 20));
            const double steps = between(0, 9) ? 1 : between(1, 40) / 4.0;
            now += std::max<int64_t>(1, std::llround(steps));
            read(core, frame);
            const Affine affine{0.999, -0.02, 3, 0.02, 0.999, -2};
            core.associate({number, now, steps}, coin() ? &affine : nullptr);
            for (const auto& [row, detection] : core.followed()) CHECK(core.tracks.detection_index[row] == detection);
            if (!core.unclaimed().empty() && coin()) core.claim(core.unclaimed().front());
            next_id = core.finish(next_id);
            check_tracks(core, frame, next_id);
        }
    }
}

void somebody_who_walks_keeps_an_id() {
    Table table(64);
    TrackerCore core(settings(true), best_instruction_set());
    core.tracks = table.columns();
    int64_t next_id = 1;
    for (int number = 1; number <= 20; ++number) {
        Frame frame;
        frame.add(10 + 6 * number, 20 + 2 * number, 40, 100, number % 5 == 0 ? 0.3 : 0.9);
        core.detections().read(1, frame.boxes.data(), frame.scores.data(), nullptr);
        core.associate({number, number, 1}, nullptr);
        next_id = core.finish(next_id);
        CHECK(core.shown().size() == 1 && core.tracks.id[0] == 1);
    }
    CHECK(next_id == 2);
}

void nonsense_is_refused() {
    Detections detections(settings(true).detections, best_instruction_set());
    const auto refused = [&](const Frame& frame) {
        try {
            detections.read(frame.count(), frame.boxes.data(), frame.scores.data(), nullptr);
            detections.read_embeddings(frame.embeddings.data(), dim, nullptr);
        } catch (const std::invalid_argument&) {
            return true;
        }
        return false;
    };
    Frame good;
    good.add(0, 0, 10, 20, 0.9);
    CHECK(!refused(good));
    for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL, 1e300}) {
        for (size_t i = 0; i < 4; ++i) {
            Frame frame = good;
            frame.boxes[i] = bad;
            CHECK(refused(frame));
        }
        Frame frame = good;
        frame.scores[0] = bad;
        CHECK(refused(frame));
    }
    Frame frame = good;
    frame.boxes[2] = frame.boxes[0];
    CHECK(refused(frame));
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        frame = good;
        frame.embeddings[5] = bad;
        CHECK(refused(frame));
    }
    frame = good;
    std::fill(frame.embeddings.begin(), frame.embeddings.end(), 0.0f);
    CHECK(refused(frame));
}

// The sums' order is the same whatever the instruction set.
void every_instruction_set_gives_the_same_bits() {
    for (int width = 0; width < 70; ++width) {
        std::vector<double> first, second;
        for (int i = 0; i < width; ++i) {
            first.push_back(between(-1000, 1000) / 7.0);
            second.push_back(between(-1000, 1000) / 3.0);
        }
        const double expected = dot(first.data(), second.data(), width);
        for (const InstructionSet set : instruction_sets)
            if (is_usable(set)) CHECK(EmbeddingKernels(set).dot(first.data(), second.data(), width) == expected);
    }
}

}  // namespace

int main() {
    somebody_who_walks_keeps_an_id();
    crowds_are_tracked();
    nonsense_is_refused();
    every_instruction_set_gives_the_same_bits();
    std::printf("all hold on %s and below\n", name_of(best_instruction_set()));
}
