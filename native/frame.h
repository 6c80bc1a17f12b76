// What the forward and the backward time loop share: who does what, and row flags.
#pragma once
#include "gates.h"
#include "pack.h"
#include "threads.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

constexpr long kRowsPerChunk = 192;  // rows (batch x steps) between two large products

// Hands out 64-byte aligned pieces of one block; with base null it only counts. Pieces are
// skewed so that equal sizes do not collide in the cache.
struct Carver {
  char* base;
  size_t used = 0;
  // The next piece is another thread's: processors fetch ahead, within 4 KiB, which would
  // take what lies behind one thread's pieces from the other that writes there.
  void next_thread() { used += 4096; }
  float* take(long floats) {
    float* piece = base ? reinterpret_cast<float*>(base + used) : nullptr;
    used += (static_cast<size_t>(floats) * 4 + 63) / 64 * 64 + 320;
    return piece;
  }
};

// With few units every thread takes its own rows through all steps and never waits; with
// many, whose weights outgrow one core's cache, or few rows, each takes its own units and
// they meet once a step.
struct Split {
  bool units;
  bool weights;  // packed by all for all; otherwise by each for itself, up to 1 MiB
  long steps;    // steps per chunk
};
UNROLLED_INLINE Split split(const Problem& p, int gates, int threads) {
  Split s;
  s.units = p.B < 4 * threads || gates * p.U * p.U >= 4 * 384 * 384;
  s.weights = s.units || gates * p.U * (p.D + p.U) > 1 << 18;
  const long rows = s.units ? p.B : up(p.B, threads);
  s.steps = smaller(p.T, up(kRowsPerChunk, rows));
  return s;
}
struct Range { long from, to; };
UNROLLED_INLINE Range share(long n, long thread, long threads) {
  return {n * thread / threads, n * (thread + 1) / threads};
}

UNROLLED_INLINE long time_of(const Problem& p, long step) { return p.reverse ? p.T - 1 - step : step; }
UNROLLED_INLINE long place_of(const Problem& p, long step) { return p.flip ? step : time_of(p, step); }

// Some rows of a problem as one of their own, but for residual and saved: other rows lie
// between theirs.
inline Problem rows_of(const Problem& p, Range rows) {
  Problem q = p;
  const auto skip = [&](long row, auto*... array) { ((*array ? *array += rows.from * row : nullptr), ...); };
  skip(p.T, &q.mask, &q.resets);
  skip(p.D, &q.input_mask);
  skip(p.T * p.D, &q.x, &q.dx);
  skip(p.U, &q.h0, &q.c0, &q.recurrent_mask, &q.y_last, &q.h_last, &q.c_last);
  skip(p.U, &q.dy_last, &q.dh_last, &q.dc_last, &q.dh0, &q.dc0);
  skip(p.T * p.U, &q.y, &q.hs, &q.cs, &q.h_seq, &q.dy, &q.dhs, &q.dcs);
  q.B = rows.to - rows.from;
  return q;
}

// codes[step*B + row] for some rows.
inline void make_codes(const Problem& p, Range rows, uint8_t* codes) {
  for (long r = rows.from; r < rows.to; ++r) {
    bool begun = false;
    for (long s = 0; s < p.T; ++s) {
      const long at = r * p.T + time_of(p, s);
      const bool masked = p.mask && !p.mask[at], reset = p.resets && p.resets[at];
      begun = begun || reset || !masked;
      int code = begun ? kBegun : 0;
      if (masked) code |= kMasked;
      if (!masked || (begun && !p.zero_masked)) code |= kShow;
      if (reset) {
        code |= kReset;
        if (s) codes[(s - 1) * p.B + r] |= kResetNext;
      }
      codes[s * p.B + r] = static_cast<uint8_t>(code);
    }
  }
}
UNROLLED_INLINE bool has_codes(const Problem& p) { return p.mask || p.resets; }

// Vectors a row and block of units keep per step: the cell's, then states beyond h.
template <class C>
constexpr int saved_vectors() { return C::kSaved + C::kStates - 1; }

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
