// The tracker's binding: arrays are checked here, at the door. The GIL is released for crowds only: handing it over
// and back takes longer than a frame of few people.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cpu.hpp"
#include "embeddings.hpp"
#include "module.hpp"
#include "overlap.hpp"
#include "tracker_core.hpp"

namespace nb = nanobind;

namespace reidkit {
namespace {

template <class T, class... Shape>
using Given = nb::ndarray<const T, Shape..., nb::c_contig, nb::device::cpu>;
using Boxes = Given<double, nb::shape<-1, 4>>;
using Numbers = Given<double, nb::ndim<1>>;
using Integers = Given<int64_t, nb::ndim<1>>;
using Flags = Given<bool, nb::ndim<1>>;
using Vectors = Given<double, nb::ndim<2>>;
using AnyVectors = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using AffineArray = Given<double, nb::shape<2, 3>>;
template <class T, size_t dimensions = 1>
using Made = nb::ndarray<nb::numpy, T, nb::ndim<dimensions>>;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

class GilForFew {
  public:
    explicit GilForFew(size_t people) {
        if (people > 64) released_.emplace();
    }

  private:
    std::optional<nb::gil_scoped_release> released_;
};

// An array of Python's own.
template <class T, size_t dimensions>
Made<T, dimensions> handed_over(std::unique_ptr<T[]> values, const size_t (&shape)[dimensions]) {
    const nb::capsule owner(values.get(), [](void* memory) noexcept { delete[] static_cast<T*>(memory); });
    return {values.release(), dimensions, shape, owner};
}

// (count,), filled by `value(i)` for each i.
template <class T, class Value>
Made<T> made(size_t count, Value value) {
    auto values = std::make_unique<T[]>(count);
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<T>(value(i));
    return handed_over(std::move(values), {count});
}

// (count, width), filled by `write(i, row)` for each i.
template <class Write>
Made<double, 2> made_rows(size_t count, size_t width, Write write) {
    auto values = std::make_unique<double[]>(count * width);
    for (size_t i = 0; i < count; ++i) write(i, values.get() + i * width);
    return handed_over(std::move(values), {count, width});
}

void write_box(const BoxXyxy& box, double* out) {
    out[0] = box.x1;
    out[1] = box.y1;
    out[2] = box.x2;
    out[3] = box.y2;
}

int as_int(size_t value) {
    if (value > size_t(std::numeric_limits<int>::max()) / 4) refuse("an array is too large");
    return static_cast<int>(value);
}

// Calls `work` with the values as what they are.
template <class Work>
void with_floats(const AnyVectors& vectors, Work work) {
    if (vectors.dtype() == nb::dtype<float>()) {
        work(static_cast<const float*>(vectors.data()));
    } else if (vectors.dtype() == nb::dtype<double>()) {
        work(static_cast<const double*>(vectors.data()));
    } else {
        refuse("embeddings are neither float32 nor float64");
    }
}

// The core, and the table whose memory it works in.
class BoundCore {
  public:
    using Answer = std::tuple<int64_t, int, bool, Made<int64_t>, Made<double, 2>, Made<double>, Made<int64_t>,
                              Made<int64_t>, Made<bool>>;
    using Seen = std::tuple<Made<double, 2>, Made<double, 2>, Made<double>, Made<int64_t>, Made<int64_t>, Made<int64_t>,
                            Made<int64_t>, Made<double, 2>>;

    explicit BoundCore(const TrackerSettings& settings) : core_(settings, instruction_set()) {}

    void bind(const nb::dict& columns) {
        TrackColumns& tracks = core_.tracks;
        held_.clear();
        tracks.all.clear();
        size_t capacity = std::numeric_limits<int>::max();
        for (const auto [name, value] : columns) {
            const auto array = nb::cast<nb::ndarray<nb::c_contig, nb::device::cpu>>(value, false);
            size_t row_bytes = array.itemsize();
            for (size_t i = 1; i < array.ndim(); ++i) row_bytes *= array.shape(i);
            capacity = std::min(capacity, array.shape(0));
            tracks.all.push_back({static_cast<char*>(array.data()), row_bytes});
            held_.push_back(array);
        }
        tracks.capacity = as_int(capacity);
        tracks.id = column<int64_t>(columns, "id");
        tracks.state = column<int8_t>(columns, "state");
        tracks.confirmed = column<bool>(columns, "confirmed");
        tracks.start_frame = column<int64_t>(columns, "start_frame");
        tracks.last_frame = column<int64_t>(columns, "last_frame");
        tracks.score = column<double>(columns, "score");
        tracks.class_id = column<int64_t>(columns, "class_id");
        tracks.detection_index = column<int64_t>(columns, "detection_index");
        tracks.position = quads(columns, "position");
        tracks.velocity = quads(columns, "velocity");
        tracks.cov_position = quads(columns, "cov_position");
        tracks.cov_mixed = quads(columns, "cov_mixed");
        tracks.cov_velocity = quads(columns, "cov_velocity");
        tracks.cov_xy = quads(columns, "cov_xy");
        tracks.has_embedding = column<bool>(columns, "has_embedding");
        tracks.embedded_frame = column<int64_t>(columns, "embedded_frame");
        const auto embedding =
            nb::cast<nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>>(columns["embedding"], false);
        tracks.embedding = embedding.data();
        tracks.embedding_dim = as_int(embedding.shape(1));
    }

    // The width of the embeddings, 0 where there are none, and how many were spared.
    std::pair<int, int> read(const Boxes& boxes_xyxy, const Numbers& scores, const std::optional<Integers>& classes,
                             const std::optional<AnyVectors>& embeddings, const std::optional<Flags>& embedded,
                             int width) {
        const size_t count = boxes_xyxy.shape(0);
        Detections& detections = core_.detections();
        if (scores.shape(0) != count || (classes && classes->shape(0) != count)) refuse("lengths differ");
        if (embedded && (embedded->shape(0) != count || !embeddings)) refuse("embedded marks no embeddings");
        const GilForFew gil(count);
        detections.read(as_int(count), boxes_xyxy.data(), scores.data(), classes ? classes->data() : nullptr);
        if (!embeddings) return {0, 0};
        const int dim = as_int(embeddings->shape(1));
        if (embeddings->shape(0) != count || (count > 0 && width != 0 && width != dim)) refuse("embeddings do not fit");
        const bool* chosen = embedded ? embedded->data() : nullptr;
        with_floats(*embeddings, [&](const auto* values) { detections.read_embeddings(values, dim, chosen); });
        return {detections.embedding_dim(), detections.spared()};
    }

    std::tuple<int, bool, int64_t, int64_t, int64_t> associate(int count, bool coupled, int64_t number, int64_t frame,
                                                               double steps, const std::optional<AffineArray>& affine) {
        TrackColumns& tracks = core_.tracks;
        const Detections& detections = core_.detections();
        if (count < 0 || count + detections.count() > tracks.capacity) refuse("the table has no room");
        if (detections.embedding_dim() != 0 && detections.embedding_dim() != tracks.embedding_dim)
            refuse("the table has embeddings of another width");
        tracks.count = count;
        tracks.coupled = coupled;
        Affine moved{};
        if (affine) {
            const double* a = affine->data();
            moved = {a[0], a[1], a[2], a[3], a[4], a[5]};
        }
        const GilForFew gil(std::max<size_t>(count, detections.count()));
        const AppearanceCounts counts = core_.associate({number, frame, steps}, affine ? &moved : nullptr);
        return {tracks.count, tracks.coupled, counts.decided, counts.changed, counts.vetoed};
    }

    Seen detections() {
        const Detections& seen = core_.detections();
        const size_t count = seen.count();
        std::vector<const double*> embeddings;
        std::vector<int64_t> rows(count, -1);
        for (size_t i = 0; i < count; ++i) {
            if (seen.embedding(int(i)) == nullptr) continue;
            rows[i] = int64_t(embeddings.size());
            embeddings.push_back(seen.embedding(int(i)));
        }
        const size_t dim = seen.embedding_dim();
        return {
            made_rows(count, 4, [&](size_t i, double* out) { write_box(seen.box(int(i)), out); }),
            made_rows(count, 4, [&](size_t i, double* out) { std::copy_n(seen.measured(int(i)), 4, out); }),
            made<double>(count, [&](size_t i) { return seen.score(int(i)); }),
            made<int64_t>(count, [&](size_t i) { return seen.class_id(int(i)); }),
            made<int64_t>(seen.high().size(), [&](size_t i) { return seen.high()[i]; }),
            made<int64_t>(seen.low().size(), [&](size_t i) { return seen.low()[i]; }),
            made<int64_t>(count, [&](size_t i) { return rows[i]; }),
            made_rows(embeddings.size(), dim, [&](size_t i, double* out) { std::copy_n(embeddings[i], dim, out); })};
    }

    std::pair<Made<int64_t>, Made<int64_t>> followed() {
        const auto& followed = core_.followed();
        return {made<int64_t>(followed.size(), [&](size_t i) { return followed[i].row; }),
                made<int64_t>(followed.size(), [&](size_t i) { return followed[i].detection; })};
    }

    Made<int64_t> unclaimed() {
        const auto& left = core_.unclaimed();
        return made<int64_t>(left.size(), [&](size_t i) { return left[i]; });
    }

    void claim(int detection) { core_.claim(detection); }

    Answer finish(int64_t next_id) {
        const TrackColumns& tracks = core_.tracks;
        {
            const GilForFew gil(tracks.count);
            next_id = core_.finish(next_id);
        }
        const auto& rows = core_.shown();
        const auto shown = [&]<class T>(const T* column) {
            return made<T>(rows.size(), [&](size_t i) { return column[rows[i]]; });
        };
        return {next_id,
                tracks.count,
                tracks.coupled,
                shown(tracks.id),
                made_rows(rows.size(), 4, [&](size_t i, double* out) { write_box(tracks.box(rows[i]), out); }),
                shown(tracks.score),
                shown(tracks.class_id),
                shown(tracks.detection_index),
                shown(tracks.confirmed)};
    }

  private:
    template <class T>
    static T* column(const nb::dict& columns, const char* name) {
        return nb::cast<nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>>(columns[name], false).data();
    }

    static Quad* quads(const nb::dict& columns, const char* name) {
        using Array = nb::ndarray<double, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
        return reinterpret_cast<Quad*>(nb::cast<Array>(columns[name], false).data());
    }

    TrackerCore core_;
    std::vector<nb::ndarray<nb::c_contig, nb::device::cpu>> held_;
};

void new_core(BoundCore* core, double high_score, double low_score, double new_track_score, double min_embedding_score,
              bool normalize_embeddings, double match_cost, double second_match_cost, double unconfirmed_match_cost,
              bool fuse_score, double min_iou_for_appearance, double min_cosine, double appearance_cost_scale,
              double unconfirmed_min_cosine, double unconfirmed_appearance_cost_scale, double ema_weight,
              double duplicate_iou, int64_t longest_lost, int64_t longest_kept) {
    new (core) BoundCore(TrackerSettings{
        .detections = {high_score, low_score, min_embedding_score, normalize_embeddings},
        .new_track_score = new_track_score,
        .match_cost = match_cost,
        .second_match_cost = second_match_cost,
        .unconfirmed_match_cost = unconfirmed_match_cost,
        .fuse_score = fuse_score,
        .confirmed_rule = {min_iou_for_appearance, min_cosine, appearance_cost_scale},
        .unconfirmed_rule = {min_iou_for_appearance, unconfirmed_min_cosine, unconfirmed_appearance_cost_scale},
        .ema_weight = ema_weight,
        .duplicate_iou = duplicate_iou,
        .longest_lost = longest_lost,
        .longest_kept = longest_kept,
    });
}

void check_rows(const Integers& rows, size_t count, const char* name) {
    for (size_t i = 0; i < rows.shape(0); ++i)
        if (rows.data()[i] < 0 || size_t(rows.data()[i]) >= count)
            refuse(std::string(name) + " has a row out of range");
}

const EmbeddingKernels& kernels() {
    static const EmbeddingKernels chosen(instruction_set());
    return chosen;
}

std::pair<Made<double, 2>, Made<double>> unit_embeddings(const AnyVectors& values, const Integers& rows,
                                                         bool normalize) {
    check_rows(rows, values.shape(0), "rows");
    const size_t count = rows.shape(0), width = values.shape(1);
    const int dim = as_int(width);
    auto units = std::make_unique<double[]>(count * width);
    std::vector<double> lengths(count);
    with_floats(values, [&](const auto* data) {
        for (size_t i = 0; i < count; ++i)
            lengths[i] = kernels().to_unit(data + size_t(rows.data()[i]) * width, dim, normalize, &units[i * width]);
    });
    return {handed_over(std::move(units), {count, width}), made<double>(count, [&](size_t i) { return lengths[i]; })};
}

Made<double> cosines(const Vectors& first, const Integers& first_rows, const Vectors& second,
                     const Integers& second_rows) {
    check_rows(first_rows, first.shape(0), "first_rows");
    check_rows(second_rows, second.shape(0), "second_rows");
    const size_t width = first.shape(1);
    if (second.shape(1) != width || first_rows.shape(0) != second_rows.shape(0)) refuse("shapes differ");
    return made<double>(first_rows.shape(0), [&](size_t i) {
        return kernels().dot(first.data() + size_t(first_rows.data()[i]) * width,
                             second.data() + size_t(second_rows.data()[i]) * width, as_int(width));
    });
}

void blend_embeddings(const nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>& averages,
                      const nb::ndarray<bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>& begun, const Integers& rows,
                      const Vectors& embeddings, double weight) {
    check_rows(rows, std::min(averages.shape(0), begun.shape(0)), "rows");
    const size_t width = averages.shape(1), count = rows.shape(0);
    if (embeddings.shape(1) != width || embeddings.shape(0) != count) refuse("shapes differ");
    for (size_t i = 0; i < count; ++i) {
        const size_t row = size_t(rows.data()[i]);
        kernels().blend(averages.data() + row * width, begun.data()[row], embeddings.data() + i * width, as_int(width),
                        weight);
        begun.data()[row] = true;
    }
}

bool make_unit(const nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>& embeddings, bool normalize) {
    const size_t count = embeddings.shape(0), width = embeddings.shape(1);
    const nb::gil_scoped_release without_gil;
    bool all = true;
    for (size_t row = 0; row < count; ++row)
        all &= kernels().unit_in_place(embeddings.data() + row * width, as_int(width), normalize);
    return all;
}

Made<double, 2> iou_distance(const Boxes& first, const Boxes& second) {
    const int rows = as_int(first.shape(0)), columns = as_int(second.shape(0));
    thread_local OverlapMeter meter(instruction_set());
    auto values = std::make_unique<double[]>(size_t(rows) * size_t(columns));
    const auto boxes = [](const Boxes& array) { return reinterpret_cast<const BoxXyxy*>(array.data()); };
    {
        const GilForFew gil(std::max(rows, columns));
        meter.measure(boxes(first), rows, boxes(second), columns, values.get());
    }
    return handed_over(std::move(values), {size_t(rows), size_t(columns)});
}

}  // namespace

void bind_tracker(nb::module_& module) {
    nb::class_<BoundCore>(module, "TrackerCore")
        .def("__init__", &new_core, nb::kw_only(), nb::arg("high_score"), nb::arg("low_score"),
             nb::arg("new_track_score"), nb::arg("min_embedding_score"), nb::arg("normalize_embeddings"),
             nb::arg("match_cost"), nb::arg("second_match_cost"), nb::arg("unconfirmed_match_cost"),
             nb::arg("fuse_score"), nb::arg("min_iou_for_appearance"), nb::arg("min_cosine"),
             nb::arg("appearance_cost_scale"), nb::arg("unconfirmed_min_cosine"),
             nb::arg("unconfirmed_appearance_cost_scale"), nb::arg("ema_weight"), nb::arg("duplicate_iou"),
             nb::arg("longest_lost"), nb::arg("longest_kept"))
        .def("bind", &BoundCore::bind, nb::arg("columns"),
             nb::sig("def bind(self, columns: dict[str, NDArray[Any]]) -> None"))
        .def("read", &BoundCore::read, nb::arg("boxes_xyxy").noconvert(), nb::arg("scores").noconvert(),
             nb::arg("classes").noconvert().none(), nb::arg("embeddings").noconvert().none(),
             nb::arg("embedded").noconvert().none(), nb::arg("width"),
             nb::sig("def read(self, boxes_xyxy: NDArray[float64], scores: NDArray[float64], "
                     "classes: NDArray[int64] | None, embeddings: NDArray[float32] | NDArray[float64] | None, "
                     "embedded: NDArray[bool_] | None, width: int) -> tuple[int, int]"))
        .def("associate", &BoundCore::associate, nb::arg("count"), nb::arg("coupled"), nb::arg("number"),
             nb::arg("frame"), nb::arg("steps"), nb::arg("affine").noconvert().none(),
             nb::sig("def associate(self, count: int, coupled: bool, number: int, frame: int, steps: float, "
                     "affine: NDArray[float64] | None) -> tuple[int, bool, int, int, int]"))
        .def("detections", &BoundCore::detections,
             nb::sig("def detections(self) -> tuple[NDArray[float64], NDArray[float64], NDArray[float64], "
                     "NDArray[int64], NDArray[int64], NDArray[int64], NDArray[int64], NDArray[float64]]"))
        .def("followed", &BoundCore::followed, nb::sig("def followed(self) -> tuple[NDArray[int64], NDArray[int64]]"))
        .def("unclaimed", &BoundCore::unclaimed, nb::sig("def unclaimed(self) -> NDArray[int64]"))
        .def("claim", &BoundCore::claim, nb::arg("detection"))
        .def("finish", &BoundCore::finish, nb::arg("next_id"),
             nb::sig("def finish(self, next_id: int) -> tuple[int, int, bool, NDArray[int64], NDArray[float64], "
                     "NDArray[float64], NDArray[int64], NDArray[int64], NDArray[bool_]]"));
    module.def("unit_embeddings", &unit_embeddings, nb::arg("values").noconvert(), nb::arg("rows").noconvert(),
               nb::arg("normalize"),
               nb::sig("def unit_embeddings(values: NDArray[float32] | NDArray[float64], rows: NDArray[int64], "
                       "normalize: bool) -> tuple[NDArray[float64], NDArray[float64]]"));
    module.def("make_unit", &make_unit, nb::arg("embeddings").noconvert(), nb::arg("normalize"),
               nb::sig("def make_unit(embeddings: NDArray[float32], normalize: bool) -> bool"));
    module.def("cosines", &cosines, nb::arg("first").noconvert(), nb::arg("first_rows").noconvert(),
               nb::arg("second").noconvert(), nb::arg("second_rows").noconvert(),
               nb::sig("def cosines(first: NDArray[float64], first_rows: NDArray[int64], second: NDArray[float64], "
                       "second_rows: NDArray[int64]) -> NDArray[float64]"));
    module.def("blend_embeddings", &blend_embeddings, nb::arg("averages").noconvert(), nb::arg("begun").noconvert(),
               nb::arg("rows").noconvert(), nb::arg("embeddings").noconvert(), nb::arg("weight"),
               nb::sig("def blend_embeddings(averages: NDArray[float64], begun: NDArray[bool_], rows: NDArray[int64], "
                       "embeddings: NDArray[float64], weight: float) -> None"));
    module.def("iou_distance", &iou_distance, nb::arg("first").noconvert(), nb::arg("second").noconvert(),
               nb::sig("def iou_distance(first: NDArray[float64], second: NDArray[float64]) -> NDArray[float64]"));
}

}  // namespace reidkit
