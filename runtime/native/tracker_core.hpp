// BoT-SORT's frame over a TrackTable's memory: predict, associate three times, then births, expiry, duplicates.
//
//   read ──► associate ──► (Python's long-term stage, if it is on) ──► finish
//
// Every decision, and every bit, is that of runtime/tracking/numpy_core.py. Nothing is allocated once the largest
// crowd has been seen.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "association.hpp"
#include "detections.hpp"
#include "embeddings.hpp"
#include "motion.hpp"
#include "track_columns.hpp"

namespace reidkit {

struct TrackerSettings {
    DetectionSettings detections;
    double new_track_score, match_cost, second_match_cost, unconfirmed_match_cost;
    bool fuse_score;
    AppearanceRule confirmed_rule, unconfirmed_rule;
    double ema_weight, duplicate_iou;
    int64_t longest_lost, longest_kept;  // frames: in the associations, and at all
};

// When an update happens: its number from 1, its frame, and how many frames have passed since the last one.
struct Moment {
    int64_t number, frame;
    double steps;
};

class TrackerCore {
  public:
    struct Follow {
        int row, detection;
    };

    TrackerCore(const TrackerSettings& settings, InstructionSet set)
        : settings_(settings), detections_(settings.detections, set), association_(set) {}

    // Bound to a table's memory by the caller, who sees to it that there is room for a birth by every detection, and
    // for embeddings as wide as the detections'.
    TrackColumns tracks;

    Detections& detections() { return detections_; }

    // Brings the tracks to this moment and matches them with the detections. What appearance did is returned.
    AppearanceCounts associate(const Moment& moment, const Affine* affine) {
        moment_ = moment;
        association_.counts = {};
        followed_.clear();
        tracks.keep([&](int row) { return frames_lost(row) <= settings_.longest_kept + 1; });
        std::vector<int>&pool = rows_, &left = left_;
        pool.clear();
        unconfirmed_.clear();
        for (int row = 0; row < tracks.count; ++row) {
            if (!tracks.confirmed[row]) {
                unconfirmed_.push_back(row);
                continue;
            }
            Motion(tracks, row).predict(moment.steps);
            if (frames_lost(row) <= settings_.longest_lost + 1) {
                pool.push_back(row);
            } else {
                tracks.state[row] = lost;  // left to the long-term stage
            }
        }
        if (affine != nullptr) move_camera(*affine);

        high_ = detections_.high();
        match_by_appearance(pool, high_, settings_.match_cost, settings_.confirmed_rule);
        left.clear();
        for (const int row : pool)
            if (tracks.state[row] == tracked) left.push_back(row);
        match_by_overlap(left);
        for (const int row : left) tracks.state[row] = lost;
        match_by_appearance(unconfirmed_, high_, settings_.unconfirmed_match_cost, settings_.unconfirmed_rule);
        return association_.counts;
    }

    // What `associate` matched, and the high detections it left.
    const std::vector<Follow>& followed() const { return followed_; }
    const std::vector<int>& unclaimed() const { return high_; }
    // Somebody else has claimed one of them.
    void claim(int detection) { std::erase(high_, detection); }

    // Drops and starts tracks, these with ids from `next_id` on; returns the next one.
    int64_t finish(int64_t next_id) {
        for (const int row : unconfirmed_) tracks.state[row] = gone;
        tracks.keep([&](int row) {
            return tracks.state[row] != gone &&
                   !(tracks.state[row] == lost && frames_lost(row) > settings_.longest_kept);
        });
        for (const int detection : high_) {
            if (detections_.score(detection) < settings_.new_track_score) continue;
            const int row = tracks.append();
            Motion(tracks, row).start(detections_.measured(detection));
            tracks.id[row] = next_id++;
            tracks.confirmed[row] = moment_.number == 1;
            tracks.start_frame[row] = moment_.frame;
            note(row, detection);
        }
        drop_duplicates();
        shown_.clear();
        for (int row = 0; row < tracks.count; ++row)
            if (tracks.confirmed[row] && tracks.state[row] == tracked) shown_.push_back(row);
        return next_id;
    }

    // The rows to be shown after `finish`.
    const std::vector<int>& shown() const { return shown_; }

  private:
    static constexpr int8_t gone = 0;  // a state that lasts until the next `keep`

    int64_t frames_lost(int row) const { return moment_.frame - tracks.last_frame[row]; }

    void move_camera(const Affine& affine) {
        const double scale = std::sqrt(std::abs(affine.xx * affine.yy - affine.xy * affine.yx));
        tracks.coupled = tracks.coupled || (tracks.count > 0 && (affine.xy != 0 || affine.yx != 0));
        for (int row = 0; row < tracks.count; ++row) Motion(tracks, row).move_camera(affine, scale);
    }

    // Associations 1 and 3: leaves in both lists what was not matched.
    void match_by_appearance(std::vector<int>& rows, std::vector<int>& candidates, double limit,
                             const AppearanceRule& rule) {
        if (rows.empty() || candidates.empty()) return;
        take(rows, candidates,
             association_.by_appearance(tracks, rows, detections_, candidates, limit, settings_.fuse_score, rule));
    }

    // Association 2.
    void match_by_overlap(std::vector<int>& rows) {
        if (rows.empty() || detections_.low().empty()) return;
        low_ = detections_.low();
        take(rows, low_, association_.by_overlap(tracks, rows, detections_, low_, settings_.second_match_cost));
    }

    void take(std::vector<int>& rows, std::vector<int>& candidates, const std::vector<int>& column_of) {
        size_t left = 0;
        for (size_t i = 0; i < rows.size(); ++i) {
            const int row = rows[i], column = column_of[i];
            if (column < 0) {
                rows[left++] = row;
                continue;
            }
            const int detection = std::exchange(candidates[column], taken);
            Motion(tracks, row).correct(detections_.measured(detection));
            tracks.confirmed[row] = true;
            note(row, detection);
            followed_.push_back({row, detection});
        }
        rows.resize(left);
        std::erase(candidates, taken);
    }

    // The detection is the track's, as is its appearance (arXiv 2206.14651, equation 9).
    void note(int row, int detection) {
        tracks.state[row] = tracked;
        tracks.last_frame[row] = moment_.frame;
        tracks.score[row] = detections_.score(detection);
        tracks.class_id[row] = detections_.class_id(detection);
        tracks.detection_index[row] = detection;
        if (const double* embedding = detections_.embedding(detection); embedding != nullptr) {
            detections_.kernels().blend(tracks.embedding_of(row), tracks.has_embedding[row], embedding,
                                        tracks.embedding_dim, settings_.ema_weight);
            tracks.has_embedding[row] = true;
            tracks.embedded_frame[row] = moment_.frame;
        }
    }

    // Of a tracked and a lost track in one place keep the one with the longer life, on a tie the lost one. All pairs
    // are judged before any is dropped.
    void drop_duplicates() {
        rows_.clear();
        left_.clear();
        boxes_.clear();
        lost_boxes_.clear();
        for (int row = 0; row < tracks.count; ++row) {
            if (tracks.state[row] == tracked) {
                rows_.push_back(row);
                boxes_.push_back(tracks.box(row));
            } else if (frames_lost(row) <= settings_.longest_lost) {
                left_.push_back(row);
                lost_boxes_.push_back(tracks.box(row));
            }
        }
        if (rows_.empty() || left_.empty()) return;
        const int columns = static_cast<int>(left_.size());
        distances_.resize(rows_.size() * left_.size());
        association_.meter().measure(boxes_.data(), static_cast<int>(rows_.size()), lost_boxes_.data(), columns,
                                     distances_.data());
        const auto life = [&](int row) { return tracks.last_frame[row] - tracks.start_frame[row]; };
        const double closest = 1 - settings_.duplicate_iou;
        dropped_.clear();
        for (size_t pair = 0; pair < distances_.size(); ++pair) {
            if (!(distances_[pair] < closest)) continue;
            const int first = rows_[pair / left_.size()], second = left_[pair % left_.size()];
            dropped_.push_back(life(first) > life(second) ? second : first);
        }
        for (const int row : dropped_) tracks.state[row] = gone;
        if (!dropped_.empty()) tracks.keep([&](int row) { return tracks.state[row] != gone; });
    }

    static constexpr int taken = -1;

    TrackerSettings settings_;
    Detections detections_;
    Association association_;
    Moment moment_{};
    std::vector<int> high_, low_, unconfirmed_, rows_, left_, shown_, dropped_;
    std::vector<Follow> followed_;
    std::vector<BoxXyxy> boxes_, lost_boxes_;
    std::vector<double> distances_;
};

}  // namespace reidkit
