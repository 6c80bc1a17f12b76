// Several threads of the caller's own at once: they share the helpers, the spare memory
// and a stream. Results must be those of a lone caller.
#include <atomic>
#include <cmath>
#include <memory>
#include <thread>

#include "execute.h"
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

  // y, then the gradients of its sum, of both directions, which run in one call or in two;
  // false if the working space was not to be had.
  bool train(Floats& results, bool together) const {
    const char* why;
    Problem p[2] = {};
    Results of[2];
    const Floats dy(B * T * U, 1.0f);
    Floats saved[2];
    const auto run = [&](bool backward) {
      if (together) return !execute(p, 2, backward, 0);
      return !execute(p, 1, backward, 0) && !execute(p + 1, 1, backward, 0);
    };
    for (int i = 0; i < 2; ++i) {
      Problem& q = p[i];
      q.B = B, q.T = T, q.D = D, q.U = U, q.kind = kLstm, q.recurrent_activation = kSigmoid;
      q.reverse = i, q.x = x.data(), q.kernel = kernel.data();
      q.recurrent = recurrent.data(), q.bias = bias.data();
      saved[i].resize(residual_size(q, kernels(&why)->width));
      q.y = of[i].room("y", B * T * U), q.residual = saved[i].data();
      q.h_last = of[i].room("h", B * U), q.c_last = of[i].room("c", B * U);
    }
    if (!run(false)) return false;
    for (int i = 0; i < 2; ++i) {
      Problem& q = p[i];
      q.h_seq = q.y, q.h_seq_is_y = true, q.saved = saved[i].data(), q.dy = dy.data();
      q.dx = of[i].room("dx", x.size()), q.dkernel = of[i].room("dkernel", kernel.size());
      q.drecurrent = of[i].room("drecurrent", recurrent.size());
      q.dbias = of[i].room("dbias", bias.size());
    }
    if (!run(true)) return false;
    for (const Results& own : of)
      for (const auto& each : own.all) results.insert(results.end(), each.second.begin(), each.second.end());
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
    std::string problem;
    stream.reset(Stream::make(*kernels(&why), &l, 1, 1, kWide, kFloat32, problem));
  }
  void steps(int count) {
    Floats y(kWide);
    for (int i = 0; i < count; ++i) stream->step(x.data(), nullptr, y.data());
  }
  Floats state() {
    Floats states(2 * kWide);  // h and c
    stream->read(states.data());
    return states;
  }
};

// Whether no more than is allowed waits after calls that needed more, and that is used again.
bool keeps_some() {
  {
    const Scratch all(kMostKept + 1), some(kMostKept / 2), more(kMostKept / 2), rest(4096);
    if (!all.data() || !some.data() || !more.data() || !rest.data()) return true;  // short of memory
  }
  const size_t kept = kept_memory();
  const Scratch again(kMostKept / 2);
  return kept == kMostKept && kept_memory() == kept - kMostKept / 2;
}

}  // namespace

int fuzz_callers(int rounds, std::mt19937& random) {
  if (!keeps_some()) {
    printf("%zu bytes wait for the next call\n", kept_memory());
    return 1;
  }
  const Layer layer(random);
  Floats alone;
  if (!layer.train(alone, false)) return 1;
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
        if (!layer.train(results, n % 2) || !near(results, alone)) ++wrong;
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
