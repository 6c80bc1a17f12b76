#include "dispatch.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "threads.h"

namespace unrolled {

#define UNROLLED_VARIANT(name) \
  namespace name { extern const Kernels kernels; }
#if defined(__x86_64__)
UNROLLED_VARIANT(sse2)
UNROLLED_VARIANT(avx2)
UNROLLED_VARIANT(avx512)
UNROLLED_VARIANT(avx512bf16)
#else
UNROLLED_VARIANT(generic)
#endif

namespace {

struct Choice {
  const Kernels* table = nullptr;
  char why[256] = {};

  Choice() {
    const char* wanted = getenv("UNROLLED_ISA");
    char known[128] = {};
    for (const Kernels* each : supported()) {
      if (known[0]) strcat(known, ", ");
      strcat(known, each->name);
      if (!wanted || !*wanted || !strcmp(wanted, each->name)) table = each;
    }
    if (!table)
      snprintf(why, sizeof why,
               "UNROLLED_ISA must be one of the instruction sets this processor has (%s). "
               "Got \"%.40s\".", known, wanted ? wanted : "");
  }
};

// Large results come as fresh pages, one fault per 4 KiB; ask for 2 MiB pages instead. A
// hint: where the system does not follow it, nothing changes.
void hint_large(const float* p, double floats) {
  constexpr uintptr_t large = uintptr_t{2} << 20;
  const uintptr_t from = (reinterpret_cast<uintptr_t>(p) + large - 1) / large * large;
  const uintptr_t to = (reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(floats) * 4) / large * large;
  if (p && to > from) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
}

struct Work {
  const Kernels* table;
  const Problem* problem;
  bool backward;
  char* scratch;
};

// Threads worth waking: below some 100,000 multiply-adds a step a barrier costs more than
// a second thread brings, unless rows can be shared out, which needs none.
int useful_threads(const Problem& p, int limit) {
  const double gates = p.kind == kLstm ? 4 : p.kind == kSimpleRnn ? 1 : 3;
  const double step = gates * p.U * p.U * p.B, total = p.T * (step + gates * p.U * p.D * p.B);
  int n = limit;
  if (p.B < 4 * n && step < 32e3 * n) n = static_cast<int>(step / 32e3);
  if (total < 250e3 * n) n = static_cast<int>(total / 250e3);
  return n < 1 ? 1 : n;
}

}  // namespace

size_t residual_size(const Problem& p, int width) {
  const size_t vectors[] = {0, 5, 4, 3};
  const size_t blocks = (p.U + width - 1) / width;
  return vectors[p.kind] * p.T * blocks * width * p.B;
}

const std::vector<const Kernels*>& supported() {
  static const std::vector<const Kernels*> found = [] {
#if defined(__x86_64__)
    __builtin_cpu_init();
    std::vector<const Kernels*> found{&sse2::kernels};
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (v3) found.push_back(&avx2::kernels);
    if (v4) found.push_back(&avx512::kernels);
    if (v4 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"))
      found.push_back(&avx512bf16::kernels);
    return found;
#else
    return std::vector<const Kernels*>{&generic::kernels};
#endif
  }();
  return found;
}

const Kernels* kernels(const char** why) {
  static const Choice choice;
  *why = choice.why;
  return choice.table;
}

const char* execute(const Problem& p, bool backward, int limit) {
  const char* why;
  const Kernels* table = kernels(&why);
  if (!table) return why;
  if (p.bf16 && !table->has_bf16) return "this instruction set has no bfloat16 products";
  const double sequence = static_cast<double>(p.B) * p.T * p.U;
  if (backward) {
    hint_large(p.dx, static_cast<double>(p.B) * p.T * p.D);
  } else {
    for (float* result : {p.y, p.hs, p.cs}) hint_large(result, sequence);
    hint_large(p.residual, static_cast<double>(residual_size(p, table->width)));
  }
  Lease lease(useful_threads(p, thread_limit(limit)));
  const size_t bytes = table->scratch(p, backward, lease.threads());
  Scratch scratch(bytes);
  if (!scratch.data()) return "not enough memory for the working space of a recurrent layer";
  Work work{table, &p, backward, scratch.data()};
  lease.run([](void* context, Team& team, int thread) {
    const Work& w = *static_cast<Work*>(context);
    w.table->run(*w.problem, w.backward, w.scratch, team, thread);
  }, &work);
  return nullptr;
}

}  // namespace unrolled
