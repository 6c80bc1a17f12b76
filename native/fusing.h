// A program made ready: who does what, and where everything lies.
//
// As in the loops of frame.h: with few units every thread takes its own rows through all
// steps and never waits; with many, or few rows, all work on the same rows, and share out
// the columns of each product, blocks of rows of what lies between, and meet in between. Of
// a row or two there is nothing to share out between products: each thread does all of that,
// on copies of its own, and they meet once a product.
#pragma once
#include "fuse.h"
#include "rowsum.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

constexpr long kBlockFloats = 6144;  // of BLOCK slots: they stay in the first-level cache

UNROLLED_INLINE long larger(long a, long b) { return a > b ? a : b; }
template <class F>
UNROLLED_INLINE void each(Span span, const F& f) {
  for (int i = span.first; i < span.first + span.count; ++i) f(i);
}

struct FusionPlan {
  bool columns;  // of products are shared out, not rows
  bool weights;  // packed by all for all; otherwise by each for itself, up to 1 MiB
  long bands;    // of each thread
  long rows;     // of any band, at most
  long steps;    // a chunk
  bool alike;    // every thread does all pointwise work of a loop
};
inline FusionPlan plan_of(const FusedLoop& f, int threads) {
  const Recipe& recipe = *f.recipe;
  double recurrent = 0, all = 0;
  for (const Part& part : recipe.parts)
    each(part.groups, [&](int g) {
      each(recipe.groups[g].instructions, [&](int i) {
        const Instruction& product = recipe.instructions[i];
        if (product.code != code::kProduct) return;
        const double weight = static_cast<double>(product.dim[2]) * product.dim[3];
        all += weight;
        if (part.kind == kLoopPart) recurrent += weight;
      });
    });
  FusionPlan plan;
  plan.columns = threads > 1 && (f.B < 4 * threads || recurrent >= 4 * 384 * 384);
  plan.weights = plan.columns || all > 1 << 18;
  const long rows = plan.columns ? f.B : up(f.B, threads);
  plan.bands = up(rows, plan.columns ? 256 : 128);
  plan.rows = rows ? up(rows, plan.bands) : 1;
  plan.steps = larger(1, smaller(f.T, up(kRowsPerChunk, plan.rows)));
  plan.alike = plan.columns && f.B <= 2;
  return plan;
}

// What is the same for all threads, and where each thread's own memory lies.
class FusionRoom {
 public:
  FusionRoom(const FusedLoop& loop, int threads_)
      : f(loop), recipe(*loop.recipe), threads(threads_), plan(plan_of(loop, threads_)),
        block_rows(recipe.groups.size()), block_at(recipe.instructions.size()),
        weight_of(recipe.instructions.size(), -1), history(recipe.operands.size(), -1),
        copies(recipe.operands.size()), in_place(recipe.operands.size()),
        product_sums(recipe.instructions.size()), row_sums(recipe.instructions.size()) {
    for (size_t g = 0; g < recipe.groups.size(); ++g) place_blocks(static_cast<int>(g));
    for (size_t i = 0; i < recipe.instructions.size(); ++i) find_weight(static_cast<int>(i));
    for (const CarryRecord& c : recipe.carries) history[c.slot] = c.states;
    find_copies();
    for (const CarryRecord& c : recipe.carries) in_place[c.slot] = stays(c);
    for (Memory& m : memory) m = {};
    for (int t = 0; t < threads; ++t) {
      memory[t].packed.resize(recipe.instructions.size());
      memory[t].slot.resize(recipe.operands.size());
    }
  }

  struct Memory {
    std::vector<float*> packed;  // by instruction: a product's weight
    std::vector<float*> slot;    // by operand
    float *blocks, *scratch;     // of pointwise groups; of products and sums
  };

  size_t layout(char* base) {
    Carver carver{base};
    for (int t = 0; t < threads; ++t) {
      carver.next_thread();
      take_memory(carver, memory[t], t);
    }
    const int pools = plan.columns ? 1 : threads;
    for (size_t n = 0; n < recipe.instructions.size(); ++n) {
      const Instruction& i = recipe.instructions[n];
      if (i.code == code::kSumRows) row_sums[n].layout(carver, pools, i);
      if (i.code == code::kSumProduct)
        product_sums[n].layout(carver, pools, i.dim[2], i.dim[3], i.out.stride[2], i.out.stride[3]);
    }
    return carver.used;
  }

  // Whether a carry's slot is the result that has all its values.
  bool is_history(int ref, int thread) const { return history[ref] >= 0 && !(thread && copies[ref]); }

  const FusedLoop f;
  const Recipe& recipe;
  const int threads;
  FusionPlan plan;
  std::vector<long> block_rows;         // by group: rows at hand
  struct Blocks { long at[1 + kMostReads]; };
  std::vector<Blocks> block_at;         // by instruction: where its BLOCK slots lie
  std::vector<int> weight_of;           // by instruction: the first product of the same weight
  std::vector<int> history;             // by operand: the STATES that are a carry's slot, or -1
  std::vector<char> copies;             // by operand: does each thread write its own
  std::vector<char> in_place;           // by operand: is a carry's next value written over the last
  std::vector<ProductSum> product_sums; // by instruction
  std::vector<RowSum> row_sums;
  Memory memory[kMaxThreads];

 private:
  // BLOCK slots of a group lie behind each other, and so many rows of them fit the cache.
  void place_blocks(int g) {
    const Group& group = recipe.groups[g];
    std::vector<int> named;
    long width = 0, most = 1;
    each(group.instructions, [&](int i) {
      const Instruction& in = recipe.instructions[i];
      most = larger(most, in.dim[0] * in.dim[1] * in.dim[2] * in.dim[3]);
      if (recipe.operands[in.out.ref].kind != operand::kBlock) return;
      for (int ref : named)
        if (ref == in.out.ref) return;
      named.push_back(in.out.ref);
      width += recipe.operands[in.out.ref].width;
    });
    const long rows = smaller(plan_rows(), larger(1, kBlockFloats / larger(width, most)));
    block_rows[g] = rows;
    // Pieces are skewed, as Carver's, so that equal sizes do not collide in the cache.
    std::vector<long> at;
    long size = 0;
    for (int ref : named) {
      at.push_back(size);
      size += up(rows * recipe.operands[ref].width, 16) * 16 + 80;
    }
    block_size = larger(block_size, size);
    each(group.instructions, [&](int i) {
      const Instruction& in = recipe.instructions[i];
      const View* const view[] = {&in.out, &in.in[0], &in.in[1], &in.in[2]};
      for (int k = 0; k <= kMostReads; ++k)
        for (size_t n = 0; n < named.size(); ++n)
          if (view[k]->ref == named[n]) block_at[i].at[k] = at[n];
    });
  }
  // What pointwise groups of loops write, where every thread runs them all. What others write
  // as well cannot be both: then the threads share out rows as ever.
  void find_copies() {
    std::vector<char> shared(recipe.operands.size());
    for (const Part& part : recipe.parts)
      each(part.groups, [&](int g) {
        const bool own = part.kind == kLoopPart && recipe.groups[g].kind == kPointwiseGroup;
        each(recipe.groups[g].instructions, [&](int i) {
          const int ref = recipe.instructions[i].out.ref;
          if (recipe.operands[ref].kind != operand::kBlock) (own ? copies : shared)[ref] = true;
        });
      });
    for (size_t ref = 0; ref < copies.size(); ++ref)
      if (copies[ref] && shared[ref]) plan.alike = false;
    if (!plan.alike) copies.assign(copies.size(), false);
  }
  long plan_rows() const { return larger(plan.rows, plan.rows == 1 ? plan.steps : 1); }

  void find_weight(int i) {
    const Instruction& own = recipe.instructions[i];
    if (own.code != code::kProduct) return;
    const View& w = own.in[1];
    for (weight_of[i] = 0; weight_of[i] < i; ++weight_of[i]) {
      const Instruction& other = recipe.instructions[weight_of[i]];
      const View& v = other.in[1];
      if (other.code == code::kProduct && v.ref == w.ref && v.offset == w.offset &&
          other.dim[2] == own.dim[2] && other.dim[3] == own.dim[3] && v.stride[2] == w.stride[2] &&
          v.stride[3] == w.stride[3])
        return;
    }
  }
  // Whether a carry can be written in place: in one loop alone, element by element, by one
  // instruction, after which nothing reads what was there before. A sum over all steps, say.
  bool stays(const CarryRecord& c) const {
    if (c.states >= 0) return false;
    int writer = -1, writers = 0, last = -1;
    bool stays = true;
    for (const Part& part : recipe.parts)
      each(part.groups, [&](int g) {
        each(recipe.groups[g].instructions, [&](int n) {
          const Instruction& i = recipe.instructions[n];
          const bool writes = i.out.ref == c.slot;
          if (writes) writer = n, ++writers, stays = stays && recipe.groups[g].kind == kPointwiseGroup;
          for (int k = 0; k < kMostReads; ++k) {
            if (i.in[k].ref != c.slot) continue;
            stays = stays && part.kind == kLoopPart && (i.in[k].after || !writes || is_same(i, k));
            if (!i.in[k].after) last = n;
          }
        });
      });
    return stays && writers == 1 && last <= writer;
  }
  // Whether an instruction reads each element at the place where it writes what comes of it.
  static bool is_same(const Instruction& i, int k) {
    const bool elementwise = i.code < code::kReduceSum || (i.code == code::kContract && k == 2);
    bool same = elementwise && i.in[k].offset == i.out.offset;
    for (int axis = 0; axis < (i.code == code::kContract ? 3 : 4); ++axis)
      same = same && i.in[k].stride[axis] == i.out.stride[axis];
    return same;
  }

  void take_memory(Carver& carver, Memory& own, int t) {
    long scratch = 0;
    for (size_t n = 0; n < recipe.instructions.size(); ++n) {
      const Instruction& i = recipe.instructions[n];
      const long rows = plan.rows * plan.steps * i.dim[1];
      if (i.code == code::kSumProduct) {
        ProductSum shape;
        Carver none{nullptr};
        shape.layout(none, 1, i.dim[2], i.dim[3], i.out.stride[2], i.out.stride[3]);
        scratch = larger(scratch, shape.scratch(rows));
      }
      if (i.code != code::kProduct) continue;
      scratch = larger(scratch, left_size(rows, i.dim[2]));
      const size_t first = static_cast<size_t>(weight_of[n]);
      if (t && plan.weights) own.packed[n] = memory[0].packed[n];
      else if (first != n) own.packed[n] = own.packed[first];
      else own.packed[n] = carver.take(weight_size(i.dim[2], i.dim[3]));
    }
    for (size_t ref = recipe.inputs; ref < recipe.operands.size(); ++ref) {
      if (t && plan.columns && !copies[ref]) {
        own.slot[ref] = memory[0].slot[ref];
        continue;
      }
      const Operand& o = recipe.operands[ref];
      long entries = 0;
      switch (o.kind) {
        // A product writes its next value while others read the last.
        case operand::kStep: entries = plan.alike && !copies[ref] ? 2 : 1; break;
        case operand::kChunk: entries = plan.steps; break;
        case operand::kCarry:
          entries = is_history(static_cast<int>(ref), t) ? 0 : in_place[ref] ? 1 : plan.steps + 1;
          break;
        default: entries = t && copies[ref] ? plan.steps : 0;  // a result: the first thread writes it
      }
      own.slot[ref] = entries ? carver.take(entries * plan.rows * o.width) : nullptr;
    }
    own.blocks = carver.take(block_size);
    own.scratch = carver.take(scratch);
  }

  long block_size = 0;
};

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
