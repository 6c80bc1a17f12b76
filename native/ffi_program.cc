// XLA's foreign-function interface to programs: arrays in, a FusedLoop out. Nothing is
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

ffi::Error program(ffi::ThreadPool pool, ffi::Dictionary attributes, ffi::RemainingArgs args,
                   ffi::RemainingRets rets) {
  const auto refuse = [](const std::string& why) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument, why);
  };
  const auto numbers = attributes.get<ffi::Span<const int64_t>>("program");
  if (numbers.has_error()) return refuse("a program must be an attribute of int64 numbers");
  Recipe recipe;
  const std::string bad = unrolled::decode(numbers->begin(), numbers->size(), recipe);
  if (!bad.empty()) return refuse(bad);
  if (args.size() != static_cast<size_t>(recipe.inputs) ||
      rets.size() != static_cast<size_t>(recipe.results))
    return refuse("a program has " + std::to_string(recipe.inputs) + " inputs and " +
                  std::to_string(recipe.results) + " results. Got " + std::to_string(args.size()) +
                  " and " + std::to_string(rets.size()));
  Sizes sizes;
  if (const auto steps = attributes.get<int64_t>("steps"); steps.has_value()) sizes.T = *steps;
  std::vector<float*> arrays;
  for (int i = 0; i < recipe.arrays(); ++i) {
    std::string why = "arrays must be dense";
    const auto take = [&](const ffi::AnyBuffer& b) {
      why = check(recipe.operands[i], b, sizes);
      arrays.push_back(static_cast<float*>(b.untyped_data()));
    };
    if (i < recipe.inputs) {
      if (const auto b = args.get<ffi::AnyBuffer>(i); b.has_value()) take(*b);
    } else {
      if (auto b = rets.get<ffi::AnyBuffer>(i - recipe.inputs); b.has_value()) take(**b);
    }
    if (!why.empty())
      return refuse((i < recipe.inputs ? "input " : "result ") +
                    std::to_string(i < recipe.inputs ? i : i - recipe.inputs) + " of a program: " + why);
  }
  if (sizes.B < 0) return refuse("a program needs an array with rows, which tells B");
  if (sizes.T < 0) return refuse("a program without a sequence needs its attribute `steps`");
  const char* why = unrolled::fuse({&recipe, sizes.B, sizes.T, arrays.data()},
                                   static_cast<int>(pool.num_threads()));
  return why ? ffi::Error(ffi::ErrorCode::kResourceExhausted, why) : ffi::Error::Success();
}

}  // namespace

// XLA's macro declares the handlers without asking for them to be visible.
#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(UnrolledProgram, program,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attrs().RemainingArgs().RemainingRets());
#pragma GCC visibility pop
