// A layer of the native core without Python or XLA, for core.py to time: random weights
// and inputs, kept from call to call.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "../native/dispatch.h"
#include "../native/execute.h"

using namespace unrolled;

namespace {

struct Layer {
  const Kernels* kernels;
  int threads;
  Problem forward{}, saving{}, backward{};
  std::vector<std::unique_ptr<float[]>> arrays;
  std::mt19937 random{7};

  // As a call from XLA finds it: no vector straddles two lines, and large pages.
  float* room(size_t n) {
    constexpr uintptr_t line = 64;
    arrays.emplace_back(new float[n + line / sizeof(float)]);
    const uintptr_t from = reinterpret_cast<uintptr_t>(arrays.back().get());
    float* numbers = reinterpret_cast<float*>((from + line - 1) / line * line);
    hint_large(numbers, static_cast<double>(n));
    std::fill_n(numbers, n, 0.0f);
    return numbers;
  }
  const float* draw(size_t n, double scale) {
    std::normal_distribution<float> normal(0, static_cast<float>(scale));
    float* numbers = room(n);
    for (size_t i = 0; i < n; ++i) numbers[i] = normal(random);
    return numbers;
  }

  Layer(const Kernels* kernels_, int kind, long B, long T, long D, long U, bool bf16, int threads_)
      : kernels(kernels_), threads(threads_) {
    const size_t gates = kind == kSimpleRnn ? 1 : kind == kLstm ? 4 : 3;
    const size_t state = B * U, sequence = state * T, width = gates * U;
    const size_t biases = kind == kGruAfter ? 2 * width : width;
    Problem& p = forward;
    p.B = B, p.T = T, p.D = D, p.U = U;
    p.kind = kind, p.activation = kTanh, p.recurrent_activation = kSigmoid, p.bf16 = bf16;
    p.x = draw(B * T * D, 1), p.kernel = draw(D * width, 1 / std::sqrt(D));
    p.recurrent = draw(U * width, 1 / std::sqrt(U)), p.bias = draw(biases, 0.1);
    p.h0 = draw(state, 0.3), p.y = room(sequence), p.h_last = room(state);
    if (kind == kLstm) p.c0 = draw(state, 0.3), p.c_last = room(state);
    saving = p;
    saving.residual = room(residual_size(p, kernels->width));
    backward = p;
    Problem& q = backward;
    q.h_seq = p.y, q.h_seq_is_y = true, q.saved = saving.residual, q.dy = draw(sequence, 1);
    q.dx = room(B * T * D), q.dkernel = room(D * width), q.drecurrent = room(U * width);
    q.dbias = room(biases), q.dh0 = room(state);
    if (kind == kLstm) q.dc0 = room(state);
  }

  void run(const Problem& p, bool is_backward) const {
    Execution execution(*kernels, &p, 1, is_backward, threads);
    const Scratch scratch(execution.scratch());
    execution.run(scratch.data());
  }
};

}  // namespace

#define UNROLLED_SHOWN extern "C" __attribute__((visibility("default")))

// Null: this processor has no such variant.
UNROLLED_SHOWN Layer* core_layer(const char* variant, int kind, const long* sizes, int bf16, int threads) {
  for (const Kernels* each : supported())
    if (!strcmp(each->name, variant))
      return new Layer(each, kind, sizes[0], sizes[1], sizes[2], sizes[3], bf16, threads);
  return nullptr;
}
// Nanoseconds that `calls` passes take: forward, or forward and backward.
UNROLLED_SHOWN long core_time(const Layer* layer, int training, int calls) {
  const long started = now();
  for (int i = 0; i < calls; ++i) {
    layer->run(training ? layer->saving : layer->forward, false);
    if (training) layer->run(layer->backward, true);
  }
  return now() - started;
}
// Nanoseconds that `threads` threads take to meet, which is how far apart their processors are.
UNROLLED_SHOWN double core_meet(int threads) {
  constexpr int kTimes = 10000;
  Lease lease(threads);
  const long started = now();
  lease.run([](void*, Team& team, int thread) {
    for (int i = 0; i < kTimes; ++i) barrier(team, thread);
  }, nullptr);
  return static_cast<double>(now() - started) / kTimes;
}
UNROLLED_SHOWN void core_free(const Layer* layer) { delete layer; }
