#include "dispatch.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(UNROLLED_HAS_AMX)
#include <cpuid.h>
#endif

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
#if defined(UNROLLED_HAS_AMX)
UNROLLED_VARIANT(amx)
#endif
#else
UNROLLED_VARIANT(generic)
#endif

namespace {

// glibc returns a freed block to the system, page by page, and fetches it so again for the
// next call, unless it once saw one as large freed. So it learns of the largest it heeds.
void keep_blocks() {
  void* volatile block = malloc((size_t{32} << 20) - 8192);  // never touched
  free(block);
}

struct Choice {
  const Kernels* table = nullptr;
  char why[256] = {};

  Choice() {
    keep_blocks();
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

#if defined(UNROLLED_HAS_AMX)
// Whether there are tile registers for bfloat16, and the system lets this process use them.
bool has_tiles(bool has_bf16) {
#if defined(UNROLLED_MODEL)
  (void)has_bf16;
  return true;
#else
  unsigned a, b, c, d;
  if (!has_bf16 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned bfloat16 = 1u << 22, tiles = 1u << 24;
  if (!(d & bfloat16) || !(d & tiles)) return false;
  constexpr long ask_for_state = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, ask_for_state, tile_data) == 0;
#endif
}
#endif

constexpr int kMaxLayers = 2;  // in one call

// Large results come as fresh pages, one fault per 4 KiB; ask for 2 MiB pages instead. A
// hint: where the system does not follow it, nothing changes.
void hint_large(const float* p, double floats) {
  constexpr uintptr_t large = uintptr_t{2} << 20;
  const uintptr_t from = (reinterpret_cast<uintptr_t>(p) + large - 1) / large * large;
  const uintptr_t to = (reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(floats) * 4) / large * large;
  if (p && to > from) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
}

void hint_large(const Problem& p, bool backward, int width) {
  const double sequence = static_cast<double>(p.B) * p.T * p.U;
  if (backward) {
    hint_large(p.dx, static_cast<double>(p.B) * p.T * p.D);
  } else {
    for (float* result : {p.y, p.hs, p.cs}) hint_large(result, sequence);
    hint_large(p.residual, static_cast<double>(residual_size(p, width)));
  }
}

struct Work {
  const Kernels* table;
  const Problem* problem;  // of `count` layers
  int count, groups;       // threads are in groups; each group runs a layer at a time
  bool backward;
  std::vector<char*> scratch;  // of each layer
  Team team[kMaxLayers];       // of each group

  void part(int thread, int threads) {
    int group = 0;
    while (thread >= first(group + 1, threads)) ++group;
    for (int layer = group; layer < count; layer += groups)
      table->run(problem[layer], backward, scratch[layer], team[group],
                 thread - first(group, threads));
  }
  int first(int group, int threads) const { return group * threads / groups; }
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
    const bool bf16 = v4 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
    if (bf16) found.push_back(&avx512bf16::kernels);
#if defined(UNROLLED_HAS_AMX)
    if (has_tiles(bf16)) found.push_back(&amx::kernels);
#endif
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

const char* execute(const Problem* problem, int count, bool backward, int limit) {
  const char* why;
  const Kernels* table = kernels(&why);
  if (!table) return why;
  if (count > kMaxLayers) return "too many layers for one call";
  limit = thread_limit(limit);
  int wanted = 0;
  for (const Problem* p = problem; p < problem + count; ++p) {
    hint_large(*p, backward, table->width);
    wanted += useful_threads(*p, limit);
  }
  Lease lease(wanted < limit ? wanted : limit);
  Work work{table, problem, count, lease.threads() < count ? 1 : count, backward, {}, {}};
  for (int g = 0; g < work.groups; ++g)
    work.team[g].size = work.first(g + 1, lease.threads()) - work.first(g, lease.threads());
  size_t bytes = 0;
  std::vector<size_t> from;
  for (int layer = 0; layer < count; ++layer) {
    from.push_back(bytes);
    bytes += (table->scratch(problem[layer], backward, work.team[layer % work.groups].size) + 63) / 64 * 64;
  }
  Scratch scratch(bytes);
  if (!scratch.data()) return "not enough memory for the working space of a recurrent layer";
  for (const size_t offset : from) work.scratch.push_back(scratch.data() + offset);
  lease.run([](void* context, Team& team, int thread) {
    static_cast<Work*>(context)->part(thread, team.size);
  }, &work);
  return nullptr;
}

}  // namespace unrolled
