// One step of a program: its layers, one after another, on one or more threads. Threads
// share out a matrix's output columns and meet after each product; the rest is thread 0's.
#pragma once
#include "fused_step.h"
#include "gates.h"
#include "pointwise.h"
#include "product.h"
#include "program.h"
#include "threads.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

// A layer's left operand: rows as the storage wants them.
template <class S>
struct Operand {
  const typename S::Row* rows;
  long stride;
  const float* scale;  // (B) what one unit of a row stands for; int8 only
};

template <class S>
class Stepper {
 public:
  explicit Stepper(const StepProgram& program) : p(program) {}

  // Bytes of a panel of N gates over W units: biases, scales, weights.
  template <int N>
  static long panel_bytes(const StepLayer& l) {
    return head<N>() + N * S::kBytes * (slots(l.D) + (l.recurrent ? slots(l.U) : 0));
  }
  // Bytes of a thread's operands: two, each with its scales.
  static size_t own_bytes(long B, long widest) { return S::kScaled ? 2 * operand_bytes(B, widest) : 0; }

  // Packs gates [first, first + N) of G.
  template <int N>
  static void pack(const StepLayer& l, int G, int first, char* to) {
    const float* second = l.kind == kGruAfter && l.bias ? l.bias + G * l.U : nullptr;
    for (long u = 0; u < l.U; u += W, to += panel_bytes<N>(l)) {
      const int lanes = static_cast<int>(smaller(W, l.U - u));
      const float* heads[] = {l.bias, second, l.kernel_scale, l.recurrent_scale};
      float* head_to = reinterpret_cast<float*>(to);
      for (int i = 0; i < (S::kScaled ? 4 : 2); ++i)
        for (int g = 0; g < N; ++g)
          for (int lane = 0; lane < lanes; ++lane)
            if (heads[i]) head_to[(i * N + g) * W + lane] = heads[i][(first + g) * l.U + u + lane];
      char* w = to + head<N>();
      const float* matrices[] = {l.kernel, l.recurrent};
      const long depths[] = {l.D, l.U};
      for (int m = 0; m < 2 && matrices[m]; ++m) {
        for (long k = 0; k < depths[m]; ++k)
          for (int g = 0; g < N; ++g)
            for (int lane = 0; lane < lanes; ++lane)
              S::put(w + (k / S::kInputs * N + g) * S::kBytes, lane, static_cast<int>(k % S::kInputs),
                     matrices[m][(k * G + first + g) * l.U + u + lane]);
        w += slots(depths[m]) * N * S::kBytes;
      }
    }
  }

  void run(Team& team, int thread) const {
    const float* from = p.input;
    long K = p.D;
    for (int i = 0; i < p.count; ++i) {
      const StepLayer& l = p.layers[i];
      const StepRoom& room = p.rooms[i];
      if (l.kind <= kDense) {
        matrix(l, room, from, team, thread);
        from = l.kind == kDense ? room.out : room.h[!p.turn];
      } else {
        if (thread == 0 && l.kind == kFused) room.fused->run(from, room.out);
        else if (thread == 0) small_layer(p, l, room, from, K);
        from = room.out;
      }
      K = l.U;
      if (i + 1 < p.count) barrier(team, thread);
    }
  }

 private:
  static long slots(long K) { return up(K, S::kInputs); }
  template <int N> static constexpr long head() { return (S::kScaled ? 4 : 2) * N * W * 4; }
  static size_t operand_bytes(long B, long widest) {
    return (B * step_row(widest) * sizeof(typename S::Row) + step_row(B) * 4 + 63) / 64 * 64;
  }

  // Every thread prepares its own: cheaper than to meet.
  Operand<S> operand(const float* from, long K, long widest, int thread, int which) const {
    const long stride = step_row(K);
    if constexpr (S::kScaled) {
      char* own = p.own[thread] + which * operand_bytes(p.B, widest);
      float* scale = reinterpret_cast<float*>(own);
      int16_t* rows = reinterpret_cast<int16_t*>(scale + step_row(p.B));
      for (long r = 0; r < p.B; ++r) scale[r] = quantize(from + r * stride, K, rows + r * stride);
      return {rows, stride, scale};
    } else {
      return {from, stride, nullptr};
    }
  }

  void matrix(const StepLayer& l, const StepRoom& room, const float* from, Team& team, int thread) const {
    const bool usual = l.activation == kTanh && (l.kind == kSimpleRnn || l.recurrent_activation == kSigmoid);
    switch (l.kind) {
      case kDense: return dense(l, room, from, team, thread);
      case kSimpleRnn: return usual ? cell<SimpleRnn<Usual>>(l, room, from, team, thread)
                                    : cell<SimpleRnn<Chosen>>(l, room, from, team, thread);
      case kLstm: return usual ? cell<Lstm<Usual>>(l, room, from, team, thread)
                               : cell<Lstm<Chosen>>(l, room, from, team, thread);
      case kGruAfter: return usual ? cell<GruAfter<Usual>>(l, room, from, team, thread)
                                   : cell<GruAfter<Chosen>>(l, room, from, team, thread);
      default: return usual ? cell<GruBefore<Usual>>(l, room, from, team, thread)
                            : cell<GruBefore<Chosen>>(l, room, from, team, thread);
    }
  }

  template <class C>
  void cell(const StepLayer& l, const StepRoom& room, const float* from, Team& team, int thread) const {
    const long widest = l.D > l.U ? l.D : l.U;
    const Operand<S> x = operand(from, l.D, widest, thread, 0);
    const Operand<S> h = operand(room.h[p.turn], l.U, widest, thread, 1);
    phase<C, 0>(l, room, x, h, team, thread);
    if constexpr (C::kPhases == 2) {
      barrier(team, thread);
      phase<C, 1>(l, room, x, operand(room.middle, l.U, widest, thread, 1), team, thread);
    }
  }

  // Calls each(panel) for the thread's share of `panels`. Up and down in turn: the last
  // step's tail is still in the cache.
  template <class Each>
  void share_panels(long panels, const Team& team, int thread, Each each) const {
    const long from = panels * thread / team.size, to = panels * (thread + 1) / team.size;
    for (long i = from; i < to; ++i) each(p.turn ? from + to - 1 - i : i);
  }
  // Calls each(first row, tile of rows) until B are done.
  template <class Each>
  void tile_rows(Each each) const {
    constexpr int kMost = kRegisters == 32 ? 4 : 2;
    long r = 0;
    for (; r + kMost <= p.B; r += kMost) each(r, std::integral_constant<int, kMost>{});
    for (; r < p.B; ++r) each(r, std::integral_constant<int, 1>{});
  }

  // out[r][v] = (rows r.. of a) * weights + bias; scales as in the panel's head.
  template <int N, int MR>
  static UNROLLED_INLINE const char* affine(const Operand<S>& a, long r, const char* w, long K,
                                            const float* bias, const float* scale, vf (&out)[MR][N]) {
    w = product<S, N, MR>(a.rows + r * a.stride, a.stride, w, slots(K), out);
#pragma GCC unroll 4
    for (int m = 0; m < MR; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) {
        if constexpr (S::kScaled) out[m][v] *= a.scale[r + m] * load(scale + v * W);
        out[m][v] += load(bias + v * W);
      }
    return w;
  }

  template <class C, int P>
  void phase(const StepLayer& l, const StepRoom& room, const Operand<S>& x, const Operand<S>& h,
             const Team& team, int thread) const {
    constexpr int N = P == 0 ? C::kFirst : C::kGates - C::kFirst;
    Problem options{};
    options.activation = l.activation, options.recurrent_activation = l.recurrent_activation;
    const typename C::Act act(options);
    const long stride = step_row(l.U), bytes = panel_bytes<N>(l);
    const float* h_before = room.h[p.turn];
    float* h_after = room.h[!p.turn];
    share_panels(up(l.U, W), team, thread, [&](long j) {
      const char* panel = room.panels[P] + j * bytes;
      const float* head_at = reinterpret_cast<const float*>(panel);
      tile_rows([&](long r, auto tile) {
        constexpr int MR = decltype(tile)::value;
        vf xs[MR][N], hs[MR][N];
        const char* w = affine<N, MR>(x, r, panel + head<N>(), l.D, head_at, head_at + 2 * N * W, xs);
        affine<N, MR>(h, r, w, l.U, head_at + N * W, head_at + 3 * N * W, hs);
#pragma GCC unroll 4
        for (int m = 0; m < MR; ++m) {
          const long at = (r + m) * stride + j * W;
          vf state[2] = {load(h_before + at), vf{}}, saved[C::kSaved + 1];
          if constexpr (C::kStates == 2) state[1] = load(room.c + at);
          if constexpr (P == 1) saved[0] = load(room.held + at);
          C::template forward<P>(act, xs[m], hs[m], state, saved);
          if constexpr (P + 1 < C::kPhases) {
            store(room.middle + at, state[0]);
            store(room.held + at, saved[0]);
          } else {
            store(h_after + at, state[0]);
            if constexpr (C::kStates == 2) store(room.c + at, state[1]);
          }
        }
      });
    });
  }

  void dense(const StepLayer& l, const StepRoom& room, const float* from, const Team& team, int thread) const {
    const Operand<S> x = operand(from, l.D, l.D, thread, 0);
    const long stride = step_row(l.U), bytes = panel_bytes<1>(l);
    share_panels(up(l.U, W), team, thread, [&](long j) {
      const char* panel = room.panels[0] + j * bytes;
      const float* head_at = reinterpret_cast<const float*>(panel);
      tile_rows([&](long r, auto tile) {
        constexpr int MR = decltype(tile)::value;
        vf xs[MR][1];
        affine<1, MR>(x, r, panel + head<1>(), l.D, head_at, head_at + 2 * W, xs);
        for (int m = 0; m < MR; ++m)
          store(room.out + (r + m) * stride + j * W, pointwise(l, xs[m][0]));
      });
    });
  }

  const StepProgram& p;
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
