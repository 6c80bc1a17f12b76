// One vector type for every instruction set, by the compiler's vector extensions.
// Compiled once per variant into the namespace UNROLLED_NS; everything in it has internal
// linkage, so that no inline function of one variant can be linked into another.
#pragma once
#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace unrolled { namespace UNROLLED_NS { namespace {

#define UNROLLED_INLINE inline __attribute__((always_inline))

#if defined(__AVX512F__) || defined(UNROLLED_MODEL)  // the latter: in plain C++
constexpr int W = 16, kRegisters = 32;
#elif defined(__AVX2__)
constexpr int W = 8, kRegisters = 16;
#elif defined(__aarch64__)
constexpr int W = 4, kRegisters = 32;
#else
constexpr int W = 4, kRegisters = 16;
#endif

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef float vf_unaligned __attribute__((vector_size(4 * W), aligned(4), may_alias));

UNROLLED_INLINE vf load(const float* p) { return *reinterpret_cast<const vf_unaligned*>(p); }
UNROLLED_INLINE void store(float* p, vf v) { *reinterpret_cast<vf_unaligned*>(p) = v; }
UNROLLED_INLINE vf all(float x) { return x - vf{}; }  // x - 0 is x, also for -0

// Keeps the compiler from reading v from memory again where it is used.
UNROLLED_INLINE vf in_register(vf v) {
#if defined(__SSE2__) && !defined(UNROLLED_MODEL)
  asm("" : "+x"(v));
#endif
  return v;
}

// The first n of W floats; the rest reads as zero and is not touched in memory.
UNROLLED_INLINE vf load_part(const float* p, long n) {
  if (n >= W) return load(p);
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
#else
  alignas(64) float part[W] = {};
  for (long i = 0; i < n; ++i) part[i] = p[i];
  return load(part);
#endif
}
// The first n lanes; the others 0, whatever they held.
UNROLLED_INLINE vf keep_part(vf v, long n) {
  if (n >= W) return v;
#if defined(__AVX512F__)
  return _mm512_maskz_mov_ps(static_cast<__mmask16>((1u << n) - 1), v);
#else
  alignas(64) float part[W];
  store(part, v);
  return load_part(part, n);
#endif
}
UNROLLED_INLINE void store_part(float* p, vf v, long n) {
  if (n >= W) return store(p, v);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
#else
  alignas(64) float part[W];
  store(part, v);
  for (long i = 0; i < n; ++i) p[i] = part[i];
#endif
}

// The first `lanes` of W, of which 4 and 8 are kept; the rest reads as zero.
UNROLLED_INLINE vf load_lanes(const float* p, long lanes) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  if (lanes < W) return _mm256_insertf128_ps(_mm256_setzero_ps(), _mm_loadu_ps(p), 0);
#endif
  return load_part(p, lanes);
}
UNROLLED_INLINE void store_lanes(float* p, vf v, long lanes) {
  if (lanes == W) return store(p, v);
#if defined(__AVX512F__)
  if (lanes == 8) return _mm256_storeu_ps(p, _mm512_castps512_ps256(v));
  _mm_storeu_ps(p, _mm512_castps512_ps128(v));
#elif defined(__AVX2__)
  _mm_storeu_ps(p, _mm256_castps256_ps128(v));
#else
  store_part(p, v, lanes);
#endif
}

// Lane l is lane pick[l] of a, or pick[l] - W of b.
UNROLLED_INLINE vf shuffle(vf a, vf b, vi pick) {
#if defined(__clang__) || __GNUC__ < 12
  vf out;
  for (int l = 0; l < W; ++l) out[l] = pick[l] < W ? a[pick[l]] : b[pick[l] - W];
  return out;
#else
  return __builtin_shuffle(a, b, pick);
#endif
}

// a*b + c where c is a product too: which of the two keeps its digits is not left to the
// compiler, so that a pass gives the same numbers whatever else it computes.
UNROLLED_INLINE vf multiply_add(vf a, vf b, vf c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
  using f32 = float32x4_t;
  return reinterpret_cast<vf>(vfmaq_f32(reinterpret_cast<f32>(c), reinterpret_cast<f32>(a),
                                        reinterpret_cast<f32>(b)));
#else
  return a * b + c;
#endif
}

// NaN in x passes through both.
#if defined(__AVX512F__)
UNROLLED_INLINE vf at_most(vf x, float limit) { return _mm512_min_ps(all(limit), x); }
UNROLLED_INLINE vf at_least(vf x, float limit) { return _mm512_max_ps(all(limit), x); }
#elif defined(__AVX2__)
UNROLLED_INLINE vf at_most(vf x, float limit) { return _mm256_min_ps(all(limit), x); }
UNROLLED_INLINE vf at_least(vf x, float limit) { return _mm256_max_ps(all(limit), x); }
#elif defined(__SSE2__) && !defined(UNROLLED_MODEL)
UNROLLED_INLINE vf at_most(vf x, float limit) { return _mm_min_ps(all(limit), x); }
UNROLLED_INLINE vf at_least(vf x, float limit) { return _mm_max_ps(all(limit), x); }
#else
UNROLLED_INLINE vf at_most(vf x, float limit) { return x > limit ? all(limit) : x; }
UNROLLED_INLINE vf at_least(vf x, float limit) { return x < limit ? all(limit) : x; }
#endif
// Lane by lane: a < limit ? b : c.
UNROLLED_INLINE vf if_less(vf a, float limit, vf b, vf c) { return a < limit ? b : c; }

#if defined(__AVX512F__)
UNROLLED_INLINE vf reciprocal(vf d) {
  const vf y = _mm512_rcp14_ps(d);
  return y + y * (1.0f - d * y);
}
#else
UNROLLED_INLINE vf reciprocal(vf d) { return 1.0f / d; }
#endif

// For |x| < 2^22 the sum x + kRound holds the whole number nearest to x in its last bits;
// less kRound it is that number.
constexpr float kRound = 12582912.0f;
UNROLLED_INLINE vf round(vf x) { return (x + kRound) - kRound; }
UNROLLED_INLINE vf two_to(vf sum) {  // 2^n, from n + kRound; |n| < 127
  return reinterpret_cast<vf>((reinterpret_cast<vi>(sum) << 23) + 0x3f800000);
}

constexpr int kSign = static_cast<int>(0x80000000u);
UNROLLED_INLINE vf magnitude(vf x) {
  return reinterpret_cast<vf>(reinterpret_cast<vi>(x) & ~kSign);
}
UNROLLED_INLINE vf with_sign(vf x, vf of) {  // x is not negative
  return reinterpret_cast<vf>(reinterpret_cast<vi>(x) | (reinterpret_cast<vi>(of) & kSign));
}

// (2^f - 1) / f, for |f| <= 1/2.
template <class V>
UNROLLED_INLINE V exp2_slope(V f) {
  V p = f * 1.540353e-4f + 1.33335581e-3f;
  p = p * f + 9.61812911e-3f;
  p = p * f + 5.55041087e-2f;
  p = p * f + 2.40226507e-1f;
  return p * f + 6.93147181e-1f;
}

// 1 / (1 + exp(-x)), within 2 units in the last place, also far out where it is tiny.
template <class V>
UNROLLED_INLINE V sigmoid(V x) {
  x = at_least(at_most(x, 87.3f), -87.3f);
  const V sum = x * -1.44269504f + kRound, f = x * -1.44269504f - (sum - kRound);
  return reciprocal((exp2_slope(f) * f + 1.0f) * two_to(sum) + 1.0f);
}

// tanh(x) from e = exp(2|x|) - 1: e / (e + 2) near zero, where e is exact to rounding,
// and 1 - 2 / (e + 2) beyond, so that 1 - tanh(x)^2, which every gradient reads, keeps
// its digits as tanh(x) nears 1.
template <class V>
UNROLLED_INLINE V tanh(V x) {
  const V a = at_most(magnitude(x), 9.1f);
  const V sum = a * 2.88539008f + kRound, f = a * 2.88539008f - (sum - kRound);
  const V power = two_to(sum), e = exp2_slope(f) * f * power + (power - 1.0f);
  const V r = reciprocal(e + 2.0f);
  return with_sign(if_less(a, 0.55f, e * r, 1.0f - 2.0f * r), x);
}

// The nearest bfloat16, of two as near the even one; NaN stays.
UNROLLED_INLINE vf rounded(vf x) {
  const vi bits = reinterpret_cast<vi>(x);
  const vi near = (bits + 0x7fff + ((bits >> 16) & 1)) & static_cast<int>(0xffff0000u);
  return x == x ? reinterpret_cast<vf>(near) : x;
}

// Into the second-level cache, for a read or a write that comes steps later.
UNROLLED_INLINE void prefetch(const float* p) { __builtin_prefetch(p, 1, 2); }

UNROLLED_INLINE long smaller(long a, long b) { return a < b ? a : b; }
UNROLLED_INLINE long up(long n, long of) { return (n + of - 1) / of; }  // rounded-up quotient

struct Range { long from, to; };
UNROLLED_INLINE Range share(long n, long thread, long threads) {
  return {n * thread / threads, n * (thread + 1) / threads};
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
