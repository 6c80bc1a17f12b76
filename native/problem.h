// One recurrent layer, forward or backward, as plain pointers.
//
// B batch, T time, D features, U units, G gates. Every array is row-major, dense and
// float32 unless said otherwise, is owned by the caller, outlives the call, and need
// not be aligned. Inputs may alias each other, never an output; outputs never alias
// anything. "or null" marks an optional array.
#pragma once
#include <cstddef>
#include <cstdint>

namespace unrolled {

enum Kind { kSimpleRnn = 0, kLstm = 1, kGruAfter = 2, kGruBefore = 3 };
enum Activation { kTanh = 0, kSigmoid = 1, kHardSigmoid = 2, kRelu = 3, kLinear = 4 };

// "Step" s counts in processing order; time index t = reverse ? T-1-s : s. Sequences
// that leave (y, hs, cs) are at index `flip ? s : t`.
struct Problem {
  long B, T, D, U;
  int kind, activation, recurrent_activation;
  bool reverse, flip;
  bool zero_masked;  // a masked step emits zeros, not the last emitted output
  bool bf16;         // GEMM operands rounded to bfloat16, sums in float32

  const float* x;           // (B, T, D)
  const float* kernel;      // (D, G*U)
  const float* recurrent;   // (U, G*U)
  const float* bias;        // (G*U) or, GRU reset_after, (2, G*U); or null
  const float* h0;          // (B, U) or null: zeros
  const float* c0;          // (B, U) or null: zeros
  const uint8_t* mask;      // (B, T), 0 = masked; or null
  const uint8_t* resets;    // (B, T), 1 = start afresh before this step; or null
  const float* input_mask;      // (B, D) factor on x; or null
  const float* recurrent_mask;  // (B, U) factor on h before the recurrent product; or null

  // Forward results.
  float* y;        // (B, T, U) emitted outputs, or null
  float* y_last;   // (B, U) the last of them, or null
  float* hs;       // (B, T, U) h after each step, or null
  float* cs;       // (B, T, U) c after each step, or null
  float* h_last;   // (B, U)
  float* c_last;   // (B, U), null for cells without c
  float* residual; // residual_size() floats in the kernels' own order, or null

  // Backward inputs (x ... recurrent_mask as given to the forward pass).
  const float* h_seq;       // (B, T, U): hs, or y where h_seq_is_y
  bool h_seq_is_y;          // rows that emitted nothing yet read 0 where h is h0
  const float* saved;       // the forward pass's residual
  const float *dy, *dy_last, *dhs, *dcs, *dh_last, *dc_last;  // cotangents, or null
  // Backward results.
  float* dx;   // (B, T, D) or null: not wanted
  float *dkernel, *drecurrent, *dbias;  // shaped as the weights; dbias null without bias
  float *dh0, *dc0;                     // (B, U) or null
};

// Flags of one row at one step, derived from mask and resets.
enum Code : uint8_t {
  kMasked = 1,     // states are carried over this step
  kReset = 2,      // states and held output restart before this step
  kShow = 4,       // the emitted output is h after this step (otherwise zeros)
  kResetNext = 8,  // the next step restarts
  kBegun = 16,     // after this step h is what the row last emitted, not h0
};

struct Team;
struct Stepping;  // the same for one step of a model: program.h
struct Fusing;    // and for a loop that is data: fuse.h
// What one instruction-set variant offers. `scratch` returns bytes needed with `threads`
// threads; `run` is called once per thread of the team with that much scratch, 64-byte
// aligned, contents undefined.
struct Kernels {
  const char* name;
  int width;           // floats in a vector
  bool (*has_bf16)();  // multiplies such numbers as they are; otherwise as float32
  size_t (*scratch)(const Problem&, bool backward, int threads);
  void (*run)(const Problem&, bool backward, char* scratch, Team&, int thread);
  const Stepping* stepping;
  const Fusing* fusing;
};

// Of each vector that a pass keeps for the next, so many floats: a layer of few units keeps
// no more than it needs.
inline long kept_lanes(long U, int width) {
  long lanes = 4;
  while (lanes < U && lanes < width) lanes *= 2;
  return lanes;
}
// Floats that a row keeps at a step; `residual` has those of all rows and steps.
long kept_size(int kind, long U, int width);
size_t residual_size(const Problem&, int width);

}  // namespace unrolled
