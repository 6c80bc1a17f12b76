// One instruction-set variant. Compiled several times; UNROLLED_NS is its name, and all it
// shows to the outside is the table below.
#include "sequence.h"

#define UNROLLED_TEXT_(x) #x
#define UNROLLED_TEXT(x) UNROLLED_TEXT_(x)
#if !defined(UNROLLED_STEPPING)  // whose steps of a model it takes
#define UNROLLED_STEPPING UNROLLED_NS
#endif
#if !defined(UNROLLED_FUSING)  // whose programs it takes
#define UNROLLED_FUSING UNROLLED_NS
#endif

namespace unrolled {
namespace avx512 { extern const Kernels kernels; }
namespace UNROLLED_STEPPING { extern const Stepping stepping; }  // stepping.cc
namespace UNROLLED_FUSING { extern const Fusing fusing; }  // fusing.cc
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
#if defined(UNROLLED_MODEL)  // no smaller variant has vectors as wide
constexpr bool kShares = false;
#else
constexpr bool kShares = kHasBf16;
#endif

// Whether bfloat16 is multiplied as such. Intel's processors do so in vectors at half the
// rate of float32 or less.
bool has_bf16() {
#if defined(__AVX512BF16__) && !defined(UNROLLED_TILES)
  static const bool fast = !__builtin_cpu_is("intel");
  return fast;
#else
  return kHasBf16;
#endif
}
bool rather_float(const Problem& p) { return !p.bf16 || !has_bf16(); }

size_t of_its_own(const Problem& p, bool backward, const Call& call) {
  if constexpr (kHasBf16 && !kShares)
    if (rather_float(p)) return pick<Float>(p, backward, call);
  return pick<Op>(p, backward, call);
}

size_t scratch(const Problem& p, bool backward, int threads) {
  if constexpr (kShares)
    if (rather_float(p)) return avx512::kernels.scratch(p, backward, threads);
  return of_its_own(p, backward, {nullptr, threads, nullptr, 0});
}
void run(const Problem& p, bool backward, char* memory, Team& team, int thread) {
  if constexpr (kShares)
    if (rather_float(p)) return avx512::kernels.run(p, backward, memory, team, thread);
  of_its_own(p, backward, {memory, team.size, &team, thread});
#if defined(UNROLLED_TILES)
  leave_tiles();
#endif
}

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {UNROLLED_TEXT(UNROLLED_NS), W,   has_bf16, scratch, run,
                         &UNROLLED_STEPPING::stepping, &UNROLLED_FUSING::fusing};

}}  // namespace unrolled::UNROLLED_NS
