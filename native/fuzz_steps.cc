// Random programs as layers of streams, on every variant: step by step they give what the
// same program gives over all steps, and spoilt ones are refused or stay within their arrays.
#include "fuzz_writer.h"
#include "stream.h"

namespace unrolled {

namespace {

// What a stream is made of: a layer, its recipe and where its arrays are.
struct Layer {
  std::vector<const float*> arrays;
  std::vector<int64_t> sizes;
  StepRecipe recipe{};
  StepLayer layer{};

  Layer(const Numbers& numbers, const Recipe& r, const std::vector<Floats>& inputs) {
    layer.D = layer.U = 1;
    for (int ref = 0; ref < r.arrays(); ++ref) {
      const bool input = ref < r.inputs, sequence = r.operands[ref].kind == operand::kSequence;
      if (sequence) (input ? layer.D : layer.U) = r.operands[ref].width;
      if (!input) continue;
      arrays.push_back(sequence ? nullptr : inputs[ref].data());
      sizes.push_back(sequence ? 0 : static_cast<int64_t>(inputs[ref].size()));
    }
    recipe = {numbers.data(), static_cast<int64_t>(numbers.size()), arrays.data(), sizes.data(),
              static_cast<int64_t>(arrays.size())};
    layer.kind = kFused, layer.recipe = &recipe;
  }
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;
};

std::unique_ptr<Stream> stream_of(const Kernels& kernels, const Layer& l, long B, std::string& why) {
  return std::unique_ptr<Stream>(Stream::make(kernels, &l.layer, 1, B, l.layer.D, kFloat32, why));
}

// Where a recipe's one sequence is among its inputs.
int sequence_of(const Recipe& r) {
  int at = 0;
  while (r.operands[at].kind != operand::kSequence) ++at;
  return at;
}

// Outputs (T, B, U), then the states, then the first step's output after a reset of all rows.
Floats stepped(Stream& stream, const Floats& sequence, long B, long T, long D, size_t states) {
  Floats x(B * D), y(B * stream.outputs()), all, kept(states);
  const auto step = [&](long t) {
    for (long r = 0; r < B; ++r) std::copy_n(&sequence[(r * T + t) * D], D, &x[r * D]);
    stream.step(x.data(), nullptr, y.data());
    all.insert(all.end(), y.begin(), y.end());
  };
  for (long t = 0; t < T; ++t) step(t);
  stream.read(kept.data());
  stream.write(kept.data());
  all.insert(all.end(), kept.begin(), kept.end());
  stream.reset(nullptr);
  step(0);
  return all;
}

// The same of results that were computed over all steps.
Floats whole(const Recipe& r, const std::vector<Floats>& results, long B, long T) {
  const long U = r.operands[r.inputs].width;
  Floats all;
  const auto outputs = [&](long t) {
    for (long row = 0; row < B; ++row) {
      const float* y = &results[0][(row * T + t) * U];
      all.insert(all.end(), y, y + U);
    }
  };
  for (long t = 0; t < T; ++t) outputs(t);
  for (const CarryRecord& c : r.carries) {
    const Floats& last = results[c.last - r.inputs];
    all.insert(all.end(), last.begin(), last.end());
  }
  outputs(0);
  return all;
}

}  // namespace

int fuzz_steps(int cases, std::mt19937& random) {
  const std::vector<const Kernels*>& tables = supported();
  int refused = 0, wrong_ones = 0;
  for (int n = 0; n < cases; ++n) {
    const auto below = [&](long m) { return static_cast<long>(random() % m); };
    const Numbers numbers = Writer(random).program(true);
    Recipe recipe;
    std::string why = decode(numbers.data(), numbers.size(), recipe);
    if (!why.empty()) {
      printf("step %d: %s\n", n, why.c_str());
      return 1;
    }
    constexpr long rows[] = {1, 1, 2, 3, 5, 17, 130, 300};
    const long B = rows[below(8)], T = 1 + below(5);
    const std::vector<Floats> inputs = draw_inputs(recipe, B, T, random);
    const Floats& sequence = inputs[sequence_of(recipe)];
    size_t states = 0;
    for (const CarryRecord& c : recipe.carries) states += B * recipe.operands[c.start].width;
    for (const Kernels* table : tables) {
      const Floats want = whole(recipe, run(recipe, B, T, inputs, *table->fusing, 1), B, T);
      const Layer layer(numbers, recipe, inputs);
      const std::unique_ptr<Stream> stream = stream_of(*table, layer, B, why);
      if (!stream) {
        printf("step %d is refused on %s: %s\n", n, table->name, why.c_str());
        return 1;
      }
      const double far = distance(stepped(*stream, sequence, B, T, layer.layer.D, states), want);
      if (far < 1e-3) continue;
      printf("step %d on %s is off by %g (B %ld T %ld)\n", n, table->name, far, B, T);
      return 1;
    }
    for (int times = 0; times < 20; ++times, ++wrong_ones) {
      const Numbers wrong = spoilt(numbers, recipe.instructions.size(), random);
      Recipe r;
      if (!decode(wrong.data(), wrong.size(), r).empty()) {
        const Layer layer(wrong, recipe, inputs);
        if (stream_of(*tables.back(), layer, B, why) || why.empty()) {
          printf("step %d: a malformed program is not refused\n", n);
          return 1;
        }
        ++refused;
        continue;
      }
      if (!is_small(r)) continue;
      const std::vector<Floats> own = draw_inputs(r, B, 1, random);
      const Layer layer(wrong, r, own);
      const std::unique_ptr<Stream> stream = stream_of(*tables[below(tables.size())], layer, B, why);
      if (!stream) {
        ++refused;
        continue;
      }
      const Floats x(B * layer.layer.D, 0.25f);
      Floats y(B * layer.layer.U);
      for (int t = 0; t < 2; ++t) stream->step(x.data(), nullptr, y.data());
    }
  }
  printf("%d programs step by step, on %s: equal; of %d spoilt ones %d refused\n", cases,
         names(tables).c_str(), wrong_ones, refused);
  return 0;
}

}  // namespace unrolled
