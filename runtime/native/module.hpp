// The parts of the extension, each bound in a file of its own.
#pragma once

#include <nanobind/nanobind.h>

namespace reidkit {

void bind_crops(nanobind::module_& module);
void bind_ring(nanobind::module_& module);

}  // namespace reidkit
