// One instruction-set variant of what runs a program; see variant.cc.
#include "fusing.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

// Numbers too small to be normal count as zero, as they do where XLA computes.
class Flushing {
 public:
#if defined(__SSE2__)
  Flushing() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~Flushing() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  Flushing() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | uint64_t{1} << 24));
  }
  ~Flushing() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  uint64_t before_;
#endif
};

// One thread's way through bands, chunks, parts and groups.
class Worker {
 public:
  Worker(const FusionRoom& room, Team& team, int thread)
      : f_(room.f), recipe_(room.recipe), room_(room), plan_(room.plan), team_(team),
        thread_(thread), own_(room.memory[thread]), place_(recipe_.operands.size()),
        ready_(recipe_.instructions.size()) {}

  void run() {
    pack();
    if (plan_.weights) barrier(team_, thread_);
    for (long i = 0; i < plan_.bands; ++i)
      if (take(i)) band();
    finish_sums();
  }

  // The same of one step, and one band: what stays, and what is done at every step.
  bool begin(long band) {
    if (!take(band)) return false;
    settle();
    return true;
  }
  void step() {
    chunk();
    hand_out();
    ++past_;
  }
  void pack() const {
    for (size_t n = 0; n < recipe_.instructions.size(); ++n) {
      const Instruction& i = recipe_.instructions[n];
      if (i.code != code::kProduct || room_.weight_of[n] != static_cast<int>(n)) continue;
      const long panels = weight_panels(i.dim[3]);
      const View& w = i.in[1];
      pack_weight(f_.arrays[w.ref] + w.offset, w.stride[2], w.stride[3], i.dim[2], i.dim[3],
                  plan_.weights ? share(panels, thread_, team_.size) : Range{0, panels},
                  own_.packed[n]);
    }
  }

 private:
  // Where an operand's rows are in this band and chunk; `after`: to a carry's next value.
  struct Place {
    float* base;  // row 0 of the band at the chunk's first step
    long row, step, after;
    long which = -1;  // of a step's bits, those that count
  };
  // An instruction of a pointwise group: how it walks over rows, and where its operands are.
  struct Ready {
    SheetOf apply;
    Axes axes;
    bool flat;    // a sheet is all there is to it
    Sheet sheet;  // for one row
    float* base[1 + kMostReads];  // null: absent
    long row[1 + kMostReads], step[1 + kMostReads], which[1 + kMostReads];  // to the rows at hand
  };

  Range part(long n) const { return plan_.columns ? share(n, thread_, team_.size) : Range{0, n}; }
  void meet() const {
    if (plan_.columns) barrier(team_, thread_);
  }

  // Turns to a band of this thread's rows; false if there are none.
  bool take(long band) {
    const Range mine = plan_.columns ? Range{0, f_.B} : share(f_.B, thread_, team_.size);
    const Range rows = share(mine.to - mine.from, band, plan_.bands);
    first_row_ = mine.from + rows.from, R_ = rows.to - rows.from, s0_ = 0, fresh_ = band == 0;
    return R_ > 0;
  }
  void band() {
    for (; s0_ < f_.T || s0_ == 0; s0_ += plan_.steps) {
      settle();
      chunk();
    }
    hand_out();
    meet();
  }
  // Finds where everything lies in this chunk.
  void settle() {
    n_ = smaller(plan_.steps, f_.T - s0_);
    place();
    if (s0_ == 0) prepare();
    find();
  }
  void chunk() {
    packed_ = kNone;
    start_carries();
    meet();
    for (const Part& p : recipe_.parts) {
      if (p.kind == kLoopPart)
        for (long s = 0; s < n_; ++s)
          each(p.groups, [&](int g) {
            group(g, s, 1, true);
            if (!plan_.alike || recipe_.groups[g].kind == kProductGroup) meet();
          });
      else if (n_)
        each(p.groups, [&](int g) { group(g, 0, n_, false), meet(); });
      if (plan_.alike && p.kind == kLoopPart) meet();
    }
    fresh_ = false;
  }

  // --- where things are ------------------------------------------------------------------

  void place() {
    for (size_t ref = 0; ref < recipe_.operands.size(); ++ref) {
      const Operand& o = recipe_.operands[ref];
      const bool array = ref < static_cast<size_t>(recipe_.arrays());
      float* const base = array ? f_.arrays[ref] : own_.slot[ref];
      const long w = o.width, index = o.backwards && f_.T ? f_.T - 1 - s0_ : s0_, back = o.backwards ? -1 : 1;
      Place& p = place_[ref];
      if (array && own_.slot[ref]) {  // another thread writes the result itself
        p = {own_.slot[ref], w, R_ * w, 0};
        continue;
      }
      switch (o.kind) {
        case operand::kRow: p = {base + first_row_ * w, w, 0, 0}; break;
        case operand::kSequence: p = {base + (first_row_ * f_.T + index) * w, f_.T * w, back * w, 0}; break;
        case operand::kKept: case operand::kStates: p = history_place(base, w, index, back); break;
        case operand::kStep:
          p = {base, w, 0, 0};
          if (plan_.alike && !room_.copies[ref]) p.step = R_ * w, p.which = 1;  // by turns
          break;
        case operand::kChunk: p = {base, w, R_ * w, 0}; break;
        case operand::kCarry:
          p = {base, w, R_ * w, R_ * w};
          if (room_.in_place[ref]) p.step = p.after = 0;
          if (is_history(static_cast<int>(ref)))
            p = history_place(f_.arrays[room_.history[ref]], w, s0_, 1);
          break;
        default: p = {base, 0, 0, 0};
      }
    }
  }
  void find() {
    for (const Part& p : recipe_.parts)
      each(p.groups, [&](int g) {
        if (recipe_.groups[g].kind == kPointwiseGroup)
          each(recipe_.groups[g].instructions, [&](int i) { find(i, p.kind == kChunkPart); });
      });
  }
  bool is_history(int ref) const { return room_.is_history(ref, thread_); }
  Place history_place(float* base, long w, long index, long back) const {
    return {base + (index * f_.B + first_row_) * w, w, back * f_.B * w, f_.B * w};
  }
  float* base_of(const View& v) const {
    const Place& p = place_[v.ref];
    return p.base + v.offset + (v.after ? p.after : 0);
  }
  bool is_block(const View& v) const { return recipe_.operands[v.ref].kind == operand::kBlock; }

  // In a chunk part, steps are as good as rows: with one row, they take their place.
  bool turned(bool chunk_part) const { return chunk_part && R_ == 1; }

  // How many floats the rows of an operand are apart.
  long row_stride(const View& v, bool chunk_part) const {
    if (v.ref < 0) return 0;
    if (is_block(v)) return recipe_.operands[v.ref].width;
    const Place& p = place_[v.ref];
    return turned(chunk_part) ? p.step : p.row;
  }

  // How all instructions walk over rows; by bands, as one of a single row is apart.
  void prepare() {
    const int kind = R_ == 1 ? 1 : 2;
    if (prepared_ == kind) return;
    prepared_ = kind;
    for (const Part& p : recipe_.parts)
      each(p.groups, [&](int g) {
        if (recipe_.groups[g].kind != kPointwiseGroup) return;
        each(recipe_.groups[g].instructions, [&](int n) {
          const Instruction& i = recipe_.instructions[n];
          const bool chunk = p.kind == kChunkPart;
          const long row[] = {row_stride(i.out, chunk), row_stride(i.in[0], chunk),
                              row_stride(i.in[1], chunk), row_stride(i.in[2], chunk)};
          Ready& ready = ready_[n];
          ready.apply = sheet_of(i.code);
          if (ready.apply) ready.axes = elementwise_axes(i, row);
          else ready.axes = axes_of(i, row, i.code == code::kContract ? 1 : 3);
          const int last = ready.axes.count - 1;
          ready.flat = ready.apply && last < 2 && is_plain(ready.axes, last);
          if (ready.flat) ready.sheet = sheet_of(ready.axes, 1);
        });
      });
  }
  void find(int n, bool chunk_part) {
    const Instruction& i = recipe_.instructions[n];
    const View* const view[] = {&i.out, &i.in[0], &i.in[1], &i.in[2]};
    Ready& ready = ready_[n];
    for (int k = 0; k <= kMostReads; ++k) {
      const View& v = *view[k];
      ready.base[k] = nullptr, ready.row[k] = ready.step[k] = ready.which[k] = 0;
      if (v.ref < 0) continue;
      if (is_block(v)) {
        ready.base[k] = own_.blocks + room_.block_at[n].at[k] + v.offset;
      } else {
        const Place& p = place_[v.ref];
        ready.base[k] = base_of(v), ready.step[k] = p.step, ready.which[k] = p.which;
        ready.row[k] = turned(chunk_part) ? p.step : p.row;
      }
    }
  }

  // --- groups ----------------------------------------------------------------------------

  // A group at `steps` steps from step s of the chunk on.
  void group(int g, long s, long steps, bool in_loop) {
    const Group& group = recipe_.groups[g];
    const int first = group.instructions.first;
    if (group.kind == kProductGroup) return each(group.instructions, [&](int n) { product(n, s, steps, in_loop); });
    if (group.kind == kSumGroup) return sum(first, steps);
    if (!in_loop) each(group.instructions, [&](int n) { wrote(recipe_.instructions[n].out.ref); });
    const long at_once = room_.block_rows[g];
    const bool one = R_ == 1 && steps > 1;
    const long rows = one ? steps : R_, times = one ? 1 : steps;
    // Blocks of rows, step after step; with steps to share out, those, otherwise rows.
    const long blocks = up(rows, at_once);
    if (times > 1) {
      const Range mine = part(times * blocks);
      for (long b = mine.from; b < mine.to; ++b) {
        const long r0 = b % blocks * at_once;
        pointwise(group, s + b / blocks, r0, smaller(at_once, rows - r0));
      }
      return;
    }
    const Range mine = plan_.alike && in_loop ? Range{0, rows} : part(rows);
    for (long r0 = mine.from; r0 < mine.to; r0 += at_once)
      pointwise(group, s, r0, smaller(at_once, mine.to - r0));
  }

  void pointwise(const Group& group, long s, long r0, long rows) {
    each(group.instructions, [&](int n) {
      const Ready& ready = ready_[n];
      float* at[1 + kMostReads];
      for (int k = 0; k <= kMostReads; ++k)
        at[k] = ready.base[k] + (s & ready.which[k]) * ready.step[k] + r0 * ready.row[k];
      const float* const in[] = {at[1], at[2], at[3]};
      if (ready.flat) {
        Sheet sheet = ready.sheet;
        (ready.axes.count > 1 ? sheet.m : sheet.n) *= rows;
        return ready.apply(sheet, at[0], in);
      }
      const Instruction& i = recipe_.instructions[n];
      if (ready.apply) return elementwise(ready.apply, ready.axes, rows, at[0], in);
      switch (i.code) {
        case code::kReduceSum: return reduce<Total>(i, ready.axes, rows, at[0], in);
        case code::kReduceMax: return reduce<Largest>(i, ready.axes, rows, at[0], in);
        case code::kReduceMin: return reduce<Smallest>(i, ready.axes, rows, at[0], in);
        default: contract(i, ready.axes, rows, at[0], in);
      }
    });
  }

  // Rows of an operand from step s of the chunk on; `part` and `column`: its strides there.
  Lines lines(const View& v, long s, int part, int column) const {
    if (v.ref < 0) return {nullptr, 0, 0, 0, 0};
    const Place& p = place_[v.ref];
    return {base_of(v) + (s & p.which) * p.step, p.row, p.step, v.stride[part], v.stride[column]};
  }

  // The rows that lie packed in scratch: outside of loops several products and sums read the
  // same ones.
  struct Packed {
    int ref;  // -1: none
    bool after;
    long offset, parts, columns, part, column;
    bool operator==(const Packed& o) const {
      return ref == o.ref && after == o.after && offset == o.offset && parts == o.parts && columns == o.columns &&
             part == o.part && column == o.column;
    }
  };
  static constexpr Packed kNone = {-1, false, 0, 0, 0, 0, 0};
  // Whether an operand's rows lie there. From now on they do.
  bool is_packed(const Instruction& i, int k, int column) {
    const View& v = i.in[k];
    const Packed now = {v.ref, v.after, v.offset, i.dim[1], i.dim[column], v.stride[1], v.stride[column]};
    const bool there = now == packed_;
    packed_ = now;
    return there;
  }
  void wrote(int ref) {
    if (packed_.ref == ref) packed_ = kNone;
  }

  void product(int n, long s, long steps, bool in_loop) {
    const Instruction& i = recipe_.instructions[n];
    const Lines left = lines(i.in[0], s, 1, 2), to = lines(i.out, s, 1, 3);
    const Places out{const_cast<float*>(to.base), to.row, to.step, to.part, 1};
    Lines init = lines(i.in[2], s, 1, 3);
    if (i.dim[3] == 1) init.column = 1;
    const Extent e = {R_, steps, i.dim[1]};
    const bool packs = !is_as_packed(left, e) && !is_narrow(i.dim[2], i.dim[3]);
    const bool there = packs && !in_loop && is_packed(i, 0, 2);
    if (in_loop || !packs) packed_ = kNone;
    multiply_lines(left, init, out, e, i.dim[2], i.dim[3], own_.packed[n], part(weight_panels(i.dim[3])),
                   own_.scratch, there, (past_ + s0_ + s) % 2 != 0);
    wrote(i.out.ref);
  }

  void sum(int n, long steps) {
    const Instruction& i = recipe_.instructions[n];
    const int pool = plan_.columns ? 0 : thread_;
    if (i.code == code::kSumProduct) {
      const ProductSum& sum = room_.product_sums[n];
      const bool there = sum.is_turned() ? is_packed(i, 1, 3) : is_packed(i, 0, 2);
      return sum.add(lines(i.in[0], 0, 1, 2), lines(i.in[1], 0, 1, 3), {R_, steps, i.dim[1]}, pool,
                     part(sum.panels()), fresh_, own_.scratch, there);
    }
    const RowSum& sum = room_.row_sums[n];
    const Lines rows = lines(i.in[0], 0, 0, 0);
    sum.add(rows.base, rows.row, rows.step, R_, steps, pool, part(sum.panels()), fresh_);
  }

  // --- before the first step and after the last ------------------------------------------

  // A carry's value before the chunk's first step: the start's, or what the last chunk left.
  void start_carries() const {
    for (const CarryRecord& c : recipe_.carries) {
      const Place& p = place_[c.slot];
      if (s0_ && (is_history(c.slot) || room_.in_place[c.slot])) continue;  // there it is
      const Range rows = room_.copies[c.slot] ? Range{0, R_} : part(R_);
      const float* from = s0_ ? p.base + plan_.steps * p.step : place_[c.start].base;
      copy_rows(from, p.base, rows, recipe_.operands[c.slot].width);
    }
  }
  void hand_out() const {
    for (const CarryRecord& c : recipe_.carries) {
      if (c.last < 0 || (room_.copies[c.slot] && thread_)) continue;
      const Range rows = room_.copies[c.slot] ? Range{0, R_} : part(R_);
      const Place& p = place_[c.slot];
      copy_rows(p.base + n_ * p.step, place_[c.last].base, rows, recipe_.operands[c.slot].width);
    }
  }
  static void copy_rows(const float* from, float* to, Range rows, long width) {
    memcpy(to + rows.from * width, from + rows.from * width, (rows.to - rows.from) * width * sizeof(float));
  }

  void finish_sums() const {
    barrier(team_, thread_);
    for (int ref = recipe_.inputs; ref < recipe_.arrays(); ++ref) {
      if (recipe_.operands[ref].kind != operand::kSum) continue;
      const Range mine = share(recipe_.operands[ref].width, thread_, team_.size);
      for (long i = mine.from; i < mine.to; ++i) f_.arrays[ref][i] = 0;
    }
    if (f_.B == 0 || f_.T == 0) return;
    const int pools = plan_.columns ? 1 : team_.size;
    // Several may add to the same places: one after another.
    for (size_t n = 0; n < recipe_.instructions.size(); ++n) {
      const Instruction& i = recipe_.instructions[n];
      if (i.code != code::kSumProduct && i.code != code::kSumRows) continue;
      barrier(team_, thread_);
      float* out = f_.arrays[i.out.ref] + i.out.offset;
      if (i.code == code::kSumRows) {
        if (thread_ == 0) room_.row_sums[n].write(out, pools);
        continue;
      }
      const ProductSum& sum = room_.product_sums[n];
      sum.write(out, pools, share(sum.panels(), thread_, team_.size));
    }
  }

  const FusedLoop& f_;
  const Recipe& recipe_;
  const FusionRoom& room_;
  const FusionPlan& plan_;
  Team& team_;
  const int thread_;
  const FusionRoom::Memory& own_;
  std::vector<Place> place_;  // by operand
  std::vector<Ready> ready_;  // by instruction, of pointwise groups
  Packed packed_ = kNone;
  long first_row_ = 0, R_ = 0, s0_ = 0, n_ = 0;  // this band's rows, this chunk's steps
  long past_ = 0;                                // steps that were run one by one
  bool fresh_ = false;                           // sums begin
  int prepared_ = 0;
};

class Fusion : public Fused {
 public:
  Fusion(const FusedLoop& f, int threads) : room_(f, threads) {}
  size_t layout(char* scratch) override { return room_.layout(scratch); }
  void run(Team& team, int thread) override {
    const Flushing flushing;
    Worker(room_, team, thread).run();
  }
  void begin() override {
    alone_.reset(new Team);
    bands_.clear();
    for (long i = 0; i < room_.plan.bands; ++i) {
      Worker band(room_, *alone_, 0);
      if (i == 0) band.pack();
      if (band.begin(i)) bands_.push_back(std::move(band));
    }
  }
  void step() override {
    const Flushing flushing;
    for (Worker& band : bands_) band.step();
  }

 private:
  FusionRoom room_;
  std::unique_ptr<Team> alone_;
  std::vector<Worker> bands_;  // once begun
};

std::unique_ptr<Fused> make(const FusedLoop& f, int threads) {
  return std::unique_ptr<Fused>(new Fusion(f, threads));
}

}  // namespace

extern const Fusing fusing;
const Fusing fusing = {make};

}}  // namespace unrolled::UNROLLED_NS
