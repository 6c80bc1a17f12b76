// Picks the variant.
#pragma once
#include <vector>

#include "problem.h"

namespace unrolled {

// The variants that this processor runs, the best last.
const std::vector<const Kernels*>& supported();

// The best variant this processor runs, or the one UNROLLED_ISA names. Null, with the
// reason in `why`, if that is unknown or unsupported.
const Kernels* kernels(const char** why);

}  // namespace unrolled
