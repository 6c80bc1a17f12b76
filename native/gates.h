// The cells: one struct each, its pointwise forward and its pointwise backward. Nothing
// here walks time or memory; every value, a V, is one vector of W units of one row, or
// Many of several rows.
//
// Forward of phase P: x[], h[] are the phase's pre-activations from the input and from the
// state (without bias: 0), one per gate. state[] holds the states before the step and,
// after the last phase, those after it. saved[] receives what the backward pass needs.
// Backward: d[] holds the cotangents of the states after the step and receives those that
// reach the states before it directly, not through the recurrent product. dz[] receives
// the columns' cotangents: columns [0, kGates) belong to the input product, columns
// [kRecurrentColumn, kRecurrentColumn + kGates) to the recurrent one; column i is of gate
// gate(i). before and after are the last state (h, or c where there is one) around the step.
#pragma once
#include "many.h"
#include "problem.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

// Derivatives are taken from an activation's value, which is what is kept.
struct Usual {  // tanh and sigmoid, known while compiling
  explicit Usual(const Problem&) {}
  template <class V> UNROLLED_INLINE V act(V x) const { return tanh(x); }
  template <class V> UNROLLED_INLINE V gate(V x) const { return sigmoid(x); }
  template <class V> UNROLLED_INLINE V d_act(V y) const { return 1.0f - y * y; }
  template <class V> UNROLLED_INLINE V d_gate(V y) const { return y - y * y; }
};

struct Chosen {  // any pair
  int outer, inner;
  explicit Chosen(const Problem& p) : outer(p.activation), inner(p.recurrent_activation) {}
  template <class V>
  static UNROLLED_INLINE V value(int kind, V x) {
    switch (kind) {
      case kTanh: return tanh(x);
      case kSigmoid: return sigmoid(x);
      case kHardSigmoid: return at_most(at_least(x + 3.0f, 0.0f), 6.0f) / 6.0f;
      case kRelu: return at_least(x, 0.0f);
      default: return x;
    }
  }
  template <class V>
  static UNROLLED_INLINE V slope(int kind, V y) {
    const V zero = {}, one = zero + 1.0f;
    switch (kind) {
      case kTanh: return 1.0f - y * y;
      case kSigmoid: return y - y * y;
      case kHardSigmoid: return if_less(y, 1.0f, if_less(0.0f - y, 0.0f, one / 6.0f, zero), zero);
      case kRelu: return if_less(0.0f - y, 0.0f, one, zero);
      default: return one;
    }
  }
  template <class V> UNROLLED_INLINE V act(V x) const { return value(outer, x); }
  template <class V> UNROLLED_INLINE V gate(V x) const { return value(inner, x); }
  template <class V> UNROLLED_INLINE V d_act(V y) const { return slope(outer, y); }
  template <class V> UNROLLED_INLINE V d_gate(V y) const { return slope(inner, y); }
};

// What the time loop must know of a cell; a cell overrides what differs.
struct OnePhase {
  static constexpr int kStates = 1;
  static constexpr int kSaved = 0;         // vectors in saved[]
  static constexpr int kPhases = 1;        // recurrent products per step, one after another
  static constexpr int kSavedFirst = 0;    // of saved[], those of phase 0, if there are two
  static constexpr int kBlocks = 1;        // blocks of W units per weight panel
  static constexpr int kRecurrentColumn = 0;
  static constexpr bool kTwoBiases = false;
  static constexpr bool kNeedsBefore = false;  // backward reads h before the step
  static constexpr bool kNeedsAfter = false;   // backward reads h after the step
  static constexpr int gate(int column) { return column; }
};

template <class A>
struct SimpleRnn : OnePhase {
  using Act = A;
  static constexpr int kGates = 1, kFirst = 1, kColumns = 1, kBlocks = 2;
  static constexpr bool kNeedsAfter = true;

  template <int P, class V>
  static UNROLLED_INLINE void forward(const Act& a, const V* x, const V* h, V* state, V*) {
    state[0] = a.act(x[0] + h[0]);
  }
  template <class V>
  static UNROLLED_INLINE void backward(const Act& a, const V*, V, V after, V* d, V* dz) {
    dz[0] = d[0] * a.d_act(after);
    d[0] = V{};
  }
};

template <class A>
struct Lstm : OnePhase {  // gates i f c o; states h c
  using Act = A;
  static constexpr int kGates = 4, kFirst = 4, kColumns = 4;
  static constexpr int kStates = 2, kSaved = 4;

  template <int P, class V>
  static UNROLLED_INLINE void forward(const Act& a, const V* x, const V* h, V* state,
                                      V* saved) {
    const V i = a.gate(x[0] + h[0]), f = a.gate(x[1] + h[1]);
    const V g = a.act(x[2] + h[2]), o = a.gate(x[3] + h[3]);
    state[1] = multiply_add(f, state[1], i * g);
    state[0] = o * a.act(state[1]);
    saved[0] = i, saved[1] = f, saved[2] = g, saved[3] = o;
  }
  // Here before and after are c, not h, which is not needed.
  template <class V>
  static UNROLLED_INLINE void backward(const Act& a, const V* saved, V before, V after,
                                       V* d, V* dz) {
    const V i = saved[0], f = saved[1], g = saved[2], o = saved[3];
    const V out = a.act(after);
    const V dc = d[1] + d[0] * o * a.d_act(out);
    dz[0] = dc * g * a.d_gate(i);
    dz[1] = dc * before * a.d_gate(f);
    dz[2] = dc * i * a.d_act(g);
    dz[3] = d[0] * out * a.d_gate(o);
    d[0] = V{};
    d[1] = dc * f;
  }
};

template <class A>
struct GruAfter : OnePhase {  // gates z r h; the reset gate acts on the recurrent product
  using Act = A;
  static constexpr int kGates = 3, kFirst = 3, kColumns = 4, kSaved = 4;
  static constexpr int kRecurrentColumn = 1;
  static constexpr bool kTwoBiases = true, kNeedsBefore = true;
  static constexpr int gate(int column) { return column == 0 || column == 3 ? 2 : column - 1; }

  template <int P, class V>
  static UNROLLED_INLINE void forward(const Act& a, const V* x, const V* h, V* state,
                                      V* saved) {
    const V z = a.gate(x[0] + h[0]), r = a.gate(x[1] + h[1]);
    const V g = a.act(x[2] + r * h[2]);
    state[0] = multiply_add(z, state[0], (1.0f - z) * g);
    saved[0] = z, saved[1] = r, saved[2] = g, saved[3] = h[2];
  }
  template <class V>
  static UNROLLED_INLINE void backward(const Act& a, const V* saved, V before, V, V* d,
                                       V* dz) {
    const V z = saved[0], r = saved[1], g = saved[2];
    dz[0] = d[0] * (1.0f - z) * a.d_act(g);
    dz[1] = d[0] * (before - g) * a.d_gate(z);
    dz[2] = dz[0] * saved[3] * a.d_gate(r);
    dz[3] = dz[0] * r;
    d[0] = d[0] * z;
  }
};

template <class A>
struct GruBefore : OnePhase {  // gates z r, then h, whose product takes r*h
  using Act = A;
  static constexpr int kGates = 3, kFirst = 2, kColumns = 3, kBlocks = 2;
  static constexpr int kPhases = 2, kSaved = 3, kSavedFirst = 2;
  static constexpr bool kNeedsBefore = true;

  // Phase 0 leaves r*h in state[0], phase 1 finds z in saved[0].
  template <int P, class V>
  static UNROLLED_INLINE void forward(const Act& a, const V* x, const V* h, V* state,
                                      V* saved) {
    if constexpr (P == 0) {
      saved[0] = a.gate(x[0] + h[0]), saved[1] = a.gate(x[1] + h[1]);
      state[0] = state[0] * saved[1];
    } else {
      const V z = saved[0], g = a.act(x[0] + h[0]);
      state[0] = multiply_add(z, state[0], (1.0f - z) * g);
      saved[2] = g;
    }
  }
  // Phase 1, which comes first: the candidate's column. d[0] stays.
  template <class V>
  static UNROLLED_INLINE void backward_last(const Act& a, const V* saved, const V* d, V* dz) {
    dz[2] = d[0] * (1.0f - saved[0]) * a.d_act(saved[2]);
  }
  // Phase 0. `product` is the cotangent of what phase 0 left; `factor` multiplies h in
  // every recurrent product (dropout), or is 1.
  template <class V>
  static UNROLLED_INLINE void backward_first(const Act& a, const V* saved, V before,
                                             V product, V factor, V* d, V* dz) {
    const V z = saved[0], r = saved[1];
    dz[0] = d[0] * (before - saved[2]) * a.d_gate(z);
    dz[1] = product * factor * before * a.d_gate(r);
    d[0] = d[0] * z + product * factor * r;
  }
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
