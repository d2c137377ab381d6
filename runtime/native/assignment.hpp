// The cheapest assignment of rows to columns under a limit, and of all the cheapest the first in lexicographic order.
//
// A pair may match if its cost is below the limit; a row that does not match costs the limit. Costs are rounded to
// multiples of 2^-40, so sums and comparisons are exact. Tracking costs are sparse: most pairs are beyond the limit.
// So: pairs that are each other's only choice first, then each connected component alone, by shortest augmenting
// paths (Jonker and Volgenant 1987; Crouse 2016), then the canonical optimum by alternating paths of tight edges.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cpu.hpp"

namespace reidkit {

// (rows, columns) float64; strides in elements.
struct CostMatrix {
    const double* data;
    ptrdiff_t rows, columns;
    ptrdiff_t row_stride, column_stride;

    double at(ptrdiff_t row, ptrdiff_t column) const { return data[row * row_stride + column * column_stride]; }
};

constexpr double largest_cost = 1 << 20;

// A connected part of the problem: rows and columns are numbered from 0, edges lie row by row in column order.
// Prices are costs minus the limit: negative, and 0 for staying unmatched. With |cost| <= 2^20 they are at least
// -2^61; duals stay within that range and reduced costs within 2^62, so int64 never overflows.
class AssignmentComponent {
  public:
    struct Edge {
        int column;
        int64_t price;
    };

    void clear() {
        edges_.clear();
        starts_.assign(1, 0);
    }
    void add_edge(int column, int64_t price) { edges_.push_back({column, price}); }
    void end_row() { starts_.push_back(static_cast<int>(edges_.size())); }

    // For each row its column, or -1.
    const std::vector<int>& solve(int columns) {
        column_count_ = columns;
        row_dual_.assign(row_count(), 0);
        column_dual_.assign(column_count_, 0);
        column_of_.assign(row_count(), nobody);
        row_of_.assign(column_count_, nobody);
        for (int row = 0; row < row_count(); ++row) augment(row);
        canonicalise();
        return column_of_;
    }

  private:
    static constexpr int64_t unreached = std::numeric_limits<int64_t>::max();

    int row_count() const { return static_cast<int>(starts_.size()) - 1; }
    bool tight(int row, const Edge& edge) const { return edge.price == row_dual_[row] + column_dual_[edge.column]; }

    // Matches one more row along a shortest path: to a free column, or to a row that rather stays unmatched.
    void augment(int start) {
        distance_.assign(column_count_, unreached);
        came_from_.resize(column_count_);
        reached_.clear();
        scanned_.clear();
        int64_t best = unreached;  // the nearest end so far: `last_row` unmatched, or `last_column` free
        int last_row = -1, last_column = -1;
        int64_t travelled = 0;
        for (int row = start;;) {
            if (const int64_t end = travelled - row_dual_[row]; end < best) {
                best = end;
                last_row = row;
                last_column = -1;
            }
            for (int e = starts_[row]; e < starts_[row + 1]; ++e) {
                const auto [column, price] = edges_[e];
                const int64_t length = travelled + (price - row_dual_[row] - column_dual_[column]);
                if (length >= best || length >= distance_[column]) continue;
                if (row_of_[column] < 0) {
                    best = length;
                    last_column = column;
                    came_from_[column] = row;
                    continue;
                }
                if (distance_[column] == unreached) reached_.push_back(column);
                distance_[column] = length;
                came_from_[column] = row;
            }
            auto nearest = std::min_element(reached_.begin(), reached_.end(),
                                            [this](int a, int b) { return distance_[a] < distance_[b]; });
            if (nearest == reached_.end() || distance_[*nearest] >= best) break;
            travelled = distance_[*nearest];
            scanned_.push_back(*nearest);
            row = row_of_[*nearest];
            *nearest = reached_.back();
            reached_.pop_back();
        }
        row_dual_[start] = best;
        for (const int column : scanned_) {
            const int64_t saved = best - distance_[column];
            column_dual_[column] -= saved;
            row_dual_[row_of_[column]] += saved;
        }
        int column = last_column;
        if (column < 0) {  // `last_row` leaves its column to whoever reached it
            column = column_of_[last_row];
            column_of_[last_row] = -1;
        }
        while (column >= 0) {
            const int row = came_from_[column];
            row_of_[column] = row;
            std::swap(column, column_of_[row]);
        }
    }

    // The optimal assignments are those that use tight edges only and leave nothing unmatched whose dual is not 0.
    // Row by row, with the rows before it settled, take the lowest column that some optimum gives it.
    void canonicalise() {
        if (!collect_tight_edges()) return;
        settled_.assign(row_count(), false);
        for (int row = 0; row < row_count(); ++row) {
            row_before_.assign(column_count_, unseen);
            column_before_nobody_ = unseen;
            for (int t = tight_starts_[row]; t < tight_starts_[row + 1]; ++t) {
                const int column = tight_columns_[t];
                if (column == column_of_[row]) break;
                if (move(row, column)) break;
            }
            settled_[row] = true;
        }
    }

    // False where every tight edge is a matched one: then there is no other optimum.
    bool collect_tight_edges() {
        tight_columns_.clear();
        tight_starts_.assign(1, 0);
        bool choice = false;
        for (int row = 0; row < row_count(); ++row) {
            for (int e = starts_[row]; e < starts_[row + 1]; ++e) {
                if (!tight(row, edges_[e])) continue;
                tight_columns_.push_back(edges_[e].column);
                choice |= edges_[e].column != column_of_[row];
            }
            tight_starts_.push_back(static_cast<int>(tight_columns_.size()));
        }
        return choice;
    }

    // Gives `target` to `row` if some optimum that agrees on the settled rows does so.
    //
    // The change from one optimum to another is a cycle, or a path whose two ends become or cease to be unmatched;
    // with a node "nobody" between its ends the path is a cycle too. So search from `target` back to `row`:
    // a column -> its row -> another tight column; a free column, or the column of a row that may stay unmatched
    // -> nobody -> a tight column of an unmatched row, or a column that may be left.
    // What a failed search saw leads nowhere and stays marked for the next targets of this row.
    bool move(int row, int target) {
        queue_.clear();
        visit(target, row);
        for (size_t next = 0; next < queue_.size(); ++next) {
            const int column = queue_[next], owner = row_of_[column];
            if (owner == row) return rotate(row, column);
            if (column_before_nobody_ == unseen && (owner < 0 || row_dual_[owner] == 0)) {
                column_before_nobody_ = column;
                if (column_of_[row] < 0) return rotate(row, nobody);
                for (int other = 0; other < row_count(); ++other)
                    if (!settled_[other] && column_of_[other] < 0) visit_columns_of(other);
                for (int other = 0; other < column_count_; ++other)
                    if (row_of_[other] >= 0 && column_dual_[other] == 0) visit(other, nobody);
            }
            if (owner >= 0) visit_columns_of(owner);
        }
        return false;
    }

    void visit(int column, int by) {
        if (row_before_[column] != unseen || (row_of_[column] >= 0 && settled_[row_of_[column]])) return;
        row_before_[column] = by;
        queue_.push_back(column);
    }

    void visit_columns_of(int row) {
        for (int t = tight_starts_[row]; t < tight_starts_[row + 1]; ++t) visit(tight_columns_[t], row);
    }

    // Walks a search back from where it met `row`: at its old column, or at nobody. Every column on the way goes to
    // the row before it.
    bool rotate(int row, int column) {
        while (true) {
            if (column == nobody) {
                column = column_before_nobody_;
                if (row_of_[column] >= 0) column_of_[row_of_[column]] = nobody;
            }
            const int taker = row_before_[column];
            row_of_[column] = taker;
            if (taker == nobody) {
                column = nobody;
            } else {
                std::swap(column, column_of_[taker]);
                if (taker == row) return true;
            }
        }
    }

    static constexpr int nobody = -1, unseen = -2;

    std::vector<Edge> edges_;
    std::vector<int> starts_;
    int column_count_ = 0;
    std::vector<int64_t> row_dual_, column_dual_, distance_;
    std::vector<int> column_of_, row_of_, came_from_, reached_, scanned_;
    std::vector<int> tight_columns_, tight_starts_, row_before_, queue_;
    std::vector<char> settled_;
    int column_before_nobody_ = unseen;
};

// True where some of the `count` costs is below the limit, not a number or not allowed.
namespace body {
REIDKIT_INLINE bool any_special(const double* __restrict costs, int count, double limit) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    int64_t special = 0;
    for (int i = 0; i < count; ++i) {
        special |= costs[i] >= limit ? 0 : 1;
        special |= (costs[i] > largest_cost) & (costs[i] < infinity) ? 1 : 0;
    }
    return special != 0;
}
}  // namespace body

// Solves assignments one after the other, keeping its work space. One thread at a time.
class Assigner {
  public:
    // For each row its column, or -1; valid until the next call. Throws std::invalid_argument for a cost that is NaN
    // or, +infinity apart, beyond +-2^20, and for such a limit.
    const std::vector<int>& solve(const CostMatrix& costs, double limit) {
        if (!(std::abs(limit) <= largest_cost))
            throw std::invalid_argument("limit is " + std::to_string(limit) + ": it must be within -2^20 ... 2^20");
        find_candidates(costs, limit);
        column_of_.assign(costs.rows, -1);
        group_rows(static_cast<int>(costs.rows));
        for (size_t first = 0, last = 0; first < grouped_.size(); first = last) {
            const int root = leader(grouped_[first]);
            for (last = first; last < grouped_.size() && leader(grouped_[last]) == root;) ++last;
            if (last - first == 1) {
                match_alone(grouped_[first]);
            } else {
                match_together(first, last);
            }
        }
        return column_of_;
    }

  private:
    using Edge = AssignmentComponent::Edge;

    // Every pair below the limit, row by row; rows that share a column come under one leader.
    void find_candidates(const CostMatrix& costs, double limit) {
        constexpr int block = 16;
        const int64_t rounded_limit = rounded(limit);
        edges_.clear();
        starts_.assign(1, 0);
        leaders_.resize(costs.rows);
        row_seen_.assign(costs.columns, -1);
        line_.resize(costs.columns);
        for (int row = 0; row < costs.rows; ++row) {
            leaders_[row] = row;
            const double* line = costs.data + row * costs.row_stride;
            if (costs.column_stride != 1) {
                for (ptrdiff_t column = 0; column < costs.columns; ++column) line_[column] = costs.at(row, column);
                line = line_.data();
            }
            for (int from = 0; from < costs.columns; from += block) {
                const int to = static_cast<int>(std::min<ptrdiff_t>(from + block, costs.columns));
                if (!body::any_special(line + from, to - from, limit)) continue;
                for (int column = from; column < to; ++column) {
                    check(line[column], row, column);
                    if (!(line[column] < limit)) continue;
                    const int64_t price = rounded(line[column]) - rounded_limit;
                    if (price < 0) add_edge(row, column, price);
                }
            }
            starts_.push_back(static_cast<int>(edges_.size()));
        }
    }

    static int64_t rounded(double cost) { return std::llround(cost * 0x1p40); }

    static void check(double cost, int row, int column) {
        if (std::abs(cost) <= largest_cost || cost == std::numeric_limits<double>::infinity()) return;
        throw std::invalid_argument("cost[" + std::to_string(row) + ", " + std::to_string(column) + "] is " +
                                    std::to_string(cost) + ": a cost is within -2^20 ... 2^20, or +infinity");
    }

    void add_edge(int row, int column, int64_t price) {
        edges_.push_back({column, price});
        if (row_seen_[column] < 0) {
            row_seen_[column] = row;
        } else {
            leaders_[leader(row)] = leader(row_seen_[column]);
        }
    }

    int leader(int row) {
        while (leaders_[row] != row) row = leaders_[row] = leaders_[leaders_[row]];
        return row;
    }

    // The rows that have candidates, those of one component together and in order.
    void group_rows(int rows) {
        grouped_.clear();
        for (int row = 0; row < rows; ++row)
            if (starts_[row] < starts_[row + 1]) grouped_.push_back(row);
        std::stable_sort(grouped_.begin(), grouped_.end(), [this](int a, int b) { return leader(a) < leader(b); });
    }

    void match_alone(int row) {
        const auto cheapest = std::min_element(edges_.begin() + starts_[row], edges_.begin() + starts_[row + 1],
                                               [](const Edge& a, const Edge& b) { return a.price < b.price; });
        column_of_[row] = cheapest->column;
    }

    void match_together(size_t first, size_t last) {
        columns_.clear();
        component_.clear();
        number_.resize(row_seen_.size());
        for (size_t i = first; i < last; ++i) {
            for (int e = starts_[grouped_[i]]; e < starts_[grouped_[i] + 1]; ++e) {
                const auto [column, price] = edges_[e];
                if (row_seen_[column] >= 0) {  // from here on: -1 where numbered
                    row_seen_[column] = -1;
                    number_[column] = static_cast<int>(columns_.size());
                    columns_.push_back(column);
                }
                component_.add_edge(number_[column], price);
            }
            component_.end_row();
        }
        const std::vector<int>& matched = component_.solve(static_cast<int>(columns_.size()));
        for (size_t i = first; i < last; ++i)
            if (matched[i - first] >= 0) column_of_[grouped_[i]] = columns_[matched[i - first]];
    }

    std::vector<Edge> edges_;
    std::vector<int> starts_, leaders_, row_seen_, grouped_, columns_, number_, column_of_;
    std::vector<double> line_;
    AssignmentComponent component_;
};

}  // namespace reidkit
