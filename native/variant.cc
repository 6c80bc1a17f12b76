// One instruction-set variant. Compiled several times; UNROLLED_NS is its name, and all it
// shows to the outside is the table below.
#include "sequence.h"

#define UNROLLED_TEXT_(x) #x
#define UNROLLED_TEXT(x) UNROLLED_TEXT_(x)

namespace unrolled { namespace UNROLLED_NS {

#if defined(__AVX512BF16__)
constexpr bool kHasBf16 = true;
#else
constexpr bool kHasBf16 = false;
#endif
extern const Stepping stepping;  // stepping.cc
extern const Kernels kernels;
const Kernels kernels = {UNROLLED_TEXT(UNROLLED_NS), W, kHasBf16, scratch, run, &stepping};

}}  // namespace unrolled::UNROLLED_NS
