// Sums over rows that are no product: the gradient of a bias or of a peephole.
#pragma once
#include "matrix.h"
#include "recipe.h"
#include "reduce.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

class RowSum {
 public:
  // What an instruction's sum is made of; carves a place for it, once for each pool of rows.
  void layout(Carver& carver, int pools, const Instruction& i) {
    size = 1, inner = -1;
    for (int axis = 3; axis >= 0; --axis) {
      const bool stays = i.out.stride[axis] != 0;
      kept[axis] = stays ? i.dim[axis] : 1, summed[axis] = stays ? 1 : i.dim[axis];
      from[axis] = i.in[0].stride[axis], to[axis] = i.out.stride[axis];
      own[axis] = stays ? size : 0;
      if (stays && inner < 0 && i.in[0].stride[axis] == 1) inner = axis;
      if (stays) size *= i.dim[axis];
    }
    // Vectors lie along an axis whose sums lie side by side.
    if (inner >= 0 && own[inner] != 1) inner = -1;
    for (int p = 0; p < pools; ++p) {
      carver.next_thread();
      sums[p] = carver.take(size);
    }
  }
  // What threads may share out; a pool's must all be added to.
  long panels() const { return inner < 0 ? 1 : up(kept[inner], kSide * W); }

  // Adds rows r of steps s at base + r*row + s*step to a pool's; fresh: to zeros.
  void add(const float* base, long row, long step, long R, long n, int pool, Range some, bool fresh) const {
    if (some.from == some.to) return;
    each_of(kept, inner, [&](const long (&at)[4]) {
      float* sum = sums[pool] + place(at, own);
      const float* x = base + place(at, from);
      if (inner < 0) {
        double total = fresh ? 0.0 : *sum;
        each_of(summed, -1, [&](const long (&of)[4]) {
          for (long s = 0; s < n; ++s)
            for (long r = 0; r < R; ++r) total += x[place(of, from) + r * row + s * step];
        });
        *sum = static_cast<float>(total);
        return;
      }
      for (long u = some.from * kSide * W; u < smaller(kept[inner], some.to * kSide * W); u += kSide * W) {
        const long wide = kept[inner] - u;
        vf part[kSide] = {};
        each_of(summed, -1, [&](const long (&of)[4]) {
          for (long s = 0; s < n; ++s) {
            const float* at_step = x + u + place(of, from) + s * step;
            if (wide >= kSide * W)
              for (long r = 0; r < R; ++r)
#pragma GCC unroll 4
                for (int v = 0; v < kSide; ++v) part[v] += load(at_step + r * row + v * W);
            else
              for (long r = 0; r < R; ++r)
                for (int v = 0; v * W < wide; ++v) part[v] += load_part(at_step + r * row + v * W, wide - v * W);
          }
        });
        for (int v = 0; v < kSide && v * W < wide; ++v) {
          float* out = sum + u + v * W;
          const long few = wide - v * W;
          store_part(out, fresh ? part[v] : load_part(out, few) + part[v], few);
        }
      }
    });
  }

  // Adds the sums of all pools to `out`.
  void write(float* out, int pools) const {
    each_of(kept, -1, [&](const long (&at)[4]) {
      float sum = 0;
      for (int p = 0; p < pools; ++p) sum += sums[p][place(at, own)];
      out[place(at, to)] += sum;
    });
  }

 private:
  static constexpr int kSide = 4;  // vectors of sums in registers
  static UNROLLED_INLINE long place(const long (&at)[4], const long (&stride)[4]) {
    return at[0] * stride[0] + at[1] * stride[1] + at[2] * stride[2] + at[3] * stride[3];
  }
  // Calls f at each place of these axes, but for one that stays at 0.
  template <class F>
  static UNROLLED_INLINE void each_of(const long (&dim)[4], int but, const F& f) {
    const auto length = [&](int axis) { return axis == but ? 1 : dim[axis]; };
    long at[4];
    for (at[0] = 0; at[0] < length(0); ++at[0])
      for (at[1] = 0; at[1] < length(1); ++at[1])
        for (at[2] = 0; at[2] < length(2); ++at[2])
          for (at[3] = 0; at[3] < length(3); ++at[3]) f(at);
  }

  // Lengths of axes; strides of what is read, of what is written, and of the sums.
  long kept[4], summed[4], from[4], to[4], own[4];
  long size;
  int inner;  // the axis of vectors; -1: there is none
  float* sums[kMaxThreads];
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
