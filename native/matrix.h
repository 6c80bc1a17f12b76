// The products of a program: rows of any memory times a weight of any strides, and the sums
// over rows that are the weight's gradient. Copied into gemm.h's layouts, multiplied there.
#pragma once
#include <type_traits>

#include "weights.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

// Element (f, j) of row r at step s is base[r*row + s*step + f*part + j*column]. Any stride
// may be 0 or negative.
template <class T>
struct LinesOf { T* base; long row, step, part, column; };
using Lines = LinesOf<const float>;
using Places = LinesOf<float>;

// The product has a row for each step, row of the batch and part of it, in this order.
struct Extent {
  long R, n, F;
  long rows() const { return R * n * F; }
};

// Goes through the rows of a product.
class Walk {
 public:
  explicit Walk(const Extent& extent) : e(extent), f(0), r(0), s(0) {}
  Walk(const Extent& extent, long m) : e(extent), f(m % e.F), r(m / e.F % e.R), s(m / e.F / e.R) {}
  template <class T>
  UNROLLED_INLINE T* in(const LinesOf<T>& lines) const {
    return lines.base + r * lines.row + s * lines.step + f * lines.part;
  }
  UNROLLED_INLINE void next() {
    if (++f < e.F) return;
    f = 0;
    if (++r < e.R) return;
    r = 0, ++s;
  }

 private:
  Extent e;
  long f, r, s;
};

// Whether all rows of a product are equally far apart, and how far.
template <class T>
UNROLLED_INLINE bool evenly(const LinesOf<T>& lines, const Extent& e, long* stride) {
  const bool rows = e.F * e.R > 1;
  *stride = e.F > 1 ? lines.part : rows ? lines.row : lines.step;
  return (e.F == 1 || e.R == 1 || lines.row == e.F * *stride) &&
         (!rows || e.n == 1 || lines.step == e.F * e.R * *stride);
}

// n floats, `stride` apart, and zeros up to whole vectors.
UNROLLED_INLINE void copy_line(const float* from, long stride, long n, float* to) {
  if (stride == 1) {
    long i = 0;
    for (; i + W <= n; i += W) store(to + i, load(from + i));
    if (i < n) store(to + i, load_part(from + i, n - i));
  } else {
    for (long i = 0; i < n; ++i) to[i] = from[i * stride];
    for (long i = n; i % W; ++i) to[i] = 0;
  }
}

// Columns [columns.from, columns.to) of all rows as a left operand; from is a multiple of W.
// What lies beyond the last, up to a whole vector, is zero.
inline void pack_lines(const Lines& lines, const Extent& e, Range columns, float* to) {
  const long M = e.rows();
  for (long from = columns.from, end; from < columns.to; from = end) {
    end = smaller(columns.to, (from / kChunk + 1) * kChunk);
    float* at = Float::place(to, M * kStride, from);
    Walk walk(e);
    for (long m = 0; m < M; ++m, walk.next())
      copy_line(walk.in(lines) + from * lines.column, lines.column, end - from, at + m * kStride);
  }
}

// --- products: panels of up to four vectors of columns, as even as can be ------------------

constexpr int kMostVectors = 4;
struct Panels {
  long count, each, wider;  // vectors in each, and so many panels have one more
  UNROLLED_INLINE explicit Panels(long N) {
    const long vectors = up(N, W);
    count = up(vectors, kMostVectors), each = vectors / count, wider = vectors % count;
  }
  UNROLLED_INLINE long from(long p) const { return p * each + smaller(p, wider); }
  UNROLLED_INLINE long vectors(long p) const { return each + (p < wider); }
};
// A weight of few columns would fill but a few lanes of its panel: there, each column is
// multiplied along the summed axis, and the lanes are added up.
UNROLLED_INLINE bool is_narrow(long K, long N) { return N < W && N * (up(K, W) + 8) < K; }

UNROLLED_INLINE long weight_panels(long N) { return up(up(N, W), kMostVectors); }
// Floats of a packed weight (K, N).
UNROLLED_INLINE long weight_size(long K, long N) {
  return is_narrow(K, N) ? N * up(K, W) * W : K * up(N, W) * W;
}

// Element (k, n) is w[k*sk + n*sn] -> [panel][K][vectors][W], for some panels; a narrow one
// [N][vectors of K][W]. What lies beyond the last is zero.
inline void pack_weight(const float* w, long sk, long sn, long K, long N, Range panels, float* out) {
  if (is_narrow(K, N)) {
    if (panels.from == panels.to) return;
    for (long n = 0; n < N; ++n) copy_line(w + n * sn, sk, K, out + n * up(K, W) * W);
    return;
  }
  alignas(64) float turned[W * W];
  const Panels all(N);
  for (long p = panels.from; p < panels.to; ++p) {
    const long width = all.vectors(p) * W;
    for (long v = 0; v < all.vectors(p); ++v) {
      const long column = (all.from(p) + v) * W, columns = smaller(W, N - column);
      const float* from = w + column * sn;
      float* to = out + all.from(p) * K * W + v * W;
      if (sn != 1 && sk == 1) {
        for (long k0 = 0; k0 < K; k0 += W) {
          const long deep = smaller(W, K - k0);
          transpose(from + k0, sn, columns, deep, turned);
          for (long k = 0; k < deep; ++k) store(to + (k0 + k) * width, load(turned + k * W));
        }
      } else {
        for (long k = 0; k < K; ++k) copy_line(from + k * sk, sn, columns, to + k * width);
      }
    }
  }
}

// Floats of scratch for a product of `rows` rows.
UNROLLED_INLINE long left_size(long rows, long K) { return rows_size<Float>(rows, K); }

// One panel of NV vectors, from `column` on: a left operand in gemm.h's layout times w.
template <int NV>
void multiply_panel(const float* left, long chunk_stride, const Lines& init, const Places& out, const Extent& e,
                    long K, const float* w, long column, long columns) {
  const long M = e.rows();
  long from_stride = 0, to_stride;
  const bool even = evenly(out, e, &to_stride) &&
                    (!init.base || (init.column == 1 && evenly(init, e, &from_stride)));
  const bool direct = even && columns == NV * W;
  const Places to = {out.base + column, out.row, out.step, out.part, 1};
  Lines from = init;
  if (from.base) from.base += column * from.column;
  for (long k = 0; k < K; k += kDepth) {
    const long end = smaller(K, k + kDepth);
    if (k) from = {to.base, to.row, to.step, to.part, 1}, from_stride = to_stride;
    tiled(M, max_rows<Float, NV>(), [&](long m, int count) {
      const float* a = left + m * kStride;
      const float* panel = w + k * NV * W;
      if (direct) {
        const float* start = from.base ? from.base + m * from_stride : kZeros;
        return tile_of<Float, NV>(count, a, chunk_stride, panel, k, end, start, from_stride,
                                  to.base + m * to_stride, to_stride);
      }
      alignas(64) float part[max_rows<Float, NV>() * NV * W];
      Walk walk(e, m);
      for (int r = 0; r < count && from.base; ++r, walk.next()) {
        const float* row = walk.in(from);
        for (int v = 0; v < NV; ++v)
          store(part + (r * NV + v) * W,
                from.column ? load_part(row + v * W, columns - v * W) : all(*row));
      }
      tile_of<Float, NV>(count, a, chunk_stride, panel, k, end, from.base ? part : kZeros,
                         from.base ? NV * W : 0, part);
      walk = Walk(e, m);
      for (int r = 0; r < count; ++r, walk.next())
        for (int v = 0; v < NV; ++v)
          store_part(walk.in(to) + v * W, load(part + (r * NV + v) * W), columns - v * W);
    });
  }
}

template <int kHalf = W / 2>
UNROLLED_INLINE float over_lanes(vf v) {
  vi other;
#pragma GCC unroll 16
  for (int l = 0; l < W; ++l) other[l] = l ^ kHalf;
  v += shuffle(v, v, other);
  if constexpr (kHalf > 1) return over_lanes<kHalf / 2>(v);
  else return v[0];
}

// A product with a narrow weight, row by row.
inline void multiply_narrow(const Lines& left, const Lines& init, const Places& out, const Extent& e,
                            long K, long N, const float* w, float* scratch) {
  constexpr int kSums = 4;
  const long M = e.rows();
  Walk walk(e);
  for (long m = 0; m < M; ++m, walk.next()) {
    const float* row = walk.in(left);
    if (left.column != 1) copy_line(row, left.column, K, scratch), row = scratch;
    float* to = walk.in(out);
    for (long n = 0; n < N; ++n) {
      const float* column = w + n * up(K, W) * W;
      vf sum[kSums] = {};
      long k = 0;
      for (; k + kSums * W <= K; k += kSums * W)
#pragma GCC unroll 4
        for (int i = 0; i < kSums; ++i) sum[i] += load(row + k + i * W) * load(column + k + i * W);
      for (; k < K; k += W) sum[0] += load_part(row + k, K - k) * load(column + k);
      const float start = init.base ? walk.in(init)[n * init.column] : 0.0f;
      to[n] = start + over_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
  }
}

// A row needs no stride.
UNROLLED_INLINE bool is_as_packed(const Lines& left, const Extent& e) { return e.rows() == 1 && left.column == 1; }

// out = init + left (rows, K) times a packed weight (K, N), for some panels. init.base null:
// zeros. init.column: 1, or 0: one number for all columns. out.column is 1; init may be out.
// there: all rows lie in scratch, as pack_lines puts them.
// backwards: from the last panel to the first. A loop that goes to and fro finds in the cache
// what it has read last.
inline void multiply_lines(const Lines& left, const Lines& init, const Places& out, const Extent& e,
                           long K, long N, const float* packed, Range panels, float* scratch,
                           bool there, bool backwards) {
  if (e.rows() == 0 || panels.from == panels.to) return;
  if (is_narrow(K, N)) return multiply_narrow(left, init, out, e, K, N, packed, scratch);
  const bool as_is = is_as_packed(left, e);
  if (!as_is && !there) pack_lines(left, e, {0, K}, scratch);
  const float* rows = as_is ? left.base : scratch;
  const long chunk_stride = as_is ? kChunk : e.rows() * kStride;
  const Panels all(N);
  for (long i = panels.from; i < panels.to; ++i) {
    const long p = backwards ? panels.from + panels.to - 1 - i : i, column = all.from(p) * W;
    const auto run = [&](auto NV) {
      multiply_panel<NV()>(rows, chunk_stride, init, out, e, K, packed + column * K, column,
                           smaller(NV() * W, N - column));
    };
    switch (all.vectors(p)) {
      case 1: run(std::integral_constant<int, 1>()); break;
      case 2: run(std::integral_constant<int, 2>()); break;
      case 3: run(std::integral_constant<int, 3>()); break;
      default: run(std::integral_constant<int, kMostVectors>());
    }
  }
}

// --- sums over rows -----------------------------------------------------------------------

// (K, N), element (k, n) at k*sk + n*sn: the sum over all rows of left[k] * right[n], in
// weights.h's tile order and once for each pool of rows. Where that takes less time, it is
// the transpose that is summed.
class ProductSum {
 public:
  void layout(Carver& carver, int pools, long K, long N, long sk, long sn) {
    const long upright = cost(K, N), sideways = cost(N, K);
    turned = sn == 1 ? 8 * sideways < 7 * upright : 7 * sideways <= 8 * upright;
    height = turned ? N : K, width = turned ? K : N;
    down = turned ? sn : sk, across = turned ? sk : sn;
    sums.layout(carver, pools, height, 0, 1, up(width, W));
  }
  // What threads may share out; a pool's must all be added to.
  long panels() const { return sums.pairs(); }
  // Floats of scratch to add so many rows.
  long scratch(long rows) const { return tall(rows) + rows_size<Float>(rows, up(width, W) * W); }

  // Whether it is the right operand that has a row of tiles for each of its columns.
  bool is_turned() const { return turned; }

  // Adds the rows of `left` (K columns) and `right` (N) to a pool's; fresh: to zeros. there:
  // the operand that `is_turned` names lies in scratch, as pack_lines puts it.
  void add(const Lines& left, const Lines& right, const Extent& e, int pool, Range some, bool fresh,
           float* scratch, bool there) const {
    const long M = e.rows();
    if (M == 0) {
      for (long at = some.from * height; fresh && at < some.to * height; ++at)
        for (int v = 0; v < 2; ++v) store(sums.sums[pool] + (2 * at + v) * W, vf{});
      return;
    }
    const Rows<Float> a = {scratch, scratch}, b = {scratch + tall(M), scratch + tall(M)};
    if (!there) pack_lines(turned ? right : left, e, {0, height}, a.data);
    pack_lines(turned ? left : right, e, {some.from * 2 * W, smaller(width, some.to * 2 * W)}, b.data);
    sums.add(a, b, M, pool, some, fresh);
  }

  // Adds the sums of all pools to `out`. Threads may share the panels out unless a stride is 0.
  void write(float* out, int pools, Range some) const {
    for (long u = some.from * 2 * W; u < smaller(width, some.to * 2 * W); u += W) {
      const long at = u / (2 * W) * height * 2 * W + u % (2 * W), n = smaller(W, width - u);
      for (long m = 0; m < height; ++m) {
        const vf sum = sums.total(at + m * 2 * W, pools);
        float* to = out + m * down + u * across;
        if (across == 1) store_part(to, load_part(to, n) + sum, n);
        else for (long l = 0; l < n; ++l) to[l * across] += sum[l];
      }
    }
  }

 private:
  static long cost(long high, long wide) { return high * up(wide, 2 * W); }
  long tall(long rows) const { return rows_size<Float>(rows, up(height, W) * W); }

  bool turned;
  long height, width, down, across;
  WeightGradient<Float> sums;
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
