#include "dispatch.h"

#include <sys/syscall.h>
#include <unistd.h>
#if defined(UNROLLED_HAS_AMX)
#include <cpuid.h>
#endif

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

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
bool has_tiles() {
#if defined(UNROLLED_MODEL)
  return true;
#else
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned bfloat16 = 1u << 22, tiles = 1u << 24;
  if (!(d & bfloat16) || !(d & tiles)) return false;
  constexpr long ask_for_state = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, ask_for_state, tile_data) == 0;
#endif
}
#endif

}  // namespace

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
    if (bf16 && has_tiles()) found.push_back(&amx::kernels);
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

}  // namespace unrolled
