#pragma once
#include <random>

namespace unrolled {

// Steps random programs; 0 if all variants agree.
int fuzz_streams(int cases, std::mt19937& random);

}  // namespace unrolled
