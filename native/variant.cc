// One instruction-set variant. Compiled several times; UNROLLED_NS is its name, and all it
// shows to the outside is the table below.
#include "sequence.h"

#define UNROLLED_TEXT_(x) #x
#define UNROLLED_TEXT(x) UNROLLED_TEXT_(x)

namespace unrolled {
namespace avx512 { extern const Kernels kernels; }
namespace UNROLLED_NS {
namespace {

#if defined(__AVX512BF16__)
// Float32 would be compiled to what the smaller variant has already.
using Op = Bfloat16;
constexpr bool kHasBf16 = true;
#else
using Op = Float;
constexpr bool kHasBf16 = false;
#endif

size_t scratch(const Problem& p, bool backward, int threads) {
  if constexpr (kHasBf16)
    if (!p.bf16) return avx512::kernels.scratch(p, backward, threads);
  return pick<Op>(p, backward, {nullptr, threads, nullptr, 0});
}
void run(const Problem& p, bool backward, char* memory, Team& team, int thread) {
  if constexpr (kHasBf16)
    if (!p.bf16) return avx512::kernels.run(p, backward, memory, team, thread);
  pick<Op>(p, backward, {memory, team.size, &team, thread});
}

}  // namespace

extern const Stepping stepping;  // stepping.cc
extern const Kernels kernels;
const Kernels kernels = {UNROLLED_TEXT(UNROLLED_NS), W, kHasBf16, scratch, run, &stepping};

}}  // namespace unrolled::UNROLLED_NS
