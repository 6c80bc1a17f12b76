// One step of a whole model, as plain pointers: layers in a row, each reading what the
// one before it left.
//
// B rows, D features in, U out (units, where the layer is recurrent), G gates. Arrays are
// row-major, dense, float32, owned by the caller, and needed only while packing; "or null"
// marks an optional one.
#pragma once
#include <cstddef>
#include <cstdint>

#include "problem.h"

namespace unrolled {

// Kinds 0 to 3 are the cells of problem.h.
enum StepKind { kDense = 4, kPointwise = 5, kAffine = 6, kNormalize = 7, kSoftmax = 8, kEmbedding = 9, kFused = 10 };
// Activations 0 to 4 are those of problem.h; the rest is for kDense and kPointwise only.
enum StepActivation { kRamp = 5, kSilu = 6, kElu = 7, kSoftplus = 8, kGelu = 9 };
enum Storage { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2 };

// A cell's step as a program of recipe.h, its arrays in the order of the recipe's inputs:
// VECTOR (width); ROW (B, width), those among them from which a carry starts being the
// states of fresh sequences; null for the SEQUENCE, of width D. The result SEQUENCE has the
// width U.
struct StepRecipe {
  const int64_t* code;
  int64_t numbers;
  const float* const* arrays;
  const int64_t* sizes;  // floats in each; 0 where there is none
  int64_t count;
};

struct StepLayer {
  int32_t kind, activation, recurrent_activation;
  // kRamp: slope below the threshold c, ceiling b. kElu: alpha. kNormalize: epsilon, and
  // in b whether the mean stays (root mean square only).
  float a, b, c;
  int64_t D, U;
  // Recurrent, kDense: (D, G*U). kEmbedding: the table (D, U). kAffine, kNormalize: the
  // factor (U). bfloat16: already rounded; int8: whole numbers from -127 to 127.
  const float* kernel;
  const float* recurrent;        // (U, G*U), recurrent layers only
  const float* bias;             // (G*U), (2, G*U) for kGruAfter; kAffine, kNormalize: (U); or null
  const float* kernel_scale;     // int8: (G*U), what one unit of `kernel` stands for
  const float* recurrent_scale;  // int8: (G*U)
  const StepRecipe* recipe;      // kFused only
};

constexpr int kStepThreads = 8;

// Where a layer's packed weights and buffers lie. A row of n numbers takes step_row(n)
// floats, so that whole vectors may be read and written; what lies beyond n is finite.
inline long step_row(long n) { return (n + 15) / 16 * 16; }
class FusedStep;  // fused_step.h
struct StepRoom {
  float* h[2];     // (B, U) h before the step and after it, taking turns
  float* c;        // (B, U), in place
  float* middle;   // (B, U) kGruBefore: r * h
  float* held;     // (B, U) kGruBefore: z
  float* out;      // (B, U) what other layers leave
  char* panels[2]; // by phase
  float* table;    // kEmbedding, kAffine, kNormalize
  FusedStep* fused;  // kFused, owned by the stream
};

struct StepProgram {
  long B;
  int count, storage;
  long D;     // features of the first layer's rows; kEmbedding first: how many ids it knows
  bool turn;  // h[turn] is h before the next step; panels are read up and down in turn
  const StepLayer* layers;
  StepRoom* rooms;
  float* input;  // (B, D)
  int64_t* ids;  // (B), valid, where the first layer is kEmbedding
  char* own[kStepThreads];  // a thread's operands
};

struct Team;
// What one instruction-set variant offers.
struct Stepping {
  // Sets all pointers of a program into one block, or with null only counts its bytes.
  size_t (*layout)(StepProgram&, char* block);
  void (*pack)(const StepProgram&);  // the block is all zeros before
  void (*run)(const StepProgram&, Team&, int thread);  // does not flip `turn`
};

}  // namespace unrolled
