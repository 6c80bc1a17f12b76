// The forward time loop, for every cell.
#pragma once
#include "frame.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

// Op: Float or Bfloat16. C: a cell of gates.h. kSave: keep what the backward pass needs.
template <class Op, class C, bool kSave>
class Forward {
  static constexpr int NB = C::kBlocks;
  template <int P> static constexpr int gates() { return P == 0 ? C::kFirst : C::kGates - C::kFirst; }
  template <int P> static constexpr int width() { return gates<P>() * NB; }  // vectors a panel

 public:
  // Carves the call's scratch; returns its size.
  size_t layout(const Problem& problem, int threads, char* base) {
    p = problem;
    plan = split(p, C::kGates, threads);
    blocks = up(p.U, W);
    panels = up(blocks, NB);
    Carver carver{base};
    const long batch_rows = plan.units ? p.B : up(p.B, threads);
    const long own = plan.units ? up(panels, threads) : panels;
    const int per_panel[2] = {width<0>() * W, width<1>() * W};
    for (int i = 0; i < C::kPhases; ++i) {
      kernel[i] = carver.take(panels * slots<Op>(p.D) * per_panel[i]);
      recurrent[i] = carver.take(panels * slots<Op>(p.U) * per_panel[i]);
      bias[i] = carver.take(panels * per_panel[i]);
      recurrent_bias[i] = carver.take(panels * per_panel[i]);
      operand[i] = carver.take(rows_size<Op>(p.B, blocks * W));
    }
    if (C::kPhases == 1) operand[1] = carver.take(rows_size<Op>(p.B, blocks * W));
    else {
      next_operand = carver.take(rows_size<Op>(p.B, blocks * W));
      held = carver.take(blocks * p.B * W);
    }
    for (int i = 0; i < C::kStates; ++i) state[i] = carver.take(blocks * p.B * W);
    for (int t = 0; t < threads; ++t) {
      rows[t] = carver.take(rows_size<Op>(plan.steps * batch_rows, p.D));
      for (int i = 0; i < C::kPhases; ++i)
        projected[i][t] = carver.take(own * plan.steps * batch_rows * per_panel[i]);
    }
    codes = has_codes(p) ? reinterpret_cast<uint8_t*>(carver.take(up(p.B * p.T, 4))) : nullptr;
    return carver.used;
  }

  void run(Team& team, int thread) const {
    const Range mine = share(panels, thread, team.size), own_rows = share(p.B, thread, team.size);
    pack<0>(mine);
    if constexpr (C::kPhases == 2) pack<1>(mine);
    if (thread == 0) pack_biases();
    if (codes) make_codes(p, own_rows.from, own_rows.to, codes);
    barrier(team, thread);

    Part part{};
    part.thread = thread;
    part.rows = plan.units ? Range{0, p.B} : own_rows;
    part.panels = plan.units ? mine : Range{0, panels};
    start(part);
    if (plan.units) barrier(team, thread);
    const long R = part.rows.to - part.rows.from;
    for (long s0 = 0; s0 < p.T; s0 += plan.steps) {
      const long n = smaller(plan.steps, p.T - s0);
      part.chunk_rows = n * R;
      pack_inputs(part, s0, n);
      project<0>(part);
      if constexpr (C::kPhases == 2) project<1>(part);
      for (long s = s0; s < s0 + n; ++s) {
        part.at = (s - s0) * R;
        step<0>(part, s);
        if (plan.units) barrier(team, thread);
        if constexpr (C::kPhases == 2) {
          step<1>(part, s);
          if (plan.units) barrier(team, thread);
        }
      }
    }
  }

 private:
  struct Part {  // one thread's share
    int thread;
    Range rows, panels;
    long chunk_rows;  // rows in this chunk
    long at;          // of them, the step's first
  };

  template <int P>
  void pack(Range mine) const {
    constexpr int first = P == 0 ? 0 : C::kFirst;
    pack_panels<Op, gates<P>(), NB>(p.kernel, p.D, p.U, C::kGates, first, mine.from, mine.to,
                                    kernel[P]);
    pack_panels<Op, gates<P>(), NB>(p.recurrent, p.U, p.U, C::kGates, first, mine.from, mine.to,
                                    recurrent[P]);
  }

  void pack_biases() const {
    const float* second = C::kTwoBiases && p.bias ? p.bias + C::kGates * p.U : nullptr;
    pack_bias<gates<0>(), NB>(p.bias, p.U, 0, panels, bias[0]);
    pack_bias<gates<0>(), NB>(second, p.U, 0, panels, recurrent_bias[0]);
    if constexpr (C::kPhases == 2) {
      pack_bias<gates<1>(), NB>(p.bias, p.U, C::kFirst, panels, bias[1]);
      pack_bias<gates<1>(), NB>(nullptr, p.U, C::kFirst, panels, recurrent_bias[1]);
    }
  }

  // The operand the step's first product reads, and the one its end writes. With one phase
  // they alternate; with two, the second product's operand lies between, so the first's
  // must alternate all the same.
  float* reads(long s) const { return C::kPhases == 1 ? operand[s & 1] : s & 1 ? next_operand : operand[0]; }
  float* writes(long s) const { return reads(s + 1); }

  void start(const Part& part) const {
    const float* from[2] = {p.h0, p.c0};
    for (long jb = part.panels.from * NB; jb < smaller(blocks, part.panels.to * NB); ++jb) {
      const long u = jb * W, n = p.U - u;
      for (long r = part.rows.from; r < part.rows.to; ++r) {
        const bool fresh = codes && codes[r] & kReset;
        for (int i = 0; i < C::kStates; ++i) {
          vf v = from[i] && !fresh ? load_part(from[i] + r * p.U + u, n) : vf{};
          store(state[i] + (jb * p.B + r) * W, v);
          if (i) continue;
          if (p.recurrent_mask) v *= load_part(p.recurrent_mask + r * p.U + u, n);
          Op::put(reads(0) + r * kStride, p.B * kStride, u, v);
        }
      }
    }
  }

  void pack_inputs(const Part& part, long s0, long n) const {
    const long R = part.rows.to - part.rows.from, stride = part.chunk_rows * kStride;
    for (long r = part.rows.from; r < part.rows.to; ++r)
      for (long q = 0; q < n; ++q) {
        const bool masked = codes && codes[(s0 + q) * p.B + r] & kMasked;  // never looked at
        const float* from = masked ? nullptr : p.x + (r * p.T + time_of(p, s0 + q)) * p.D;
        const float* factor = p.input_mask ? p.input_mask + r * p.D : nullptr;
        pack_row<Op>(rows[part.thread] + (q * R + r - part.rows.from) * kStride, stride, from,
                     factor, p.D);
      }
  }

  template <int P>
  void project(const Part& part) const {
    constexpr int NV = width<P>();
    const long depth = slots<Op>(p.D), M = part.chunk_rows;
    for (long j = part.panels.from; j < part.panels.to; ++j) {
      float* out = projected[P][part.thread] + (j - part.panels.from) * M * NV * W;
      tiled(M, max_rows<Op, NV>(), [&](long m, int count) {
        tile_of<Op, NV>(
            count, rows[part.thread] + m * kStride, M * kStride, kernel[P] + j * depth * NV * W,
            0, depth, bias[P] + j * NV * W, 0, out + m * NV * W);
      });
    }
  }

  template <int P>
  void step(const Part& part, long s) const {
    constexpr int NV = width<P>();
    const long depth = slots<Op>(p.U), count = part.panels.to - part.panels.from;
    const float* h = P == 0 ? reads(s) : operand[1];
    alignas(64) float product[max_rows<Op, NV>() * NV * W];
    for (long i = 0; i < count; ++i) {
      // Back and forth over the panels: the last step's tail is still in the cache.
      const long j = s & 1 ? part.panels.to - 1 - i : part.panels.from + i;
      const float* x = projected[P][part.thread] +
                       ((j - part.panels.from) * part.chunk_rows + part.at) * NV * W;
      tiled(part.rows.to - part.rows.from, max_rows<Op, NV>(), [&](long m, int rows_) {
        const long r = part.rows.from + m;
        tile_of<Op, NV>(
            rows_, h + r * kStride, p.B * kStride, recurrent[P] + j * depth * NV * W, 0, depth,
            recurrent_bias[P] + j * NV * W, 0, product);
        for (int b = 0; b < NB && j * NB + b < blocks; ++b)
          pointwise<P>(s, j * NB + b, r, r + rows_, x + m * NV * W + b * gates<P>() * W,
                       product + b * gates<P>() * W);
      });
    }
  }

  // Rows [r0, r1) of one block of units; x and h step NV*W floats a row.
  template <int P>
  UNROLLED_INLINE void pointwise(long s, long jb, long r0, long r1, const float* x,
                                 const float* h) const {
    constexpr int GN = gates<P>(), NV = width<P>();
    const typename C::Act act(p);
    const long u = jb * W, n = p.U - u;
    for (long r = r0; r < r1; ++r, x += NV * W, h += NV * W) {
      const long at = (jb * p.B + r) * W;
      const int code = codes ? codes[s * p.B + r] : kShow | kBegun;
      vf xs[GN], hs[GN], now[C::kStates], saved[C::kSaved + 1];
#pragma GCC unroll 4
      for (int g = 0; g < GN; ++g) xs[g] = load(x + g * W), hs[g] = load(h + g * W);
      for (int i = 0; i < C::kStates; ++i) now[i] = load(state[i] + at);
      float* keep = kSave ? residual_of(s, jb, r) : nullptr;
      if constexpr (P + 1 < C::kPhases) {
        C::template forward<P>(act, xs, hs, now, saved);
        if (p.recurrent_mask) now[0] *= load_part(p.recurrent_mask + r * p.U + u, n);
        Op::put(operand[1] + r * kStride, p.B * kStride, u, now[0]);
        store(held + at, saved[0]);
        for (int i = 0; kSave && i < C::kSavedFirst; ++i) store(keep + i * W, saved[i]);
        continue;
      }
      if constexpr (C::kPhases == 2) saved[0] = load(held + at);
      C::template forward<P>(act, xs, hs, now, saved);
      if (code & kMasked)
        for (int i = 0; i < C::kStates; ++i) now[i] = load(state[i] + at);
      if constexpr (kSave) {
        for (int i = C::kPhases == 2 ? C::kSavedFirst : 0; i < C::kSaved; ++i)
          store(keep + i * W, saved[i]);
        for (int i = 1; i < C::kStates; ++i) store(keep + (C::kSaved + i - 1) * W, now[i]);
      }
      if (s + 1 < p.T) fetch(s + 1, jb, r);
      finish(s, r, u, n, at, code, now);
    }
  }

  float* residual_of(long s, long jb, long r) const {
    return p.residual + ((s * blocks + jb) * p.B + r) * saved_vectors<C>() * W;
  }

  // What step s will write. The rows of a sequence lie T*U apart, on a page each, where no
  // processor foresees the next.
  UNROLLED_INLINE void fetch(long s, long jb, long r) const {
    for (int i = 0; kSave && i < saved_vectors<C>(); ++i) prefetch(residual_of(s, jb, r) + i * W);
    if (p.y) prefetch(p.y + (r * p.T + place_of(p, s)) * p.U + jb * W);
  }

  // Hands out the states after step s, and leaves those the next step starts from.
  UNROLLED_INLINE void finish(long s, long r, long u, long n, long at, int code, vf* now) const {
    const long out = (r * p.T + place_of(p, s)) * p.U + u;
    const vf shown = code & kShow ? now[0] : vf{};
    if (p.y) store_part(p.y + out, shown, n);
    if (p.hs) store_part(p.hs + out, now[0], n);
    if (C::kStates > 1 && p.cs) store_part(p.cs + out, now[C::kStates - 1], n);
    if (s == p.T - 1) {
      store_part(p.h_last + r * p.U + u, now[0], n);
      if (C::kStates > 1) store_part(p.c_last + r * p.U + u, now[C::kStates - 1], n);
      if (p.y_last) store_part(p.y_last + r * p.U + u, shown, n);
    }
    for (int i = 0; i < C::kStates; ++i) {
      if (code & kResetNext) now[i] = vf{};
      store(state[i] + at, now[i]);
    }
    if (p.recurrent_mask) now[0] *= load_part(p.recurrent_mask + r * p.U + u, n);
    Op::put(writes(s) + r * kStride, p.B * kStride, u, now[0]);
  }

  Problem p;
  Split plan;
  long blocks, panels;
  // Packed once a call, then read by all: panels of pack_panels and pack_bias, by phase.
  float *kernel[2], *recurrent[2], *bias[2], *recurrent_bias[2];
  // Left operands (B rows, U columns) of the recurrent products. One phase: of this step
  // and the next. Two: of phase 0 and phase 1, and of the next step's phase 0.
  float *operand[2], *next_operand;
  float* held;      // [blocks][B][W] what phase 0 leaves for phase 1
  float* state[2];  // [blocks][B][W] h, c before the step; after it, in place
  // Private to a thread, refilled each chunk: inputs as left operand, and their product
  // with the kernel, [own panels][rows][NV*W], by phase.
  float *rows[kMaxThreads], *projected[2][kMaxThreads];
  uint8_t* codes;  // [T][B] or null: no mask, no resets
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
