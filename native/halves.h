// The lanes of a vector in double precision, as two vectors of half as many, and what of a
// power needs more digits than a float has.
#pragma once
#include "simd.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

typedef double vd __attribute__((vector_size(4 * W)));
typedef int64_t vl __attribute__((vector_size(4 * W)));
typedef uint64_t vul __attribute__((vector_size(4 * W)));

struct Halves {
  vd part[2];
};
UNROLLED_INLINE Halves widen(vf x) {
#if defined(__AVX512F__)
  return {{_mm512_cvtps_pd(_mm512_castps512_ps256(x)),
           _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1))}};
#elif defined(__AVX2__)
  return {{_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
           _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))}};
#elif defined(__SSE2__) && !defined(UNROLLED_MODEL)
  return {{_mm_cvtps_pd(x), _mm_cvtps_pd(_mm_movehl_ps(x, x))}};
#else
  Halves h;
  for (int l = 0; l < W; ++l) h.part[l / (W / 2)][l % (W / 2)] = x[l];
  return h;
#endif
}
UNROLLED_INLINE vf narrow(const Halves& h) {
#if defined(__AVX512F__)
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(h.part[0])),
                            _mm512_cvtpd_ps(h.part[1]), 1);
#elif defined(__AVX2__)
  return _mm256_set_m128(_mm256_cvtpd_ps(h.part[1]), _mm256_cvtpd_ps(h.part[0]));
#elif defined(__SSE2__) && !defined(UNROLLED_MODEL)
  return _mm_movelh_ps(_mm_cvtpd_ps(h.part[0]), _mm_cvtpd_ps(h.part[1]));
#else
  vf x;
  for (int l = 0; l < W; ++l) x[l] = static_cast<float>(h.part[l / (W / 2)][l % (W / 2)]);
  return x;
#endif
}

// c0 + c1 x + c2 x^2 + ...
template <class V, class C>
UNROLLED_INLINE V polynomial(V, C c) { return c - V{}; }
template <class V, class C, class... Rest>
UNROLLED_INLINE V polynomial(V x, C c, Rest... rest) { return polynomial(x, rest...) * x + c; }

constexpr double kRoundDouble = 6755399441055744.0;  // as kRound, for |x| < 2^51

// log2(a) of a float a >= 0, to 4e-12 of it.
UNROLLED_INLINE vd log2_of(vd a) {
  constexpr uint64_t one = 0x3ff0000000000000, root = 0x3fe6a09e667f3bcd;  // of 1/2
  const vul bits = reinterpret_cast<vul>(a), shifted = bits + (one - root);
  // The exponent of 2 plus 1023, as the last bits of 2^52.
  const vd k = reinterpret_cast<vd>((shifted >> 52) | 0x4330000000000000) - 4503599627371519.0;
  const vd m = reinterpret_cast<vd>(bits - (shifted & 0xfff0000000000000) + one);
  const vd s = (m - 1.0) / (m + 1.0);
  const vd y = polynomial(s * s, 2.8853900817906153, 0.96179667279789272, 0.57708368848697822,
                          0.4116663637268474, 0.34085107107019558) * s + k;
  const vd infinity = __builtin_inf() - vd{};
  return a == 0.0 ? -infinity : a < infinity ? y : a;
}
// 2^t to 4e-11 of it; far beyond the range of floats infinity and 0 as they see it.
UNROLLED_INLINE vd exp2_of(vd t) {
  t = t > 300.0 ? 300.0 - vd{} : t < -300.0 ? -300.0 - vd{} : t;
  const vd sum = t + kRoundDouble, f = t - (sum - kRoundDouble);
  const vd p = polynomial(f, 0.9999999999616821, 0.6931471807284515, 0.2402265119815675,
                          0.055504103534347253, 0.0096180272537641914, 0.0013333922574219205,
                          0.00015469291114751925, 1.5201919023220122e-05);
  const vul power = (reinterpret_cast<vul>(sum) << 52) + 0x3ff0000000000000;
  return p * reinterpret_cast<vd>(power);
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
