#include "fused_step.h"

#include <cstring>

namespace unrolled {

namespace {

// A stream asks for no more floats than this, whatever a recipe says.
constexpr double kMostFloats = 1e12;

char* block_of(size_t bytes) {
  return static_cast<char*>(aligned_alloc(64, (bytes + 64) / 64 * 64));
}

// Whether anything but a product reads an input; what products read is packed.
bool is_read(const Recipe& recipe, int ref) {
  for (const Instruction& i : recipe.instructions)
    for (int n = 0; n < 3; ++n)
      if (i.in[n].ref == ref && !(i.code == code::kProduct && n == 1)) return true;
  return false;
}

// No less than all that a step's arrays, slots, packed weights and rows take, padding included.
double floats(const Recipe& recipe, long B) {
  double sum = 0;
  for (const Operand& o : recipe.operands) sum += 4.0 * B * static_cast<double>(o.width);
  for (const Instruction& i : recipe.instructions)
    sum += 64.0 * (B * static_cast<double>(i.dim[1]) + static_cast<double>(i.dim[3])) * static_cast<double>(i.dim[2]);
  return sum;
}

}  // namespace

std::unique_ptr<FusedStep> FusedStep::make(const Fusing& fusing, const StepLayer& l, long B,
                                           std::string& why) {
  std::unique_ptr<FusedStep> s(new FusedStep);
  s->B_ = B, s->D_ = l.D, s->U_ = l.U;
  why = decode(l.recipe->code, l.recipe->numbers, s->recipe_);
  if (!why.empty() || floats(s->recipe_, B) > kMostFloats) return nullptr;
  why = s->problem(*l.recipe);
  if (!why.empty()) return nullptr;
  s->held_.reset(block_of(s->layout(*l.recipe, nullptr)));
  if (!s->held_) return nullptr;
  s->layout(*l.recipe, s->held_.get());
  s->fused_ = fusing.make({&s->recipe_, B, 1, s->arrays_.data()}, 1);
  s->scratch_.reset(block_of(s->fused_->layout(nullptr)));
  if (!s->scratch_) return nullptr;
  s->fused_->layout(s->scratch_.get());
  s->fused_->begin();
  return s;
}

// Why a recipe is not that of a step with these arrays, "" if it is.
std::string FusedStep::problem(const StepRecipe& given) const {
  const Recipe& r = recipe_;
  if (given.count != r.inputs)
    return "a step's program must come with an array for each of its " + std::to_string(r.inputs) +
           " inputs. Got " + std::to_string(given.count);
  if (D_ < 1 || U_ < 1) return "a step must read numbers and give some";
  int reads = 0, gives = 0;  // sequences
  for (int ref = 0; ref < r.arrays(); ++ref) {
    const Operand& o = r.operands[ref];
    const bool input = ref < r.inputs, sequence = o.kind == operand::kSequence;
    if (!sequence && o.kind != operand::kRow && !(input && o.kind == operand::kVector))
      return "a step's program must read VECTOR and ROW arrays and a SEQUENCE, and give ROWs and a SEQUENCE";
    if (sequence && (o.width != (input ? D_ : U_) || o.backwards))
      return "a SEQUENCE of a step's program must have the width of the layer, " +
             std::to_string(input ? D_ : U_) + ", and run forwards. Got " + std::to_string(o.width);
    (input ? reads : gives) += sequence;
    const long size = sequence ? 0 : o.kind == operand::kRow ? B_ * o.width : o.width;
    if (input && given.sizes[ref] != size)
      return "array " + std::to_string(ref) + " of a step's program must have " +
             std::to_string(size) + " numbers. Got " + std::to_string(given.sizes[ref]);
  }
  if (reads != 1 || gives != 1) return "a step's program must read one SEQUENCE and give one";
  std::vector<char> starts(r.inputs);
  for (const CarryRecord& c : r.carries) {
    if (c.last < 0) return "a step's program must give the last value of each carry";
    if (starts[c.start] || is_read(r, c.start))
      return "what a carry of a step's program starts from must be read by that carry alone";
    starts[c.start] = true;
  }
  return "";
}

// Puts copies of what is read at every step, and what is written, into a block; with null
// only counts its bytes.
size_t FusedStep::layout(const StepRecipe& given, char* block) {
  const Recipe& r = recipe_;
  size_t used = 0;
  const auto take = [&](size_t count) {
    float* piece = block ? reinterpret_cast<float*>(block + used) : nullptr;
    used += (count * sizeof(float) + 63) / 64 * 64;
    return piece;
  };
  const auto copy = [&](int ref) {
    float* to = take(given.sizes[ref]);
    if (to && given.sizes[ref]) memcpy(to, given.arrays[ref], given.sizes[ref] * sizeof(float));
    return to;
  };
  arrays_.assign(r.arrays(), nullptr), states_.clear();
  for (const CarryRecord& c : r.carries) {
    states_.push_back({copy(c.start), copy(c.start), r.operands[c.start].width});
    // A step's last values are the next one's first.
    arrays_[c.start] = arrays_[c.last] = states_.back().now;
  }
  for (int ref = 0; ref < r.arrays(); ++ref) {
    const bool input = ref < r.inputs, row = r.operands[ref].kind == operand::kRow;
    if (r.operands[ref].kind == operand::kSequence)
      arrays_[ref] = (input ? x_ : y_) = take(B_ * (input ? D_ : U_));
    else if (input && !arrays_[ref] && (row || is_read(r, ref)))
      arrays_[ref] = copy(ref);
    else if (input && !row)
      arrays_[ref] = const_cast<float*>(given.arrays[ref]);  // read while packing alone
  }
  return used;
}

void FusedStep::run(const float* from, float* out) {
  for (long r = 0; r < B_; ++r) memcpy(x_ + r * D_, from + r * step_row(D_), D_ * sizeof(float));
  fused_->step();
  for (long r = 0; r < B_; ++r) memcpy(out + r * step_row(U_), y_ + r * U_, U_ * sizeof(float));
}

}  // namespace unrolled
