// The products of matrix.h, on the variants this processor has.
#include <cstring>

#include "fuzz.h"

namespace unrolled {

#define UNROLLED_VARIANT(name) \
  namespace name { bool fuzz_matrix(int cases, std::mt19937& random); }
#if defined(__x86_64__)
UNROLLED_VARIANT(sse2)
UNROLLED_VARIANT(avx2)
UNROLLED_VARIANT(avx512)
#else
UNROLLED_VARIANT(generic)
#endif

int fuzz_matrices(int cases, std::mt19937& random) {
  const struct { const char* name; bool (*fuzz)(int, std::mt19937&); } variants[] = {
#if defined(__x86_64__)
      {"sse2", sse2::fuzz_matrix}, {"avx2", avx2::fuzz_matrix}, {"avx512", avx512::fuzz_matrix},
#else
      {"generic", generic::fuzz_matrix},
#endif
  };
  for (const auto& variant : variants)
    for (const Kernels* each : supported()) {
      if (strcmp(each->name, variant.name)) continue;
      std::mt19937 same = random;
      if (variant.fuzz(cases, same)) continue;
      printf("on %s\n", variant.name);
      return 1;
    }
  printf("%d products and sums: as in float64\n", cases);
  return 0;
}

}  // namespace unrolled
