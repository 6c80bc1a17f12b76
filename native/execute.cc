#include "execute.h"

#include <sys/mman.h>

#include <algorithm>
#include <initializer_list>

#include "dispatch.h"

namespace unrolled {

void hint_large(const float* p, double floats) {
  constexpr uintptr_t large = uintptr_t{2} << 20;
  const uintptr_t from = (reinterpret_cast<uintptr_t>(p) + large - 1) / large * large;
  const uintptr_t to = (reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(floats) * 4) / large * large;
  if (p && to > from) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
}

namespace {

void hint_results(const Problem& p, bool backward, int width) {
  const double sequence = static_cast<double>(p.B) * p.T * p.U;
  if (backward) {
    hint_large(p.dx, static_cast<double>(p.B) * p.T * p.D);
  } else {
    for (float* result : {p.y, p.hs, p.cs}) hint_large(result, sequence);
    hint_large(p.residual, static_cast<double>(residual_size(p, width)));
  }
}

// Threads worth waking. A step's barrier costs what some 10,000 multiply-adds do, more
// between more threads or between cores that share no cache; rows shared out need none.
int useful_threads(const Problem& p, int limit) {
  const double gates = p.kind == kLstm ? 4 : p.kind == kSimpleRnn ? 1 : 3;
  const double step = gates * p.U * p.U * p.B, total = p.T * (step + gates * p.U * p.D * p.B);
  double n = limit;
  if (p.B < 4 * limit) n = std::min(n, step < 24e3 ? 1 : std::max(2.0, step / 32e3));
  n = std::min(n, total / 250e3);
  return n < 1 ? 1 : static_cast<int>(n);
}

size_t up_to_line(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

long kept_size(int kind, long U, int width) {
  const long vectors[] = {0, 5, 4, 3};
  return vectors[kind] * ((U + width - 1) / width) * kept_lanes(U, width);
}
size_t residual_size(const Problem& p, int width) {
  return static_cast<size_t>(p.B) * p.T * kept_size(p.kind, p.U, width);
}

Execution::Execution(const Kernels& kernels, const Problem* problem, int count, bool backward,
                     int threads)
    : kernels_(kernels), problem_(problem), count_(count), backward_(backward), lease_(threads),
      teams_(lease_.threads(), count) {
  for (int layer = 0; layer < count; ++layer) {
    from_[layer] = bytes_;
    bytes_ += up_to_line(kernels.scratch(problem[layer], backward, teams_.size(layer)));
  }
}

void Execution::run(char* scratch) {
  scratch_ = scratch;
  const auto part = [](void* context, Team&, int thread) {
    Execution& self = *static_cast<Execution*>(context);
    self.teams_.run(thread, [&](int layer, Team& team, int own) {
      self.kernels_.run(self.problem_[layer], self.backward_, self.scratch_ + self.from_[layer], team, own);
    });
  };
  lease_.run(part, this);
}

const char* execute(const Problem* problem, int count, bool backward, int limit) {
  const char* why;
  const Kernels* table = kernels(&why);
  if (!table) return why;
  if (count > kMaxLayers) return "too many layers for one call";
  limit = thread_limit(limit);
  if (!limit) return thread_problem();
  int wanted = 0;
  for (const Problem* p = problem; p < problem + count; ++p) {
    hint_results(*p, backward, table->width);
    wanted += useful_threads(*p, limit);
  }
  Execution execution(*table, problem, count, backward, wanted < limit ? wanted : limit);
  const Scratch scratch(execution.scratch());
  if (!scratch.data()) return "not enough memory for the working space of a recurrent layer";
  execution.run(scratch.data());
  return nullptr;
}

}  // namespace unrolled
