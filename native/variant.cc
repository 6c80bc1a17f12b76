// One instruction-set variant. Compiled several times; UNROLLED_NS is its name, and all it
// shows to the outside is the table below.
#include "sequence.h"

#define UNROLLED_TEXT_(x) #x
#define UNROLLED_TEXT(x) UNROLLED_TEXT_(x)
#if !defined(UNROLLED_STEPPING)  // whose steps of a model it takes
#define UNROLLED_STEPPING UNROLLED_NS
#endif

namespace unrolled {
namespace avx512 { extern const Kernels kernels; }
namespace UNROLLED_STEPPING { extern const Stepping stepping; }  // stepping.cc
namespace UNROLLED_NS {
namespace {

// With bfloat16, float32 would be compiled to what a smaller variant has already.
#if defined(UNROLLED_TILES)
using Op = Tiles;
#elif defined(__AVX512BF16__)
using Op = Bfloat16;
#else
using Op = Float;
#endif
constexpr bool kHasBf16 = Op::kPair == 2;

size_t scratch(const Problem& p, bool backward, int threads) {
  if constexpr (kHasBf16)
    if (!p.bf16) return avx512::kernels.scratch(p, backward, threads);
  return pick<Op>(p, backward, {nullptr, threads, nullptr, 0});
}
void run(const Problem& p, bool backward, char* memory, Team& team, int thread) {
  if constexpr (kHasBf16)
    if (!p.bf16) return avx512::kernels.run(p, backward, memory, team, thread);
  pick<Op>(p, backward, {memory, team.size, &team, thread});
#if defined(UNROLLED_TILES)
  leave_tiles();
#endif
}

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {UNROLLED_TEXT(UNROLLED_NS), W,   kHasBf16, scratch, run,
                         &UNROLLED_STEPPING::stepping};

}}  // namespace unrolled::UNROLLED_NS
