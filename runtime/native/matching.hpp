// The cheapest matching of one connected part of an assignment problem, and of all the cheapest the first in
// lexicographic order.
//
// Rows are matched one by one along shortest augmenting paths (Jonker and Volgenant 1987; Crouse 2016), in integers.
// The duals then tell every other optimum: those that use tight edges only and leave nobody alone whose dual is not 0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace reidkit {

// Rows and columns are numbered from 0. An edge's price is what its match costs beyond leaving the row alone: negative.
//
// Prices down to -2^61 do not overflow: row duals and column duals stay between the lowest price and 0, so do the
// distances that matter, and a reduced price is at most 2^62.
class Matching {
  public:
    static constexpr int nobody = -1;

    struct Edge {
        int column;
        int64_t price;
    };

    void clear() {
        edges_.clear();
        starts_.assign(1, 0);
    }
    // Edges come row by row, each row's in its order of preference among equals.
    void add_edge(int column, int64_t price) { edges_.push_back({column, price}); }
    void end_row() { starts_.push_back(static_cast<int>(edges_.size())); }

    // For each row its column or nobody. Rows earlier in number choose first; alone is what a row prefers least.
    const std::vector<int>& solve(int columns) {
        column_count_ = columns;
        row_dual_.assign(row_count(), 0);
        column_dual_.assign(columns, 0);
        column_of_.assign(row_count(), nobody);
        row_of_.assign(columns, nobody);
        for (int row = 0; row < row_count(); ++row) augment(row);
        if (collect_tight_edges()) settle_rows();
        return column_of_;
    }

  private:
    static constexpr int unseen = -2;
    static constexpr int64_t unreached = std::numeric_limits<int64_t>::max();

    int row_count() const { return static_cast<int>(starts_.size()) - 1; }

    // Brings one more row in, along a shortest path to a free column or to a row that is better left alone.
    void augment(int start) {
        distance_.assign(column_count_, unreached);
        row_before_.resize(column_count_);
        reached_.clear();
        scanned_.clear();
        int64_t travelled = 0, shortest = unreached;
        int row = start, last_row = nobody, free_column = nobody;
        while (true) {
            if (travelled - row_dual_[row] < shortest) {
                shortest = travelled - row_dual_[row];
                last_row = row;
                free_column = nobody;
            }
            for (int e = starts_[row]; e < starts_[row + 1]; ++e) {
                const auto [column, price] = edges_[e];
                const int64_t length = travelled + (price - row_dual_[row] - column_dual_[column]);
                if (length >= shortest || length >= distance_[column]) continue;
                row_before_[column] = row;
                if (row_of_[column] == nobody) {
                    shortest = length;
                    free_column = column;
                } else {
                    if (distance_[column] == unreached) reached_.push_back(column);
                    distance_[column] = length;
                }
            }
            const auto nearest = std::min_element(reached_.begin(), reached_.end(),
                                                  [this](int a, int b) { return distance_[a] < distance_[b]; });
            if (nearest == reached_.end() || distance_[*nearest] >= shortest) break;
            travelled = distance_[*nearest];
            row = row_of_[*nearest];
            scanned_.push_back(*nearest);
            *nearest = reached_.back();
            reached_.pop_back();
        }
        row_dual_[start] = shortest;
        for (const int column : scanned_) {
            row_dual_[row_of_[column]] += shortest - distance_[column];
            column_dual_[column] -= shortest - distance_[column];
        }
        int column = free_column != nobody ? free_column : std::exchange(column_of_[last_row], nobody);
        while (column != nobody) {
            row = row_before_[column];
            row_of_[column] = row;
            std::swap(column, column_of_[row]);
        }
    }

    // False where the matched edges are the only tight ones: then there is no other optimum.
    bool collect_tight_edges() {
        tight_columns_.clear();
        tight_starts_.assign(1, 0);
        bool choice = false;
        for (int row = 0; row < row_count(); ++row) {
            for (int e = starts_[row]; e < starts_[row + 1]; ++e) {
                const auto [column, price] = edges_[e];
                if (price != row_dual_[row] + column_dual_[column]) continue;
                tight_columns_.push_back(column);
                choice |= column != column_of_[row];
            }
            tight_starts_.push_back(static_cast<int>(tight_columns_.size()));
        }
        return choice;
    }

    // Row by row, those before it settled: the first column that some optimum gives it.
    void settle_rows() {
        settled_.assign(row_count(), false);
        for (int row = 0; row < row_count(); ++row) {
            row_before_.assign(column_count_, unseen);
            column_before_nobody_ = unseen;
            for (int t = tight_starts_[row]; t < tight_starts_[row + 1]; ++t)
                if (tight_columns_[t] == column_of_[row] || move(row, tight_columns_[t])) break;
            settled_[row] = true;
        }
    }

    // Gives `target` to `row` if an optimum that agrees on the settled rows does.
    //
    // Two optima differ by cycles, and by paths whose ends become or cease to be alone; with a node "nobody" between
    // its ends such a path is a cycle too. So search from `target` back to `row`, over tight edges:
    //   column -> the row it belongs to -> another column;
    //   a free column, or the column of a row that may be alone -> nobody;
    //   nobody -> a column for a row that is alone, or a column that may be free.
    // What a search saw in vain stays marked: it leads none of this row's targets back.
    bool move(int row, int target) {
        queue_.clear();
        visit(target, row);
        for (size_t next = 0; next < queue_.size(); ++next) {
            const int column = queue_[next], owner = row_of_[column];
            if (owner == row) return rotate(row, column);
            if (column_before_nobody_ == unseen && (owner == nobody || row_dual_[owner] == 0)) {
                column_before_nobody_ = column;
                if (column_of_[row] == nobody) return rotate(row, nobody);
                visit_from_nobody();
            }
            if (owner != nobody) visit_columns_of(owner);
        }
        return false;
    }

    void visit(int column, int row_before) {
        if (row_before_[column] != unseen || (row_of_[column] != nobody && settled_[row_of_[column]])) return;
        row_before_[column] = row_before;
        queue_.push_back(column);
    }

    void visit_columns_of(int row) {
        for (int t = tight_starts_[row]; t < tight_starts_[row + 1]; ++t) visit(tight_columns_[t], row);
    }

    void visit_from_nobody() {
        for (int row = 0; row < row_count(); ++row)
            if (column_of_[row] == nobody && !settled_[row]) visit_columns_of(row);
        for (int column = 0; column < column_count_; ++column)
            if (row_of_[column] != nobody && column_dual_[column] == 0) visit(column, nobody);
    }

    // Walks a search back from where it met `row`, at its old column or at nobody: every column on the way goes to the
    // row before it. Returns true.
    bool rotate(int row, int column) {
        while (true) {
            if (column == nobody) {
                column = column_before_nobody_;
                if (row_of_[column] != nobody) column_of_[row_of_[column]] = nobody;
            }
            const int taker = row_of_[column] = row_before_[column];
            column = taker == nobody ? nobody : std::exchange(column_of_[taker], column);
            if (taker == row) return true;
        }
    }

    std::vector<Edge> edges_;
    std::vector<int> starts_;  // of each row's edges, and the end
    int column_count_ = 0;
    std::vector<int> column_of_, row_of_;
    std::vector<int64_t> row_dual_, column_dual_;
    std::vector<int64_t> distance_;
    std::vector<int> reached_, scanned_;
    std::vector<int> row_before_;  // on a path: the row that takes the column
    std::vector<int> tight_columns_, tight_starts_, queue_;
    std::vector<char> settled_;
    int column_before_nobody_ = unseen;
};

}  // namespace reidkit
