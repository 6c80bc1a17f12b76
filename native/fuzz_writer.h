// Random programs for the fuzzers: valid ones, spoilt ones, and their arrays.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "fuse.h"
#include "fuzz.h"
#include "threads.h"

namespace unrolled { namespace {

using Numbers = std::vector<int64_t>;

// Writes a program that is valid, and each place of whose slots and results is written.
class Writer {
 public:
  explicit Writer(std::mt19937& random) : random_(random) {}

  // `step`: one that a stream takes too.
  Numbers program(bool step) {
    std::vector<int> kinds = {operand::kVector, operand::kVector, operand::kRow, operand::kRow,
                              operand::kSequence, operand::kKept, operand::kStates};
    if (step) kinds.resize(5);
    for (int kind : kinds) add(kind, width(), !step && kind > operand::kRow && below(2));
    weight_ = add(operand::kVector, 2000, false);
    const int starts = 1 + below(2);
    for (int i = 0; i < starts; ++i) add(operand::kRow, width(), false);
    inputs_ = count();
    const int first_start = inputs_ - starts;
    // Results: what instructions write, then what carries do.
    add(operand::kSequence, width(), !step && below(2));
    if (!step) add(operand::kKept, width(), below(2));
    for (int i = 0; i < 3 && !step; ++i) add(operand::kSum, width() * (1 + below(6)), false);
    struct Named { int start, last, states; };
    std::vector<Named> named;
    for (int i = 0; i < starts; ++i) {
      Named n{first_start + i, -1, -1};
      const long w = operands_[n.start].width;
      if (step || below(3)) n.last = add(operand::kRow, w, false);
      if (!step && below(2)) n.states = add(operand::kStates, w, false);
      named.push_back(n);
    }
    results_ = count() - inputs_;
    const int first_slot = count();
    for (int i = 0; i < 3; ++i) add(operand::kChunk, width(), false);
    for (int i = 0; i < 2; ++i) add(operand::kStep, width(), false);
    for (int i = 0; i < 3; ++i) add(operand::kBlock, width(), false);
    const int first_carry = count();
    for (const Named& n : named) add(operand::kCarry, operands_[n.start].width, false);

    for (int ref = 0; ref < (step ? first_start : inputs_); ++ref) can_read_.push_back(ref);
    begin_part(kChunkPart);
    fill({first_slot});
    begin_part(kLoopPart);
    for (int ref = first_carry; ref < count(); ++ref) can_read_.push_back(ref);  // before the step
    fill({first_slot + 1, first_slot + 3, first_slot + 4, inputs_, first_carry});
    if (starts > 1) fill({first_carry + 1});
    can_read_.erase(std::remove_if(can_read_.begin(), can_read_.end(), [&](int ref) {
      return operands_[ref].kind == operand::kStep;
    }), can_read_.end());
    begin_part(kChunkPart);
    fill({first_slot + 2});
    if (!step) {
      fill({inputs_ + 1});
      for (int i = 0; i < 3; ++i) sum(inputs_ + 2 + i);
      sum(inputs_ + 2 + below(3));
    }

    Numbers all = {1, inputs_, results_, count() - first_slot, static_cast<int64_t>(named.size()),
                   static_cast<int64_t>(parts_.size()), static_cast<int64_t>(groups_.size()),
                   static_cast<int64_t>(records_.size()) / 40};
    for (int ref = 0; ref < count(); ++ref) {
      all.insert(all.end(), {operands_[ref].kind, operands_[ref].width});
      if (ref < first_slot) all.push_back(operands_[ref].backwards);
    }
    for (size_t i = 0; i < named.size(); ++i)
      all.insert(all.end(), {first_carry + static_cast<int64_t>(i), named[i].start, named[i].last, named[i].states});
    for (const auto& p : parts_) all.insert(all.end(), {p.first, p.second});
    for (const auto& g : groups_) all.insert(all.end(), {g.first, g.second});
    all.insert(all.end(), records_.begin(), records_.end());
    return all;
  }

 private:
  int below(long n) { return static_cast<int>(random_() % n); }
  long width() {
    constexpr long widths[] = {1, 2, 3, 6, 8, 12, 16, 17, 24, 30, 33, 64};
    return widths[below(12)];
  }
  int count() const { return static_cast<int>(operands_.size()); }
  int add(int kind, long w, bool backwards) {
    operands_.push_back({kind, w, backwards});
    return count() - 1;
  }
  void begin_part(int kind) { parts_.push_back({kind, 0}); }
  void begin_group(int kind) { ++parts_.back().second, groups_.push_back({kind, 0}); }

  struct Place { int64_t ref = -1, offset = 0, stride[4] = {}, after = 0; };
  void record(int code, const long (&dim)[4], const Place& out, std::initializer_list<Place> in) {
    ++groups_.back().second;
    records_.insert(records_.end(), {code, dim[0], dim[1], dim[2], dim[3], 0});
    const auto put = [&](const Place& p) {
      records_.insert(records_.end(), {p.ref, p.offset, p.stride[0], p.stride[1], p.stride[2], p.stride[3], p.after});
    };
    put(out);
    for (const Place& p : in) put(p);
    for (size_t n = in.size(); n < 3; ++n) put({});
    records_.insert(records_.end(), 6, 0);
  }

  long divisor(long n) {
    long d = 1 + below(n);
    while (n % d) --d;
    return d;
  }
  // All of an operand, along these axes in any order; their lengths are its own.
  Place whole(int ref, std::vector<int> axes, long (&dim)[4]) {
    Place p;
    p.ref = ref, p.after = operands_[ref].kind == operand::kCarry;
    std::shuffle(axes.begin(), axes.end(), random_);
    long left = operands_[ref].width, size = 1;
    for (size_t i = 0; i < axes.size(); ++i) {
      const long d = i + 1 == axes.size() ? left : divisor(left);
      dim[axes[i]] = d, p.stride[axes[i]] = size;
      size *= d, left /= d;
    }
    return p;
  }
  // Somewhere in an operand that can be read, along these axes.
  Place some(std::vector<int> axes, const long (&dim)[4], bool block = true, int but = -1, int only = -1) {
    Place p;
    do {
      p.ref = only >= 0 ? only : can_read_[below(static_cast<long>(can_read_.size()))];
    } while (p.ref == but || (!block && in(beside_, p.ref)) || (!block && operands_[p.ref].kind == operand::kBlock));
    const Operand& o = operands_[p.ref];
    // Before a loop has run a carry has its first value alone.
    if (o.kind == operand::kCarry) p.after = written(p.ref) && below(2);
    if (o.kind == operand::kStates) p.after = below(2);
    std::shuffle(axes.begin(), axes.end(), random_);
    long size = 1;
    for (int axis : axes) {
      if (size * dim[axis] > o.width || below(5) == 0) continue;
      p.stride[axis] = size;
      if (below(6) == 0) p.stride[axis] = -size, p.offset += (dim[axis] - 1) * size;
      size *= dim[axis];
    }
    p.offset += below(o.width - size + 1);
    return p;
  }
  static bool in(const std::vector<int>& refs, int ref) { return std::find(refs.begin(), refs.end(), ref) != refs.end(); }
  bool written(int ref) const { return in(written_, ref); }
  void wrote(int ref) {
    if (!written(ref)) written_.push_back(ref);
    if (std::find(can_read_.begin(), can_read_.end(), ref) == can_read_.end()) can_read_.push_back(ref);
  }

  // Groups that write these operands, with others between.
  void fill(const std::vector<int>& refs) {
    for (int ref : refs) {
      if (operands_[ref].kind != operand::kCarry && below(2)) {
        if (groups_.empty() || groups_.back().first != kProductGroup || !parts_.back().second || below(2))
          begin_group(kProductGroup), beside_.clear();
        product(ref);
        beside_.push_back(ref);
      } else {
        begin_group(kPointwiseGroup);
        std::vector<int> blocks;
        for (int b = 0; b < count(); ++b)
          if (operands_[b].kind == operand::kBlock) pointwise(b), blocks.push_back(b);
        pointwise(ref);
        for (int b : blocks) can_read_.erase(std::find(can_read_.begin(), can_read_.end(), b));
      }
    }
  }
  void pointwise(int ref) {
    long dim[4] = {1, 1, 1, 1};
    constexpr int unary[] = {code::kCopy, code::kNeg, code::kTanh, code::kLogistic, code::kAbs, code::kErf};
    constexpr int binary[] = {code::kAdd, code::kSub, code::kMul, code::kMax, code::kMin};
    constexpr int reduces[] = {code::kReduceSum, code::kReduceMax, code::kReduceMin};
    // Carries stay within bounds, however many steps there are.
    const int kind = operands_[ref].kind == operand::kCarry ? 2 : below(6);
    if (kind < 4) {
      const Place out = whole(ref, {0, 1, 2, 3}, dim);
      const std::vector<int> axes = {0, 1, 2, 3};
      if (kind == 0) record(unary[below(6)], dim, out, {some(axes, dim)});
      if (kind == 1) record(binary[below(5)], dim, out, {some(axes, dim), some(axes, dim)});
      if (kind == 2) record(code::kTanh, dim, out, {some(axes, dim)});
      if (kind == 3) record(code::kMulAdd, dim, out, {some(axes, dim), some(axes, dim), some(axes, dim)});
    } else {
      const Place out = whole(ref, {0, 1, 2}, dim);
      dim[3] = 1 + below(40);
      if (kind == 4) record(reduces[below(3)], dim, out, {some({0, 1, 2, 3}, dim)});
      else if (below(2)) record(code::kContract, dim, out, {some({0, 1, 3}, dim), some({0, 2, 3}, dim)});
      else record(code::kContract, dim, out, {some({0, 1, 3}, dim), some({0, 2, 3}, dim), some({0, 1, 2}, dim)});
    }
    wrote(ref);
  }
  void product(int ref) {
    const long w = operands_[ref].width, F = below(3) ? 1 : divisor(w);
    const long dim[] = {1, F, 1 + below(40), w / F};
    Place out;
    out.ref = ref, out.after = operands_[ref].kind == operand::kCarry;
    out.stride[1] = w / F, out.stride[3] = 1;
    const Place left = some({1, 2}, dim, false, ref), weight = some({2, 3}, dim, false, -1, weight_);
    if (below(2)) {
      Place init = some({1, 3}, dim, false, ref);
      if (init.stride[3] != 1) init.offset = 0, init.stride[1] = init.stride[3] = 0;
      record(code::kProduct, dim, out, {left, weight, init});
    } else {
      record(code::kProduct, dim, out, {left, weight});
    }
    wrote(ref);
  }
  void sum(int ref) {
    begin_group(kSumGroup);
    const long w = operands_[ref].width;
    if (below(2)) {
      const long K = divisor(w);
      const long dim[] = {1, 1 + below(3), K, w / K};
      Place out;
      out.ref = ref;
      const bool turned = below(2);
      out.stride[2] = turned ? 1 : w / K, out.stride[3] = turned ? K : 1;
      record(code::kSumProduct, dim, out, {some({1, 2}, dim), some({1, 3}, dim)});
    } else {
      long dim[4] = {1, 1, 1, 1};
      const int axis = below(4);
      std::vector<int> axes = {0, 1, 2, 3};
      axes.erase(axes.begin() + axis);
      const Place out = whole(ref, axes, dim);
      dim[axis] = 1 + below(5);
      record(code::kSumRows, dim, out, {some({0, 1, 2, 3}, dim)});
    }
  }

  std::mt19937& random_;
  std::vector<Operand> operands_;
  int inputs_ = 0, results_ = 0, weight_ = 0;
  std::vector<int> can_read_, written_;
  std::vector<int> beside_;  // what products of the group at hand write
  std::vector<std::pair<int64_t, int64_t>> parts_, groups_;
  Numbers records_;
};

inline size_t size_of(const Operand& o, long B, long T) {
  const size_t w = o.width;
  switch (o.kind) {
    case operand::kVector: case operand::kSum: return w;
    case operand::kRow: return B * w;
    case operand::kStates: return (T + 1) * B * w;
    default: return T * B * w;
  }
}

// Runs a program with memory that is not a number where it is not set.
inline std::vector<Floats> run(const Recipe& recipe, long B, long T, const std::vector<Floats>& inputs,
                        const Fusing& fusing, int threads) {
  std::vector<Floats> arrays = inputs;
  for (int ref = recipe.inputs; ref < recipe.arrays(); ++ref)
    arrays.emplace_back(size_of(recipe.operands[ref], B, T), NAN);
  std::vector<float*> at;
  for (Floats& a : arrays) at.push_back(a.data());
  Lease lease(threads);
  const FusedLoop loop{&recipe, B, T, at.data()};
  const std::unique_ptr<Fused> fused = fusing.make(loop, lease.threads());
  const size_t bytes = (fused->layout(nullptr) + 63) / 64 * 64;
  char* scratch = static_cast<char*>(aligned_alloc(64, bytes));
  memset(scratch, 0xff, bytes);
  fused->layout(scratch);
  lease.run([](void* self, Team& team, int thread) { static_cast<Fused*>(self)->run(team, thread); }, fused.get());
  free(scratch);
  arrays.erase(arrays.begin(), arrays.begin() + recipe.inputs);
  return arrays;
}

inline double distance(const Floats& a, const Floats& b) {
  double most = 0, scale = 1;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) || std::isnan(b[i])) return INFINITY;
    if (a[i] == b[i]) continue;
    most = std::fmax(most, std::fabs(a[i] - b[i])), scale = std::fmax(scale, std::fabs(b[i]));
  }
  return most / scale;
}

// What a spoilt program may ask for, and still be run here.
inline bool is_small(const Recipe& recipe) {
  double work = 0;
  for (const Instruction& i : recipe.instructions)
    work += static_cast<double>(i.dim[0]) * i.dim[1] * i.dim[2] * i.dim[3];
  for (const Operand& o : recipe.operands) work += o.width;
  return work < 3e5;
}

// Inputs for a program.
inline std::vector<Floats> draw_inputs(const Recipe& recipe, long B, long T, std::mt19937& random) {
  std::vector<Floats> inputs;
  for (int ref = 0; ref < recipe.inputs; ++ref) {
    inputs.emplace_back(size_of(recipe.operands[ref], B, T));
    for (float& v : inputs.back()) v = static_cast<float>((static_cast<long>(random() % 2001) - 1000) / 4000.0);
  }
  return inputs;
}

// A program with a few numbers changed, half of them among those of its instructions.
inline Numbers spoilt(Numbers numbers, size_t instructions, std::mt19937& random) {
  const auto below = [&](long m) { return static_cast<long>(random() % m); };
  constexpr int64_t odd[] = {-1, 0, 1, 2, 3, 5, 15, 16, 33, 80, 1000, 1 << 20, int64_t{1} << 40, INT64_MIN, INT64_MAX};
  for (long changes = 1 + below(3); changes > 0; --changes) {
    const long from = below(2) ? numbers.size() - 40 * instructions : 0;
    int64_t& number = numbers[from + below(numbers.size() - from)];
    number = below(2) ? odd[below(15)] : number + below(3) - 1;
  }
  if (below(20) == 0) numbers.resize(below(numbers.size()));
  return numbers;
}

}}  // namespace unrolled::<anonymous>
