// Several vectors taken through the same steps side by side: while one waits for its last
// result, the processor works on another. Written once for one vector and for many, the
// functions of simd.h and the cells of gates.h take either.
#pragma once
#include "simd.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

template <int N>
struct Many {
  vf v[N];

  template <class F>
  static UNROLLED_INLINE Many each(const F& f) {
    Many out;
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) out.v[i] = f(i);
    return out;
  }
};

#define UNROLLED_OPERATOR(op)                                                       \
  template <int N>                                                                  \
  UNROLLED_INLINE Many<N> operator op(const Many<N>& a, const Many<N>& b) {         \
    return Many<N>::each([&](int i) { return a.v[i] op b.v[i]; });                  \
  }                                                                                 \
  template <int N>                                                                  \
  UNROLLED_INLINE Many<N> operator op(const Many<N>& a, float b) {                  \
    return Many<N>::each([&](int i) { return a.v[i] op b; });                       \
  }                                                                                 \
  template <int N>                                                                  \
  UNROLLED_INLINE Many<N> operator op(float a, const Many<N>& b) {                  \
    return Many<N>::each([&](int i) { return a op b.v[i]; });                       \
  }
UNROLLED_OPERATOR(+)
UNROLLED_OPERATOR(-)
UNROLLED_OPERATOR(*)
UNROLLED_OPERATOR(/)
#undef UNROLLED_OPERATOR

#define UNROLLED_FUNCTION(name)                                                     \
  template <int N>                                                                  \
  UNROLLED_INLINE Many<N> name(const Many<N>& x) {                                  \
    return Many<N>::each([&](int i) { return name(x.v[i]); });                      \
  }
UNROLLED_FUNCTION(magnitude)
UNROLLED_FUNCTION(reciprocal)
UNROLLED_FUNCTION(two_to)
#undef UNROLLED_FUNCTION

template <int N>
UNROLLED_INLINE Many<N> multiply_add(const Many<N>& a, const Many<N>& b, const Many<N>& c) {
  return Many<N>::each([&](int i) { return multiply_add(a.v[i], b.v[i], c.v[i]); });
}
template <int N>
UNROLLED_INLINE Many<N> at_most(const Many<N>& x, float limit) {
  return Many<N>::each([&](int i) { return at_most(x.v[i], limit); });
}
template <int N>
UNROLLED_INLINE Many<N> at_least(const Many<N>& x, float limit) {
  return Many<N>::each([&](int i) { return at_least(x.v[i], limit); });
}
template <int N>
UNROLLED_INLINE Many<N> with_sign(const Many<N>& x, const Many<N>& of) {
  return Many<N>::each([&](int i) { return with_sign(x.v[i], of.v[i]); });
}
template <int N>
UNROLLED_INLINE Many<N> if_less(const Many<N>& a, float limit, const Many<N>& b,
                                const Many<N>& c) {
  return Many<N>::each([&](int i) { return if_less(a.v[i], limit, b.v[i], c.v[i]); });
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
