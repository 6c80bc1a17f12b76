// Functions of one or two numbers, lane by lane, as a program over rows has them. Within 2
// units in the last place of the true value wherever that is a normal number; NaN,
// infinity, signs of zero and overflow as in C; what is subnormal may come out as zero.
// The polynomials are minimax fits of our own, their lowest coefficients rounded first.
#pragma once
#include "halves.h"
#include "lanes.h"
#include "simd.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

typedef uint32_t vu __attribute__((vector_size(4 * W)));  // bits that may overflow

constexpr float kInfinity = __builtin_inff(), kNan = __builtin_nanf("");
constexpr float kSmallest = 1.17549435e-38f;  // of the normal numbers

// --- signs and whole numbers: exact

UNROLLED_INLINE vf fn_abs(vf x) { return magnitude(x); }
UNROLLED_INLINE vf fn_sign(vf x) {
  const vi bits = reinterpret_cast<vi>(magnitude(x));
  return (bits > 0) & (bits <= 0x7f800000) ? with_sign(all(1.0f), x) : x;
}
UNROLLED_INLINE vf fn_is_finite(vf x) {
  return reinterpret_cast<vi>(magnitude(x)) < 0x7f800000 ? all(1.0f) : all(0.0f);
}
UNROLLED_INLINE vf fn_reciprocal(vf x) { return 1.0f / x; }

// Of zeros, +0 is the larger.
UNROLLED_INLINE vf fn_max(vf a, vf b) {
  const vf same = reinterpret_cast<vf>(reinterpret_cast<vi>(a) & reinterpret_cast<vi>(b));
  return a > b ? a : a < b ? b : a == b ? same : a + b;
}
UNROLLED_INLINE vf fn_min(vf a, vf b) {
  const vf same = reinterpret_cast<vf>(reinterpret_cast<vi>(a) | reinterpret_cast<vi>(b));
  return a < b ? a : a > b ? b : a == b ? same : a + b;
}

// From 2^23 on every float is whole.
constexpr float kWhole = 8388608.0f;
UNROLLED_INLINE vf fn_round_half_even(vf x) {
  const vf a = magnitude(x);
  return a < kWhole ? with_sign((a + kWhole) - kWhole, x) : x;
}
UNROLLED_INLINE vf fn_trunc(vf x) {
  const vf a = magnitude(x), near = (a + kWhole) - kWhole;
  return a < kWhole ? with_sign(near > a ? near - 1.0f : near, x) : x;
}
UNROLLED_INLINE vf fn_round_half_away(vf x) {
  const vf a = magnitude(x), down = fn_trunc(a);
  return a < kWhole ? with_sign(a - down >= 0.5f ? down + 1.0f : down, x) : x;
}
UNROLLED_INLINE vf fn_floor(vf x) {
  const vf near = fn_round_half_even(x);
  return near > x ? near - 1.0f : near;
}
UNROLLED_INLINE vf fn_ceil(vf x) {
  const vf near = fn_round_half_even(x);
  return near < x ? with_sign(magnitude(near + 1.0f), x) : near;  // -0 from -1 to 0
}

// --- roots

UNROLLED_INLINE vf fn_sqrt(vf x) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(x);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(x);
#elif defined(__SSE2__) && !defined(UNROLLED_MODEL)
  return _mm_sqrt_ps(x);
#else
  for (int l = 0; l < W; ++l) x[l] = __builtin_sqrtf(x[l]);
  return x;
#endif
}
UNROLLED_INLINE vf fn_rsqrt(vf x) {
#if defined(__AVX512F__)
  const vf y = _mm512_rsqrt14_ps(x), e = 1.0f - x * y * y;
  return e == e ? y + y * (e * 0.5f) : y;  // 0, infinity and NaN are right at once
#else
  return 1.0f / fn_sqrt(x);
#endif
}

// a / b for b from 2^-100 to 2^100, to a rounding.
UNROLLED_INLINE vf quotient(vf a, vf b) {
#if defined(__AVX512F__)
  const vf y = _mm512_rcp14_ps(b), q = a * y;
  return q + y * (a - q * b);
#else
  return a / b;
#endif
}

// --- exponentials

// x = n ln 2 + r, |r| <= ln(2)/2. The first part of ln 2 has so few bits that its multiples
// are exact. `sum` is n + kRound.
struct Exponent {
  vf sum, n, r;
};
UNROLLED_INLINE Exponent exponent(vf x) {
  Exponent e;
  e.sum = x * 1.44269504f + kRound;
  e.n = e.sum - kRound;
  e.r = x - e.n * 0.693359375f;
  e.r = e.r + e.n * 2.12194440e-4f;
  return e;
}
// (exp(r) - 1 - r) / r^2 and exp(r), for |r| <= ln(2)/2.
UNROLLED_INLINE vf exp_rest(vf r) {
  return polynomial(r, 0.49999994f, 0.166665211f, 0.0416682735f, 8.36868584e-3f,
                    1.38201355e-3f);
}
UNROLLED_INLINE vf exp_near(vf r) { return (exp_rest(r) * r + 1.0f) * r + 1.0f; }

// p * 2^n, from sum = n + kRound, |n| <= 250: to infinity, and down to zero.
UNROLLED_INLINE vf times_two_to(vf p, vf sum) {
#if defined(__AVX512F__)
  return _mm512_scalef_ps(p, sum - kRound);
#else
  const vi n = reinterpret_cast<vi>(sum) - reinterpret_cast<vi>(all(kRound)), half = n >> 1;
  return p * reinterpret_cast<vf>((half + 127) << 23) *
         reinterpret_cast<vf>((n - half + 127) << 23);
#endif
}

UNROLLED_INLINE vf fn_exp(vf x) {
  const Exponent e = exponent(at_least(at_most(x, 89.0f), -105.0f));
  return times_two_to(exp_near(e.r), e.sum);
}
UNROLLED_INLINE vf fn_exp2(vf x) {
  x = at_least(at_most(x, 129.0f), -151.0f);
  const vf sum = x + kRound;
  return times_two_to(exp_near((x - (sum - kRound)) * 0.693147181f), sum);
}
UNROLLED_INLINE vf fn_expm1(vf x) {
  const Exponent e = exponent(at_least(at_most(x, 89.0f), -20.0f));
  const vf q = e.r * e.r * exp_rest(e.r) + e.r, half = two_to(e.sum - 1.0f);
  // Half of it, so that 2^128 does not stand alone.
  const vf y = 2.0f * (q * half + (half - 0.5f));
  return magnitude(x) < 1e-9f ? x : y;
}

// With t = exp(-|x|), 1 / (1 + t) or t / (1 + t): nothing overflows. The rounding of 1 + t
// is made good, or it would count as much as that of t.
UNROLLED_INLINE vf fn_logistic(vf x) {
  const Exponent e = exponent(-at_most(magnitude(x), 88.0f));  // there two_to gives 0
  const vf t = exp_near(e.r) * two_to(e.sum);
  const vf above = x < 0.0f ? t : all(1.0f), below = t + 1.0f;
#if defined(__AVX512F__)
  const vf y = _mm512_rcp14_ps(below), q = above * y;
  return q + y * ((above - q) - q * t);
#else
  const vf q = above / below;
  return q + ((above - q) - q * t);
#endif
}
// Beyond 0.55 as 1 - 2 / (exp(2|x|) + 1), so that what is left to 1 keeps its digits.
UNROLLED_INLINE vf fn_tanh(vf x) {
  const vf a = at_most(magnitude(x), 9.1f), z = a * a;
  const vf sum = a * 2.88539008f + kRound, f = a * 2.88539008f - (sum - kRound);
  const vf d = (exp2_slope(f) * f + 1.0f) * two_to(sum) + 1.0f;
  const vf p = polynomial(z, -0.333329588f, 0.133209646f, -0.0526853129f, 0.0164606329f);
  const vf near = p * z * a + a;
  return with_sign(a < 0.55f ? near : 1.0f - quotient(all(2.0f), d), x);
}

// --- logarithms

// log(x) + more + log(2) * k0, for a normal number x > 0 and a small `more`.
UNROLLED_INLINE vf log_sum(vf x, vf more, vf k0) {
  const vu bits = reinterpret_cast<vu>(x);
  const vi k = reinterpret_cast<vi>(bits - 0x3f2aaaab) >> 23;  // x / 2^k is in [2/3, 4/3)
  const vf f = reinterpret_cast<vf>(bits - (reinterpret_cast<vu>(k) << 23)) - 1.0f, f2 = f * f;
  const vf n = __builtin_convertvector(k, vf) + k0;
  const vf p = polynomial(f, 0.333332151f, -0.249998048f, 0.200104445f, -0.16680181f,
                          0.140053406f, -0.12188343f, 0.139867067f, -0.12874496f);
  vf y = p * f * f2 + (more - n * 2.12194440e-4f);
  y = y - 0.5f * f2;
  return n * 0.693359375f + (f + y);
}
UNROLLED_INLINE vf fn_log(vf x) {
  const vi tiny = x < kSmallest;
  const vf y = log_sum(tiny ? x * 16777216.0f : x, vf{}, tiny ? all(-24.0f) : vf{});
  return x > 0.0f ? (x < kInfinity ? y : x) : (x == 0.0f ? all(-kInfinity) : all(kNan));
}
UNROLLED_INLINE vf fn_log1p(vf x) {
  const vf u = x + 1.0f;
  const vf lost = at_most(x, 1.0f) - (u - at_least(x, 1.0f));  // u + lost is 1 + x
  const vf y = with_sign(magnitude(log_sum(u, lost * reciprocal(u), vf{})), x);
  return x > -1.0f ? (x < kInfinity ? y : x) : (x == -1.0f ? all(-kInfinity) : all(kNan));
}

// --- error functions

UNROLLED_INLINE vf erf_near(vf x) {  // |x| <= 1
  const vf p = polynomial(x * x, 0.128379166f, -0.37612626f, 0.112835787f, -0.0268533472f,
                          5.1871622e-3f, -7.9978531e-4f, 7.80690316e-5f);
  return magnitude(x) < 1e-30f ? x * 1.12837917f : p * x + x;  // 0.128 x would be flushed
}
UNROLLED_INLINE vf fn_erf(vf x) {
  const vf a = at_most(magnitude(x), 4.0f);
  const vf p = polynomial(a, 1.12848008f, 0.635831356f, 0.105116293f, -0.0227985587f,
                          3.18697677e-3f, -2.10647049e-4f);
  const Exponent e = exponent(p * -a);
  const vf far = 1.0f - exp_near(e.r) * two_to(e.sum);
  return with_sign(magnitude(a < 1.0f ? erf_near(a) : far), x);
}
// For |x| >= 1/2 from exp(-x^2), whose rounding counts x^2 times, in double precision; times
// a polynomial in (|x| - 3) / (|x| + 3).
UNROLLED_INLINE vf fn_erfc(vf x) {
  Halves h = widen(at_most(magnitude(x), 10.5f));
  for (vd& a : h.part)
    a = exp2_of(a * a * -1.4426950408889634) *
        polynomial((a - 3.0) / (a + 3.0), 0.1790011525425369, -0.32623356992707947,
                   0.24560364863662421, -0.15011540490507122, 0.071668614765851527,
                   -0.024399098665070409, 0.0042505665047242527, 0.00073675534628351159,
                   -0.00054212331705100832);
  const vf tail = narrow(h), far = x < 0.0f ? 2.0f - tail : tail;
  return magnitude(x) < 0.5f ? 1.0f - erf_near(x) : far;
}

// --- sine and cosine

// x less the nearest multiple n of pi/2, taken in double precision; n + kRound in `sum`.
// For |x| < 10^6.
struct Angle {
  vf r, sum;
};
UNROLLED_INLINE Angle angle(vf x) {
  Halves n, r = widen(x);
  for (int i = 0; i < 2; ++i) {
    n.part[i] = (r.part[i] * 0.63661977236758134308 + kRoundDouble) - kRoundDouble;
    r.part[i] = r.part[i] - n.part[i] * 1.57079632673412561417;  // 33 bits: exact
    r.part[i] = r.part[i] - n.part[i] * 6.07710050650619224932e-11;
  }
  return {narrow(r), narrow(n) + kRound};
}
UNROLLED_INLINE vf sine(vf x, unsigned quarters) {
  const Angle a = angle(x);
  const vf r = a.r, z = r * r;
  vf s = polynomial(z, -0.166666552f, 8.3321901e-3f, -1.95184082e-4f) * z * r + r;
  s = with_sign(magnitude(s), r);  // -0
  const vf c = polynomial(z, 0.0416666456f, -1.38873095e-3f, 2.44323364e-5f) * z * z +
               (1.0f - 0.5f * z);
  const vu q = reinterpret_cast<vu>(a.sum) + quarters;
  const vf y = (q & 1) != 0 ? c : s;
  return reinterpret_cast<vf>(reinterpret_cast<vu>(y) ^ ((q & 2) << 30));
}
// Beyond 10^6 by the C library, which has pi to as many digits as that takes.
UNROLLED_INLINE bool is_far(vf x) {
  const vf a = magnitude(x);
  return any((a > 1e6f) & (a < kInfinity));
}
UNROLLED_INLINE vf fn_sin(vf x) {
  if (is_far(x)) return each_lane(x, [](double v) { return ::sin(v); });
  return sine(x, 0);
}
UNROLLED_INLINE vf fn_cos(vf x) {
  if (is_far(x)) return each_lane(x, [](double v) { return ::cos(v); });
  return sine(x, 1);
}

// --- powers

// |x|^y as 2^(y log2|x|) in double precision; the sign, and what has no number, after it.
UNROLLED_INLINE vf fn_pow(vf x, vf y) {
  const vf a = magnitude(x);
  Halves base = widen(a);
  const Halves power = widen(y);
  for (int i = 0; i < 2; ++i) base.part[i] = exp2_of(power.part[i] * log2_of(base.part[i]));
  vf out = a == 1.0f ? (y == y ? all(1.0f) : y) : narrow(base);
  const vi whole = fn_trunc(y) == y;
  const vf half = y * 0.5f;
  const vi odd = whole & (fn_trunc(half) != half);
  const vf sign = odd ? x : vf{};
  out = reinterpret_cast<vf>(reinterpret_cast<vi>(out) | (reinterpret_cast<vi>(sign) & kSign));
  out = (x < 0.0f) & (a < kInfinity) & ~whole ? all(kNan) : out;
  return (x == 1.0f) | (y == 0.0f) ? all(1.0f) : out;
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
