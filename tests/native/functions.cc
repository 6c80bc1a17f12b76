// The functions of native/functions.h over arrays, for test_functions.py.
#include "functions.h"

using namespace unrolled::UNROLLED_NS;

template <class F>
static void each(const float* a, const float* b, float* out, long n, F f) {
  for (long i = 0; i < n; i += W)
    store_part(out + i, f(load_part(a + i, n - i), load_part(b + i, n - i)), n - i);
}

#define ONE(name)                                                             \
  void name##_(const float* a, const float* b, float* out, long n) {          \
    each(a, b, out, n, [](vf x, vf) { return fn_##name(x); });                \
  }
#define TWO(name)                                                             \
  void name##_(const float* a, const float* b, float* out, long n) {          \
    each(a, b, out, n, [](vf x, vf y) { return fn_##name(x, y); });           \
  }

extern "C" {
ONE(abs) ONE(sign) ONE(exp) ONE(exp2) ONE(expm1) ONE(log) ONE(log1p) ONE(tanh) ONE(logistic)
ONE(sqrt) ONE(rsqrt) ONE(cbrt) ONE(erf) ONE(erfc) ONE(erf_inv) ONE(sin) ONE(cos) ONE(tan)
ONE(asin) ONE(acos) ONE(atan) ONE(sinh) ONE(cosh) ONE(asinh) ONE(acosh) ONE(atanh) ONE(floor)
ONE(ceil) ONE(round_half_even) ONE(round_half_away) ONE(is_finite) ONE(trunc) ONE(reciprocal)
ONE(lgamma) ONE(digamma)
TWO(pow) TWO(rem) TWO(atan2) TWO(max) TWO(min)
}
