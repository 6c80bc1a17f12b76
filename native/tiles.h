// Products of bfloat16 on the tile registers of AMX. A tile is up to 16 rows of 16 slots:
// as left operand rows of a, as right operand slots of a panel, as sum rows of the result.
// Squares of two by two sums let each operand, once loaded, be multiplied twice.
#pragma once
#include "gemm.h"

#if defined(UNROLLED_TILES)
namespace unrolled { namespace UNROLLED_NS { namespace {

constexpr int kSide = 16;
static_assert(kSide == W, "a tile's row is a vector");

// What the processor reads to learn the sizes of the eight tiles.
struct alignas(64) TileSizes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// The six instructions. The registers are the thread's; the compiler knows nothing of them.
#if defined(UNROLLED_MODEL)
struct ModelTile { int rows, slots; float slot[kSide][kSide]; };
thread_local ModelTile model_tile[8];

inline void tile_sizes(const TileSizes& sizes) {
  for (int t = 0; t < 8; ++t) model_tile[t] = {sizes.rows[t], sizes.row_bytes[t] / 4, {}};
}
template <int T> void tile_load(const float* p, long stride) {
  ModelTile& t = model_tile[T];
  for (int r = 0; r < t.rows; ++r) memcpy(t.slot[r], p + r * stride, 4 * t.slots);
}
template <int T> void tile_store(float* p, long stride) {
  const ModelTile& t = model_tile[T];
  for (int r = 0; r < t.rows; ++r) memcpy(p + r * stride, t.slot[r], 4 * t.slots);
}
template <int T> void tile_zero() { memset(model_tile[T].slot, 0, sizeof model_tile[T].slot); }
template <int C, int A, int B> void tile_multiply() {
  const ModelTile &a = model_tile[A], &b = model_tile[B];
  for (int r = 0; r < model_tile[C].rows; ++r)
    for (int k = 0; k < a.slots; ++k)
      for (int v = 0; v < b.slots; ++v)
        for (int half = 0; half < 2; ++half)
          model_tile[C].slot[r][v] += Bfloat16::wide(a.slot[r][k], half) * Bfloat16::wide(b.slot[k][v], half);
}
inline void tile_release() {}
#else
UNROLLED_INLINE void tile_sizes(const TileSizes& sizes) {
  asm volatile("ldtilecfg %0" : : "m"(sizes));
}
template <int T> UNROLLED_INLINE void tile_load(const float* p, long stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(4 * stride), "i"(T) : "memory");
}
template <int T> UNROLLED_INLINE void tile_store(float* p, long stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(4 * stride), "i"(T) : "memory");
}
template <int T> UNROLLED_INLINE void tile_zero() { asm volatile("tilezero %%tmm%c0" : : "i"(T)); }
template <int C, int A, int B> UNROLLED_INLINE void tile_multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
}
// A thread that leaves tiles in use makes every switch to another one dearer.
UNROLLED_INLINE void tile_release() { asm volatile("tilerelease"); }
#endif

// Sums are tiles 0 to 3, two of 16 columns a row; 4 and 5 the rows' operands, 6 and 7 the
// columns'. To set the sizes takes longer than many a product, and most calls want those of
// the last one.
thread_local int rows_now = 0;
inline void shape_tiles(int rows) {
  if (rows == rows_now) return;
  rows_now = rows;
  TileSizes sizes;
  const int high = rows < kSide ? rows : kSide, low = rows - high;
  const int tall[8] = {high, high, low, low, high, low, kSide, kSide};
  for (int t = 0; t < 8; ++t) {
    sizes.rows[t] = static_cast<uint8_t>(tall[t]);
    sizes.row_bytes[t] = tall[t] ? 64 : 0;
  }
  tile_sizes(sizes);
}

inline void leave_tiles() {
  tile_release();
  rows_now = 0;
}

// A square of sums; kLow: it has more than 16 rows, kRight: more than 16 columns.
template <bool kLow, bool kRight>
struct Square {
  static UNROLLED_INLINE void zero() {
    tile_zero<0>();
    if constexpr (kRight) tile_zero<1>();
    if constexpr (kLow) tile_zero<2>();
    if constexpr (kLow && kRight) tile_zero<3>();
  }
  static UNROLLED_INLINE void load(const float* c, long stride) {
    tile_load<0>(c, stride);
    if constexpr (kRight) tile_load<1>(c + kSide, stride);
    if constexpr (kLow) tile_load<2>(c + kSide * stride, stride);
    if constexpr (kLow && kRight) tile_load<3>(c + kSide * stride + kSide, stride);
  }
  static UNROLLED_INLINE void store(float* c, long stride) {
    tile_store<0>(c, stride);
    if constexpr (kRight) tile_store<1>(c + kSide, stride);
    if constexpr (kLow) tile_store<2>(c + kSide * stride, stride);
    if constexpr (kLow && kRight) tile_store<3>(c + kSide * stride + kSide, stride);
  }
  static UNROLLED_INLINE void add(const float* a, long a_stride, const float* b0, const float* b1,
                                  long b_stride) {
    tile_load<4>(a, a_stride);
    tile_load<6>(b0, b_stride);
    tile_multiply<0, 4, 6>();
    if constexpr (kRight) tile_load<7>(b1, b_stride), tile_multiply<1, 4, 7>();
    if constexpr (kLow) tile_load<5>(a + kSide * a_stride, a_stride), tile_multiply<2, 5, 6>();
    if constexpr (kLow && kRight) tile_multiply<3, 5, 7>();
  }
};
// Calls f(Square) with the square that has `rows` rows and one or two tiles of columns.
template <class F>
UNROLLED_INLINE void with_square(int rows, bool right, const F& f) {
  if (rows > kSide) right ? f(Square<true, true>()) : f(Square<true, false>());
  else right ? f(Square<false, true>()) : f(Square<false, false>());
}

struct Tiles : Bfloat16 {
  static constexpr bool kTiles = true;
  static constexpr int kSlots = kSide;
  static constexpr int kRows = 2 * kSide;
  // A product of tiles takes some 50 cycles until its sum is there: too few rows wait.
  static constexpr int kFewRows = 3;

  // As gemm.h's tile.
  template <int NV>
  static void tile(int rows, const float* a, long chunk_stride, const float* w, long k0, long k1,
                   const float* init, long init_stride, float* out, long out_stride) {
    if (rows <= kFewRows)
      return tile_of<Bfloat16, NV>(rows, a, chunk_stride, w, k0, k1, init, init_stride, out,
                                   out_stride);
    shape_tiles(rows);
    for (int v = 0; v < NV; v += 2)
      with_square(rows, v + 1 < NV, [&](auto square) {
        square.load(init + v * W, init_stride);
        const float* panel = w + v * W;
        for (long k = k0; k < k1; k += kSide, panel += kSide * NV * W)
          square.add(a + k / kChunk * chunk_stride + k % kChunk, kStride, panel, panel + W, NV * W);
        square.store(out + v * W, out_stride);
      });
  }

  // As gemm.h's outer, but rows of a, one a column of the result, are kSide apart, and
  // each further kSide slots kChunk rows on. Both operands go on with zeros up to whole tiles.
  static void outer(int tall, const float* a, const float* b0, const float* b1, long rows,
                    float* c, bool first) {
    shape_tiles(tall);
    with_square(tall, true, [&](auto square) {
      if (first) square.zero();
      else square.load(c, 2 * W);
      for (long k = 0; k < rows; k += kSide)
        square.add(a + k * kChunk, kSide, b0 + k * kStride, b1 + k * kStride, kStride);
      square.store(c, 2 * W);
    });
  }
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
#endif
