// Runs programs of recipe.h on arrays, on threads.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "recipe.h"

namespace unrolled {

// Arrays as the recipe's operands have them, inputs then results: row-major, dense, the
// caller's; results alias nothing, but that of one step a carry's last value may take the
// place of the first. Inputs are not written.
struct FusedLoop {
  const Recipe* recipe;
  long B, T;
  float* const* arrays;
};

struct Team;
// A program made ready for arrays and a number of threads, by one instruction-set variant.
class Fused {
 public:
  virtual ~Fused() = default;
  // Puts all it works on into scratch, 64-byte aligned, contents undefined; with null only
  // counts the bytes.
  virtual size_t layout(char* scratch) = 0;
  virtual void run(Team&, int thread) = 0;  // once on each thread of the team
  // The same in two, of T = 1 on one thread: what is as it is at every step, the packed
  // weights among it, and a step, as often as one is wanted.
  virtual void begin() = 0;
  virtual void step() = 0;
};
// What one instruction-set variant offers.
struct Fusing {
  std::unique_ptr<Fused> (*make)(const FusedLoop&, int threads);
};

// What a row's step costs in multiply-adds: all of it, and the products that a step waits for.
struct Work { double all, recurrent; };
Work work_of(const Recipe&);

// Loops that do not wait for each other: at once, each on threads of its own, where there are
// as many. On the variant of dispatch.h, with as many threads as help. Null, or what went
// wrong. `thread_limit`: the caller's own bound on threads, 0: none.
const char* fuse(const std::vector<FusedLoop>&, int thread_limit);
// On a variant of one's choice, with as many threads as asked for.
const char* fuse(const std::vector<FusedLoop>&, const Fusing&, int threads);

}  // namespace unrolled
