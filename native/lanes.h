// Functions that are too rare to be worth vectors: lane by lane, in double precision, by
// the C library where it has them.
#pragma once
#include <cmath>

#include "simd.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

template <class F>
inline vf each_lane(vf x, F f) {
  for (int l = 0; l < W; ++l) x[l] = static_cast<float>(f(static_cast<double>(x[l])));
  return x;
}
template <class F>
inline vf each_lane(vf x, vf y, F f) {
  for (int l = 0; l < W; ++l)
    x[l] = static_cast<float>(f(static_cast<double>(x[l]), static_cast<double>(y[l])));
  return x;
}

// Whether any lane of a comparison is true.
UNROLLED_INLINE bool any(vi is) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(is), reinterpret_cast<__m512i>(is));
#elif defined(__AVX2__)
  return _mm256_movemask_ps(reinterpret_cast<vf>(is));
#elif defined(__SSE2__) && !defined(UNROLLED_MODEL)
  return _mm_movemask_ps(reinterpret_cast<vf>(is));
#else
  int found = 0;
  for (int l = 0; l < W; ++l) found |= is[l];
  return found;
#endif
}

// The argument at which erf is y: the quantile of the normal distribution (Wichura 1988,
// Applied Statistics 37, algorithm AS 241, PPND16) at (1 + y) / 2, over the root of 2.
inline double erf_inverse(double y) {
  const auto ratio = [](double r, const double (&a)[8], const double (&b)[8]) {
    double above = a[7], below = b[7];
    for (int i = 6; i >= 0; --i) above = above * r + a[i], below = below * r + b[i];
    return above / below;
  };
  static constexpr double a[8] = {
      3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
      1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
      3.3430575583588128105e4, 2.5090809287301226727e3};
  static constexpr double b[8] = {
      1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
      2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
      5.2264952788528545610e3};
  static constexpr double c[8] = {
      1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
      3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
      2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double d[8] = {
      1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
      1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
      1.05075007164441684324e-9};
  constexpr double root_half = 0.70710678118654752440;
  const double q = 0.5 * y, size = ::fabs(y);
  if (size <= 0.85) return q * ratio(0.180625 - q * q, a, b) * root_half;
  if (!(size < 1.0)) return size == 1.0 ? y * __builtin_inf() : __builtin_nan("");
  // A float below 1 is so far from it that AS 241's third range is not met.
  const double r = ::sqrt(-::log(0.5 * (1.0 - size)));
  return ::copysign(ratio(r - 1.6, c, d) * root_half, y);
}

// The derivative of log(gamma): by reflection for x < 0, by psi(x) = psi(x + 1) - 1 / x up
// to 10, by its asymptotic series (Abramowitz and Stegun 6.3.18) from there.
inline double psi(double x) {
  if (x <= 0.0 && x == ::floor(x)) return __builtin_nan("");
  double y = 0.0;
  if (x < 0.0) {
    constexpr double pi = 3.14159265358979323846;
    y = -pi / ::tan(pi * (x - ::round(x)));
    x = 1.0 - x;
  }
  for (; x < 10.0; x += 1.0) y -= 1.0 / x;
  if (x > 1e30) return y + ::log(x);
  const double z = 1.0 / (x * x);
  constexpr double terms[] = {1.0 / 132, -1.0 / 240, 1.0 / 252, -1.0 / 120, 1.0 / 12};
  double series = -691.0 / 32760;
  for (const double term : terms) series = series * z + term;
  return y + ::log(x) - 0.5 / x - z * series;
}

inline vf fn_cbrt(vf x) { return each_lane(x, [](double v) { return ::cbrt(v); }); }
inline vf fn_tan(vf x) { return each_lane(x, [](double v) { return ::tan(v); }); }
inline vf fn_asin(vf x) { return each_lane(x, [](double v) { return ::asin(v); }); }
inline vf fn_acos(vf x) { return each_lane(x, [](double v) { return ::acos(v); }); }
inline vf fn_atan(vf x) { return each_lane(x, [](double v) { return ::atan(v); }); }
inline vf fn_sinh(vf x) { return each_lane(x, [](double v) { return ::sinh(v); }); }
inline vf fn_cosh(vf x) { return each_lane(x, [](double v) { return ::cosh(v); }); }
inline vf fn_asinh(vf x) { return each_lane(x, [](double v) { return ::asinh(v); }); }
inline vf fn_acosh(vf x) { return each_lane(x, [](double v) { return ::acosh(v); }); }
inline vf fn_atanh(vf x) { return each_lane(x, [](double v) { return ::atanh(v); }); }
inline vf fn_erf_inv(vf x) { return each_lane(x, erf_inverse); }
inline vf fn_digamma(vf x) { return each_lane(x, psi); }
inline vf fn_lgamma(vf x) {
  // Not lgamma, which writes to a variable of the whole process.
  return each_lane(x, [](double v) { int sign; return ::lgamma_r(v, &sign); });
}
inline vf fn_rem(vf x, vf y) {
  return each_lane(x, y, [](double v, double w) { return ::fmod(v, w); });
}
inline vf fn_atan2(vf y, vf x) {
  return each_lane(y, x, [](double v, double w) { return ::atan2(v, w); });
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
