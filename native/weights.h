// Gradients of the weights: products summed over all rows of a chunk.
#pragma once
#include "frame.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

constexpr long kDepth = 1024;      // summed slots per pass, so that a panel stays in L2
constexpr long kRowsPerPass = 224; // summed rows per pass, so that a strip stays in L1
alignas(64) constexpr float kZeros[4 * W] = {};

// A left operand as gemm.h lays it out, and the same with rows, not columns, paired up;
// kTurned: as tiles read it, a column's pairs side by side.
template <class Op, bool kTurned = false>
struct Rows {
  float *data, *paired;

  void take(Carver& carver, long rows, long columns) {
    const long width = up(columns, W) * W, pairs = up(rows, Op::kPair);
    data = carver.take(rows_size<Op>(rows, width));
    paired = Op::kPair == 1 ? data : carver.take(up(width, kChunk) * chunk(pairs));
  }
  void pair(long rows, Range blocks) const {
    if constexpr (kTurned) turn_pairs<Op>(data, rows, blocks.from, blocks.to, paired);
    else if constexpr (Op::kPair == 2) pair_rows<Op>(data, rows, blocks.from, blocks.to, paired);
    else (void)rows, (void)blocks;
  }
  // Where `outer` finds a column, from pair k of `pairs` on; k is a multiple of W.
  const float* column(long at, long k, long pairs) const {
    const long within = kTurned ? k * kChunk + at % kChunk * W : k * kStride + at % kChunk;
    return paired + at / kChunk * chunk(pairs) + within;
  }

 private:
  static long chunk(long pairs) {
    return (Op::kTiles ? up(pairs, W) * W : pairs) * (kTurned ? kChunk : kStride);
  }
};
template <class Op>
using LeftRows = Rows<Op, Op::kTiles>;

// d(weights) of `count` column groups from `first` on. Sums live in tile order,
// [pair of column blocks][height][2*W], once for each pool of rows. A pair belongs to a
// panel of two blocks of units, that in which it begins.
template <class Op>
struct WeightGradient {
  float* sums[kMaxThreads];
  long height, blocks;  // rows of the weights; blocks of W units per column group
  int first, count;

  void layout(Carver& carver, int pools, long height_, int first_, int count_, long blocks_) {
    height = height_, first = first_, count = count_, blocks = blocks_;
    for (int i = 0; i < pools; ++i) {
      carver.next_thread();
      sums[i] = carver.take(pairs() * height * 2 * W);
    }
  }

  // A pool's sums (+)= left^T @ z over its `rows` rows, for some panels.
  void add(const LeftRows<Op>& left, const Rows<Op>& z, long rows, int pool, Range panels,
           bool fresh) const {
    const long depth = up(rows, Op::kPair), all_blocks = count * blocks;
    const long pass = up(up(depth, up(depth, kRowsPerPass)), W) * W;
    for (long k = 0; k < depth; k += pass)
      each_pair(panels, [&](long pair) {
        const long next = smaller(2 * pair + 1, all_blocks - 1);
        const float* b0 = z.column((first * blocks + 2 * pair) * W, k, depth);
        const float* b1 = z.column((first * blocks + next) * W, k, depth);
        float* c = sums[pool] + pair * height * 2 * W;
        for (long m0 = 0; m0 < height; m0 += kChunk)
          tiled(smaller(kChunk, height - m0), max_rows<Op, 2>(), [&](long m, int tall) {
            outer_of<Op>(tall, left.column(m0 + m, k, depth), b0, b1, smaller(pass, depth - k),
                         c + (m0 + m) * 2 * W, fresh && k == 0);
          });
      });
  }

  // out (height, G*U), row-major, in the cell's own gate order: the sums of all pools.
  template <class C>
  void write(float* out, long U, int pools, Range panels) const {
    each_pair(panels, [&](long pair) {
      for (long b = 2 * pair; b < smaller(2 * pair + 2, count * blocks); ++b) {
        const long u = b % blocks * W, at = pair * height * 2 * W + b % 2 * W;
        if (u >= U) continue;
        float* to = out + C::gate(first + static_cast<int>(b / blocks)) * U + u;
        for (long m = 0; m < height; ++m) {
          store_part(to + m * C::kGates * U, total(at + m * 2 * W, pools), U - u);
        }
      }
    });
  }

  // Of all pools, a vector of the sums.
  UNROLLED_INLINE vf total(long at, int pools) const {
    vf sum = load(sums[0] + at);
    for (int i = 1; i < pools; ++i) sum += load(sums[i] + at);
    return sum;
  }
  long pairs() const { return up(count * blocks, 2); }

 private:
  template <class F>
  UNROLLED_INLINE void each_pair(Range panels, const F& f) const {
    for (long pair = 0; pair < pairs(); ++pair) {
      const long panel = 2 * pair % blocks / 2;
      if (panel >= panels.from && panel < panels.to) f(pair);
    }
  }
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
