// The bindings: arrays are checked here, at the door; the headers see plain pointers. The GIL is released around work.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string_view.h>

#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "assignment.hpp"
#include "cpu.hpp"
#include "crop.hpp"

namespace nb = nanobind;

namespace reidkit {
namespace {

using FrameArray = nb::ndarray<const uint8_t, nb::shape<-1, -1, 3>, nb::device::cpu>;
using BoxArray = nb::ndarray<const double, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
using CropArray = nb::ndarray<nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using CostArray = nb::ndarray<const double, nb::ndim<2>, nb::device::cpu>;
using IndexArray = nb::ndarray<nb::numpy, int64_t, nb::ndim<1>>;

// The bytes of a row of so many pixels fit an int.
constexpr size_t largest_side = 1 << 24;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

std::string sized(size_t width, size_t height) { return std::to_string(width) + "x" + std::to_string(height); }

Frame frame_of(const FrameArray& array) {
    const size_t height = array.shape(0), width = array.shape(1);
    if (height > largest_side || width > largest_side) refuse("frame is too large: " + sized(width, height));
    if (array.stride(2) != 1 || (width > 1 && array.stride(1) != 3))
        refuse("frame has pixels that do not lie side by side; only its rows may be strided");
    return {array.data(), array.stride(0), static_cast<int>(height), static_cast<int>(width)};
}

CropFormat format_of(const CropArray& out, std::string_view layout, bool swap_colors, bool antialias) {
    if (layout != "nchw" && layout != "nhwc") refuse("layout is '" + std::string(layout) + "', not nchw or nhwc");
    const bool planar = layout == "nchw";
    const size_t height = out.shape(planar ? 2 : 1), width = out.shape(planar ? 3 : 2);
    if (out.shape(planar ? 1 : 3) != 3)
        refuse("out does not have three channels where " + std::string(layout) + " has them");
    if (height == 0 || width == 0 || height > largest_side || width > largest_side)
        refuse("out has crops of " + sized(width, height));
    return {static_cast<int>(height), static_cast<int>(width), planar, swap_colors, antialias};
}

std::string listed(const std::vector<size_t>& rows) {
    constexpr size_t most = 8;
    std::string text = rows.size() == 1 ? "row " : "rows ";
    for (size_t i = 0; i < std::min(rows.size(), most); ++i) text += (i ? ", " : "") + std::to_string(rows[i]);
    return rows.size() > most ? text + ", …" : text;
}

// The pixels of every box, or a refusal that names the rows that have none.
std::vector<Box> pixels_of(const BoxArray& boxes_xyxy, const Frame& frame) {
    std::vector<Box> boxes(boxes_xyxy.shape(0));
    std::vector<size_t> not_finite, empty;
    for (size_t row = 0; row < boxes.size(); ++row) {
        const double* xyxy = boxes_xyxy.data() + 4 * row;
        if (!std::all_of(xyxy, xyxy + 4, [](double value) { return std::isfinite(value); })) {
            not_finite.push_back(row);
        } else if (boxes[row] = pixels_of(xyxy, frame); boxes[row].empty()) {
            empty.push_back(row);
        }
    }
    if (!not_finite.empty()) refuse("boxes_xyxy is not finite in " + listed(not_finite));
    if (!empty.empty())
        refuse("boxes_xyxy covers no pixel of the " + sized(frame.width, frame.height) + " frame in " + listed(empty));
    return boxes;
}

template <class Out>
void cut_all(const Frame& frame, const std::vector<Box>& boxes, const CropFormat& format, Out* out) {
    thread_local CropCutter cutter(instruction_set());
    const nb::gil_scoped_release without_gil;
    for (const Box& box : boxes) {
        cutter.cut(frame, box, format, out);
        out += size_t(3) * format.height * format.width;
    }
}

void cut_crops(const FrameArray& frame_array, const BoxArray& boxes_xyxy, const CropArray& out, bool swap_colors,
               bool antialias, std::string_view layout) {
    const Frame frame = frame_of(frame_array);
    const CropFormat format = format_of(out, layout, swap_colors, antialias);
    if (out.shape(0) != boxes_xyxy.shape(0))
        refuse("out has room for " + std::to_string(out.shape(0)) + " crops, boxes_xyxy has " +
               std::to_string(boxes_xyxy.shape(0)) + " rows");
    const std::vector<Box> boxes = pixels_of(boxes_xyxy, frame);
    if (out.dtype() == nb::dtype<uint8_t>()) {
        cut_all(frame, boxes, format, static_cast<uint8_t*>(out.data()));
    } else if (out.dtype() == nb::dtype<float>()) {
        cut_all(frame, boxes, format, static_cast<float*>(out.data()));
    } else {
        throw nb::type_error("out is neither uint8 nor float32");
    }
}

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
    module.def("cut_crops", &reidkit::cut_crops, nb::arg("frame").noconvert(), nb::arg("boxes_xyxy"),
               nb::arg("out").noconvert(), nb::kw_only(), nb::arg("swap_colors"), nb::arg("antialias"),
               nb::arg("layout"),
               nb::sig("def cut_crops(frame: NDArray[uint8], boxes_xyxy: NDArray[float32] | NDArray[float64], "
                       "out: NDArray[uint8] | NDArray[float32], *, swap_colors: bool, antialias: bool, layout: str) "
                       "-> None"));
    module.def("assign", &reidkit::assign, nb::arg("cost").noconvert(), nb::arg("limit"),
               nb::sig("def assign(cost: NDArray[float64], limit: float) -> tuple[NDArray[int64], NDArray[int64]]"));
    module.def(
        "instruction_set", [] { return reidkit::name_of(reidkit::instruction_set()); },
        nb::sig("def instruction_set() -> str"));
}
