// Gradients of the weights: products summed over all rows of a chunk.
#pragma once
#include "frame.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

constexpr long kDepth = 1024;      // summed slots per pass, so that a panel stays in L2
constexpr long kRowsPerPass = 192; // summed rows per pass, so that a strip stays in L1
alignas(64) constexpr float kZeros[4 * W] = {};

// A left operand as gemm.h lays it out, and the same with rows, not columns, paired up.
template <class Op>
struct Rows {
  float *data, *paired;

  void take(Carver& carver, long rows, long columns) {
    const long width = up(columns, W) * W;
    data = carver.take(rows_size<Op>(rows, width));
    paired = Op::kPair == 1 ? data : carver.take(up(width, kChunk) * up(rows, 2) * kStride);
  }
  void pair(long rows, Range blocks) const {
    if constexpr (Op::kPair == 2) pair_rows<Op>(data, rows, blocks.from, blocks.to, paired);
    else (void)rows, (void)blocks;
  }
};

// d(weights) of `count` column groups from `first` on. Sums live in tile order,
// [pair of column blocks][height][2*W]; pairs are shared out among the threads.
template <class Op>
struct WeightGradient {
  float* sums;
  long height, blocks;  // rows of the weights; blocks of W units per column group
  int first, count;

  void layout(Carver& carver, long height_, int first_, int count_, long blocks_) {
    height = height_, first = first_, count = count_, blocks = blocks_;
    sums = carver.take(up(count * blocks, 2) * height * 2 * W);
  }

  // sums (+)= left^T @ z over `rows` rows.
  void add(const Rows<Op>& left, const Rows<Op>& z, long rows, int thread, int threads,
           bool fresh) const {
    const long depth = up(rows, Op::kPair), all_blocks = count * blocks;
    const Range mine = share(up(all_blocks, 2), thread, threads);
    const auto strip = [&](long block) {
      const long column = (first * blocks + block) * W;
      return z.paired + column / kChunk * depth * kStride + column % kChunk;
    };
    for (long k = 0; k < depth; k += kRowsPerPass)
      for (long pair = mine.from; pair < mine.to; ++pair) {
        const float* b0 = strip(2 * pair) + k * kStride;
        const float* b1 = strip(smaller(2 * pair + 1, all_blocks - 1)) + k * kStride;
        float* c = sums + pair * height * 2 * W;
        for (long m0 = 0; m0 < height; m0 += kChunk) {
          const float* a = left.paired + m0 / kChunk * depth * kStride + k * kStride;
          tiled(smaller(kChunk, height - m0), max_rows<2>(), [&](long m, int tall) {
            outer_of<Op, max_rows<2>()>(tall, a + m, b0, b1, smaller(kRowsPerPass, depth - k),
                                        c + (m0 + m) * 2 * W, fresh && k == 0);
          });
        }
      }
  }

  // out (height, G*U), row-major, in the cell's own gate order.
  template <class C>
  void write(float* out, long U, int thread, int threads) const {
    const Range mine = share(up(count * blocks, 2), thread, threads);
    for (long b = 2 * mine.from; b < smaller(2 * mine.to, count * blocks); ++b) {
      const long u = b % blocks * W;
      float* to = out + C::gate(first + static_cast<int>(b / blocks)) * U + u;
      const float* c = sums + b / 2 * height * 2 * W + b % 2 * W;
      for (long m = 0; m < height; ++m) store_part(to + m * C::kGates * U, load(c + m * 2 * W), U - u);
    }
  }
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
