// Random shapes and options, forward and backward, on every variant this processor has:
// under the sanitizers, and each variant's numbers against the first one's, or against
// those another build wrote for the same cases and seed.
//   fuzz [cases] [seed] [write|read FILE]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "execute.h"
#include "fuzz.h"

using namespace unrolled;

static void run(const Kernels& table, const Problem& p, bool backward, int threads) {
  Execution execution(table, &p, 1, backward, threads);
  const size_t bytes = execution.scratch();
  char* scratch = static_cast<char*>(aligned_alloc(64, bytes));
  for (size_t i = 0; i < bytes; ++i) scratch[i] = static_cast<char>(0xff);  // NaN where unset
  execution.run(scratch);
  free(scratch);
}

static double distance(const Floats& a, const Floats& b) {
  double most = 0, scale = 1e-3;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return INFINITY;
    most = std::fmax(most, std::fabs(a[i] - b[i])), scale = std::fmax(scale, std::fabs(b[i]));
  }
  return most / scale;
}

int main(int argc, char** argv) {
  setenv("UNROLLED_THREADS", "3", 0);  // where there is one processor, too
  const int cases = argc > 1 ? atoi(argv[1]) : 200;
  std::mt19937 random(argc > 2 ? atoi(argv[2]) : 1);
  const auto below = [&](int n) { return static_cast<long>(random() % n); };
  Record record(argc > 4 && !strcmp(argv[3], "read"), argc > 4 ? argv[4] : nullptr);
  if (argc > 4 && !record.open()) { perror(argv[4]); return 1; }
  const std::vector<const Kernels*>& tables = supported();
  for (int n = 0; n < cases; ++n) {
    Problem p{};
    const long sizes[] = {1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 48, 64, 70, 129, 144};
    p.kind = static_cast<int>(below(4));
    p.activation = static_cast<int>(below(3)), p.recurrent_activation = static_cast<int>(below(3));
    p.B = sizes[below(12)], p.T = 1 + below(14), p.D = sizes[below(15)], p.U = sizes[below(15)];
    if (below(20) == 0) p.U = 400;  // units shared out
    if (below(10) == 0) p.D = 700;  // weights too many for each thread to have its own
    if (below(10) == 0) p.T = 250, p.B = 1 + below(3);
    if (below(8) == 0) p.T = 1 + below(3), p.B = 130 + below(400);  // several bands
    p.reverse = below(2), p.flip = below(2), p.zero_masked = below(2);
    const long gates = p.kind == kLstm ? 4 : p.kind == kSimpleRnn ? 1 : 3;
    std::vector<Floats> inputs;
    inputs.reserve(32);
    const auto fill = [&](size_t size, double scale) {
      inputs.emplace_back(size);
      for (float& v : inputs.back()) v = static_cast<float>(scale * (below(2001) - 1000) / 1000.0);
      return inputs.back().data();
    };
    const size_t state = p.B * p.U, sequence = state * p.T, width = gates * p.U;
    p.x = fill(p.B * p.T * p.D, 1), p.kernel = fill(p.D * width, 1 / std::sqrt(p.D));
    // Over many steps a layer as excitable as one with tanh for gates would blow up the last
    // digits, which are any variant's own, into the first.
    p.recurrent = fill(p.U * width, (p.T > 100 ? 0.3 : 1.0) / std::sqrt(p.U));
    const size_t biases = p.kind == kGruAfter ? 2 * width : width;
    if (below(2)) p.bias = fill(biases, 1);
    if (below(2)) p.h0 = fill(state, 1);
    if (p.kind == kLstm && below(2)) p.c0 = fill(state, 1);
    std::vector<uint8_t> mask(p.B * p.T), resets(p.B * p.T);
    for (auto& m : mask) m = below(3) != 0;
    for (auto& r : resets) r = below(4) == 0;
    if (below(2)) p.mask = mask.data();
    if (below(2)) p.resets = resets.data();
    if (below(2)) p.input_mask = fill(p.B * p.D, 1);
    if (below(2)) p.recurrent_mask = fill(state, 1);
    const bool all = below(2), whole = below(2), wants_dx = below(4);
    const float* dy = whole ? fill(sequence, 1) : nullptr;
    const float* dy_last = whole ? nullptr : fill(state, 1);
    const float* dhs = all ? fill(sequence, 1) : nullptr;
    const float* dcs = all && p.kind == kLstm ? fill(sequence, 1) : nullptr;
    const float* dh_last = fill(state, 1);
    const float* dc_last = p.kind == kLstm ? fill(state, 1) : nullptr;

    Results exact, rounded;  // what to compare with
    for (const Kernels* each : tables) {
      const Kernels& table = *each;
      for (int mode = 0; mode < 6; ++mode) {
        const int threads = 1 + mode % 3;
        Results r;
        Problem q = p;
        q.bf16 = mode > 2;
        q.h_last = r.room("h alone", state), q.y_last = r.room("y_last alone", state);
        if (p.kind == kLstm) q.c_last = r.room("c alone", state);
        run(table, q, false, threads);  // keeps nothing for a backward pass
        q.y = r.room("y", sequence), q.y_last = r.room("y_last", state);
        q.h_last = r.room("h", state);
        const bool own = all || !whole || (p.mask && p.zero_masked);
        if (own) q.hs = r.room("hs", sequence);
        if (p.kind == kLstm) q.c_last = r.room("c", state);
        if (all && p.kind == kLstm) q.cs = r.room("cs", sequence);
        Floats saved(residual_size(q, table.width));
        if (!saved.empty()) q.residual = saved.data();
        run(table, q, false, threads);
        q.h_seq = own ? q.hs : q.y, q.h_seq_is_y = !own, q.saved = saved.data();
        q.dy = dy, q.dy_last = dy_last, q.dhs = dhs, q.dcs = dcs;
        q.dh_last = dh_last, q.dc_last = dc_last;
        if (wants_dx) q.dx = r.room("dx", p.B * p.T * p.D);
        q.dkernel = r.room("dkernel", p.D * width), q.drecurrent = r.room("drecurrent", p.U * width);
        if (p.bias) q.dbias = r.room("dbias", biases);
        q.dh0 = r.room("dh0", state);
        if (p.kind == kLstm) q.dc0 = r.room("dc0", state);
        run(table, q, true, threads);
        Results& reference = q.bf16 ? rounded : exact;
        if (reference.all.empty()) {
          reference = r;
          for (auto& numbers : exact.all)
            if (!q.bf16 && !record.pass(numbers.second)) { printf("%s ends too early\n", argv[4]); return 1; }
        }
        for (size_t i = 0; i < r.all.size(); ++i) {
          const double far = distance(r.all[i].second, reference.all[i].second);
          if (far < (q.bf16 ? 2e-2 : 2e-4)) continue;
          printf("case %d: %s on %s with %d threads%s is off by %g (kind %d, B %ld T %ld D %ld U %ld)\n",
                 n, r.all[i].first.c_str(), table.name, threads, q.bf16 ? ", in bfloat16," : "", far,
                 p.kind, p.B, p.T, p.D, p.U);
          return 1;
        }
      }
    }
  }
  printf("%d layers, 1 to 3 threads, on %s: equal\n", cases, names(tables).c_str());
  int bad = fuzz_streams(4 * cases, random, record);
  if (!bad) bad = fuzz_matrices(cases, random);
  if (!bad) bad = fuzz_programs(2 * cases, random);
  if (!bad) bad = fuzz_steps(2 * cases, random);
  return bad ? bad : fuzz_callers(20, random);
}
