// The functions of native/functions.h over arrays, for test_native_functions.py: as the processor
// is, or while what is subnormal reads and comes out as zero, as in XLA's threads.
#include "functions.h"

using namespace unrolled::UNROLLED_NS;

namespace {

struct Flushing {
#if defined(__SSE2__)
  const unsigned before = _mm_getcsr();
  explicit Flushing(bool flush) { _mm_setcsr(before | (flush ? 0x8040u : 0u)); }
  ~Flushing() { _mm_setcsr(before); }
#else
  explicit Flushing(bool) {}
#endif
};

template <class F>
void each(const float* a, const float* b, float* out, long n, bool flush, F f) {
  const Flushing mode(flush);
  for (long i = 0; i < n; i += W)
    store_part(out + i, f(load_part(a + i, n - i), load_part(b + i, n - i)), n - i);
}

}  // namespace

#define ONE(name)                                                                     \
  void name##_(const float* a, const float* b, float* out, long n, bool flush) {      \
    each(a, b, out, n, flush, [](vf x, vf) { return fn_##name(x); });                 \
  }
#define TWO(name)                                                                     \
  void name##_(const float* a, const float* b, float* out, long n, bool flush) {      \
    each(a, b, out, n, flush, [](vf x, vf y) { return fn_##name(x, y); });            \
  }

extern "C" {
bool is_supported() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512dq");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}
ONE(abs) ONE(sign) ONE(exp) ONE(exp2) ONE(expm1) ONE(log) ONE(log1p) ONE(tanh) ONE(logistic)
ONE(sqrt) ONE(rsqrt) ONE(cbrt) ONE(erf) ONE(erfc) ONE(erf_inv) ONE(sin) ONE(cos) ONE(tan)
ONE(asin) ONE(acos) ONE(atan) ONE(sinh) ONE(cosh) ONE(asinh) ONE(acosh) ONE(atanh) ONE(floor)
ONE(ceil) ONE(round_half_even) ONE(round_half_away) ONE(is_finite) ONE(trunc) ONE(reciprocal)
ONE(lgamma) ONE(digamma)
TWO(pow) TWO(rem) TWO(atan2) TWO(max) TWO(min)
}
