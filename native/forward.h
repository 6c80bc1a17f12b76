// The forward time loop, for every cell.
#pragma once
#include "frame.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

// Op: Float or Bfloat16. C: a cell of gates.h. kSave: keep what the backward pass needs.
template <class Op, class C, bool kSave>
class Forward : Loop {
  static constexpr int NB = C::kBlocks;
  template <int P> static constexpr int gates() { return P == 0 ? C::kFirst : C::kGates - C::kFirst; }
  static constexpr int kGroup = 32;  // rows between a product and its activations
  template <int P> static constexpr int width() { return gates<P>() * NB; }  // vectors a panel

 public:
  // Carves the call's scratch; returns its size.
  size_t layout(const Problem& problem, int threads, char* base) {
    divide(problem, C::kGates, threads, NB);
    Carver carver{base};
    const long R = plan.rows, most = most_panels;
    const int per_panel[2] = {width<0>() * W, width<1>() * W};
    for (int t = 0; t < threads; ++t) {
      Room& r = room[t];
      carver.next_thread();
      if (t) r = room[0];
      for (int i = 0; i < C::kPhases && !(t && plan.weights); ++i) {
        r.kernel[i] = carver.take(panels * slots<Op>(p.D) * per_panel[i]);
        r.recurrent[i] = carver.take(panels * slots<Op>(p.U) * per_panel[i]);
        r.bias[i] = carver.take(panels * per_panel[i]);
        r.recurrent_bias[i] = carver.take(panels * per_panel[i]);
      }
      if (!(t && plan.units)) {
        for (int i = 0; i <= C::kPhases; ++i) r.operand[i] = carver.take(rows_size<Op>(R, blocks * W));
        r.codes = has_codes(p) ? reinterpret_cast<uint8_t*>(carver.take(up(R * p.T, 4))) : nullptr;
      }
      for (int i = 0; i < C::kStates; ++i) r.state[i] = carver.take(most * NB * R * W);
      if (C::kPhases == 2) r.held = carver.take(most * NB * R * W);
      r.rows = carver.take(rows_size<Op>(plan.steps * R, p.D));
      for (int i = 0; i < C::kPhases; ++i)
        r.projected[i] = carver.take(most * plan.steps * R * per_panel[i]);
    }
    return carver.used;
  }

  void run(Team& team_, int thread_) {
    begin(team_, thread_);
    own = room[thread];
    pack<0>(packed(panels));
    if constexpr (C::kPhases == 2) pack<1>(packed(panels));
    if (thread == 0 || !plan.weights) pack_biases();
    each_band([&](bool first) {
      if (own.codes) make_codes(p, part(p.B), own.codes);
      if (first && plan.weights) barrier(*team, thread);
      else meet();
      band();
    });
  }

 private:
  void band() {
    start();
    meet();
    for (long s0 = 0; s0 < p.T; s0 += plan.steps) {
      const long n = smaller(plan.steps, p.T - s0);
      chunk_rows = n * p.B;
      pack_inputs(s0, n);
      project<0>();
      if constexpr (C::kPhases == 2) project<1>();
      for (long s = s0; s < s0 + n; ++s) {
        chunk_at = (s - s0) * p.B;
        step<0>(s);
        meet();
        if constexpr (C::kPhases == 2) {
          step<1>(s);
          meet();
        }
      }
    }
    hand_out();
  }

  // Where this thread has the state of a row and block.
  long place_in_state(long jb, long r) const {
    return ((jb - own_panels.from * NB) * p.B + r) * W;
  }

  template <int P>
  void pack(Range mine) const {
    constexpr int first = P == 0 ? 0 : C::kFirst;
    pack_panels<Op, gates<P>(), NB>(p.kernel, p.D, p.U, C::kGates, first, mine,
                                    p.bf16, own.kernel[P]);
    pack_panels<Op, gates<P>(), NB>(p.recurrent, p.U, p.U, C::kGates, first, mine,
                                    p.bf16, own.recurrent[P]);
  }

  void pack_biases() const {
    const float* second = C::kTwoBiases && p.bias ? p.bias + C::kGates * p.U : nullptr;
    pack_bias<gates<0>(), NB>(p.bias, p.U, 0, panels, own.bias[0]);
    pack_bias<gates<0>(), NB>(second, p.U, 0, panels, own.recurrent_bias[0]);
    if constexpr (C::kPhases == 2) {
      pack_bias<gates<1>(), NB>(p.bias, p.U, C::kFirst, panels, own.bias[1]);
      pack_bias<gates<1>(), NB>(nullptr, p.U, C::kFirst, panels, own.recurrent_bias[1]);
    }
  }

  // The operand that product P of a step reads. What the first one's reads at the next step
  // is written at the end of this one, while others may still read theirs: they alternate.
  template <int P>
  float* reads(long s) const { return own.operand[P == 1 ? 2 : s & 1]; }
  template <int P>
  float* writes(long s) const { return P + 1 < C::kPhases ? reads<1>(s) : reads<0>(s + 1); }

  void start() const {
    const float* from[2] = {p.h0, p.c0};
    for (long jb = own_panels.from * NB; jb < smaller(blocks, own_panels.to * NB); ++jb) {
      const long u = jb * W, n = p.U - u;
      for (long r = 0; r < p.B; ++r) {
        const bool fresh = own.codes && own.codes[r] & kReset;
        for (int i = 0; i < C::kStates; ++i) {
          vf v = from[i] && !fresh ? load_part(from[i] + r * p.U + u, n) : vf{};
          store(own.state[i] + place_in_state(jb, r), v);
          if (i) continue;
          if (p.recurrent_mask) v *= load_part(p.recurrent_mask + r * p.U + u, n);
          Op::put(Op::place(reads<0>(0) + r * kStride, p.B * kStride, u), v, p.bf16);
        }
      }
    }
    // No step writes what a product reads beyond the last block.
    for (long u = blocks * W; own_panels.to == panels && u < slots<Op>(p.U) * Op::kPair; u += W)
      for (long r = 0; r < p.B; ++r)
        for (int i = 0; i <= C::kPhases; ++i)
          Op::put(Op::place(own.operand[i] + r * kStride, p.B * kStride, u), vf{}, p.bf16);
  }

  void pack_inputs(long s0, long n) const {
    for (long r = 0; r < p.B; ++r)
      for (long q = 0; q < n; ++q) {
        const bool masked = own.codes && own.codes[(s0 + q) * p.B + r] & kMasked;  // never looked at
        const float* from = masked ? nullptr : p.x + (r * p.T + time_of(p, s0 + q)) * p.D;
        const float* factor = p.input_mask ? p.input_mask + r * p.D : nullptr;
        pack_row<Op>(own.rows + (q * p.B + r) * kStride, chunk_rows * kStride, from, factor,
                     p.D, p.bf16);
      }
  }

  template <int P>
  void project() const {
    constexpr int NV = width<P>();
    const long depth = slots<Op>(p.D), M = chunk_rows;
    for (long j = own_panels.from; j < own_panels.to; ++j) {
      float* out = own.projected[P] + (j - own_panels.from) * M * NV * W;
      tiled(M, max_rows<Op, NV>(), [&](long m, int count) {
        tile_of<Op, NV>(
            count, own.rows + m * kStride, M * kStride, own.kernel[P] + j * depth * NV * W, 0, depth,
            own.bias[P] + j * NV * W, 0, out + m * NV * W);
      });
    }
  }

  template <int P>
  void step(long s) const {
    constexpr int NV = width<P>();
    const long depth = slots<Op>(p.U), count = own_panels.to - own_panels.from;
    const float* h = reads<P>(s);
    alignas(64) float product[kGroup * NV * W];
    for (long i = 0; i < count; ++i) {
      // Back and forth over the panels: the last step's tail is still in the cache.
      const long j = s & 1 ? own_panels.to - 1 - i : own_panels.from + i;
      const float* x = own.projected[P] + ((j - own_panels.from) * chunk_rows + chunk_at) * NV * W;
      tiled(p.B, kGroup, [&](long r, int many) {
        tiled(many, max_rows<Op, NV>(), [&](long k, int few) {
          tile_of<Op, NV>(
              few, h + (r + k) * kStride, p.B * kStride, own.recurrent[P] + j * depth * NV * W, 0,
              depth, own.recurrent_bias[P] + j * NV * W, 0, product + k * NV * W);
        });
        for (int b = 0; b < NB && j * NB + b < blocks; ++b)
          pointwise<P>(s, j * NB + b, r, r + many, x + r * NV * W + b * gates<P>() * W,
                       product + b * gates<P>() * W);
      });
    }
  }

  // What some rows of a block of units read and write at one step, from the first row on.
  // Plain values: no store can change them, so they are read once and not for every row.
  struct Block {
    long units;              // from its first on; fewer than W in the last block alone
    long sequence, state_row;  // floats from row to row, T*U and U
    const uint8_t* codes;    // one a row; or null
    const float* factor;     // on h in the recurrent product, U a row; or null
    float* state[2];         // W a row
    float* held;             // W a row
    float* residual;
    Saved<C> saved;          // this step's place in it
    float *y, *hs, *cs;      // T*U a row; or null
    long ahead;              // from a row's y to the next step's; 0: this is the last
    float* operand;          // of the next product, kStride a row
    bool bf16;               // is it rounded
  };
  template <int P>
  UNROLLED_INLINE Block block_of(long s, long jb, long r) const {
    const long u = jb * W, at = (r * p.T + place_of(p, s)) * p.U + u;
    const auto here = [&](float* sequence) { return sequence ? sequence + at : nullptr; };
    Block b{};
    b.units = p.U - u, b.sequence = p.T * p.U, b.state_row = p.U;
    b.codes = own.codes ? own.codes + s * p.B + r : nullptr;
    b.factor = p.recurrent_mask ? p.recurrent_mask + r * p.U + u : nullptr;
    for (int i = 0; i < C::kStates; ++i) b.state[i] = own.state[i] + place_in_state(jb, r);
    if (C::kPhases == 2) b.held = own.held + place_in_state(jb, r);
    b.residual = p.residual, b.saved = saved_by<C>(s, jb, r);
    b.y = here(p.y), b.hs = here(p.hs), b.cs = here(p.cs);
    b.ahead = s + 1 < p.T ? (place_of(p, s + 1) - place_of(p, s)) * p.U : 0;
    b.bf16 = p.bf16;
    b.operand = Op::place(writes<P>(s), p.B * kStride, u) + r * kStride;
    return b;
  }

  // Rows [r0, r1) of one block of units; x and h step NV*W floats a row. Every other pair
  // changes places: a processor that sees writes at equal distances fetches further ones,
  // beyond a thread's last row, and so takes lines from the thread that writes them.
  template <int P>
  UNROLLED_INLINE void pointwise(long s, long jb, long r0, long r1,
                                 const float* x, const float* h) const {
    const Block block = block_of<P>(s, jb, r0);
    const typename C::Act act(p);
    const long n = r1 - r0;
    long r = 0;
    for (; r + 2 <= n; r += 2) {
      const long first = r + (r >> 1 & 1);
      advance<P, 2>(block, act, first, 2 * r + 1 - first, x, h);
    }
    if (r < n) advance<P, 1>(block, act, r, r, x, h);
  }

  template <int P, int N>  // N: one row or two
  static UNROLLED_INLINE void advance(const Block& b, const typename C::Act& act, long first,
                                      long second, const float* x, const float* h) {
    using V = Many<N>;
    const auto row = [&](int k) { return k ? second : first; };
    constexpr int GN = gates<P>(), NV = width<P>();
    V xs[GN], hs[GN], now[C::kStates], saved[C::kSaved + 1];
#pragma GCC unroll 4
    for (int g = 0; g < GN; ++g) {
      xs[g] = V::each([&](int k) { return load(x + (row(k) * NV + g) * W); });
      hs[g] = V::each([&](int k) { return load(h + (row(k) * NV + g) * W); });
    }
    for (int i = 0; i < C::kStates; ++i)
      now[i] = V::each([&](int k) { return load(b.state[i] + row(k) * W); });
    if (P == 1) saved[0] = V::each([&](int k) { return load(b.held + row(k) * W); });
    C::template forward<P>(act, xs, hs, now, saved);
#pragma GCC unroll 2
    for (int k = 0; k < N; ++k) {
      vf left[C::kStates], kept[C::kSaved + 1];
      for (int i = 0; i < C::kStates; ++i) left[i] = now[i].v[k];
      for (int i = 0; i < C::kSaved; ++i) kept[i] = saved[i].v[k];
      if constexpr (P + 1 < C::kPhases) {
        store(b.held + row(k) * W, kept[0]);
        if (kSave) keep<0, C::kSavedFirst>(b, row(k), kept);
      } else {
        finish(b, row(k), left, kept);
      }
      if (b.factor) left[0] *= load_part(b.factor + row(k) * b.state_row, b.units);
      Op::put(b.operand + row(k) * kStride, left[0], b.bf16);
    }
  }

  template <int kFrom, int kTo>
  static UNROLLED_INLINE void keep(const Block& b, long r, const vf* vectors) {
    const Kept<C> kept = b.saved.of(r);
    for (int i = kFrom; i < kTo; ++i) kept.put(b.residual, i, vectors[i]);
    if (b.ahead && kTo == saved_vectors<C>()) kept.fetch(b.residual, 1);
  }

  // Hands out the states after the step, and leaves in `now` those the next one starts from.
  static UNROLLED_INLINE void finish(const Block& b, long r, vf* now, const vf* saved) {
    constexpr int kLast = C::kStates - 1;
    const int code = b.codes ? b.codes[r] : kShow | kBegun;
    if (code & kMasked)
      for (int i = 0; i < C::kStates; ++i) now[i] = load(b.state[i] + r * W);
    if constexpr (kSave) {
      vf vectors[C::kSaved + 2];
      for (int i = 0; i < C::kSaved; ++i) vectors[i] = saved[i];
      vectors[C::kSaved] = now[kLast];
      keep<C::kPhases == 2 ? C::kSavedFirst : 0, saved_vectors<C>()>(b, r, vectors);
    }
    const long at = r * b.sequence;
    if (b.y) {
      store_part(b.y + at, code & kShow ? now[0] : vf{}, b.units);
      // The rows of a sequence lie on a page each, where no processor foresees the next.
      if (b.ahead) prefetch(b.y + at + b.ahead);
    }
    if (b.hs) store_part(b.hs + at, now[0], b.units);
    if (kLast && b.cs) store_part(b.cs + at, now[kLast], b.units);
    for (int i = 0; i < C::kStates; ++i) {
      if (code & kResetNext) now[i] = vf{};
      store(b.state[i] + r * W, now[i]);
    }
  }

  // The states after the last step, which nothing has reset.
  void hand_out() const {
    for (long jb = own_panels.from * NB; jb < smaller(blocks, own_panels.to * NB); ++jb)
      for (long r = 0; r < p.B; ++r) {
        const long from = place_in_state(jb, r), to = r * p.U + jb * W, n = p.U - jb * W;
        const vf h = load(own.state[0] + from);
        const bool shown = !own.codes || own.codes[(p.T - 1) * p.B + r] & kShow;
        store_part(p.h_last + to, h, n);
        if (p.y_last) store_part(p.y_last + to, shown ? h : vf{}, n);
        if (C::kStates > 1) store_part(p.c_last + to, load(own.state[1] + from), n);
      }
  }

  // What a thread writes, of its own rows and panels; weights, and where units are shared
  // out operands and codes, may be the same for all.
  struct Room {
    // Packed once a call: panels of pack_panels and pack_bias, by phase.
    float *kernel[2], *recurrent[2], *bias[2], *recurrent_bias[2];
    float* operand[3];  // left operands of the recurrent products, as reads() has them
    float* state[2];    // [blocks][B][W] h, c before the step; after it, in place
    float* held;        // [blocks][B][W] what phase 0 leaves for phase 1
    // Refilled each chunk: inputs as left operand, and their product with the kernel,
    // [panels][rows][NV*W], by phase.
    float *rows, *projected[2];
    uint8_t* codes;  // [T][B] or null: no mask, no resets
  } room[kMaxThreads], own;
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
