// The bindings: arrays are checked here, at the door; the headers see plain pointers. The GIL is released around work.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <memory>
#include <string>
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

Frame frame_of(const FrameArray& array) {
    if (array.stride(2) != 1 || array.stride(1) != 3)
        throw nb::value_error("frame has pixels that do not lie side by side: only its rows may be strided");
    return {array.data(), array.stride(0), static_cast<int>(array.shape(0)), static_cast<int>(array.shape(1))};
}

CropFormat format_of(const CropArray& out, const std::string& layout, bool swap_colors, bool antialias) {
    if (layout != "nchw" && layout != "nhwc")
        throw nb::value_error(("layout is '" + layout + "': nchw or nhwc").c_str());
    const bool planar = layout == "nchw";
    if (out.shape(planar ? 1 : 3) != 3)
        throw nb::value_error(("out has no three channels where " + layout + " has them").c_str());
    return {static_cast<int>(out.shape(planar ? 2 : 1)), static_cast<int>(out.shape(planar ? 3 : 2)), planar,
            swap_colors, antialias};
}

std::string joined(const std::vector<size_t>& rows) {
    std::string text;
    for (size_t row : rows) text += (text.empty() ? "" : ", ") + std::to_string(row);
    return text;
}

// Every box as the pixels it covers, or a ValueError that names the rows.
std::vector<Box> pixels_of(const BoxArray& boxes, const Frame& frame) {
    std::vector<Box> pixels;
    std::vector<size_t> unreal, empty;
    pixels.reserve(boxes.shape(0));
    for (size_t row = 0; row < boxes.shape(0); ++row) {
        const double* xyxy = boxes.data() + 4 * row;
        if (!std::all_of(xyxy, xyxy + 4, [](double value) { return std::isfinite(value); })) {
            unreal.push_back(row);
            continue;
        }
        pixels.push_back(pixels_of(xyxy, frame));
        if (pixels.back().empty()) empty.push_back(row);
    }
    if (!unreal.empty()) throw nb::value_error(("boxes_xyxy has NaN or infinity in rows " + joined(unreal)).c_str());
    if (!empty.empty())
        throw nb::value_error(("boxes_xyxy covers no pixel of the " + std::to_string(frame.width) + "x" +
                               std::to_string(frame.height) + " frame in rows " + joined(empty))
                                  .c_str());
    return pixels;
}

template <class Out>
void cut_all(const Frame& frame, const std::vector<Box>& boxes, const CropFormat& format, Out* out) {
    nb::gil_scoped_release unlocked;
    thread_local CropCutter cutter(instruction_set());
    const size_t size = size_t(3) * format.height * format.width;
    for (const Box& box : boxes) {
        cutter.cut(frame, box, format, out);
        out += size;
    }
}

void cut_crops(const FrameArray& frame_array, const BoxArray& boxes, const CropArray& out, bool swap_colors,
               bool antialias, const std::string& layout) {
    const Frame frame = frame_of(frame_array);
    const CropFormat format = format_of(out, layout, swap_colors, antialias);
    if (out.shape(0) != boxes.shape(0))
        throw nb::value_error(("out has room for " + std::to_string(out.shape(0)) + " crops, boxes_xyxy has " +
                               std::to_string(boxes.shape(0)))
                                  .c_str());
    const std::vector<Box> pixels = pixels_of(boxes, frame);
    if (out.dtype() == nb::dtype<uint8_t>()) {
        cut_all(frame, pixels, format, static_cast<uint8_t*>(out.data()));
    } else if (out.dtype() == nb::dtype<float>()) {
        cut_all(frame, pixels, format, static_cast<float*>(out.data()));
    } else {
        throw nb::type_error("out is neither uint8 nor float32");
    }
}

IndexArray owned(std::unique_ptr<int64_t[]> values, size_t count) {
    int64_t* data = values.release();
    return IndexArray(data, {count}, nb::capsule(data, [](void* p) noexcept { delete[] static_cast<int64_t*>(p); }));
}

nb::tuple assign(const CostArray& array, double limit) {
    const CostMatrix costs{array.data(), static_cast<ptrdiff_t>(array.shape(0)),
                           static_cast<ptrdiff_t>(array.shape(1)), array.stride(0), array.stride(1)};
    std::unique_ptr<int64_t[]> rows, columns;
    size_t matches = 0;
    {
        nb::gil_scoped_release unlocked;
        thread_local Assigner assigner;
        const std::vector<int>& column_of = assigner.solve(costs, limit);
        const size_t room = column_of.size();
        rows = std::make_unique<int64_t[]>(room);
        columns = std::make_unique<int64_t[]>(room);
        for (size_t row = 0; row < room; ++row) {
            if (column_of[row] < 0) continue;
            rows[matches] = static_cast<int64_t>(row);
            columns[matches++] = column_of[row];
        }
    }
    return nb::make_tuple(owned(std::move(rows), matches), owned(std::move(columns), matches));
}

}  // namespace
}  // namespace reidkit

NB_MODULE(_native, module) {
    using namespace reidkit;
    instruction_set();  // a wrong REIDKIT_CPU is told at import
    module.def("cut_crops", &cut_crops, nb::arg("frame").noconvert(), nb::arg("boxes_xyxy"),
               nb::arg("out").noconvert(), nb::kw_only(), nb::arg("swap_colors"), nb::arg("antialias"),
               nb::arg("layout") = "nchw");
    module.def("assign", &assign, nb::arg("cost").noconvert(), nb::arg("limit"),
               nb::sig("def assign(cost: numpy.typing.NDArray[numpy.float64], limit: float) -> "
                       "tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64]]"));
    module.def("instruction_set", [] { return name_of(instruction_set()); });
}
