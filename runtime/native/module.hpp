// The parts of the extension, each bound in a file of its own.
#pragma once

#include <nanobind/nanobind.h>

namespace reidkit {

// Who is to be told, in the cutting thread and without the GIL, that the crops are written.
struct CropsWritten {
    virtual void written() noexcept = 0;

  protected:
    ~CropsWritten() = default;
};

void bind_crops(nanobind::module_& module);
void bind_ring(nanobind::module_& module);
void bind_tracker(nanobind::module_& module);

}  // namespace reidkit
