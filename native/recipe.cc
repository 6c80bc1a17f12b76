#include "recipe.h"

#include <initializer_list>

namespace unrolled {

namespace {

constexpr int64_t kVersion = 1, kHeader = 8, kRecord = 40, kMost = 1 << 16;
constexpr int64_t kMostElements = int64_t{1} << 40, kMostWork = int64_t{1} << 31;

// Numbers one after another; whoever reads past the end, or one out of its range, is told.
class Reader {
 public:
  Reader(const int64_t* data, size_t size) : at_(data), left_(size) {}
  int64_t number(int64_t least, int64_t most, const char* what) {
    if (!left_) return fail(std::string("it ends before ") + what), least;
    const int64_t n = *at_++;
    --left_;
    if (n >= least && n <= most) return n;
    fail(std::string(what) + " must be from " + std::to_string(least) + " to " +
         std::to_string(most) + ". Got " + std::to_string(n));
    return least;
  }
  int count(const char* what) { return static_cast<int>(number(0, kMost, what)); }
  void fail(const std::string& why) {
    if (why_.empty()) why_ = why;
  }
  size_t left() const { return left_; }
  bool good() const { return why_.empty(); }
  const std::string& why() const { return why_; }

 private:
  const int64_t* at_;
  size_t left_;
  std::string why_;
};

bool among(int kind, std::initializer_list<int> kinds) {
  for (int each : kinds)
    if (each == kind) return true;
  return false;
}

// The axes along which an operand of an instruction is walked, a bit each; the strides of
// the others say nothing. Operand 0 is what it writes.
unsigned axes_of(int code, int operand) {
  constexpr unsigned f = 2, k = 4, n = 8;
  switch (code) {
    case code::kReduceSum: case code::kReduceMax: case code::kReduceMin: return operand ? 15 : 7;
    case code::kContract: return operand == 1 ? 11 : operand == 2 ? 13 : 7;
    case code::kProduct: return operand == 1 ? f | k : operand == 2 ? k | n : f | n;
    case code::kSumProduct: return operand == 1 ? f | k : operand == 2 ? f | n : k | n;
    default: return 15;
  }
}

View read_view(Reader& in, int refs, bool required) {
  View v;
  v.ref = static_cast<int>(in.number(required ? 0 : -1, refs - 1, "an operand"));
  v.offset = in.number(0, kMostElements, "an offset");
  for (long& stride : v.stride) stride = in.number(-kMostElements, kMostElements, "a stride");
  v.after = in.number(0, 1, "the flag `after`");
  return v;
}

Instruction read_instruction(Reader& in, int refs) {
  Instruction i{};
  i.code = static_cast<int>(in.number(0, code::kSumRows, "a code"));
  const Arity reads = arity(i.code);
  if (in.good() && !reads.most) in.fail("there is no instruction " + std::to_string(i.code));
  double work = 1;
  for (long& d : i.dim) work *= static_cast<double>(d = in.number(1, kMostWork, "a dimension"));
  if (work > static_cast<double>(kMostWork)) in.fail("an instruction has too many elements");
  in.number(0, 0, "a reserved number");
  i.out = read_view(in, refs, true);
  for (int n = 0; n < 3; ++n) {
    i.in[n] = read_view(in, refs, n < reads.least);
    if (i.in[n].ref >= 0 && n >= reads.most) in.fail("an instruction has too many operands");
  }
  for (int n = 0; n < 6; ++n) in.number(0, 0, "a reserved number");
  for (int n = 0; n < 4; ++n) {
    View& v = n ? i.in[n - 1] : i.out;
    for (int axis = 0; axis < 4; ++axis)
      if (!(axes_of(i.code, n) >> axis & 1) || i.dim[axis] == 1) v.stride[axis] = 0;
  }
  return i;
}

// Where the elements of a view lie, both ends included.
struct Extent { __int128 first, last; };
Extent extent(const Instruction& i, const View& v) {
  Extent e{v.offset, v.offset};
  for (int axis = 0; axis < 4; ++axis) {
    const __int128 reach = static_cast<__int128>(i.dim[axis] - 1) * v.stride[axis];
    (reach < 0 ? e.first : e.last) += reach;
  }
  return e;
}

// Follows a program in the order in which it runs.
class Checker {
 public:
  explicit Checker(const Recipe& recipe)
      : r_(recipe), written_(r_.operands.size(), kNever), by_(r_.operands.size(), kNever) {}

  std::string run() {
    carries();
    for (size_t p = 0; p < r_.parts.size(); ++p) {
      part_ = static_cast<int>(p);
      each(r_.parts[p].groups, [&](int g) {
        group_ = g;
        group(r_.groups[g]);
      });
    }
    for (size_t ref = r_.inputs; ref < r_.operands.size(); ++ref) {
      const int kind = r_.operands[ref].kind;
      if (among(kind, {operand::kSequence, operand::kKept, operand::kCarry}) && by_[ref] == kNever)
        fail("nothing writes operand " + std::to_string(ref));
    }
    return why_;
  }

 private:
  static constexpr int kNever = -1;

  template <class F>
  static void each(Span span, const F& f) {
    for (int i = span.first; i < span.first + span.count; ++i) f(i);
  }
  void fail(const std::string& why) {
    if (!why_.empty()) return;
    why_ = why;
    if (instruction_ >= 0) why_ += " (instruction " + std::to_string(instruction_) + ")";
  }
  const Operand& of(int ref) const { return r_.operands[ref]; }
  bool is_input(int ref) const { return ref < r_.inputs; }

  void carries() {
    std::vector<int> records(r_.operands.size(), 0);
    const auto result = [&](int ref, int kind, long width) {
      if (ref < 0) return;
      if (is_input(ref) || ref >= r_.arrays() || of(ref).kind != kind || of(ref).width != width)
        fail("a carry must go to results of its own width, ROW and STATES");
      ++records[ref];
    };
    for (const CarryRecord& c : r_.carries) {
      if (of(c.slot).kind != operand::kCarry) fail("a carry must name a CARRY slot");
      const long width = of(c.slot).width;
      if (!is_input(c.start) || of(c.start).kind != operand::kRow || of(c.start).width != width)
        fail("a carry must start from a ROW input of its own width");
      ++records[c.slot];
      result(c.last, operand::kRow, width);
      result(c.states, operand::kStates, width);
    }
    for (int ref = r_.inputs; ref < static_cast<int>(r_.operands.size()); ++ref) {
      const bool needs = among(of(ref).kind, {operand::kCarry, operand::kRow, operand::kStates});
      if (records[ref] != (needs ? 1 : 0))
        fail("each CARRY slot, ROW and STATES result must be named by one carry");
    }
    // A loop reads a carry before the instruction that writes it, one step earlier.
    for (int p = 0; p < static_cast<int>(r_.parts.size()); ++p)
      each(r_.parts[p].groups, [&](int g) {
        each(r_.groups[g].instructions, [&](int i) {
          int& by = by_[r_.instructions[i].out.ref];
          if (by == kNever) by = p;
        });
      });
  }

  void group(const Group& g) {
    const int kind = r_.parts[part_].kind;
    if (g.kind == kSumGroup && g.instructions.count != 1) fail("a group of a sum must hold one instruction");
    if (g.kind == kProductGroup) side_by_side(g.instructions);
    if (g.kind == kSumGroup && kind != kChunkPart) fail("sums must stand in CHUNK parts");
    each(g.instructions, [&](int i) {
      instruction_ = i;
      instruction(r_.instructions[i], g.kind);
    });
    instruction_ = -1;
  }

  void instruction(const Instruction& i, int group_kind) {
    const bool sum = i.code == code::kSumProduct || i.code == code::kSumRows;
    const int belongs = sum ? kSumGroup : i.code == code::kProduct ? kProductGroup : kPointwiseGroup;
    if (group_kind != belongs) return fail("an instruction stands in a group of another kind");
    if (i.code == code::kProduct) product(i);
    for (int n = 0; n < 3; ++n)
      if (i.in[n].ref >= 0) reads(i, i.in[n], belongs, i.code == code::kProduct && n == 1);
    writes(i, i.out, belongs);
    if (i.code == code::kSumProduct && i.dim[0] != 1) fail("a sum of products must have d0 = 1");
  }

  // Threads do not wait for each other between the products of a group.
  void side_by_side(Span group) {
    const auto same = [](const View& a, const View& b) { return a.ref == b.ref && a.after == b.after; };
    each(group, [&](int n) {
      const View& to = r_.instructions[n].out;
      each(group, [&](int other) {
        const Instruction& i = r_.instructions[other];
        if (other != n && (same(to, i.out) || same(to, i.in[0]) || same(to, i.in[2])))
          fail("a product must not read or write what another of its group writes");
      });
    });
  }

  void product(const Instruction& i) {
    if (i.dim[0] != 1) fail("a product must have d0 = 1");
    if (i.dim[3] > 1 && i.out.stride[3] != 1) fail("a product must write columns side by side");
    if (i.in[2].ref >= 0 && i.in[2].stride[3] != 0 && i.in[2].stride[3] != 1)
      fail("what a product adds to must lie side by side");
    const View &to = i.out, &left = i.in[0];
    if (to.ref != left.ref || to.after != left.after) return;
    const Extent a = extent(i, to), b = extent(i, left);
    if (a.first <= b.last && b.first <= a.last) fail("a product must not write where it reads");
  }

  void within(const Instruction& i, const View& v) {
    const Extent e = extent(i, v);
    if (e.first < 0 || e.last >= of(v.ref).width)
      fail("operand " + std::to_string(v.ref) + " has " + std::to_string(of(v.ref).width) +
           " elements, and more are asked for");
  }

  void reads(const Instruction& i, const View& v, int belongs, bool weight) {
    const int kind = of(v.ref).kind;
    const bool loop = r_.parts[part_].kind == kLoopPart;
    within(i, v);
    if (weight && kind != operand::kVector) fail("the weight of a product must be a VECTOR");
    if (v.after && !among(kind, {operand::kCarry, operand::kStates})) fail("only a carry has a value after the step");
    if (belongs != kPointwiseGroup && kind == operand::kBlock) fail("a BLOCK slot ends with its group");
    if (belongs == kSumGroup && kind == operand::kStep) fail("a sum must not read STEP slots");
    if (is_input(v.ref)) return;
    if (among(kind, {operand::kRow, operand::kSum, operand::kStates})) fail("such a result must not be read");
    const bool seen = kind == operand::kBlock ? written_[v.ref] == group_
                      : kind == operand::kStep ? by_[v.ref] == part_ && written_[v.ref] != kNever
                                      : written_[v.ref] != kNever;
    const bool earlier = kind == operand::kCarry && loop && !v.after && by_[v.ref] != kNever && by_[v.ref] <= part_;
    if (!seen && !earlier) fail("operand " + std::to_string(v.ref) + " is read before it is written");
  }

  void writes(const Instruction& i, const View& v, int belongs) {
    const int kind = of(v.ref).kind;
    const bool loop = r_.parts[part_].kind == kLoopPart;
    within(i, v);
    if (is_input(v.ref) || among(kind, {operand::kRow, operand::kStates})) fail("an instruction must write to a result or slot");
    if ((kind == operand::kSum) != (belongs == kSumGroup)) fail("sums, and nothing else, must go to SUM results");
    if (kind == operand::kBlock && belongs != kPointwiseGroup) fail("a BLOCK slot is for pointwise groups");
    if (kind == operand::kStep && !loop) fail("a STEP slot is for LOOP parts");
    if (kind == operand::kStep && by_[v.ref] != part_) fail("a STEP slot belongs to one part");
    if (v.after != (kind == operand::kCarry)) fail("a carry, and nothing else, is written after the step");
    if (belongs == kPointwiseGroup)
      for (int axis = 0; axis < 4; ++axis)
        if ((axes_of(i.code, 0) >> axis & 1) && i.dim[axis] > 1 && !v.stride[axis])
          fail("a place must be written once");
    written_[v.ref] = group_;
  }

  const Recipe& r_;
  std::vector<int> written_;  // the group that last wrote an operand
  std::vector<int> by_;       // the first part that writes it
  int part_ = 0, group_ = 0, instruction_ = -1;
  std::string why_;
};

// A carry's slot is where its history is, if anybody asks for that.
Operand read_operand(Reader& in, int least, int most, bool array) {
  Operand o{};
  o.kind = static_cast<int>(in.number(least, most, "the kind of an operand"));
  o.width = in.number(array ? 0 : 1, kMostElements, "a width");
  if (array) o.backwards = in.number(0, 1, "the flag `backwards`");
  return o;
}

}  // namespace

Arity arity(long code) {
  if (code >= 0 && code <= code::kLastUnary) return {1, 1};
  if (code >= code::kAdd && code <= code::kLastBinary) return {2, 2};
  if (code >= code::kSelect && code <= code::kLastTernary) return {3, 3};
  switch (code) {
    case code::kReduceSum: case code::kReduceMax: case code::kReduceMin: case code::kSumRows: return {1, 1};
    case code::kContract: case code::kProduct: return {2, 3};
    case code::kSumProduct: return {2, 2};
    default: return {0, 0};
  }
}

std::string decode(const int64_t* data, size_t size, Recipe& r) {
  Reader in(data, size);
  const std::string start = "a program is malformed: ";
  in.number(kVersion, kVersion, "the version of a program");
  r = {};
  r.inputs = in.count("the number of inputs"), r.results = in.count("the number of results");
  const int slots = in.count("the number of slots"), carries = in.count("the number of carries");
  const int parts = in.count("the number of parts"), groups = in.count("the number of groups");
  const int instructions = in.count("the number of instructions");
  const int64_t needs = 3 * int64_t{r.arrays()} + 2 * int64_t{slots} + 4 * int64_t{carries} +
                        2 * int64_t{parts} + 2 * int64_t{groups} + kRecord * int64_t{instructions};
  if (in.good() && static_cast<int64_t>(in.left()) != needs)
    in.fail("it must have " + std::to_string(kHeader + needs) + " numbers. Got " + std::to_string(size));
  if (!in.good()) return start + in.why();
  for (int i = 0; i < r.inputs; ++i) {
    r.operands.push_back(read_operand(in, operand::kVector, operand::kStates, true));
    if (!among(r.operands.back().kind, {operand::kVector, operand::kRow, operand::kSequence, operand::kKept, operand::kStates}))
      in.fail("an input must be VECTOR, ROW, SEQUENCE, KEPT or STATES");
  }
  for (int i = 0; i < r.results; ++i) {
    r.operands.push_back(read_operand(in, operand::kRow, operand::kStates, true));
    const Operand& o = r.operands.back();
    if (!among(o.kind, {operand::kRow, operand::kSequence, operand::kKept, operand::kSum, operand::kStates}))
      in.fail("a result must be ROW, SEQUENCE, KEPT, SUM or STATES");
    if (o.kind == operand::kStates && o.backwards) in.fail("a STATES result is in the order of the steps");
  }
  for (int i = 0; i < slots; ++i) r.operands.push_back(read_operand(in, operand::kBlock, operand::kCarry, false));
  const int refs = static_cast<int>(r.operands.size());
  for (int i = 0; i < carries; ++i) {
    CarryRecord c{};
    c.slot = static_cast<int>(in.number(0, refs - 1, "the slot of a carry"));
    c.start = static_cast<int>(in.number(0, refs - 1, "what a carry starts from"));
    c.last = static_cast<int>(in.number(-1, refs - 1, "the last value of a carry"));
    c.states = static_cast<int>(in.number(-1, refs - 1, "all values of a carry"));
    r.carries.push_back(c);
  }
  const auto lower = [&](int level_count, int& used) {
    const int n = static_cast<int>(in.number(0, level_count - used, "a number of groups or instructions"));
    const Span span{used, n};
    used += n;
    return span;
  };
  int used = 0;
  for (int i = 0; i < parts; ++i) {
    const int kind = static_cast<int>(in.number(kChunkPart, kLoopPart, "the kind of a part"));
    r.parts.push_back({kind, lower(groups, used)});
  }
  if (used != groups) in.fail("all groups must belong to a part");
  used = 0;
  for (int i = 0; i < groups; ++i) {
    const int kind = static_cast<int>(in.number(kPointwiseGroup, kSumGroup, "the kind of a group"));
    r.groups.push_back({kind, lower(instructions, used)});
  }
  if (used != instructions) in.fail("all instructions must belong to a group");
  for (int i = 0; i < instructions && in.good(); ++i)
    r.instructions.push_back(read_instruction(in, refs));
  if (!in.good()) return start + in.why();
  const std::string why = Checker(r).run();
  return why.empty() ? why : start + why;
}

}  // namespace unrolled
