// The extension: its parts, and the bindings of those that are small. The GIL is released around work.
#include "module.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>

#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "assignment.hpp"
#include "cpu.hpp"

namespace nb = nanobind;

namespace reidkit {
namespace {

using CostArray = nb::ndarray<const double, nb::ndim<2>, nb::device::cpu>;
using IndexArray = nb::ndarray<nb::numpy, int64_t, nb::ndim<1>>;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

IndexArray index_array(std::unique_ptr<int64_t[]> values, size_t count) {
    const nb::capsule owner(values.get(), [](void* memory) noexcept { delete[] static_cast<int64_t*>(memory); });
    return {values.release(), {count}, owner};
}

std::pair<IndexArray, IndexArray> assign(const CostArray& cost, double limit) {
    const size_t rows = cost.shape(0), columns = cost.shape(1);
    if (columns != 0 && rows > size_t(std::numeric_limits<int>::max()) / columns) refuse("cost is too large");
    thread_local Assigner assigner(instruction_set());
    auto matched_rows = std::make_unique<int64_t[]>(rows), matched_columns = std::make_unique<int64_t[]>(rows);
    size_t matches = 0;
    {
        const nb::gil_scoped_release without_gil;
        const std::vector<int>& column_of = assigner.solve(
            {cost.data(), static_cast<int>(rows), static_cast<int>(columns), cost.stride(0), cost.stride(1)}, limit);
        for (size_t row = 0; row < rows; ++row) {
            if (column_of[row] == Matching::nobody) continue;
            matched_rows[matches] = static_cast<int64_t>(row);
            matched_columns[matches++] = column_of[row];
        }
    }
    return {index_array(std::move(matched_rows), matches), index_array(std::move(matched_columns), matches)};
}

}  // namespace
}  // namespace reidkit

NB_MODULE(_native, module) {
    nb::set_leak_warnings(false);  // the thread of a camera that has stalled may hold a batch when the process ends
    reidkit::bind_crops(module);
    reidkit::bind_ring(module);
    reidkit::bind_tracker(module);
    module.def("assign", &reidkit::assign, nb::arg("cost").noconvert(), nb::arg("limit"),
               nb::sig("def assign(cost: NDArray[float64], limit: float) -> tuple[NDArray[int64], NDArray[int64]]"));
    module.def(
        "instruction_set", [] { return reidkit::name_of(reidkit::instruction_set()); },
        nb::sig("def instruction_set() -> str"));
}
