// The tracks of one tracker: the columns of Python's TrackTable, in its memory, a row each by ascending id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "overlap.hpp"

namespace reidkit {

enum TrackState : int8_t { tracked = 1, lost = 2 };

// [cx, cy, w, h] in pixels, or what belongs to each of the four.
using Quad = double[4];

struct TrackColumns {
    // Memory of one column, for what is done to rows as a whole.
    struct Column {
        char* data;
        size_t row_bytes;
    };

    int64_t* id;
    int8_t* state;
    bool* confirmed;
    int64_t *start_frame, *last_frame;
    double* score;
    int64_t *class_id, *detection_index;
    Quad *position, *velocity, *cov_position, *cov_mixed, *cov_velocity, *cov_xy;
    bool* has_embedding;
    int64_t* embedded_frame;
    double* embedding;
    int embedding_dim = 0;
    int capacity = 0;
    std::vector<Column> all;  // those above, and any that Python alone knows of

    int count = 0;
    bool coupled = false;  // whether any entry of cov_xy may differ from zero

    double* embedding_of(int row) const { return embedding + ptrdiff_t(row) * embedding_dim; }

    BoxXyxy box(int row) const {
        const auto& [x, y, width, height] = position[row];
        const double half_width = width * 0.5, half_height = height * 0.5;
        return {x - half_width, y - half_height, x + half_width, y + half_height};
    }

    // Drops the rows that are not `alive`; the order of the rest stays.
    template <class Alive>
    void keep(Alive alive) {
        int kept = 0;
        for (int row = 0; row < count; ++row) {
            if (!alive(row)) continue;
            if (kept != row)
                for (const Column& column : all)
                    std::memcpy(column.data + kept * column.row_bytes, column.data + row * column.row_bytes,
                                column.row_bytes);
            ++kept;
        }
        count = kept;
        coupled = coupled && count > 0;
    }

    // A row of zeros at the end. The caller has seen to it that there is room.
    int append() {
        for (const Column& column : all) std::memset(column.data + count * column.row_bytes, 0, column.row_bytes);
        return count++;
    }
};

}  // namespace reidkit
