// A few rows times a packed panel of weights, for each way of storing weights.
//
// A panel holds NV vectors of W output columns as [slots][NV][W]: read once, from end to
// end. A slot covers kInputs neighbouring inputs of one column.
#pragma once
#include <cstring>

#include "simd.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

struct StoredFloat32 {
  using Row = float;  // what the left operand is made of
  using Sum = vf;
  static constexpr int kInputs = 1;
  static constexpr long kBytes = 4 * W;  // one slot of one vector
  static constexpr bool kScaled = false;
  static void put(char* vector, int lane, int, float v) { memcpy(vector + 4 * lane, &v, 4); }

  template <int NV, int MR>
  static UNROLLED_INLINE void madd(const char* w, const Row* a, long stride, Sum (&sum)[MR][NV]) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const vf weight = load(reinterpret_cast<const float*>(w + v * kBytes));
#pragma GCC unroll 4
      for (int r = 0; r < MR; ++r) sum[r][v] += all(a[r * stride]) * weight;
    }
  }
  static UNROLLED_INLINE vf value(Sum sum) { return sum; }
};

// Rounded to bfloat16 in memory, widened to float32 before use: two inputs in four bytes.
struct StoredBfloat16 {
  using Row = float;
  using Sum = vf;
  static constexpr int kInputs = 2;
  static constexpr long kBytes = 4 * W;
  static constexpr bool kScaled = false;
  static void put(char* vector, int lane, int input, float v) {
    uint32_t bits;
    memcpy(&bits, &v, 4);
    const uint16_t half = static_cast<uint16_t>(bits >> 16);
    memcpy(vector + 4 * lane + 2 * input, &half, 2);
  }

  template <int NV, int MR>
  static UNROLLED_INLINE void madd(const char* w, const Row* a, long stride, Sum (&sum)[MR][NV]) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const vi both = reinterpret_cast<vi>(load(reinterpret_cast<const float*>(w + v * kBytes)));
      const vf even = reinterpret_cast<vf>(both << 16);
      const vf odd = reinterpret_cast<vf>(both & static_cast<int>(0xffff0000u));
#pragma GCC unroll 4
      for (int r = 0; r < MR; ++r) {
        sum[r][v] += all(a[r * stride]) * even;
        sum[r][v] += all(a[r * stride + 1]) * odd;
      }
    }
  }
  static UNROLLED_INLINE vf value(Sum sum) { return sum; }
};

// 8-bit weights; rows are rounded to 16 bits at each step (quantize), which costs a
// hundredth of the error that 8-bit weights have. Sums are whole numbers and exact.
struct StoredInt8 {
  using Row = int16_t;
  using Sum = vi;
  static constexpr int kInputs = 2;
  static constexpr long kBytes = 2 * W;
  static constexpr bool kScaled = true;
  static void put(char* vector, int lane, int input, float v) {
    vector[2 * lane + input] = static_cast<char>(static_cast<int8_t>(v));
  }

  // Adds up neighbouring products of 2W 16-bit numbers.
  template <int NV, int MR>
  static UNROLLED_INLINE void madd(const char* w, const Row* a, long stride, Sum (&sum)[MR][NV]) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const char* at = w + v * kBytes;
#if defined(__AVX512BW__)
      const __m512i weight = _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
#elif defined(__AVX2__)
      const __m256i weight = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
#elif defined(__SSE2__)
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
      const __m128i weight = _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
#elif defined(__aarch64__)
      const int16x8_t weight = vmovl_s8(vld1_s8(reinterpret_cast<const int8_t*>(at)));
      const int16x4_t even = vget_low_s16(vuzp1q_s16(weight, weight));
      const int16x4_t odd = vget_low_s16(vuzp2q_s16(weight, weight));
#else
      int16_t pair[W];
      memcpy(pair, at, sizeof pair);
      vi both;
      for (int l = 0; l < W; ++l) both[l] = pair[l];
      const vi even = (both << 24) >> 24, odd = both >> 8;
#endif
#pragma GCC unroll 4
      for (int r = 0; r < MR; ++r) {
        int32_t two;
        memcpy(&two, a + r * stride, 4);
#if defined(__AVX512VNNI__)
        sum[r][v] = reinterpret_cast<vi>(_mm512_dpwssd_epi32(
            reinterpret_cast<__m512i>(sum[r][v]), weight, _mm512_set1_epi32(two)));
#elif defined(__AVX512BW__)
        sum[r][v] += reinterpret_cast<vi>(_mm512_madd_epi16(weight, _mm512_set1_epi32(two)));
#elif defined(__AVX2__)
        sum[r][v] += reinterpret_cast<vi>(_mm256_madd_epi16(weight, _mm256_set1_epi32(two)));
#elif defined(__SSE2__)
        sum[r][v] += reinterpret_cast<vi>(_mm_madd_epi16(weight, _mm_set1_epi32(two)));
#elif defined(__aarch64__)
        const int16x4_t pair = vreinterpret_s16_s32(vdup_n_s32(two));
        sum[r][v] = reinterpret_cast<vi>(vmlal_lane_s16(
            vmlal_lane_s16(reinterpret_cast<int32x4_t>(sum[r][v]), even, pair, 0), odd, pair, 1));
#else
        (void)two;
        sum[r][v] += even * a[r * stride];
        sum[r][v] += odd * a[r * stride + 1];
#endif
      }
    }
  }
  static UNROLLED_INLINE vf value(Sum sum) { return __builtin_convertvector(sum, vf); }
};

// out[r][v] = a[r, :] * w[:, v]; returns where the weights end.
template <class S, int NV, int MR>
UNROLLED_INLINE const char* product(const typename S::Row* a, long stride, const char* w,
                                    long slots, vf (&out)[MR][NV]) {
  // Sums that do not wait for each other: some eight hide the latency of a multiply-add.
  constexpr int UN = MR > 1 ? 1 : NV == 1 ? 8 : NV == 2 ? 4 : 2;
  typename S::Sum sum[UN][MR][NV] = {};
  long k = 0;
  for (; k + UN <= slots; k += UN) {
#pragma GCC unroll 8
    for (int u = 0; u < UN; ++u)
      S::template madd<NV, MR>(w + u * NV * S::kBytes, a + (k + u) * S::kInputs, stride, sum[u]);
    w += UN * NV * S::kBytes;
  }
  for (; k < slots; ++k, w += NV * S::kBytes)
    S::template madd<NV, MR>(w, a + k * S::kInputs, stride, sum[0]);
#pragma GCC unroll 4
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
#pragma GCC unroll 8
      for (int u = 1; u < UN; ++u) sum[0][r][v] += sum[u][r][v];
      out[r][v] = S::value(sum[0][r][v]);
    }
  return w;
}

// The largest whole number a row is rounded to: K products with 127 stay within 32 bits.
UNROLLED_INLINE float int8_row_limit(long K) {
  const long limit = 2147483647L / (127 * K);
  return static_cast<float>(limit < 32767 ? limit : 32767);
}

typedef int16_t halves __attribute__((vector_size(2 * W)));

// Rounds n numbers, and zeros up to a whole vector; returns what one unit stands for. A row that holds NaN or infinity
// returns NaN: all its products are then NaN.
inline float quantize(const float* from, long n, int16_t* to) {
  vi most = {};  // magnitudes of floats are ordered as their bits are, NaN above all
  for (long k = 0; k < n; k += W) {
    const vi bits = reinterpret_cast<vi>(load_part(from + k, n - k)) & 0x7fffffff;
    most = bits > most ? bits : most;
  }
  int32_t top = 0;
  for (int l = 0; l < W; ++l) top = most[l] > top ? most[l] : top;
  float largest;
  memcpy(&largest, &top, 4);
  const float limit = int8_row_limit(n);
  const bool usable = top > 0x00800000 + (20 << 23) && top < 0x7f800000;
  const float factor = usable ? limit / largest : 0.0f;
  for (long k = 0; k < n; k += W) {
    const vi whole = __builtin_convertvector(round(load_part(from + k, n - k) * factor), vi);
    const halves narrow = __builtin_convertvector(whole, halves);
    memcpy(to + k, &narrow, sizeof narrow);
  }
  return top >= 0x7f800000 ? largest - largest : usable ? largest / limit : 0.0f;
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
