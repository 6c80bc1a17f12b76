// The layers of a step that are no matrix product.
#pragma once
#include <cmath>
#include <cstring>

#include "gates.h"
#include "program.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

// An activation of a Dense or Activation layer.
inline float pointwise_one(const StepLayer& l, float x) {
  switch (l.activation) {
    case kRamp: return x >= l.b ? l.b : x >= l.c ? x : l.a == 0 && x == x ? 0.0f : l.a * (x - l.c);
    case kElu: return x > 0 ? x : l.a * ::expm1f(x);
    case kSoftplus: return (x > 0 ? x : 0.0f) + ::log1pf(::expf(x > 0 ? -x : x));
    default: return x * 0.5f * ::erfcf(x * -0.70710678f);  // kGelu
  }
}
inline vf pointwise(const StepLayer& l, vf x) {
  if (l.activation <= kLinear) return Chosen::value(l.activation, x);
  if (l.activation == kSilu) return x * sigmoid(x);
  for (int i = 0; i < W; ++i) x[i] = pointwise_one(l, x[i]);
  return x;
}

// sum of each(x[k]) over n; lanes beyond n are left out.
template <class Each>
UNROLLED_INLINE float sum_of(const float* x, long n, Each each) {
  vf sums = {};
  long k = 0;
  for (; k + W <= n; k += W) sums += each(load(x + k));
  double total = 0;
  for (int i = 0; i < W; ++i) total += sums[i];
  if (k < n) {
    const vf rest = each(load_part(x + k, n - k));
    for (int i = 0; k + i < n; ++i) total += rest[i];
  }
  return static_cast<float>(total);
}

inline void normalize_row(const StepLayer& l, const StepRoom& room, const float* x, float* y) {
  const long n = l.U;
  const float mean = l.b != 0 ? 0.0f : sum_of(x, n, [](vf v) { return v; }) / n;
  const float square = sum_of(x, n, [&](vf v) { return (v - mean) * (v - mean); }) / n;
  const float factor = 1.0f / ::sqrtf(square + l.a);
  for (long k = 0; k < n; k += W) {
    const vf scaled = (load(x + k) - mean) * factor * load(room.table + k);
    store_part(y + k, scaled + load(room.table + step_row(n) + k), n - k);
  }
}

inline void softmax_row(const float* x, long n, float* y) {
  float most = x[0];
  for (long k = 1; k < n; ++k) most = x[k] > most ? x[k] : most;
  float total = 0;
  for (long k = 0; k < n; ++k) total += y[k] = ::expf(x[k] - most);
  for (long k = 0; k < n; ++k) y[k] /= total;
}

// All rows of such a layer; K is the width of `from`.
inline void small_layer(const StepProgram& p, const StepLayer& l, const StepRoom& room,
                        const float* from, long K) {
  const long n = l.U, stride = step_row(n);
  for (long r = 0; r < p.B; ++r) {
    const float* x = l.kind == kEmbedding ? nullptr : from + r * step_row(K);
    float* y = room.out + r * stride;
    switch (l.kind) {
      case kEmbedding: memcpy(y, room.table + p.ids[r] * n, n * 4); break;
      case kNormalize: normalize_row(l, room, x, y); break;
      case kSoftmax: softmax_row(x, n, y); break;
      case kAffine:
        for (long k = 0; k < n; k += W)
          store(y + k, load(x + k) * load(room.table + k) + load(room.table + stride + k));
        break;
      default:
        for (long k = 0; k < n; k += W) store(y + k, pointwise(l, load(x + k)));
    }
  }
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
