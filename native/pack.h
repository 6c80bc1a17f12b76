// Copies into the layouts of gemm.h.
#pragma once
#include "tiles.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

// A row of `columns` floats times `factor` (or null: 1), in whole slots; from null, zeros.
template <class Op>
UNROLLED_INLINE void pack_row(float* row, long chunk_stride, const float* from,
                              const float* factor, long columns, bool bf16) {
  for (long u = 0; u < slots<Op>(columns) * Op::kPair; u += W) {
    vf v = from && u < columns ? load_part(from + u, columns - u) : vf{};
    if (factor && from && u < columns) v *= load_part(factor + u, columns - u);
    Op::put(Op::place(row, chunk_stride, u), v, bf16);
  }
}

// Weights (K, G*U) -> panels [panel][slots(K)][NB][GN][W] of gates [first, first + GN),
// NB blocks of W units a panel, for some panels. Units beyond U read as zero.
template <class Op, int GN, int NB>
void pack_panels(const float* weights, long K, long U, long G, int first, Range panels,
                 bool bf16, float* out) {
  const long ld = G * U;
  for (long p = panels.from; p < panels.to; ++p) {
    float* to = out + p * slots<Op>(K) * GN * NB * W;
    for (long k = 0; k < slots<Op>(K) * Op::kPair; k += Op::kPair)
      for (int b = 0; b < NB; ++b)
        for (int g = 0; g < GN; ++g, to += W) {
          const long u = (p * NB + b) * W;
          const float* from = weights + k * ld + (first + g) * U + u;
          vf even = {}, odd = {};
          if (u < U && k < K) even = load_part(from, U - u);
          if (Op::kPair == 2 && u < U && k + 1 < K) odd = load_part(from + ld, U - u);
          store(to, Op::join(even, odd, bf16));
        }
  }
}

// One row (G*U) or null -> the same panel order, [panel][NB][GN][W].
template <int GN, int NB>
void pack_bias(const float* bias, long U, int first, long panels, float* out) {
  for (long p = 0; p < panels; ++p)
    for (int b = 0; b < NB; ++b)
      for (int g = 0; g < GN; ++g, out += W) {
        const long u = (p * NB + b) * W;
        store(out, bias && u < U ? load_part(bias + (first + g) * U + u, U - u) : vf{});
      }
}

// Transposes W vectors of W floats in registers: each stage swaps the off-diagonal
// quarters of ever smaller squares.
template <int S>
UNROLLED_INLINE void swap_quarters(vf (&row)[W]) {
  vi low, high;
#pragma GCC unroll 16
  for (int l = 0; l < W; ++l) low[l] = l & S ? W + l - S : l, high[l] = l & S ? W + l : l + S;
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i) {
    if (i & S) continue;
    const vf a = row[i], b = row[i + S];
    row[i] = shuffle(a, b, low), row[i + S] = shuffle(a, b, high);
  }
  if constexpr (S > 1) swap_quarters<S / 2>(row);
}

// to[c*W + r] = from[r*ld + c] for c in [0, columns), r in [0, rows); zeros elsewhere.
inline void transpose(const float* from, long ld, long rows, long columns, float* to) {
  vf row[W];
#pragma GCC unroll 16
  for (int r = 0; r < W; ++r) row[r] = r < rows ? load_part(from + r * ld, columns) : vf{};
  swap_quarters<W / 2>(row);
#pragma GCC unroll 16
  for (int c = 0; c < W; ++c) store(to + c * W, row[c]);
}

// Weights (K, G*U) -> transposed panels [panel][slots(columns)][2][W] over rows of K, for
// some panels; the summed axis is `columns` column groups of `padded` units each, group
// i taken from gate gate(i) of the cell C. Padding is zero.
template <class Op, class C>
void pack_transposed(const float* weights, long K, long U, int first, int columns, long padded,
                     Range panels, bool bf16, float* out) {
  const long ld = C::kGates * U;
  const long depth = slots<Op>(columns * padded);
  alignas(64) float part[2 * W * W];
  for (long p = panels.from; p < panels.to; ++p)
    for (int half = 0; half < 2; ++half) {
      const long row = (2 * p + half) * W;
      const long rows = row < K ? smaller(W, K - row) : 0;
      for (int i = 0; i < columns; ++i)
        for (long u = 0; u < padded; u += W) {
          const float* from = weights + row * ld + C::gate(first + i) * U + u;
          const long n = u < U ? smaller(W, U - u) : 0;
          if (rows && n) transpose(from, ld, rows, n, part);
          else for (long c = 0; c < W; ++c) store(part + c * W, vf{});
          float* to = out + (p * depth + (i * padded + u) / Op::kPair) * 2 * W + half * W;
          for (long c = 0; c < W; c += Op::kPair, to += 2 * W)
            store(to, Op::join(load(part + c * W), load(part + (c + Op::kPair - 1) * W), bf16));
        }
    }
}

// Rows whose slots are pairs of columns -> rows whose slots are pairs of rows, one slot a
// column: what `outer` sums over. Blocks [c0, c1) of W columns. `to` holds up(rows, 2)
// rows a chunk; for tiles, zeros follow up to a multiple of W.
template <class Op>
void pair_rows(const float* from, long rows, long c0, long c1, float* to) {
  const long half = up(rows, 2), deep = Op::kTiles ? up(half, W) * W : half;
  for (long c = c0; c < c1; ++c) {
    const long slot = c * W / 2, column = c * W;
    const float* in = from + slot / kChunk * rows * kStride + slot % kChunk;
    float* out = to + column / kChunk * deep * kStride + column % kChunk;
    for (long k = 0; k < half; ++k, in += 2 * kStride, out += kStride)
      store(out, Op::pair_of_rows(in, 2 * k + 1 < rows));
    for (long k = half; k < deep; ++k, out += kStride) store(out, vf{});
  }
}

// The same for a left operand of tiles: [chunk][pairs/W][kChunk columns][W pairs], where
// the last pairs are made up with zeros.
template <class Op>
void turn_pairs(const float* from, long rows, long c0, long c1, float* to) {
  const long half = up(rows, 2), deep = up(half, W);
  alignas(64) float block[W * W];
  for (long c = c0; c < c1; ++c) {
    const long slot = c * W / 2, column = c * W;
    const float* in = from + slot / kChunk * rows * kStride + slot % kChunk;
    float* out = to + column / kChunk * deep * W * kChunk + column % kChunk * W;
    for (long k0 = 0; k0 < half; k0 += W, out += W * kChunk) {
      const long n = smaller(W, half - k0);
      for (long k = 0; k < n; ++k, in += 2 * kStride)
        store(block + k * W, Op::pair_of_rows(in, 2 * (k0 + k) + 1 < rows));
      transpose(block, W, n, W, out);
    }
  }
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
