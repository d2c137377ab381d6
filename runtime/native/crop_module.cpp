// The crops' binding: arrays are checked here, at the door; the headers see plain pointers.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string_view.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cpu.hpp"
#include "crop.hpp"
#include "module.hpp"

namespace nb = nanobind;

namespace reidkit {
namespace {

using FrameArray = nb::ndarray<const uint8_t, nb::device::cpu>;
using PlaneArray = nb::ndarray<const uint8_t, nb::ndim<2>, nb::device::cpu>;
using BoxArray = nb::ndarray<const double, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
using CropArray = nb::ndarray<nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Chroma = std::optional<std::pair<PlaneArray, PlaneArray>>;

// The bytes of a row of so many pixels fit an int.
constexpr size_t largest_side = 1 << 24;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

std::string sized(size_t width, size_t height) { return std::to_string(width) + "x" + std::to_string(height); }

Frame frame_of(const FrameArray& array) {
    const bool grey = array.ndim() == 2;
    if (!grey && (array.ndim() != 3 || array.shape(2) != 3)) refuse("frame is neither (H, W, 3) nor (H, W)");
    const size_t height = array.shape(0), width = array.shape(1);
    if (height > largest_side || width > largest_side) refuse("frame is too large: " + sized(width, height));
    if ((!grey && array.stride(2) != 1) || (width > 1 && array.stride(1) != (grey ? 1 : 3)))
        refuse("frame has pixels that do not lie side by side; only its rows may be strided");
    return {array.data(), array.stride(0), static_cast<int>(height), static_cast<int>(width),
            grey ? Pixels::grey : Pixels::interleaved};
}

void add_chroma(const std::pair<PlaneArray, PlaneArray>& chroma, bool bt709, bool full_range, Frame& frame) {
    if (frame.kind != Pixels::grey) refuse("frame has chroma beside it, but is not (H, W) luma");
    const auto& [u, v] = chroma;
    const size_t height = (size_t(frame.height) + 1) / 2, width = (size_t(frame.width) + 1) / 2;
    for (const PlaneArray* plane : {&u, &v}) {
        if (plane->shape(0) != height || plane->shape(1) != width)
            refuse("chroma of a " + sized(frame.width, frame.height) + " frame is " + sized(width, height) + ", not " +
                   sized(plane->shape(1), plane->shape(0)));
        if (width > 1 && (plane->stride(1) != u.stride(1) || plane->stride(1) < 1 || plane->stride(1) > 2))
            refuse("chroma has samples that lie neither side by side nor two by two");
    }
    frame.kind = Pixels::yuv420;
    frame.u = u.data();
    frame.v = v.data();
    frame.u_row_bytes = u.stride(0);
    frame.v_row_bytes = v.stride(0);
    frame.chroma_step = u.stride(1);
    frame.matrix = YuvMatrix::of(bt709, full_range);
}

Filter filter_of(std::string_view kernel, bool antialias) {
    if (kernel == "bilinear") return antialias ? Filter::antialiased_bilinear : Filter::bilinear;
    if (kernel == "bicubic") return antialias ? Filter::antialiased_bicubic : Filter::bicubic;
    refuse("kernel is '" + std::string(kernel) + "', not bilinear or bicubic");
}

// Room for the crops of `boxes` boxes.
CropFormat format_of(const CropArray& out, size_t boxes, std::string_view layout) {
    if (layout != "nchw" && layout != "nhwc") refuse("layout is '" + std::string(layout) + "', not nchw or nhwc");
    const bool planar = layout == "nchw";
    const size_t height = out.shape(planar ? 2 : 1), width = out.shape(planar ? 3 : 2);
    if (out.shape(planar ? 1 : 3) != 3)
        refuse("out does not have three channels where " + std::string(layout) + " has them");
    if (height == 0 || width == 0 || height > largest_side || width > largest_side)
        refuse("out has crops of " + sized(width, height));
    if (out.shape(0) != boxes)
        refuse("out has room for " + std::to_string(out.shape(0)) + " crops, boxes_xyxy has " + std::to_string(boxes) +
               " rows");
    return {static_cast<int>(height), static_cast<int>(width), planar, false};
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

// Not inlined: GCC would look it up anew wherever it is used, which in a shared library is a call.
[[gnu::noinline]] CropCutter& cutter_of_thread() {
    thread_local CropCutter cutter(instruction_set());
    return cutter;
}

template <class Value>
void cut_all(const Frame& frame, const std::vector<Box>& boxes, const CropFormat& format, void* out,
             CropsWritten* then) {
    CropCutter& cutter = cutter_of_thread();
    const nb::gil_scoped_release without_gil;
    Value* crop = static_cast<Value*>(out);
    for (const Box& box : boxes) {
        cutter.cut(frame, box, format, crop);
        crop += format.values();
    }
    if (then != nullptr) then->written();
}

void cut_crops(const FrameArray& frame_array, const BoxArray& boxes_xyxy, const CropArray& out, const Chroma& chroma,
               bool bt709, bool full_range, bool swap_colors, std::string_view kernel, bool antialias,
               std::string_view layout, std::array<float, 3> gain, std::array<float, 3> offset,
               std::optional<std::array<uint8_t, 3>> letterbox, CropsWritten* then) {
    Frame frame = frame_of(frame_array);
    if (chroma) add_chroma(*chroma, bt709, full_range, frame);
    CropFormat format = format_of(out, boxes_xyxy.shape(0), layout);
    format.swap_colors = swap_colors;
    format.filter = filter_of(kernel, antialias);
    format.gain = gain;
    format.offset = offset;
    format.letterbox = letterbox.has_value();
    format.padding = letterbox.value_or(format.padding);
    const std::vector<Box> boxes = pixels_of(boxes_xyxy, frame);
    constexpr nb::dlpack::dtype half{static_cast<uint8_t>(nb::dlpack::dtype_code::Float), 16, 1};
    if (out.dtype() == nb::dtype<uint8_t>()) {
        cut_all<uint8_t>(frame, boxes, format, out.data(), then);
    } else if (out.dtype() == half) {
        cut_all<Half>(frame, boxes, format, out.data(), then);
    } else if (out.dtype() == nb::dtype<float>()) {
        cut_all<float>(frame, boxes, format, out.data(), then);
    } else {
        throw nb::type_error("out is neither uint8, float16 nor float32");
    }
}

}  // namespace

void bind_crops(nb::module_& module) {
    nb::class_<CropsWritten>(module, "CropsWritten");
    module.def(
        "cut_crops", &cut_crops, nb::arg("frame").noconvert(), nb::arg("boxes_xyxy"), nb::arg("out").noconvert(),
        nb::kw_only(), nb::arg("chroma").noconvert().none(), nb::arg("bt709"), nb::arg("full_range"),
        nb::arg("swap_colors"), nb::arg("kernel"), nb::arg("antialias"), nb::arg("layout"), nb::arg("gain"),
        nb::arg("offset"), nb::arg("letterbox").none(), nb::arg("then").none(),
        nb::sig("def cut_crops(frame: NDArray[uint8], boxes_xyxy: NDArray[float32] | NDArray[float64], "
                "out: NDArray[uint8] | NDArray[float16] | NDArray[float32], *, "
                "chroma: tuple[NDArray[uint8], NDArray[uint8]] | None, bt709: bool, full_range: bool, "
                "swap_colors: bool, kernel: str, antialias: bool, layout: str, gain: tuple[float, float, float], "
                "offset: tuple[float, float, float], letterbox: tuple[int, int, int] | None, "
                "then: CropsWritten | None) -> None"));
}

}  // namespace reidkit
