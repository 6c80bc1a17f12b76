// The backward time loop, for every cell: cotangents step by step, and at the end of each
// chunk of steps the products that need no order, dx and the weights' gradients.
#pragma once
#include "weights.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

template <class Op, class C>
class Backward : Loop {
  // Columns of z of the recurrent product of phase P: from, and how many.
  template <int P> static constexpr int first() { return C::kRecurrentColumn + (P == 0 ? 0 : C::kFirst); }
  template <int P> static constexpr int count() { return P == 0 ? C::kFirst : C::kGates - C::kFirst; }

 public:
  size_t layout(const Problem& problem, int threads, char* base) {
    divide(problem, C::kGates, threads, 2);
    padded = slots<Op>(blocks * W) * Op::kPair, input_panels = up(p.D, 2 * W);
    const int pools = plan.units ? 1 : threads;
    const long R = plan.rows, M = plan.steps * R, most = most_panels;
    Carver carver{base};
    for (int t = 0; t < threads; ++t) {
      Room& r = room[t];
      carver.next_thread();
      if (t) r = room[0];
      if (!(t && plan.weights)) {
        r.recurrent[0] = carver.take(panels * 2 * W * slots<Op>(count<0>() * padded));
        if (C::kPhases == 2) r.recurrent[1] = carver.take(panels * 2 * W * slots<Op>(count<1>() * padded));
        if (p.dx) r.kernel = carver.take(input_panels * 2 * W * slots<Op>(C::kGates * padded));
      }
      if (!(t && plan.units)) {
        r.z.take(carver, M, C::kColumns * padded);
        r.x.take(carver, M, p.D);
        r.h.take(carver, M, padded);
        if (C::kPhases == 2) r.rh.take(carver, M, padded);
        if (p.dx) r.dx_sum = carver.take(input_panels * 2 * W * M);
        r.codes = has_codes(p) ? reinterpret_cast<uint8_t*>(carver.take(up(R * p.T, 4))) : nullptr;
      }
      for (int i = 0; i < C::kStates; ++i) r.d[i] = carver.take(most * 2 * R * W);
      if (C::kPhases == 2) r.product = carver.take(most * 2 * R * W);
      r.dbias = carver.take(C::kColumns * padded);
    }
    carver.next_thread();
    dkernel.layout(carver, pools, p.D, 0, C::kGates, padded / W);
    drecurrent[0].layout(carver, pools, p.U, first<0>(), count<0>(), padded / W);
    if (C::kPhases == 2) drecurrent[1].layout(carver, pools, p.U, first<1>(), count<1>(), padded / W);
    return carver.used;
  }

  void run(Team& team_, int thread_) {
    begin(team_, thread_);
    own = room[thread];
    pack_transposed<Op, C>(p.recurrent, p.U, p.U, first<0>(), count<0>(), padded, packed(panels),
                           p.bf16, own.recurrent[0]);
    if constexpr (C::kPhases == 2)
      pack_transposed<Op, C>(p.recurrent, p.U, p.U, first<1>(), count<1>(), padded,
                             packed(panels), p.bf16, own.recurrent[1]);
    if (p.dx)
      pack_transposed<Op, C>(p.kernel, p.D, p.U, 0, C::kGates, padded, packed(input_panels),
                             p.bf16, own.kernel);
    for (long u = 0; u < C::kColumns * padded; u += W) store(own.dbias + u, vf{});
    each_band([&](bool first) {
      if (own.codes) make_codes(p, part(p.B), own.codes);
      if (first && plan.weights) barrier(*team, thread);
      else meet();
      band(first);
    });
    hand_out_weights();
  }

 private:
  // `fresh`: nothing has been summed yet.
  void band(bool fresh) {
    start();
    for (long s1 = p.T; s1 > 0; fresh = false) {
      const long s0 = (s1 - 1) / plan.steps * plan.steps, n = s1 - s0;
      chunk_rows = n * p.B;
      for (long s = s1 - 1; s >= s0; --s) {
        chunk_at = (s - s0) * p.B;
        step(s);
      }
      s1 = s0;
      finish_chunk(s0, fresh);
    }
    hand_out();
  }

  int pool() const { return plan.units ? 0 : thread; }  // which sums its rows go to
  Range own_blocks() const {
    return {own_panels.from * 2, smaller(blocks, own_panels.to * 2)};
  }
  // Where this thread has d and product of a row and block.
  long place_in_d(long jb, long r) const {
    return ((jb - own_panels.from * 2) * p.B + r) * W;
  }

  void start() const {
    const float* last[2] = {p.dh_last, p.dc_last};
    const Range mine = own_blocks();
    for (int i = 0; i < C::kStates; ++i)
      for (long jb = mine.from; jb < mine.to; ++jb)
        for (long r = 0; r < p.B; ++r)
          store(own.d[i] + place_in_d(jb, r),
                last[i] ? load_part(last[i] + r * p.U + jb * W, p.U - jb * W) : vf{});
  }

  void step(long s) const {
    if constexpr (C::kPhases == 1) {
      columns<false>(s);
    } else {
      columns<true>(s);
      meet();
      multiply_back<1>(s);
      first_columns(s);
    }
    meet();
    multiply_back<0>(s);
  }

  int code_of(long s, long r) const { return own.codes ? own.codes[s * p.B + r] : kShow | kBegun; }

  // h before step s, at unit 0; null: zeros.
  const float* h_before(long s, long r) const {
    const float* initial = p.h0 ? p.h0 + r * p.U : nullptr;
    if (code_of(s, r) & kReset) return nullptr;
    if (s == 0) return initial;
    if (p.h_seq_is_y && !(code_of(s - 1, r) & kBegun)) return initial;
    return p.h_seq + (r * p.T + place_of(p, s - 1)) * p.U;
  }
  // Here and below: `kept` are a row and block's vectors of step s in p.saved.
  UNROLLED_INLINE vf c_before(long s, long jb, long r, Kept<C> kept) const {
    if (code_of(s, r) & kReset) return vf{};
    if (s > 0) return kept.get(p.saved, C::kSaved, -1);
    return p.c0 ? load_part(p.c0 + r * p.U + jb * W, p.U - jb * W) : vf{};
  }
  UNROLLED_INLINE vf before(long s, long jb, long r, Kept<C> kept) const {
    if constexpr (C::kStates == 2) return c_before(s, jb, r, kept);
    if constexpr (!C::kNeedsBefore) return vf{};
    const float* from = h_before(s, r);
    return from ? load_part(from + jb * W, p.U - jb * W) : vf{};
  }
  UNROLLED_INLINE vf after(long s, long jb, long r, Kept<C> kept) const {
    if constexpr (C::kStates == 2) return kept.get(p.saved, C::kSaved);
    if constexpr (!C::kNeedsAfter) return vf{};
    return load_part(p.h_seq + (r * p.T + place_of(p, s)) * p.U + jb * W, p.U - jb * W);
  }

  // Cotangents of the states after step s: what later steps and the results ask for.
  UNROLLED_INLINE void gather(long s, long r, long u, int code, const float* carried, vf* now,
                              int i) const {
    const long n = p.U - u, at = (r * p.T + place_of(p, s)) * p.U + u;
    *now = code & kResetNext ? vf{} : load(carried);
    if (i == 0) {
      if (p.dy && code & kShow) *now += load_part(p.dy + at, n);
      if (p.dhs) *now += load_part(p.dhs + at, n);
      if (p.dy_last && s == p.T - 1 && code & kShow) *now += load_part(p.dy_last + r * p.U + u, n);
    } else if (p.dcs) {
      *now += load_part(p.dcs + at, n);
    }
  }

  // What step s - kAhead will read. The rows of a sequence lie T*U apart, on a page each,
  // where no processor foresees the next. Two steps ahead: a step also reads the one before it.
  static constexpr long kAhead = 2;
  UNROLLED_INLINE void fetch_before(long s, long jb, long r, Kept<C> kept) const {
    if (s < kAhead) return;
    kept.fetch(p.saved, -kAhead);
    const long at = (r * p.T + place_of(p, s - kAhead)) * p.U + jb * W;
    if (p.dy) prefetch(p.dy + at);
    if (C::kNeedsBefore || C::kNeedsAfter) prefetch(p.h_seq + at);
  }

  // dz of step s. kLast: of the last of two phases only.
  template <bool kLast>
  void columns(long s) const {
    constexpr int from = kLast ? C::kFirst : 0;
    const typename C::Act act(p);
    const Range mine = own_blocks();
    for (long jb = mine.from; jb < mine.to; ++jb) {
      const Saved<C> place = saved_by<C>(s, jb, 0);
      vf sum[C::kColumns] = {};
      for (long r = 0; r < p.B; ++r) {
        const long at = place_in_d(jb, r);
        const int code = code_of(s, r);
        const Kept<C> kept = place.of(r);
        fetch_before(s, jb, r, kept);
        vf now[C::kStates], dz[C::kColumns] = {};
        for (int i = 0; i < C::kStates; ++i) gather(s, r, jb * W, code, own.d[i] + at, now + i, i);
        if (!(code & kMasked)) {
          vf saved[C::kSaved + 1];
          for (int i = 0; i < C::kSaved; ++i) saved[i] = kept.get(p.saved, i);
          if constexpr (kLast) C::backward_last(act, saved, now, dz);
          else C::backward(act, saved, before(s, jb, r, kept), after(s, jb, r, kept), now, dz);
          keep_units<from, C::kColumns>(jb, dz);
        }
        for (int i = 0; i < C::kStates; ++i) store(own.d[i] + at, now[i]);
        put<from, C::kColumns>(r, jb, dz, sum);
      }
      add_bias<from, C::kColumns>(jb, sum);
    }
  }

  // dz of the first of two phases, once the last one's product is known.
  void first_columns(long s) const {
    if constexpr (C::kPhases == 2) {
      const typename C::Act act(p);
      const Range mine = own_blocks();
      for (long jb = mine.from; jb < mine.to; ++jb) {
        const long u = jb * W, n = p.U - u;
        const Saved<C> place = saved_by<C>(s, jb, 0);
        vf sum[C::kColumns] = {};
        for (long r = 0; r < p.B; ++r) {
          const long at = place_in_d(jb, r);
          vf now[1] = {load(own.d[0] + at)}, dz[C::kColumns] = {}, left = {};
          if (!(code_of(s, r) & kMasked)) {
            vf saved[C::kSaved];
            const Kept<C> kept = place.of(r);
            for (int i = 0; i < C::kSaved; ++i) saved[i] = kept.get(p.saved, i);
            const vf factor = p.recurrent_mask ? load_part(p.recurrent_mask + r * p.U + u, n) : all(1.0f);
            const vf h_was = before(s, jb, r, kept);
            C::backward_first(act, saved, h_was, load(own.product + at), factor, now, dz);
            left = saved[1] * h_was * factor;
            keep_units<0, C::kFirst>(jb, dz);
          }
          store(own.d[0] + at, now[0]);
          put<0, C::kFirst>(r, jb, dz, sum);
          put_block(own.rh.data + (chunk_at + r) * kStride, chunk_rows * kStride, 0, jb, left);
        }
        add_bias<0, C::kFirst>(jb, sum);
      }
    }
  }

  // Lanes past the last unit hold what zero weights made of the inputs, NaN if one was
  // infinite; here they become 0, for the products read them.
  template <int kFrom, int kTo>
  UNROLLED_INLINE void keep_units(long jb, vf* dz) const {
    for (int i = kFrom; i < kTo; ++i) dz[i] = keep_part(dz[i], p.U - jb * W);
  }

  // A block of a group of columns; after the last one zeros, up to whole slots.
  UNROLLED_INLINE void put_block(float* row, long chunk_stride, long group, long jb, vf v) const {
    Op::put(Op::place(row, chunk_stride, group + jb * W), v, p.bf16);
    if constexpr (Op::kSlots > 1)
      if (jb == blocks - 1 && padded > blocks * W)
        Op::put(Op::place(row, chunk_stride, group + blocks * W), vf{}, p.bf16);
  }
  template <int kFrom, int kTo>
  UNROLLED_INLINE void put(long r, long jb, const vf* dz, vf* sum) const {
    float* row = own.z.data + (chunk_at + r) * kStride;
#pragma GCC unroll 4
    for (int i = kFrom; i < kTo; ++i) {
      put_block(row, chunk_rows * kStride, i * padded, jb, dz[i]);
      sum[i] += dz[i];
    }
  }
  template <int kFrom, int kTo>
  UNROLLED_INLINE void add_bias(long jb, const vf* sum) const {
    for (int i = kFrom; i < kTo; ++i) {
      float* to = own.dbias + i * padded + jb * W;
      store(to, load(to) + sum[i]);
    }
  }

  // Phase 0: adds the cotangent that comes through the recurrent product to d[0]; phase 1:
  // stores that of the product's operand in `product`.
  template <int P>
  void multiply_back(long s) const {
    constexpr int NV = 2;
    const long k0 = slots<Op>(first<P>() * padded), depth = slots<Op>(count<P>() * padded);
    const long most = p.B == 1 ? depth : kDepth;
    alignas(64) float out[max_rows<Op, NV>() * NV * W];
    for (long k = 0; k < depth; k += most)
      for (long i = own_panels.from; i < own_panels.to; ++i) {
        const long j = s & 1 ? own_panels.to - 1 - (i - own_panels.from) : i;
        tiled(p.B, max_rows<Op, NV>(), [&](long m, int rows) {
          tile_of<Op, NV>(
              rows, own.z.data + (chunk_at + m) * kStride, chunk_rows * kStride,
              own.recurrent[P] + (j * depth + k) * NV * W, k0 + k, k0 + smaller(depth, k + most),
              kZeros, 0, out);
          for (long b = 2 * j; b < smaller(blocks, 2 * j + 2); ++b)
            for (long r = 0; r < rows; ++r) {
              const long row = m + r, u = b * W;
              vf v = load(out + (2 * r + b - 2 * j) * W);
              float* to = (P == 0 ? own.d[0] : own.product) + place_in_d(b, row);
              if (P == 0 && p.recurrent_mask)
                v *= load_part(p.recurrent_mask + row * p.U + u, p.U - u);
              store(to, P == 1 && k == 0 ? v : load(to) + v);
            }
        });
      }
  }

  // The products of a chunk that begins with step s0. Of rows of its own, a thread does
  // all; of rows that all share, its part, between barriers.
  void finish_chunk(long s0, bool fresh) const {
    const long M = chunk_rows;
    const Range mine = part(M);
    for (long m = mine.from; m < mine.to; ++m) {
      const long r = m % p.B, s = s0 + m / p.B;
      const bool masked = code_of(s, r) & kMasked;
      const float* factor = p.input_mask ? p.input_mask + r * p.D : nullptr;
      pack_row<Op>(own.x.data + m * kStride, M * kStride,
                   masked ? nullptr : p.x + (r * p.T + time_of(p, s)) * p.D, factor, p.D,
                   p.bf16);
      factor = p.recurrent_mask ? p.recurrent_mask + r * p.U : nullptr;
      pack_row<Op>(own.h.data + m * kStride, M * kStride, masked ? nullptr : h_before(s, r),
                   factor, p.U, p.bf16);
    }
    meet();
    if constexpr (Op::kPair == 2) {
      own.z.pair(M, part(C::kColumns * padded / W));
      own.x.pair(M, part(up(p.D, W)));
      own.h.pair(M, part(blocks));
      if (C::kPhases == 2) own.rh.pair(M, part(blocks));
      meet();
    }
    if (p.dx) {
      const bool by_panel = plan.units && input_panels >= team->size;
      input_gradient(s0, by_panel ? part(input_panels) : Range{0, input_panels},
                     by_panel ? Range{0, M} : mine);
    }
    dkernel.add(own.x, own.z, M, pool(), own_panels, fresh);
    drecurrent[0].add(own.h, own.z, M, pool(), own_panels, fresh);
    if constexpr (C::kPhases == 2)
      drecurrent[1].add(own.rh, own.z, M, pool(), own_panels, fresh);
    meet();
  }

  // dx of some panels, of the chunk's rows [rows.from, rows.to).
  void input_gradient(long s0, Range mine, Range rows) const {
    constexpr int NV = 2;
    const long depth = slots<Op>(C::kGates * padded), M = chunk_rows;
    for (long k = 0; k < depth; k += kDepth)
      for (long j = mine.from; j < mine.to; ++j)
        tiled(rows.to - rows.from, max_rows<Op, NV>(), [&](long m, int count_) {
          float* out = own.dx_sum + (j * M + rows.from + m) * NV * W;
          tile_of<Op, NV>(
              count_, own.z.data + (rows.from + m) * kStride, M * kStride,
              own.kernel + (j * depth + k) * NV * W, k, smaller(depth, k + kDepth),
              k ? out : kZeros, k ? NV * W : 0, out);
        });
    for (long m = rows.from; m < rows.to; ++m) {
      const long r = m % p.B, s = s0 + m / p.B;
      float* to = p.dx + (r * p.T + time_of(p, s)) * p.D;
      for (long b = 2 * mine.from; b * W < smaller(p.D, 2 * mine.to * W); ++b) {
        const long at = b * W, n = p.D - at;
        vf v = load(own.dx_sum + (b / 2 * M + m) * NV * W + b % 2 * W);
        if (p.input_mask) v *= load_part(p.input_mask + r * p.D + at, n);
        store_part(to + at, v, n);
      }
    }
  }

  void hand_out() const {
    float* to[2] = {p.dh0, p.dc0};
    const Range mine = own_blocks();
    for (int i = 0; i < C::kStates; ++i)
      for (long jb = mine.from; to[i] && jb < mine.to; ++jb)
        for (long r = 0; r < p.B; ++r) {
          const vf v = code_of(0, r) & kReset ? vf{} : load(own.d[i] + place_in_d(jb, r));
          store_part(to[i] + r * p.U + jb * W, v, p.U - jb * W);
        }
  }

  void hand_out_weights() const {
    barrier(*team, thread);  // everyone's sums are there
    const int pools = plan.units ? 1 : team->size;
    const Range written = share(panels, thread, team->size);
    dkernel.template write<C>(p.dkernel, p.U, pools, written);
    drecurrent[0].template write<C>(p.drecurrent, p.U, pools, written);
    if constexpr (C::kPhases == 2) drecurrent[1].template write<C>(p.drecurrent, p.U, pools, written);
    const Range some = share(C::kColumns * blocks, thread, team->size);
    for (long b = some.from; p.dbias && b < some.to; ++b) {
      const int i = static_cast<int>(b / blocks);
      const long u = b % blocks * W;
      vf sum = {};
      for (int t = 0; t < team->size; ++t) sum += load(room[t].dbias + i * padded + u);
      float* at = p.dbias + C::gate(i) * p.U + u;
      if (i < C::kGates) store_part(at, sum, p.U - u);
      if (C::kTwoBiases && i >= C::kRecurrentColumn)
        store_part(at + C::kGates * p.U, sum, p.U - u);
    }
  }

  long padded;        // columns of a group: the blocks', up to whole slots
  long input_panels;  // of two blocks of features
  // What a thread writes, of its own rows and units; weights, and where units are shared
  // out the rows of a chunk and codes, may be the same for all.
  struct Room {
    float *recurrent[2], *kernel;  // packed once a call: as of pack_transposed
    float *d[2], *product;   // [2*panels][B][W], cotangents of h and c; of r*h
    // The rows of a chunk, refilled each chunk.
    Rows<Op> z;              // left operand, the columns' cotangents
    LeftRows<Op> x, h, rh;   // of the products with the weights: x, h, r*h
    float* dx_sum;           // [input_panels][rows][2*W]
    float* dbias;            // sums of dz, one a column
    uint8_t* codes;          // [T][B] or null: no mask, no resets
  } room[kMaxThreads], own;
  WeightGradient<Op> dkernel, drecurrent[2];
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
