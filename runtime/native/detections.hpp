// One frame's detections as the tracker reads them: checked, copied, split by score.
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "aligned.hpp"
#include "embeddings.hpp"
#include "overlap.hpp"
#include "track_columns.hpp"

namespace reidkit {

struct DetectionSettings {
    double high_score, low_score, min_embedding_score;
    bool normalize_embeddings;
};

// The checks are those of runtime/tracking/observation.py, which also says in words what is wrong.
class Detections {
  public:
    Detections(const DetectionSettings& settings, InstructionSet set) : settings_(settings), kernels_(set) {}

    // boxes_xyxy is (count, 4), scores (count,), classes (count,) or null for all 0. Throws std::invalid_argument.
    void read(int count, const double* boxes_xyxy, const double* scores, const int64_t* classes) {
        boxes_.resize(count);
        measured_.resize(count);
        scores_.assign(scores, scores + count);
        classes_.assign(count, 0);
        if (classes != nullptr) classes_.assign(classes, classes + count);
        embedding_rows_.assign(count, -1);
        embedding_count_ = embedding_dim_ = spared_ = 0;
        high_.clear();
        low_.clear();
        for (int i = 0; i < count; ++i) {
            const double* box = boxes_xyxy + ptrdiff_t(i) * 4;
            check(box, scores[i]);
            boxes_[i] = {box[0], box[1], box[2], box[3]};
            measured_[i] = {{(box[0] + box[2]) * 0.5, (box[1] + box[3]) * 0.5, box[2] - box[0], box[3] - box[1]}};
            if (scores[i] >= settings_.high_score) {
                high_.push_back(i);
            } else if (scores[i] > settings_.low_score) {
                low_.push_back(i);
            }
        }
    }

    // Those of the high detections that have one: `values` is (count, dim), `embedded` (count,) or null for all.
    template <class Value>
    void read_embeddings(const Value* values, int dim, const bool* embedded) {
        embeddings_.resize(high_.size() * size_t(dim));
        for (const int i : high_) {
            if (scores_[i] < settings_.min_embedding_score) continue;
            if (embedded != nullptr && !embedded[i]) {
                ++spared_;
                continue;
            }
            double* out = embeddings_.data() + ptrdiff_t(embedding_count_) * dim;
            const double length =
                kernels_.to_unit(values + ptrdiff_t(i) * dim, dim, settings_.normalize_embeddings, out);
            if (!(std::isfinite(length) && length > 0)) throw std::invalid_argument("an embedding has no direction");
            if (!settings_.normalize_embeddings && std::abs(length - 1) > 1e-3)
                throw std::invalid_argument("an embedding is not of length 1");
            embedding_rows_[i] = embedding_count_++;
            embedding_dim_ = dim;
        }
    }

    int count() const { return static_cast<int>(boxes_.size()); }
    const BoxXyxy& box(int i) const { return boxes_[i]; }
    const Quad& measured(int i) const { return measured_[i].values; }
    double score(int i) const { return scores_[i]; }
    int64_t class_id(int i) const { return classes_[i]; }

    // Indices, ascending: scores from high_score on, and those between it and low_score.
    const std::vector<int>& high() const { return high_; }
    const std::vector<int>& low() const { return low_; }

    // Null where there is none.
    const double* embedding(int i) const {
        const int row = embedding_rows_[i];
        return row < 0 ? nullptr : embeddings_.data() + ptrdiff_t(row) * embedding_dim_;
    }
    int embedding_dim() const { return embedding_dim_; }  // 0 where no detection has one
    int spared() const { return spared_; }                // that might have one, where others have
    const EmbeddingKernels& kernels() const { return kernels_; }

  private:
    struct Measured {
        Quad values;
    };

    static void check(const double* box, double score) {
        constexpr double max_coordinate = 1e7, min_size = 1e-3;
        for (int k = 0; k < 4; ++k)
            if (!(std::abs(box[k]) <= max_coordinate)) throw std::invalid_argument("a box is out of range");
        if (!(box[2] - box[0] >= min_size && box[3] - box[1] >= min_size))
            throw std::invalid_argument("a box has no area");
        if (!(score >= 0 && score <= 1)) throw std::invalid_argument("a score is not within 0 and 1");
    }

    DetectionSettings settings_;
    EmbeddingKernels kernels_;
    std::vector<BoxXyxy> boxes_;
    std::vector<Measured> measured_;
    std::vector<double> scores_;
    std::vector<int64_t> classes_;
    std::vector<int> high_, low_, embedding_rows_;
    Aligned<double> embeddings_;
    int embedding_count_ = 0, embedding_dim_ = 0, spared_ = 0;
};

}  // namespace reidkit
