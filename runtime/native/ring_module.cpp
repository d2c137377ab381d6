// The ring's binding: rows and tickets as numbers. Whoever waits does so without the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "module.hpp"
#include "ring.hpp"

namespace nb = nanobind;

namespace reidkit {
namespace {

using Ring = BatchRing<MachineAtomics>;
using Rows = std::tuple<unsigned, unsigned, unsigned>;            // buffer, first row, how many
using Part = std::tuple<unsigned, unsigned, uint64_t, uint32_t>;  // first row, how many, ticket, index of the first
using Sealed = std::tuple<int, std::vector<Part>>;                // buffer, what of it was committed

Claim claim_of(const Rows& rows) { return {std::get<0>(rows), std::get<1>(rows), std::get<2>(rows)}; }

std::optional<Rows> rows_of(const Claim& claim) {
    if (claim.count == 0) return std::nullopt;
    return Rows{claim.buffer, claim.first, claim.count};
}

void new_ring(Ring* ring, unsigned buffers, unsigned rows, Time patience_ns) {
    constexpr unsigned most_buffers = 1024;
    if (buffers < 1 || buffers > most_buffers) throw std::invalid_argument("buffers is not 1 ... 1024");
    if (rows < 1 || rows > BatchWord::max_rows) throw std::invalid_argument("rows is not 1 ... 32");
    if (patience_ns < 0) throw std::invalid_argument("patience_ns is negative");
    new (ring) Ring(buffers, rows, patience_ns);
}

// The parts of a batch that belong to one ticket each and follow one another in it.
std::optional<Sealed> parts_of(const Ring& ring, const Batch& batch) {
    if (batch.buffer < 0) return std::nullopt;
    std::vector<Part> parts;
    for (unsigned row = 0; row < BatchWord::max_rows; ++row) {
        if (!(batch.rows >> row & 1)) continue;
        const Label label = ring.label(static_cast<unsigned>(batch.buffer), row);
        if (!parts.empty()) {
            auto& [first, count, ticket, index] = parts.back();
            if (first + count == row && ticket == label.ticket && index + count == label.index) {
                ++count;
                continue;
            }
        }
        parts.emplace_back(row, 1, label.ticket, label.index);
    }
    return Sealed{batch.buffer, std::move(parts)};
}

// Rows taken back, and the ticket and index that each had.
using Taken = std::tuple<Rows, std::vector<std::tuple<uint64_t, uint32_t>>>;

std::optional<Taken> taken(const Ring& ring, const Claim& claim) {
    if (claim.count == 0) return std::nullopt;
    std::vector<std::tuple<uint64_t, uint32_t>> owners;
    for (unsigned i = 0; i < claim.count; ++i) {
        const Label label = ring.label(claim.buffer, claim.first + i);
        owners.emplace_back(label.ticket, label.index);
    }
    return Taken{*rows_of(claim), std::move(owners)};
}

// A claim that is being written. Whatever happens to its writer, the rows are left once.
class Writing final : public CropsWritten {
  public:
    Writing(Ring& ring, const Claim& claim, const Label& label) : ring_(ring), claim_(claim), label_(label) {}
    Writing(const Writing&) = delete;
    ~Writing() { end(); }

    void written() noexcept override {
        if (!left_) in_time_ = ring_.commit(claim_, label_);
        left_ = true;
    }

    // Gives the rows up unless they were written; whether they are in the batch.
    bool end() {
        if (!left_) ring_.abandon(claim_);
        left_ = true;
        return in_time_;
    }

  private:
    Ring& ring_;
    const Claim claim_;
    const Label label_;
    bool left_ = false, in_time_ = false;
};

}  // namespace

void bind_ring(nb::module_& module) {
    nb::class_<Ring>(module, "BatchRing")
        .def("__init__", &new_ring, nb::arg("buffers"), nb::arg("rows"), nb::arg("patience_ns"))
        .def("issue", &Ring::issue)
        .def(
            "reserve", [](Ring& ring, unsigned wanted) { return rows_of(ring.reserve(wanted)); }, nb::arg("wanted"))
        .def(
            "reserve_by",
            [](Ring& ring, unsigned wanted, Time until_ns) {
                const nb::gil_scoped_release without_gil;
                return rows_of(ring.reserve(wanted, until_ns));
            },
            nb::arg("wanted"), nb::arg("until_ns"))
        .def(
            "recapture_oldest",
            [](Ring& ring, uint32_t camera, uint64_t ticket, unsigned wanted) {
                return taken(ring, ring.recapture_oldest(camera, ticket, wanted));
            },
            nb::arg("camera"), nb::arg("ticket"), nb::arg("wanted"))
        .def(
            "recapture_ticket",
            [](Ring& ring, uint64_t ticket, unsigned wanted) {
                return taken(ring, ring.recapture_ticket(ticket, wanted));
            },
            nb::arg("ticket"), nb::arg("wanted"))
        .def(
            "commit",
            [](Ring& ring, const Rows& rows, uint64_t ticket, uint32_t camera, uint32_t index, Time deadline_ns) {
                return ring.commit(claim_of(rows), {ticket, camera, index, deadline_ns});
            },
            nb::arg("rows"), nb::arg("ticket"), nb::arg("camera"), nb::arg("index"), nb::arg("deadline_ns"))
        .def(
            "writing",
            [](Ring& ring, const Rows& rows, uint64_t ticket, uint32_t camera, uint32_t index, Time deadline_ns) {
                return new Writing(ring, claim_of(rows), {ticket, camera, index, deadline_ns});
            },
            nb::arg("rows"), nb::arg("ticket"), nb::arg("camera"), nb::arg("index"), nb::arg("deadline_ns"),
            nb::keep_alive<0, 1>(), nb::rv_policy::take_ownership)
        .def(
            "abandon", [](Ring& ring, const Rows& rows) { ring.abandon(claim_of(rows)); }, nb::arg("rows"))
        .def("next",
             [](Ring& ring) {
                 Batch batch;
                 {
                     const nb::gil_scoped_release without_gil;
                     batch = ring.next();
                 }
                 return parts_of(ring, batch);
             })
        .def("release", &Ring::release, nb::arg("buffer"))
        .def("close", &Ring::close, nb::arg("drain_until_ns"))
        .def("reopen", &Ring::reopen)
        .def("is_closed", &Ring::is_closed)
        .def("counters", [](const Ring& ring) {
            const RingCounters counters = ring.counters();
            return std::tuple(counters.reserved, counters.delivered, counters.voided, counters.batches);
        });
    nb::class_<Writing, CropsWritten>(module, "Writing").def("end", &Writing::end);
}

}  // namespace reidkit
