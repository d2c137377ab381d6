// Tracks matched with detections, by overlap and by appearance where it may decide.
//
// The same costs in the same order of operations as runtime/tracking/association.py, which says what they mean.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "assignment.hpp"
#include "detections.hpp"
#include "overlap.hpp"
#include "track_columns.hpp"

namespace reidkit {

// When an appearance may become a cost, and how much it weighs.
struct AppearanceRule {
    double min_iou, min_cosine, cost_scale;
};

// What appearance did: pairs whose cost it gave, tracks that got another detection by it, tracks that lost theirs.
struct AppearanceCounts {
    int64_t decided = 0, changed = 0, vetoed = 0;
};

class Association {
  public:
    explicit Association(InstructionSet set) : meter_(set), assigner_(set) {}

    AppearanceCounts counts;  // since they were set to 0

    // For each of `rows` which of `candidates` it gets, as a position in them, or Matching::nobody. Valid until the
    // next call.
    const std::vector<int>& by_overlap(const TrackColumns& tracks, const std::vector<int>& rows,
                                       const Detections& detections, const std::vector<int>& candidates, double limit) {
        measure(tracks, rows, detections, candidates);
        return assign(distances_, limit);
    }

    const std::vector<int>& by_appearance(const TrackColumns& tracks, const std::vector<int>& rows,
                                          const Detections& detections, const std::vector<int>& candidates,
                                          double limit, bool fuse_score, const AppearanceRule& rule) {
        measure(tracks, rows, detections, candidates);
        find_near(tracks, rows, detections, candidates, 1 - rule.min_iou);
        if (fuse_score) fuse(detections, candidates);
        if (!compare_near(tracks, rows, detections, candidates, rule)) return assign(distances_, limit);
        alone_ = assign(distances_, limit);
        const std::vector<int>& matched = assign(costs_, limit);
        count_differences(matched);
        return matched;
    }

    // (rows, columns) of what was measured or assigned last.
    const std::vector<int>& assign(const std::vector<double>& costs, double limit) {
        return assigner_.solve({costs.data(), rows_, columns_, columns_, 1}, limit);
    }

    OverlapMeter& meter() { return meter_; }

  private:
    struct Pair {
        int row, column;
    };

    void measure(const TrackColumns& tracks, const std::vector<int>& rows, const Detections& detections,
                 const std::vector<int>& candidates) {
        rows_ = static_cast<int>(rows.size());
        columns_ = static_cast<int>(candidates.size());
        track_boxes_.clear();
        for (const int row : rows) track_boxes_.push_back(tracks.box(row));
        candidate_boxes_.clear();
        for (const int i : candidates) candidate_boxes_.push_back(detections.box(i));
        distances_.resize(rows.size() * candidates.size());
        meter_.measure(track_boxes_.data(), rows_, candidate_boxes_.data(), columns_, distances_.data());
    }

    // Pairs that overlap enough for appearance, of those that have one.
    void find_near(const TrackColumns& tracks, const std::vector<int>& rows, const Detections& detections,
                   const std::vector<int>& candidates, double max_distance) {
        near_.clear();
        if (detections.embedding_dim() == 0) return;
        for (int row = 0; row < rows_; ++row) {
            if (!tracks.has_embedding[rows[row]]) continue;
            const double* line = distances_.data() + ptrdiff_t(row) * columns_;
            for (int column = 0; column < columns_; ++column)
                if (line[column] <= max_distance && detections.embedding(candidates[column]) != nullptr)
                    near_.push_back({row, column});
        }
    }

    // 1 - IoU * score.
    void fuse(const Detections& detections, const std::vector<int>& candidates) {
        scores_.clear();
        for (const int i : candidates) scores_.push_back(detections.score(i));
        for (int row = 0; row < rows_; ++row) {
            double* line = distances_.data() + ptrdiff_t(row) * columns_;
            for (int column = 0; column < columns_; ++column) line[column] = 1 - (1 - line[column]) * scores_[column];
        }
    }

    // Costs that are the lesser of overlap and appearance; false where appearance is never the lesser.
    bool compare_near(const TrackColumns& tracks, const std::vector<int>& rows, const Detections& detections,
                      const std::vector<int>& candidates, const AppearanceRule& rule) {
        bool any = false;
        for (const auto [row, column] : near_) {
            const double cosine = detections.kernels().dot(
                tracks.embedding_of(rows[row]), detections.embedding(candidates[column]), tracks.embedding_dim);
            const double appearance = std::max(rule.cost_scale * (1 - cosine), 0.0);
            const size_t pair = size_t(row) * size_t(columns_) + size_t(column);
            if (!(cosine >= rule.min_cosine && appearance < distances_[pair])) continue;
            if (!any) costs_ = distances_;
            any = true;
            costs_[pair] = appearance;
        }
        return any;
    }

    void count_differences(const std::vector<int>& matched) {
        for (int row = 0; row < rows_; ++row) {
            const int given = matched[row], expected = alone_[row];
            const size_t pair = size_t(row) * size_t(columns_) + size_t(given);
            counts.decided += given >= 0 && costs_[pair] < distances_[pair];
            counts.changed += given >= 0 && given != expected;
            counts.vetoed += given < 0 && expected >= 0;
        }
    }

    OverlapMeter meter_;
    Assigner assigner_;
    int rows_ = 0, columns_ = 0;
    std::vector<BoxXyxy> track_boxes_, candidate_boxes_;
    std::vector<double> distances_, costs_, scores_;
    std::vector<Pair> near_;
    std::vector<int> alone_;
};

}  // namespace reidkit
