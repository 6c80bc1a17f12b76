// Random programs stepped on every variant this processor has, with each storage: under
// the sanitizers, and each variant's numbers against the first one's.
#include <cmath>
#include <memory>

#include "fuzz.h"
#include "stream.h"

namespace unrolled {

namespace {

struct Draw {
  std::mt19937& random;
  std::vector<std::unique_ptr<Floats>> kept;
  long below(long n) { return static_cast<long>(random() % n); }
  const float* floats(size_t size, double scale) {
    kept.push_back(std::make_unique<Floats>(size));
    for (float& v : *kept.back()) v = static_cast<float>(scale * (below(2001) - 1000) / 1000.0);
    return kept.back()->data();
  }
  const float* whole(size_t size) {
    float* to = const_cast<float*>(floats(size, 1));
    for (size_t i = 0; i < size; ++i) to[i] = static_cast<float>(below(255) - 127);
    return to;
  }
};

StepLayer draw_layer(Draw& draw, int kind, long D, long U, int storage) {
  StepLayer l{};
  l.kind = kind, l.D = D, l.U = U;
  l.activation = static_cast<int>(draw.below(kind < kDense ? 3 : 10));
  l.recurrent_activation = static_cast<int>(draw.below(3));
  l.a = 0.5f, l.b = 1.5f;
  const long width = U * (kind == kLstm ? 4 : kind == kGruAfter || kind == kGruBefore ? 3 : 1);
  if (kind == kEmbedding) l.kernel = draw.floats(D * U, 1);
  if (kind == kAffine || kind == kNormalize) l.kernel = draw.floats(U, 1), l.b = 0;
  if (kind <= kDense) {
    const bool scaled = storage == kInt8;
    l.kernel = scaled ? draw.whole(D * width) : draw.floats(D * width, 1 / std::sqrt(D));
    if (scaled) l.kernel_scale = draw.floats(width, 0.01 / std::sqrt(D));
    if (kind < kDense) {
      l.recurrent = scaled ? draw.whole(U * width) : draw.floats(U * width, 1 / std::sqrt(U));
      if (scaled) l.recurrent_scale = draw.floats(width, 0.01 / std::sqrt(U));
    }
  }
  if (kind != kEmbedding && draw.below(2)) l.bias = draw.floats(kind == kGruAfter ? 2 * width : kind <= kDense ? width : U, 1);
  return l;
}

// Everything that leaves a stream: outputs of some steps, states at the end.
bool outputs(const Kernels& kernels, const std::vector<StepLayer>& layers, long B, long D,
             int storage, unsigned seed, Floats& all) {
  std::string why;
  std::unique_ptr<Stream> stream(
      Stream::make(kernels, layers.data(), static_cast<int>(layers.size()), B, D, storage, why));
  if (!stream) return false;
  std::mt19937 random(seed);
  Floats x(B * D), y(B * stream->outputs());
  std::vector<int64_t> ids(B);
  std::vector<uint8_t> rows(B);
  for (int t = 0; t < 5; ++t) {
    for (float& v : x) v = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
    for (int64_t& id : ids) id = static_cast<int64_t>(random() % D);
    for (uint8_t& row : rows) row = random() % 3 == 0;
    if (t == 3) stream->reset(rows.data());
    if (!stream->step(x.data(), ids.data(), y.data())) return false;
    all.insert(all.end(), y.begin(), y.end());
  }
  size_t numbers = 0;
  for (const StepLayer& l : layers) numbers += (l.kind == kLstm ? 2 : l.kind < kDense ? 1 : 0) * B * l.U;
  Floats states(numbers);
  stream->read(states.data());
  stream->write(states.data());
  all.insert(all.end(), states.begin(), states.end());
  if (stream->takes_ids()) {
    ids[0] = D;
    if (stream->step(x.data(), ids.data(), y.data())) return false;
  }
  return true;
}

}  // namespace

int fuzz_streams(int cases, std::mt19937& random, Record& record) {
  const std::vector<const Kernels*>& tables = supported();
  const long sizes[] = {1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 48, 64, 70, 129};
  for (int n = 0; n < cases; ++n) {
    Draw draw{random, {}};
    const long B = sizes[draw.below(9)], D = sizes[draw.below(14)];
    const int storage = static_cast<int>(draw.below(3)), count = 1 + static_cast<int>(draw.below(5));
    std::vector<StepLayer> layers;
    long K = D;
    for (int i = 0; i < count; ++i) {
      const int kind = static_cast<int>(draw.below(i == 0 ? 10 : 9));
      const long U = kind <= kDense || kind == kEmbedding
                         ? draw.below(20) == 0 ? 400 : sizes[draw.below(14)]
                         : K;
      layers.push_back(draw_layer(draw, kind, K, U, storage));
      K = U;
    }
    const unsigned seed = random();
    Floats first;
    for (const Kernels* table : tables) {
      Floats all;
      if (!outputs(*table, layers, B, D, storage, seed, all)) {
        printf("stream %d fails on %s\n", n, table->name);
        return 1;
      }
      if (first.empty()) {
        first = all;
        if (!record.pass(first)) { printf("stream %d: no numbers to compare with\n", n); return 1; }
      }
      for (size_t i = 0; i < all.size(); ++i)
        if (!(std::fabs(all[i] - first[i]) <= 2e-3f * (1.0f + std::fabs(first[i])))) {
          printf("stream %d: %g on %s, not %g (storage %d)\n", n, all[i], table->name, first[i], storage);
          for (const StepLayer& l : layers) printf("  kind %d, D %ld, U %ld\n", l.kind, long(l.D), long(l.U));
          return 1;
        }
    }
  }
  printf("%d streams on %s: equal\n", cases, names(tables).c_str());
  return 0;
}

}  // namespace unrolled
