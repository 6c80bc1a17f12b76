// Picks the variant, and runs a problem on it.
#pragma once
#include <vector>

#include "problem.h"

namespace unrolled {

// The variants that this processor runs, the best last.
const std::vector<const Kernels*>& supported();

// The best variant this processor runs, or the one UNROLLED_ISA names. Null, with the
// reason in `why`, if that is unknown or unsupported.
const Kernels* kernels(const char** why);

// Runs `count` layers that do not wait for each other: at once, each on threads of its own,
// where there are as many, otherwise one after another. Null, or what went wrong.
// `thread_limit`: the caller's own bound on threads, 0: none.
const char* execute(const Problem*, int count, bool backward, int thread_limit);

}  // namespace unrolled
