// How an instruction of a program walks over a block of rows.
#pragma once
#include "elementwise.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

// Axes of an instruction, outermost first, as few as there can be. Axis 0 has the rows: so
// many times its length, where it is walked.
struct Axes {
  int count;
  long dim[5], stride[1 + kMostReads][5];
};

// The rows, `row[k]` floats apart in operand k, and the first `own` axes of an instruction.
inline Axes axes_of(const Instruction& i, const long (&row)[1 + kMostReads], int own) {
  const View* const view[] = {&i.out, &i.in[0], &i.in[1], &i.in[2]};
  Axes a{};
  a.count = 1, a.dim[0] = 1;
  for (int k = 0; k <= kMostReads; ++k) a.stride[k][0] = row[k];
  for (int axis = 0; axis < own; ++axis) {
    const long d = i.dim[axis];
    if (d == 1) continue;
    int last = a.count - 1;
    bool joins = true;  // the axis goes on where one element of the one before it ends
    for (int k = 0; k <= kMostReads; ++k)
      joins = joins && a.stride[k][last] == d * view[k]->stride[axis];
    if (!joins) a.dim[last = a.count++] = 1;
    a.dim[last] *= d;
    for (int k = 0; k <= kMostReads; ++k) a.stride[k][last] = view[k]->stride[axis];
  }
  return a;
}

// Calls f(out, in) at each place of the outermost `outer` axes.
template <class F>
UNROLLED_INLINE void each_place(const Axes& a, int outer, long rows, float* out,
                                const float* const* in, const F& f) {
  long at[5] = {};
  const float* from[kMostReads] = {in[0], in[1], in[2]};
  for (;;) {
    f(out, from);
    int axis = outer - 1;
    for (; axis >= 0; --axis) {
      const long length = axis ? a.dim[axis] : a.dim[0] * rows;
      const bool more = ++at[axis] < length;
      const long by = more ? 1 : 1 - length;
      if (!more) at[axis] = 0;
      out += by * a.stride[0][axis];
      for (int k = 0; k < kMostReads; ++k)
        if (from[k]) from[k] += by * a.stride[1 + k][axis];
      if (more) break;
    }
    if (axis < 0) return;
  }
}

// Whether whole vectors can be loaded and stored along an axis.
inline bool is_plain(const Axes& a, int axis) {
  for (int k = 1; k <= kMostReads; ++k)
    if (a.stride[k][axis] != 0 && a.stride[k][axis] != 1) return false;
  return a.stride[0][axis] == 1;
}

// Axes of an elementwise instruction: where the innermost is none for vectors, the longest
// that is takes its place.
inline Axes elementwise_axes(const Instruction& i, const long (&row)[1 + kMostReads]) {
  Axes a = axes_of(i, row, 4);
  const int last = a.count - 1;
  int best = last;
  for (int axis = 1; axis < last; ++axis)
    if (is_plain(a, axis) && (!is_plain(a, best) || a.dim[axis] > a.dim[best])) best = axis;
  if (is_plain(a, last) || best == last) return a;
  for (int k = 0; k <= kMostReads; ++k) {
    const long stride = a.stride[k][best];
    a.stride[k][best] = a.stride[k][last], a.stride[k][last] = stride;
  }
  const long d = a.dim[best];
  a.dim[best] = a.dim[last], a.dim[last] = d;
  return a;
}

// Along an axis that is none for vectors: elements are collected, and put back, some at a
// time.
inline void scattered(SheetOf apply, const Axes& a, long n, float* out, const float* const* in) {
  constexpr long kSome = 16 * W;
  alignas(64) float part[1 + kMostReads][kSome];
  const int last = a.count - 1;
  for (long j = 0; j < n; j += kSome) {
    const long some = smaller(kSome, n - j);
    Sheet s{1, some, {}, {1}};
    const float* from[kMostReads] = {};
    for (int k = 0; k < kMostReads && in[k]; ++k) {
      const long stride = a.stride[1 + k][last];
      from[k] = in[k] + j * stride, s.across[1 + k] = stride == 0 ? 0 : 1;
      if (stride == 0 || stride == 1) continue;
      for (long l = 0; l < some; ++l) part[1 + k][l] = from[k][l * stride];
      from[k] = part[1 + k];
    }
    const long stride = a.stride[0][last];
    apply(s, stride == 1 ? out + j : part[0], from);
    for (long l = 0; l < some && stride != 1; ++l) out[(j + l) * stride] = part[0][l];
  }
}

// The two innermost axes, if there are as many.
inline Sheet sheet_of(const Axes& a, long rows) {
  const int last = a.count - 1;
  const auto length = [&](int axis) { return axis ? a.dim[axis] : a.dim[0] * rows; };
  Sheet s{last ? length(last - 1) : 1, length(last), {}, {}};
  for (int k = 0; k <= kMostReads; ++k)
    s.across[k] = a.stride[k][last], s.down[k] = last ? a.stride[k][last - 1] : 0;
  return s;
}

inline void elementwise(SheetOf apply, const Axes& a, long rows, float* out, const float* const* in) {
  const int last = a.count - 1;
  if (!is_plain(a, last))
    return each_place(a, last, rows, out, in, [&](float* to, const float* const* from) {
      scattered(apply, a, last ? a.dim[last] : a.dim[0] * rows, to, from);
    });
  const Sheet s = sheet_of(a, rows);
  if (last < 2) return apply(s, out, in);
  each_place(a, last - 1, rows, out, in,
             [&](float* to, const float* const* from) { apply(s, to, from); });
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
