// Matrix products on packed operands.
//
// Left operands ("rows") live as [slots/kChunk][rows][kStride]: a compile-time row stride
// lets the compiler address a whole register tile from one pointer. A slot is four bytes:
// one float, or two neighbouring bfloat16 along the summed axis. Right operands
// ("panels") live as [panel][slots][NV][W]. What a slot is, is the template argument Op.
#pragma once
#include <cstring>

#include "simd.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

constexpr long kChunk = 128, kStride = 144;

struct Float {
  static constexpr int kPair = 1;
  static constexpr int kSlots = 1;  // a product sums whole multiples of so many slots
  static constexpr bool kTiles = false;  // tile registers do the products: tiles.h
  // Products of numbers rounded to bfloat16 are exact in float32.
  static UNROLLED_INLINE vf operand(vf v, bool bf16) { return bf16 ? rounded(v) : v; }
  static UNROLLED_INLINE vf join(vf even, vf, bool bf16) { return operand(even, bf16); }
  static UNROLLED_INLINE vf madd(vf a, vf b, vf sum) { return a * b + sum; }
  // Where a row has a column, a multiple of W; put writes W columns from there on.
  static UNROLLED_INLINE float* place(float* row, long chunk_stride, long column) {
    return row + column / kChunk * chunk_stride + column % kChunk;
  }
  static UNROLLED_INLINE void put(float* at, vf v, bool bf16) { store(at, operand(v, bf16)); }
};

#if defined(__AVX512BF16__) || defined(UNROLLED_MODEL)
struct Bfloat16 {
  static constexpr int kPair = 2;
  static constexpr int kSlots = 1;
  static constexpr bool kTiles = false;
#if defined(UNROLLED_MODEL)
  static uint16_t high(vf rounded_, int l) {
    uint32_t bits;
    const float number = rounded_[l];
    memcpy(&bits, &number, 4);
    return static_cast<uint16_t>(bits >> 16);
  }
  static float wide(float slot, int half) {
    uint32_t bits;
    memcpy(&bits, &slot, 4);
    bits = half ? bits & 0xffff0000u : bits << 16;
    memcpy(&slot, &bits, 4);
    return slot;
  }
  static vf join(vf even, vf odd, bool) {
    vi both{};
    for (int l = 0; l < W; ++l)
      both[l] = static_cast<int32_t>(high(rounded(even), l) | uint32_t{high(rounded(odd), l)} << 16);
    return reinterpret_cast<vf>(both);
  }
  static vf madd(vf a, vf b, vf sum) {
    for (int l = 0; l < W; ++l)
      sum[l] += wide(a[l], 0) * wide(b[l], 0) + wide(a[l], 1) * wide(b[l], 1);
    return sum;
  }
  static void put(float* at, vf v, bool) {
    for (int l = 0; l < W; ++l) {
      const uint16_t half = high(rounded(v), l);
      memcpy(reinterpret_cast<char*>(at) + 2 * l, &half, 2);
    }
  }
  static vf pair_of_rows(const float* row, bool has_next) {
    vf pairs{};
    for (int l = 0; l < W; ++l) {
      uint16_t pair[2] = {};
      memcpy(pair, reinterpret_cast<const char*>(row) + 2 * l, 2);
      if (has_next) memcpy(pair + 1, reinterpret_cast<const char*>(row + kStride) + 2 * l, 2);
      memcpy(reinterpret_cast<char*>(&pairs) + 4 * l, pair, 4);
    }
    return pairs;
  }
#else
  static UNROLLED_INLINE __m512i wide(__m256bh x) {
    return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(x));
  }
  static UNROLLED_INLINE vf join(vf even, vf odd, bool) {
    const __m512i high = _mm512_slli_epi32(wide(_mm512_cvtneps_pbh(odd)), 16);
    return _mm512_castsi512_ps(_mm512_or_si512(wide(_mm512_cvtneps_pbh(even)), high));
  }
  static UNROLLED_INLINE vf madd(vf a, vf b, vf sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  static UNROLLED_INLINE void put(float* at, vf v, bool) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
  }
  // W columns of two neighbouring rows, paired in columns, as pairs of rows; without a
  // next row, zeros in its place.
  static UNROLLED_INLINE vf pair_of_rows(const float* row, bool has_next) {
    const auto half = [](const float* p) {
      return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    };
    const __m512i odd = has_next ? _mm512_slli_epi32(half(row + kStride), 16) : _mm512_setzero_si512();
    return _mm512_castsi512_ps(_mm512_or_si512(half(row), odd));
  }
#endif
  static UNROLLED_INLINE float* place(float* row, long chunk_stride, long column) {
    return Float::place(row, chunk_stride, column / 2);
  }
};
#endif

// What lies beyond `columns`, up to whole slots, is zero in both operands.
template <class Op>
UNROLLED_INLINE long slots(long columns) { return up(columns, Op::kPair * Op::kSlots) * Op::kSlots; }
// Floats that `rows` rows of `columns` columns take.
template <class Op>
UNROLLED_INLINE long rows_size(long rows, long columns) {
  return up(slots<Op>(columns), kChunk) * rows * kStride;
}

// sum[r][v] += a[r, k0:k1) * w[k0:k1, v). `a` is row 0, `w` is at slot k0 already.
template <class Op, int MR, int NV>
UNROLLED_INLINE void multiply(const float* a, long chunk_stride, const float* w, long k0,
                              long k1, vf (&sum)[MR][NV]) {
  a += k0 / kChunk * chunk_stride;
  long in = k0 % kChunk;
  for (long k = k0; k < k1;) {
    const long n = smaller(kChunk - in, k1 - k);
    const float* ap = a + in;
#pragma GCC unroll 1
    for (long i = 0; i < n; ++i) {
      if constexpr (kRegisters == 16 && MR < NV) {
        // A vector of weights is loaded once: in as many operands as rows it would take
        // more loads than the processor makes beside these products.
        vf av[MR];
#pragma GCC unroll 16
        for (int r = 0; r < MR; ++r) av[r] = all(ap[r * kStride]);
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const vf wv = in_register(load(w + v * W));
#pragma GCC unroll 16
          for (int r = 0; r < MR; ++r) sum[r][v] = Op::madd(av[r], wv, sum[r][v]);
        }
      } else {
        vf wv[NV];
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) wv[v] = load(w + v * W);
#pragma GCC unroll 16
        for (int r = 0; r < MR; ++r) {
          const vf b = all(ap[r * kStride]);
#pragma GCC unroll 4
          for (int v = 0; v < NV; ++v) sum[r][v] = Op::madd(b, wv[v], sum[r][v]);
        }
      }
      w += NV * W, ++ap;
    }
    k += n, in = 0, a += chunk_stride;
  }
}

// Few accumulators: several partial sums hide the latency of the multiply-add.
template <class Op, int MR, int NV, int KS>
UNROLLED_INLINE void multiply_split(const float* a, long chunk_stride, const float* w, long k0,
                                    long k1, vf (&sum)[MR][NV]) {
  vf part[KS][MR][NV] = {};
  a += k0 / kChunk * chunk_stride;
  long in = k0 % kChunk;
  for (long k = k0; k < k1;) {
    const long n = smaller(kChunk - in, k1 - k);
    const float* ap = a + in;
    long i = 0;
#pragma GCC unroll 1
    for (; i + KS <= n; i += KS) {
#pragma GCC unroll 8
      for (int s = 0; s < KS; ++s)
#pragma GCC unroll 4
        for (int r = 0; r < MR; ++r) {
          const vf b = all(ap[s + r * kStride]);
#pragma GCC unroll 4
          for (int v = 0; v < NV; ++v)
            part[s][r][v] = Op::madd(b, load(w + (s * NV + v) * W), part[s][r][v]);
        }
      w += KS * NV * W, ap += KS;
    }
#pragma GCC unroll 1
    for (; i < n; ++i, ++ap, w += NV * W)
#pragma GCC unroll 4
      for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v)
          part[0][r][v] = Op::madd(all(ap[r * kStride]), load(w + v * W), part[0][r][v]);
    k += n, in = 0, a += chunk_stride;
  }
#pragma GCC unroll 8
  for (int s = 0; s < KS; ++s)
#pragma GCC unroll 4
    for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) sum[r][v] += part[s][r][v];
}

// out[r][NV*W] = init[r] + a[r, k0:k1) * w. Rows of init and of out are so many floats apart
// (0: one row of init for all); init may be out.
template <class Op, int MR, int NV>
void tile(const float* a, long chunk_stride, const float* w, long k0, long k1,
          const float* init, long init_stride, float* out, long out_stride) {
  constexpr int kSums = MR * NV;
  constexpr int KS = kRegisters == 32 ? (kSums <= 4 ? 4 : kSums <= 8 ? 2 : 1)
                                      : (kSums <= 4 ? 2 : 1);
  vf sum[MR][NV];
#pragma GCC unroll 16
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) sum[r][v] = load(init + r * init_stride + v * W);
  if constexpr (KS > 1) multiply_split<Op, MR, NV, KS>(a, chunk_stride, w, k0, k1, sum);
  else multiply<Op, MR, NV>(a, chunk_stride, w, k0, k1, sum);
#pragma GCC unroll 16
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) store(out + r * out_stride + v * W, sum[r][v]);
}

// Rows of the largest tile that leaves the compiler enough registers. AVX-512 multiplies
// by a number in memory; elsewhere it takes a register.
template <class Op, int NV>
constexpr int max_rows() {
  if constexpr (Op::kTiles) return Op::kRows;
  if (kRegisters == 32) return NV == 4 ? (W == 16 ? 7 : 6) : NV == 3 ? 9 : 14;
  return NV == 4 ? 3 : NV == 3 ? 4 : 6;
}

// `tile` of `rows` rows, at most max_rows<Op, NV>.
template <class Op, int NV, int MR = max_rows<Op, NV>()>
UNROLLED_INLINE void tile_of(int rows, const float* a, long chunk_stride, const float* w,
                             long k0, long k1, const float* init, long init_stride,
                             float* out, long out_stride = NV * W) {
  if constexpr (Op::kTiles) {
    Op::template tile<NV>(rows, a, chunk_stride, w, k0, k1, init, init_stride, out, out_stride);
  } else if constexpr (MR > 0) {
    if (rows == MR)
      return tile<Op, MR, NV>(a, chunk_stride, w, k0, k1, init, init_stride, out, out_stride);
    tile_of<Op, NV, MR - 1>(rows, a, chunk_stride, w, k0, k1, init, init_stride, out, out_stride);
  }
}

// Calls f(first row, rows) over [0, rows) in tiles as even as can be.
template <class F>
UNROLLED_INLINE void tiled(long rows, int most, const F& f) {
  const long n = up(rows, most);
  for (long i = 1, r0 = 0, r1; i <= n; ++i, r0 = r1) {
    r1 = i == n ? rows : rows * i / n;  // a short product feels a division
    f(r0, static_cast<int>(r1 - r0));
  }
}

// c[m][2*W] (+)= sum over k of a[k][m] * (b0[k], b1[k]); rows of a, b0, b1 are kStride
// apart. For weight gradients: the summed axis is the rows.
template <class Op, int MR>
void outer(const float* a, const float* b0, const float* b1, long rows, float* c, bool first) {
  vf sum[MR][2];
#pragma GCC unroll 16
  for (int r = 0; r < MR; ++r)
    for (int v = 0; v < 2; ++v) sum[r][v] = first ? vf{} : load(c + (2 * r + v) * W);
#pragma GCC unroll 1
  for (long k = 0; k < rows; ++k, a += kStride, b0 += kStride, b1 += kStride) {
    const vf v0 = load(b0), v1 = load(b1);
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) {
      const vf x = all(a[r]);
      sum[r][0] = Op::madd(x, v0, sum[r][0]);
      sum[r][1] = Op::madd(x, v1, sum[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < MR; ++r) store(c + 2 * r * W, sum[r][0]), store(c + (2 * r + 1) * W, sum[r][1]);
}
// `outer` of `m` rows, at most max_rows<Op, 2>.
template <class Op, int MR = max_rows<Op, 2>()>
UNROLLED_INLINE void outer_of(int m, const float* a, const float* b0, const float* b1,
                              long rows, float* c, bool first) {
  if constexpr (Op::kTiles) {
    Op::outer(m, a, b0, b1, rows, c, first);
  } else if constexpr (MR > 0) {
    if (m == MR) return outer<Op, MR>(a, b0, b1, rows, c, first);
    outer_of<Op, MR - 1>(m, a, b0, b1, rows, c, first);
  }
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
