// XLA's foreign-function interface to programs: arrays in, FusedLoops out. Nothing is
// computed here.
#include <string>
#include <vector>

#include "fuse.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using unrolled::Operand;
using unrolled::Recipe;

namespace {

// B and T, -1 while nothing has told them.
struct Sizes { int64_t B = -1, T = -1; };

// What is wrong with an array, "" if nothing; it tells B and T if nothing did before.
std::string check(const Operand& o, const ffi::AnyBuffer& b, Sizes& sizes) {
  namespace operand = unrolled::operand;
  if (b.element_type() != ffi::F32) return "arrays must be float32";
  const auto dims = b.dimensions();
  const bool time_first = o.kind == operand::kKept || o.kind == operand::kStates;
  const bool has_rows = o.kind != operand::kVector && o.kind != operand::kSum;
  const bool has_time = has_rows && o.kind != operand::kRow;
  if (dims.size() < static_cast<size_t>(has_rows) + has_time) return "an array has too few axes";
  int64_t steps = -1;
  if (has_rows) {
    const int64_t rows = dims[time_first];
    if (sizes.B < 0) sizes.B = rows;
    if (rows != sizes.B) return "arrays must have the same B";
  }
  if (has_time) {
    steps = dims[time_first ? 0 : 1] - (o.kind == operand::kStates);
    if (sizes.T < 0) sizes.T = steps;
    if (steps != sizes.T || steps < 0) return "arrays must have the same T";
  }
  const __int128 times = has_time ? dims[time_first ? 0 : 1] : 1;
  const __int128 size = times * (has_rows ? sizes.B : 1) * o.width;
  if (size != static_cast<__int128>(b.element_count()))
    return "an array must have a width of " + std::to_string(o.width);
  return "";
}

// One program of a call, and its arrays.
struct Loop {
  Recipe recipe;
  Sizes sizes;
  std::vector<float*> arrays;
};

ffi::Error refuse(const std::string& why) {
  return ffi::Error(ffi::ErrorCode::kInvalidArgument, why);
}

// Takes a program's arrays, the next ones of all; what is wrong with them, "" if nothing.
std::string take(Loop& loop, ffi::RemainingArgs& args, ffi::RemainingRets& rets, size_t arg, size_t ret) {
  const Recipe& recipe = loop.recipe;
  for (int i = 0; i < recipe.arrays(); ++i) {
    std::string why = "arrays must be dense";
    const auto one = [&](const ffi::AnyBuffer& b) {
      why = check(recipe.operands[i], b, loop.sizes);
      loop.arrays.push_back(static_cast<float*>(b.untyped_data()));
    };
    const bool input = i < recipe.inputs;
    const int n = input ? i : i - recipe.inputs;
    if (input) {
      if (const auto b = args.get<ffi::AnyBuffer>(arg + n); b.has_value()) one(*b);
    } else {
      if (auto b = rets.get<ffi::AnyBuffer>(ret + n); b.has_value()) one(**b);
    }
    if (!why.empty())
      return (input ? "input " : "result ") + std::to_string(n) + " of a program: " + why;
  }
  if (loop.sizes.T < 0) return "a program without a sequence needs its number of `steps`";
  return loop.sizes.B < 0 ? "a program needs an array with rows, which tells B" : "";
}

// `programs`: one after another, `sizes`: how many numbers each has, `steps`: each one's T, or
// -1, as many as its sequences have.
ffi::Error program(ffi::ThreadPool pool, ffi::Dictionary attributes, ffi::RemainingArgs args,
                   ffi::RemainingRets rets) {
  using Numbers = ffi::Span<const int64_t>;
  const auto numbers = attributes.get<Numbers>("programs"), sizes = attributes.get<Numbers>("sizes"),
             steps = attributes.get<Numbers>("steps");
  if (numbers.has_error() || sizes.has_error() || steps.has_error() ||
      sizes->size() != steps->size() || !sizes->size())
    return refuse("a call must have int64 arrays `programs`, `sizes` and `steps`, one of the last two for each program");
  std::vector<Loop> loops(sizes->size());
  const int64_t* at = numbers->begin();
  int inputs = 0, results = 0;
  for (size_t i = 0; i < loops.size(); ++i) {
    const int64_t size = (*sizes)[i];
    if (size < 0 || size > numbers->end() - at) return refuse("`sizes` must add up to the length of `programs`");
    const std::string bad = unrolled::decode(at, static_cast<size_t>(size), loops[i].recipe);
    if (!bad.empty()) return refuse(bad);
    at += size, inputs += loops[i].recipe.inputs, results += loops[i].recipe.results;
  }
  if (at != numbers->end()) return refuse("`sizes` must add up to the length of `programs`");
  if (args.size() != static_cast<size_t>(inputs) || rets.size() != static_cast<size_t>(results))
    return refuse("programs have " + std::to_string(inputs) + " inputs and " + std::to_string(results) +
                  " results. Got " + std::to_string(args.size()) + " and " + std::to_string(rets.size()));
  std::vector<unrolled::FusedLoop> fused;
  size_t arg = 0, ret = 0;
  for (size_t i = 0; i < loops.size(); ++i) {
    Loop& loop = loops[i];
    loop.sizes.T = (*steps)[i];
    if (loop.sizes.T < -1) return refuse("`steps` must be T, or -1: as many as a sequence has");
    const std::string bad = take(loop, args, rets, arg, ret);
    if (!bad.empty()) return refuse(bad);
    fused.push_back({&loop.recipe, loop.sizes.B, loop.sizes.T, loop.arrays.data()});
    arg += loop.recipe.inputs, ret += loop.recipe.results;
  }
  const char* why = unrolled::fuse(fused, static_cast<int>(pool.num_threads()));
  return why ? ffi::Error(ffi::ErrorCode::kResourceExhausted, why) : ffi::Error::Success();
}

}  // namespace

// XLA's macro declares the handlers without asking for them to be visible.
#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(UnrolledProgram, program,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attrs().RemainingArgs().RemainingRets());
#pragma GCC visibility pop
