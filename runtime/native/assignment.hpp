// The cheapest assignment of rows to columns under a limit, the same for equal costs on every machine.
//
// A pair may match if its cost is below the limit; a row left alone costs the limit. Costs are first rounded to
// multiples of 2^-40, so that sums and comparisons are exact. Of all optimal assignments the lexicographically first is
// taken: the first row gets the lowest column it can have, alone coming last, then the second row.
//
// Tracking costs are sparse, nearly all are beyond the limit: so the matrix is scanned once, falls into connected
// components, most of them a single row, and each is solved alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu.hpp"
#include "matching.hpp"

namespace reidkit {

// (rows, columns) float64; strides in elements. Rows times columns fits an int.
struct CostMatrix {
    const double* data;
    int rows, columns;
    ptrdiff_t row_stride, column_stride;
};

constexpr double largest_cost = 1 << 20;

// Whether one of the costs is below the limit or no cost at all.
REIDKIT_KERNEL bool any_notable(const double* __restrict costs, int count, double limit) {
    int64_t notable = 0;
    for (int i = 0; i < count; ++i) {
        notable |= costs[i] >= limit ? 0 : 1;  // NaN is not
        notable |= (costs[i] > largest_cost) & (costs[i] < std::numeric_limits<double>::infinity()) ? 1 : 0;
    }
    return notable != 0;
}

// Solves one problem after the other in the same memory. One thread at a time.
class Assigner {
  public:
    explicit Assigner(InstructionSet set) : any_notable_(compiled_for<&any_notable>(set)) {}

    // For each row its column, or -1; valid until the next call. Throws std::invalid_argument for a cost that is
    // neither within -2^20 ... 2^20 nor +infinity, and for a limit that is not within.
    const std::vector<int>& solve(const CostMatrix& costs, double limit) {
        if (!(std::abs(limit) <= largest_cost))
            throw std::invalid_argument("limit is " + text_of(limit) + ", not within -2^20 ... 2^20");
        column_of_.assign(costs.rows, Matching::nobody);
        find_candidates(costs, limit);
        group_rows();
        for (size_t first = 0, last = 0; first < grouped_.size(); first = last) {
            while (last < grouped_.size() && grouped_[last].leader == grouped_[first].leader) ++last;
            if (last - first == 1) {
                match_one(grouped_[first].row);
            } else {
                match_group(first, last);
            }
        }
        return column_of_;
    }

  private:
    struct GroupedRow {
        int leader, row;
        auto operator<=>(const GroupedRow&) const = default;
    };

    static std::string text_of(double value) {
        char text[32];
        std::snprintf(text, sizeof text, "%.9g", value);
        return text;
    }

    static int64_t rounded(double cost) { return std::llround(cost * 0x1p40); }

    // Collects the pairs below the limit, row by row, and joins rows that share a column.
    void find_candidates(const CostMatrix& costs, double limit) {
        constexpr int block = 32;
        const int64_t rounded_limit = rounded(limit);
        edges_.clear();
        starts_.assign(1, 0);
        leaders_.resize(costs.rows);
        first_row_of_.assign(costs.columns, Matching::nobody);
        for (int row = 0; row < costs.rows; ++row) {
            leaders_[row] = row;
            const double* line = contiguous_row(costs, row);
            for (int from = 0; from < costs.columns; from += block) {
                const int to = std::min(from + block, costs.columns);
                if (!any_notable_(line + from, to - from, limit)) continue;
                for (int column = from; column < to; ++column) {
                    check(line[column], row, column);
                    if (line[column] >= limit) continue;
                    if (const int64_t price = rounded(line[column]) - rounded_limit; price < 0)
                        add_candidate(row, {column, price});
                }
            }
            starts_.push_back(static_cast<int>(edges_.size()));
        }
    }

    const double* contiguous_row(const CostMatrix& costs, int row) {
        const double* from = costs.data + row * costs.row_stride;
        if (costs.column_stride == 1) return from;
        line_.resize(costs.columns);
        for (int column = 0; column < costs.columns; ++column) line_[column] = from[column * costs.column_stride];
        return line_.data();
    }

    static void check(double cost, int row, int column) {
        if (std::abs(cost) <= largest_cost || cost == std::numeric_limits<double>::infinity()) return;
        throw std::invalid_argument("cost[" + std::to_string(row) + ", " + std::to_string(column) + "] is " +
                                    text_of(cost) + ", neither within -2^20 ... 2^20 nor +infinity");
    }

    void add_candidate(int row, Matching::Edge edge) {
        edges_.push_back(edge);
        int& first_row = first_row_of_[edge.column];
        if (first_row == Matching::nobody) {
            first_row = row;
        } else {
            leaders_[leader(row)] = leader(first_row);
        }
    }

    int leader(int row) {
        while (leaders_[row] != row) row = leaders_[row] = leaders_[leaders_[row]];
        return row;
    }

    // The rows that have candidates, those of one component side by side and in order.
    void group_rows() {
        grouped_.clear();
        for (int row = 0; row < static_cast<int>(leaders_.size()); ++row)
            if (starts_[row] < starts_[row + 1]) grouped_.push_back({leader(row), row});
        std::sort(grouped_.begin(), grouped_.end());
        number_of_.assign(first_row_of_.size(), Matching::nobody);
    }

    void match_one(int row) {
        const auto cheaper = [](const Matching::Edge& a, const Matching::Edge& b) { return a.price < b.price; };
        column_of_[row] =
            std::min_element(edges_.begin() + starts_[row], edges_.begin() + starts_[row + 1], cheaper)->column;
    }

    void match_group(size_t first, size_t last) {
        matching_.clear();
        columns_.clear();
        for (size_t i = first; i < last; ++i) {
            const int row = grouped_[i].row;
            for (int e = starts_[row]; e < starts_[row + 1]; ++e) {
                int& number = number_of_[edges_[e].column];
                if (number == Matching::nobody) {
                    number = static_cast<int>(columns_.size());
                    columns_.push_back(edges_[e].column);
                }
                matching_.add_edge(number, edges_[e].price);
            }
            matching_.end_row();
        }
        const std::vector<int>& matched = matching_.solve(static_cast<int>(columns_.size()));
        for (size_t i = first; i < last; ++i)
            if (matched[i - first] != Matching::nobody) column_of_[grouped_[i].row] = columns_[matched[i - first]];
    }

    bool (*any_notable_)(const double*, int, double);
    std::vector<int> column_of_;
    std::vector<Matching::Edge> edges_;
    std::vector<int> starts_;        // of each row's edges, and the end
    std::vector<int> leaders_;       // rows of one component lead to the same row
    std::vector<int> first_row_of_;  // each column's
    std::vector<GroupedRow> grouped_;
    std::vector<int> number_of_, columns_;  // columns within their component, and back
    std::vector<double> line_;
    Matching matching_;
};

}  // namespace reidkit
