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
// they meet once a step. Either way a band of rows goes through all steps before the next
// one does: what the steps work on stays in the cache, however large the batch.
struct Split {
  bool units;
  bool weights;  // packed by all for all; otherwise by each for itself, up to 1 MiB
  long bands;    // of each thread
  long rows;     // of any band, at most
  long steps;    // steps per chunk
};
UNROLLED_INLINE Split split(const Problem& p, int gates, int threads) {
  Split s;
  s.units = p.B < 4 * threads || gates * p.U * p.U >= 4 * 384 * 384;
  s.weights = s.units || gates * p.U * (p.D + p.U) > 1 << 18;
  const long rows = s.units ? p.B : up(p.B, threads);
  // Where units are shared out, each band fetches the weights anew from beyond the cache.
  s.bands = up(rows, s.units ? 256 : 128);
  s.rows = up(rows, s.bands);
  s.steps = smaller(p.T, up(kRowsPerChunk, s.rows));
  return s;
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

// Where they are in residual or saved; a few steps on, or back, lie those of other steps.
template <class C>
struct Kept {
  long at, step, lanes;
  UNROLLED_INLINE vf get(const float* from, int i, long steps = 0) const {
    return load_lanes(from + at + steps * step + i * lanes, lanes);
  }
  UNROLLED_INLINE void put(float* to, int i, vf v) const { store_lanes(to + at + i * lanes, v, lanes); }
  UNROLLED_INLINE void fetch(const float* from, long steps) const {
    for (int i = 0; i < saved_vectors<C>(); ++i) prefetch(from + at + steps * step + i * lanes);
  }
};
// Where a block keeps them at one step: the batch in groups of rows, each [T][block][row], so
// that threads with rows of their own write far from each other, however many threads.
template <class C>
struct Saved {
  long T, blocks, at;               // at: step * blocks + block
  long first_row, all_rows, group;  // group: its rows, a power of two
  long lanes;
  UNROLLED_INLINE Kept<C> of(long r) const {  // r counts from first_row
    const long size = saved_vectors<C>() * lanes;
    const long row = first_row + r, from = row & ~(group - 1);
    const long rows = smaller(group, all_rows - from);
    return {(from * T * blocks + at * rows + row - from) * size, blocks * rows * size, lanes};
  }
};

// What both time loops are made of: a problem, and one thread's part in it.
struct Loop {
  Problem p;  // of a band of rows, once that is under way
  Split plan;
  long blocks, panels;           // of W units; of blocks whose weights lie together
  long most_panels;              // of any thread
  Team* team;
  int thread;
  Range own_panels;
  long all_rows, first_row = 0;  // of the batch; of them, the first of p
  long group = 16, lanes;        // of Saved
  long chunk_rows, chunk_at;     // rows of this chunk of steps; of them, the step's first

  void divide(const Problem& problem, int gates, int threads, int panel_blocks) {
    p = problem;
    plan = split(p, gates, threads);
    blocks = up(p.U, W), panels = up(blocks, panel_blocks);
    all_rows = p.B;
    // Long runs to write, and yet a group or more for each of several threads: of a large
    // batch an eighth to a quarter. Not by threads: a backward pass may have fewer.
    while (8 * group <= p.B) group *= 2;
    lanes = kept_lanes(p.U, W);
    most_panels = plan.units ? up(panels, threads) : panels;
  }
  void begin(Team& team_, int thread_) {
    team = &team_, thread = thread_;
    own_panels = part(panels);
  }
  // Calls f(whether it is the first) for each band of this thread's rows, with p of those.
  template <class F>
  void each_band(const F& f) {
    const Problem all = p;
    const Range own = plan.units ? Range{0, p.B} : share(p.B, thread, team->size);
    for (long i = 0; i < plan.bands; ++i) {
      const Range rows = share(own.to - own.from, i, plan.bands);
      first_row = own.from + rows.from;
      p = rows_of(all, {first_row, own.from + rows.to});
      if (i) meet();  // the others may still read what this one writes anew
      f(i == 0);
    }
  }
  // Of n things that belong to the rows of p, those that this thread does.
  Range part(long n) const { return plan.units ? share(n, thread, team->size) : Range{0, n}; }
  // Of n panels of weights, those that it packs.
  Range packed(long n) const { return plan.weights ? share(n, thread, team->size) : Range{0, n}; }
  template <class C>
  UNROLLED_INLINE Saved<C> saved_by(long s, long jb, long r) const {
    return {p.T, blocks, s * blocks + jb, first_row + r, all_rows, group, lanes};
  }
  // Waits for whoever works on the same rows.
  void meet() const {
    if (plan.units) barrier(*team, thread);
  }
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
