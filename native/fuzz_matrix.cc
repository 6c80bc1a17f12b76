// One variant's products and sums, of random sizes and strides, against float64. Arrays end
// where their last element does, so that the sanitizers see what lies beyond.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>
#include <vector>

#include "matrix.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

struct Array {
  std::vector<float> numbers;
  long first;   // of the element at index 0 of all axes
  long stride[4];
};

class Fuzzer {
 public:
  explicit Fuzzer(std::mt19937& random_) : random(random_) {}

  bool product() {
    const Extent e = rows();
    const long K = below(12) ? size() : 1030 + below(1200), N = size();
    const Array weight = array({K, N, 1, 1}, false, below(2));
    const Array left = array({e.R, e.n, e.F, K}, true, below(2));
    Array out = array({e.R, e.n, e.F, N}, false, true);
    const long kind = below(4);  // of init: none, of its own, one number for all columns, out
    Array init = array({e.R, e.n, e.F, kind == 2 ? 1 : N}, true, true);
    if (kind == 2) init.stride[3] = 0;
    const std::vector<float> before = out.numbers;
    const Array& begin = kind == 3 ? out : init;
    std::vector<double> wanted(before.begin(), before.end()), scale(before.size(), 0.0);
    each(e, N, [&](long s, long r, long f, long j) {
      const long to = at(out, {r, s, f, j});
      double sum = kind ? begin.numbers[at(begin, {r, s, f, j})] : 0, most = std::fabs(sum);
      for (long k = 0; k < K; ++k) {
        const double term = double{left.numbers[at(left, {r, s, f, k})]} * weight.numbers[at(weight, {k, j, 0, 0})];
        sum += term, most += std::fabs(term);
      }
      wanted[to] = sum, scale[to] = most;
    });
    float* packed = room(weight_size(K, N));
    float* scratch = room(left_size(e.rows(), K));
    const long panels = weight_panels(N), middle = below(static_cast<int>(panels) + 1);
    for (const Range some : {Range{middle, panels}, Range{0, middle}}) {
      pack_weight(&weight.numbers[weight.first], weight.stride[0], weight.stride[1], K, N, some, packed);
      const Lines start = kind ? lines(begin) : Lines{};
      multiply_lines(lines(left), start, {&out.numbers[out.first], out.stride[0], out.stride[1], out.stride[2], 1},
                     e, K, N, packed, some, scratch, false, some.from == 0);
    }
    free(packed), free(scratch);
    return equal("product", out.numbers, before, wanted, scale, K, K, N, e);
  }

  bool sum() {
    const long K = size(), N = size();
    const int pools = 1 + static_cast<int>(below(3));
    Array out = array({K, N, 1, 1}, false, below(2));
    const std::vector<float> before = out.numbers;
    std::vector<double> wanted(before.begin(), before.end()), scale(before.size(), 0.0);
    ProductSum sums;
    Carver carver{nullptr};
    sums.layout(carver, pools, K, N, out.stride[0], out.stride[1]);
    carver = {reinterpret_cast<char*>(room(static_cast<long>(carver.used / 4)))};
    sums.layout(carver, pools, K, N, out.stride[0], out.stride[1]);
    const long middle = below(static_cast<int>(sums.panels()) + 1);
    Extent e{};
    long terms = 0;
    for (int pool = 0; pool < pools; ++pool)
      for (int chunk = 0; chunk < 2; ++chunk) {
        e = rows();
        if (!below(6)) e.n = 0;
        else if (!below(10)) e.n = 250;
        terms += e.rows();
        const Array left = array({e.R, e.n, e.F, K}, true, below(2));
        const Array right = array({e.R, e.n, e.F, N}, false, below(2));
        float* scratch = room(sums.scratch(e.rows()));
        for (const Range some : {Range{middle, sums.panels()}, Range{0, middle}})
          sums.add(lines(left), lines(right), e, pool, some, chunk == 0, scratch, false);
        free(scratch);
        for (long k = 0; k < K; ++k)
          each(e, N, [&](long s, long r, long f, long j) {
            const double term = double{left.numbers[at(left, {r, s, f, k})]} * right.numbers[at(right, {r, s, f, j})];
            const long to = at(out, {k, j, 0, 0});
            wanted[to] += term, scale[to] += std::fabs(term);
          });
      }
    for (size_t i = 0; i < before.size(); ++i) scale[i] += scale[i] ? std::fabs(before[i]) : 0;
    for (const Range some : {Range{middle, sums.panels()}, Range{0, middle}})
      sums.write(&out.numbers[out.first], pools, some);
    free(carver.base);
    return equal("sum", out.numbers, before, wanted, scale, terms, K, N, e);
  }

  long below(int n) { return static_cast<long>(random() % n); }

 private:
  using Sizes = const long (&)[4];

  long size() {
    const long sizes[] = {1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 48, 63, 64, 65, 70, 129, 144};
    return sizes[below(17)];
  }
  Extent rows() {
    const long parts[] = {1, 1, 1, 2, 3, 5};
    return {1 + below(below(2) ? 4 : 17), 1 + below(4), parts[below(6)]};
  }
  // Axes in any order, with gaps, some backwards; `repeats`: some not at all, as where all
  // steps read the same. `dense`: neighbours along the last axis of more than one element.
  Array array(Sizes sizes, bool repeats, bool dense) {
    Array a{};
    int order[4] = {0, 1, 2, 3};
    for (int i = 3; i > 0; --i) std::swap(order[i], order[below(i + 1)]);
    if (dense)  // the last axis there is comes innermost
      for (int i = 0; i < 4; ++i)
        if (order[i] == (sizes[2] * sizes[3] == 1 ? 1 : 3)) std::swap(order[i], order[3]);
    long span = 1, pad = below(3) ? 0 : below(4);
    for (int i = 3; i >= 0; --i) {
      const int axis = order[i];
      const bool inner = dense && i == 3;
      if (repeats && !inner && !below(4)) continue;
      a.stride[axis] = span;
      span *= sizes[axis] ? sizes[axis] : 1;
      if (i) span += pad;
      if (!inner && !below(5)) {
        a.stride[axis] *= -1;
        a.first -= a.stride[axis] * (sizes[axis] ? sizes[axis] - 1 : 0);
      }
    }
    long last = 0;
    for (int axis = 0; axis < 4; ++axis) last += std::labs(a.stride[axis]) * (sizes[axis] ? sizes[axis] - 1 : 0);
    a.numbers.resize(last + 1);
    for (float& v : a.numbers) v = static_cast<float>(below(2001) - 1000) / 1000.0f;
    return a;
  }
  static long at(const Array& a, Sizes i) {
    return a.first + i[0] * a.stride[0] + i[1] * a.stride[1] + i[2] * a.stride[2] + i[3] * a.stride[3];
  }
  static Lines lines(const Array& a) {
    return {&a.numbers[a.first], a.stride[0], a.stride[1], a.stride[2], a.stride[3]};
  }
  template <class F>
  static void each(const Extent& e, long N, const F& f) {
    for (long s = 0; s < e.n; ++s)
      for (long r = 0; r < e.R; ++r)
        for (long part = 0; part < e.F; ++part)
          for (long j = 0; j < N; ++j) f(s, r, part, j);
  }
  static float* room(long floats) {
    float* all = static_cast<float*>(aligned_alloc(64, up(floats, 16) * 64));
    for (long i = 0; i < floats; ++i) all[i] = NAN;
    return all;
  }
  // scale: of magnitudes, the sum. What was not to be written is as it was.
  static bool equal(const char* what, const std::vector<float>& got, const std::vector<float>& before,
                    const std::vector<double>& wanted, const std::vector<double>& scale, long terms,
                    long K, long N, const Extent& e) {
    // Rounded at each of so many terms, now up, now down.
    const double most = 1e-7 * (4 + std::sqrt(static_cast<double>(terms)));
    for (size_t i = 0; i < got.size(); ++i) {
      const double far = std::fabs(got[i] - wanted[i]);
      if (scale[i] == 0 ? got[i] == before[i] : far <= most * scale[i]) continue;
      printf("%s (K %ld N %ld; R %ld n %ld F %ld): %g in place of %g\n", what, K, N, e.R, e.n, e.F,
             double{got[i]}, wanted[i]);
      return false;
    }
    return true;
  }

  std::mt19937& random;
};

}  // namespace

bool fuzz_matrix(int cases, std::mt19937& random);
bool fuzz_matrix(int cases, std::mt19937& random) {
  Fuzzer fuzzer(random);
  for (int i = 0; i < cases; ++i)
    if (!(fuzzer.below(2) ? fuzzer.product() : fuzzer.sum())) return false;
  return true;
}

}}  // namespace unrolled::UNROLLED_NS
