// Instructions of a program that sum over an axis of a row: sums, maxima and minima, and
// products over a row's own memory.
#pragma once
#include "axes.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

struct Total {
  static constexpr float kStart = 0.0f;
  static UNROLLED_INLINE vf join(vf a, vf b) { return a + b; }
};
struct Largest {
  static constexpr float kStart = -__builtin_inff();
  static UNROLLED_INLINE vf join(vf a, vf b) { return fn_max(a, b); }
};
struct Smallest {
  static constexpr float kStart = __builtin_inff();
  static UNROLLED_INLINE vf join(vf a, vf b) { return fn_min(a, b); }
};

// All lanes joined, in each lane.
template <class J, int S = W / 2>
UNROLLED_INLINE vf across_lanes(vf v) {
  vi other;
#pragma GCC unroll 16
  for (int l = 0; l < W; ++l) other[l] = l ^ S;
  v = J::join(v, shuffle(v, v, other));
  if constexpr (S > 1) v = across_lanes<J, S / 2>(v);
  return v;
}

// The first n of W elements, `stride` apart; others `rest`.
UNROLLED_INLINE vf collect(const float* from, long stride, long n, float rest) {
  if (stride == 1 && n >= W) return load(from);
  alignas(64) float part[W];
  for (long l = 0; l < W; ++l) part[l] = l < n ? from[l * stride] : rest;
  return load(part);
}

// Partial results: the digits of a sum of many stay, and no vector waits for the last.
constexpr int kPartial = 4;

// Joins n elements each(j) .. of a row, W at a time; each(j, many) has the start in lanes
// from `many` on.
template <class J, class Each>
UNROLLED_INLINE float joined(long n, const Each& each) {
  vf part[kPartial];
  for (vf& p : part) p = all(J::kStart);
  long j = 0;
  for (; j + kPartial * W <= n; j += kPartial * W)
#pragma GCC unroll 4
    for (int p = 0; p < kPartial; ++p) part[p] = J::join(part[p], each(j + p * W, W));
  for (int p = 0; j < n; j += W, ++p) part[p] = J::join(part[p], each(j, smaller(W, n - j)));
  return across_lanes<J>(J::join(J::join(part[0], part[1]), J::join(part[2], part[3])))[0];
}

// Joins vectors each(j), j from 0 to n: a result in each lane.
template <class J, class Each>
UNROLLED_INLINE vf joined_lanes(long n, const Each& each) {
  vf part[kPartial];
  for (vf& p : part) p = all(J::kStart);
  long j = 0;
  for (; j + kPartial <= n; j += kPartial)
#pragma GCC unroll 4
    for (int p = 0; p < kPartial; ++p) part[p] = J::join(part[p], each(j + p));
  for (int p = 0; j < n; ++j, ++p) part[p] = J::join(part[p], each(j));
  return J::join(J::join(part[0], part[1]), J::join(part[2], part[3]));
}

// `a` has the rows and axes 0 to 2 of out and of what is read; d3 is joined.
template <class J>
void reduce(const Instruction& i, const Axes& a, long rows, float* out, const float* const* in) {
  const long n = i.dim[3], stride = i.in[0].stride[3];
  const int last = a.count - 1;
  if (stride != 1 && n > 1 && a.stride[0][last] == 1 && a.stride[1][last] == 1) {
    const long wide = last ? a.dim[last] : a.dim[0] * rows;
    return each_place(a, last, rows, out, in, [&](float* to, const float* const* from) {
      for (long u = 0; u < wide; u += W)
        store_part(to + u, joined_lanes<J>(n, [&](long j) {
          return load_part(from[0] + u + j * stride, wide - u);
        }), wide - u);
    });
  }
  each_place(a, a.count, rows, out, in, [&](float* to, const float* const* from) {
    *to = joined<J>(n, [&](long j, long many) {
      return collect(from[0] + j * stride, stride, many, J::kStart);
    });
  });
}

// out[i1, i2] (+)= sum over i3 of one row's in0[i1, i3] * in1[i2, i3]; what a row of the
// sum adds to is in2[i1, i2], if there.
struct Contraction {
  long d1, d2, d3;
  long out1, out2, left1, left3, right2, right3, init1, init2;
};
inline void contract_place(const Contraction& c, float* out, const float* left, const float* right,
                           const float* init) {
  const auto start = [&](long i, long j) { return init ? init[i * c.init1 + j * c.init2] : 0.0f; };
  for (long i = 0; i < c.d1; ++i, out += c.out1) {
    const float* a = left + i * c.left1;
    if (c.right2 == 1 && c.out2 == 1 && (c.d2 > 1 || c.right3 != 1)) {
      for (long u = 0; u < c.d2; u += W) {
        const long n = smaller(W, c.d2 - u);
        vf sum = joined_lanes<Total>(c.d3, [&](long k) {
          return all(a[k * c.left3]) * load_part(right + u + k * c.right3, n);
        });
        if (init) sum += collect(init + i * c.init1 + u * c.init2, c.init2, n, 0.0f);
        store_part(out + u, sum, n);
      }
    } else {
      for (long j = 0; j < c.d2; ++j) {
        const float* b = right + j * c.right2;
        const float sum = joined<Total>(c.d3, [&](long k, long many) {
          return collect(a + k * c.left3, c.left3, many, 0.0f) *
                 collect(b + k * c.right3, c.right3, many, 0.0f);
        });
        out[j * c.out2] = sum + start(i, j);
      }
    }
  }
}

// `a` has the rows and axis 0.
inline void contract(const Instruction& i, const Axes& a, long rows, float* out, const float* const* in) {
  const View &left = i.in[0], &right = i.in[1], &init = i.in[2];
  Contraction c{i.dim[1], i.dim[2], i.dim[3], i.out.stride[1], i.out.stride[2], left.stride[1],
                left.stride[3], right.stride[2], right.stride[3], init.stride[1], init.stride[2]};
  // Which of the two is the left one is all the same: vectors lie along the other's axis.
  const bool as_it_is = c.right2 == 1 && c.out2 == 1 && (c.d2 > 1 || c.right3 != 1);
  const bool turned = !as_it_is && c.left1 == 1 && c.out1 == 1 && (c.d1 > 1 || c.left3 != 1);
  if (turned)
    c = {c.d2, c.d1, c.d3, c.out2, c.out1, c.right2, c.right3, c.left1, c.left3, c.init2, c.init1};
  each_place(a, a.count, rows, out, in, [&](float* to, const float* const* from) {
    contract_place(c, to, from[turned ? 1 : 0], from[turned ? 0 : 1], from[2]);
  });
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
