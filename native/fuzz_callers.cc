// Several threads of the caller's own at once: they share the helpers, the spare memory
// and a stream. Results must be those of a lone caller.
#include <atomic>
#include <cmath>
#include <memory>
#include <thread>

#include "fuzz.h"
#include "stream.h"

namespace unrolled {

namespace {

constexpr long B = 16, T = 12, D = 24, U = 64, kWide = 400;  // kWide: enough for threads

Floats draw(std::mt19937& random, size_t size, double scale) {
  Floats all(size);
  for (float& v : all) v = static_cast<float>(scale * (static_cast<long>(random() % 2001) - 1000) / 1000.0);
  return all;
}

bool near(const Floats& a, const Floats& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!(std::fabs(a[i] - b[i]) <= 1e-3f * (1.0f + std::fabs(b[i])))) return false;
  return a.size() == b.size();
}

struct Layer {
  Floats x, kernel, recurrent, bias;
  explicit Layer(std::mt19937& random)
      : x(draw(random, B * T * D, 1)), kernel(draw(random, D * 4 * U, 0.2)),
        recurrent(draw(random, U * 4 * U, 0.1)), bias(draw(random, 4 * U, 1)) {}

  // y, then the gradients of its sum; false if the working space was not to be had.
  bool train(Floats& results) const {
    const char* why;
    Floats y(B * T * U), last(B * U), dx(x.size()), dkernel(kernel.size());
    Floats drecurrent(recurrent.size()), dbias(bias.size());
    const Floats dy(y.size(), 1.0f);
    Problem p{};
    p.B = B, p.T = T, p.D = D, p.U = U, p.kind = kLstm, p.recurrent_activation = kSigmoid;
    p.x = x.data(), p.kernel = kernel.data(), p.recurrent = recurrent.data(), p.bias = bias.data();
    Floats saved(residual_size(p, kernels(&why)->width)), c(B * U);
    p.y = y.data(), p.h_last = last.data(), p.c_last = c.data(), p.residual = saved.data();
    if (execute(p, false, 0)) return false;
    p.h_seq = y.data(), p.h_seq_is_y = true, p.saved = saved.data(), p.dy = dy.data();
    p.dx = dx.data(), p.dkernel = dkernel.data(), p.drecurrent = drecurrent.data(), p.dbias = dbias.data();
    if (execute(p, true, 0)) return false;
    for (const Floats* each : {&y, &dx, &dkernel, &drecurrent, &dbias})
      results.insert(results.end(), each->begin(), each->end());
    return true;
  }
};

struct Wide {
  Floats x, kernel, recurrent;
  std::unique_ptr<Stream> stream;
  explicit Wide(std::mt19937& random)
      : x(draw(random, kWide, 1)), kernel(draw(random, kWide * 4 * kWide, 0.05)),
        recurrent(draw(random, kWide * 4 * kWide, 0.05)) {}

  void fresh() {
    StepLayer l{};
    l.kind = kLstm, l.recurrent_activation = kSigmoid, l.D = l.U = kWide;
    l.kernel = kernel.data(), l.recurrent = recurrent.data();
    const char* why;
    stream.reset(Stream::make(kernels(&why)->stepping, &l, 1, 1, kWide, kFloat32, &why));
  }
  void steps(int count) {
    Floats y(kWide);
    for (int i = 0; i < count; ++i) stream->step(x.data(), nullptr, y.data());
  }
  Floats state() {
    Floats h(kWide);
    stream->read(0, 0, h.data());
    return h;
  }
};

}  // namespace

int fuzz_callers(int rounds, std::mt19937& random) {
  const Layer layer(random);
  Floats alone;
  if (!layer.train(alone)) return 1;
  Wide wide(random);
  wide.fresh();
  wide.steps(2 * rounds);
  const Floats state = wide.state();

  wide.fresh();
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&, i] {
      if (i < 2) return wide.steps(rounds);
      for (int n = 0; n < rounds; ++n) {
        Floats results;
        if (!layer.train(results) || !near(results, alone)) ++wrong;
      }
    });
  for (std::thread& each : callers) each.join();
  if (wrong || !near(wide.state(), state)) {
    printf("callers at once: %d layers are wrong, the stream is %s\n", wrong.load(),
           near(wide.state(), state) ? "right" : "wrong");
    return 1;
  }
  printf("4 callers at once, %d rounds: equal to one\n", rounds);
  return 0;
}

}  // namespace unrolled
