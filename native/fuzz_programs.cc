// Random programs on every variant: valid ones give equal numbers, and spoilt ones are
// refused or stay within their arrays.
#include "fuzz_writer.h"

namespace unrolled {

int fuzz_programs(int cases, std::mt19937& random) {
  const std::vector<const Kernels*>& tables = supported();
  int refused = 0, wrong_ones = 0;
  for (int n = 0; n < cases; ++n) {
    const auto below = [&](long m) { return static_cast<long>(random() % m); };
    const Numbers numbers = Writer(random).program(false);
    Recipe recipe;
    const std::string why = decode(numbers.data(), numbers.size(), recipe);
    if (!why.empty()) {
      printf("program %d: %s\n", n, why.c_str());
      return 1;
    }
    constexpr long rows[] = {0, 1, 1, 2, 3, 5, 17, 40, 140, 300};
    const long B = rows[below(10)], T = below(8) ? below(6) : 200 / (1 + B);
    const std::vector<Floats> inputs = draw_inputs(recipe, B, T, random);
    std::vector<Floats> first;
    for (const Kernels* table : tables)
      for (int threads = 1; threads <= 3; ++threads) {
        const std::vector<Floats> results = run(recipe, B, T, inputs, *table->fusing, threads);
        if (first.empty()) first = results;
        for (size_t i = 0; i < results.size(); ++i) {
          const double far = distance(results[i], first[i]);
          if (far < 1e-3) continue;
          printf("program %d: result %zu on %s with %d threads is off by %g (B %ld T %ld)\n", n, i,
                 table->name, threads, far, B, T);
          return 1;
        }
      }
    for (int times = 0; times < 20; ++times) {
      const Numbers wrong = spoilt(numbers, recipe.instructions.size(), random);
      Recipe r;
      ++wrong_ones;
      if (!decode(wrong.data(), wrong.size(), r).empty()) ++refused;
      else if (is_small(r)) run(r, B, T, draw_inputs(r, B, T, random), *tables[below(tables.size())]->fusing, 1 + below(3));
    }
  }
  printf("%d programs, 1 to 3 threads, on %s: equal; of %d spoilt ones %d refused\n", cases,
         names(tables).c_str(), wrong_ones, refused);
  return 0;
}

}  // namespace unrolled
