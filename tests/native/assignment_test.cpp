// The assignment solver against all assignments, on every instruction set of this processor.
//
// Costs reach the limits of what is allowed, so that UndefinedBehaviorSanitizer sees an overflow.
#include "assignment.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <vector>

#include "checks.hpp"

using namespace reidkit;

namespace {

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
                if (is_usable(set)) CHECK(Assigner(set).solve(costs, limit) == expected);
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
    assignments_equal_the_plain_ones();
    large_assignments_stay_in_range();
    costs_out_of_range_are_refused();
    std::printf("all hold on %s and below\n", name_of(best_instruction_set()));
}
