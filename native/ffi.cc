// XLA's foreign-function interface: buffers in, a Problem out. Nothing is computed here.
// An empty array (no elements) stands for an optional one that is absent.
#include <array>
#include <string>
#include <utility>

#include "dispatch.h"
#include "execute.h"
#include "threads.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using unrolled::Problem;
using In = ffi::AnyBuffer;
using Out = ffi::Result<ffi::AnyBuffer>;

namespace {

// Flags of the "flags" attribute, as engine/foreign.py sets them.
enum { kReverse = 1, kFlip = 2, kZeroMasked = 4, kBf16 = 8, kSequenceIsY = 16 };

template <class T = float>
const T* in(const In& b) {
  return b.element_count() ? static_cast<const T*>(b.untyped_data()) : nullptr;
}
float* out(Out& b) {
  return b->element_count() ? static_cast<float*>(b->untyped_data()) : nullptr;
}

// Whether an array is not of `size` elements, or not of `type`; an optional one may be empty.
template <class B>
bool wrong(const B& b, int64_t size, bool optional, ffi::DataType type = ffi::F32) {
  const auto n = static_cast<int64_t>(b.element_count());
  return n ? n != size || b.element_type() != type : !optional && size != 0;
}

std::string start(Problem& p, const int64_t* attribute, const In* a) {
  const In &x = a[0], &kernel = a[1], &recurrent = a[2], &bias = a[3], &h0 = a[4], &c0 = a[5];
  const In &mask = a[6], &resets = a[7], &input_mask = a[8], &recurrent_mask = a[9];
  const int64_t kind = attribute[0], flags = attribute[3];
  if (x.dimensions().size() != 3 || recurrent.dimensions().size() != 2)
    return "x must be (B, T, D) and recurrent_kernel (U, G*U)";
  const auto d = x.dimensions();
  p.B = d[0], p.T = d[1], p.D = d[2], p.U = recurrent.dimensions()[0];
  p.kind = static_cast<int>(kind), p.activation = static_cast<int>(attribute[1]);
  p.recurrent_activation = static_cast<int>(attribute[2]);
  p.reverse = flags & kReverse, p.flip = flags & kFlip;
  p.zero_masked = flags & kZeroMasked, p.bf16 = flags & kBf16;
  p.h_seq_is_y = flags & kSequenceIsY;
  p.x = in(x), p.kernel = in(kernel), p.recurrent = in(recurrent), p.bias = in(bias);
  p.h0 = in(h0), p.c0 = in(c0), p.mask = in<uint8_t>(mask), p.resets = in<uint8_t>(resets);
  p.input_mask = in(input_mask), p.recurrent_mask = in(recurrent_mask);
  const int64_t gates = kind == unrolled::kLstm ? 4 : kind == unrolled::kSimpleRnn ? 1 : 3;
  const int64_t width = gates * p.U;
  const auto known = [](int64_t n, int64_t last) { return n >= 0 && n <= last; };
  if (!known(kind, unrolled::kGruBefore) || !known(attribute[1], unrolled::kLinear) ||
      !known(attribute[2], unrolled::kLinear))
    return "kind must be from 0 to 3 and activations from 0 to 4";
  if (p.B < 1 || p.T < 1 || p.D < 1 || p.U < 1) return "B, T, D and U must be at least 1";
  if (wrong(kernel, p.D * width, false)) return "kernel must be (D, G*U)";
  if (wrong(recurrent, p.U * width, false)) return "recurrent_kernel must be (U, G*U)";
  if (wrong(bias, kind == unrolled::kGruAfter ? 2 * width : width, true)) return "bias has a wrong size";
  if (wrong(h0, p.B * p.U, true) || wrong(c0, p.B * p.U, true)) return "initial states must be (B, U)";
  if (wrong(x, p.B * p.T * p.D, false)) return "arrays must be float32";
  if (wrong(mask, p.B * p.T, true, ffi::PRED) || wrong(resets, p.B * p.T, true, ffi::PRED)) return "mask and resets must be (B, T)";
  if (wrong(input_mask, p.B * p.D, true)) return "input_mask must be (B, D)";
  if (wrong(recurrent_mask, p.B * p.U, true)) return "recurrent_mask must be (B, U)";
  return "";
}

// The same of arrays that a pass has beside those of start(): each one's size, less than
// 0 for one that may be empty.
template <class B, size_t N>
bool any_wrong(const B& at, const int64_t (&sizes)[N]) {
  for (size_t i = 0; i < N; ++i)
    if (wrong(at(i), sizes[i] < 0 ? -sizes[i] : sizes[i], sizes[i] < 0)) return true;
  return false;
}
std::string check(const Problem& p, bool backward, int64_t residual, const In* a, Out* r) {
  const auto given = [&](size_t i) -> const In& { return a[i]; };
  const auto made = [&](size_t i) -> const ffi::AnyBuffer& { return *r[i]; };
  const bool lstm = p.kind == unrolled::kLstm;
  const int64_t state = p.B * p.U, steps = state * p.T, input = p.B * p.T * p.D;
  const int64_t c = lstm ? state : 0, cs = lstm ? steps : 0;
  const int64_t width = (lstm ? 4 : p.kind == unrolled::kSimpleRnn ? 1 : 3) * p.U;
  const int64_t bias = !p.bias ? 0 : p.kind == unrolled::kGruAfter ? 2 * width : width;
  if (backward) {
    const int64_t before[] = {steps, residual, -steps, -state, -steps, -cs, -state, -c};
    const int64_t after[] = {-input, p.D * width, p.U * width, bias, -state, -c};
    return any_wrong(given, before) || any_wrong(made, after) ? "gradients have wrong sizes" : "";
  }
  const int64_t after[] = {-steps, -state, -steps, -cs, state, c, -residual};
  return any_wrong(made, after) ? "results have wrong sizes" : "";
}

void finish_forward(Problem& p, Out* r) {
  p.y = out(r[0]), p.y_last = out(r[1]), p.hs = out(r[2]), p.cs = out(r[3]);
  p.h_last = out(r[4]), p.c_last = out(r[5]), p.residual = out(r[6]);
}
void finish_backward(Problem& p, const In* a, Out* r) {
  p.h_seq = in(a[0]), p.saved = in(a[1]), p.dy = in(a[2]), p.dy_last = in(a[3]);
  p.dhs = in(a[4]), p.dcs = in(a[5]), p.dh_last = in(a[6]), p.dc_last = in(a[7]);
  p.dx = out(r[0]), p.dkernel = out(r[1]), p.drecurrent = out(r[2]);
  p.dbias = out(r[3]), p.dh0 = out(r[4]), p.dc0 = out(r[5]);
}

constexpr int kAttributes = 4;  // kind, activation, recurrent_activation, flags
constexpr int kInputs = 10;     // of both passes; the backward one has more
constexpr int kCotangents = 8, kResults = 7, kGradients = 6;

// Some of a call's buffers, from one on; they are known to be there.
template <class Buffer, class All, size_t... I>
std::array<Buffer, sizeof...(I)> some(const All& all, size_t from, std::index_sequence<I...>) {
  return {*all.template get<ffi::AnyBuffer>(from + I)...};
}
template <class All>
bool are_buffers(const All& all) {
  for (size_t i = 0; i < all.size(); ++i)
    if (all.template get<ffi::AnyBuffer>(i).has_error()) return false;
  return true;
}

// A call holds one layer or several; each has as many attributes, arguments and results.
template <bool kBackward>
ffi::Error layers(ffi::ThreadPool pool, ffi::Span<const int64_t> attributes,
                  ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const size_t count = attributes.size() / kAttributes;
  constexpr size_t inputs = kInputs + (kBackward ? kCotangents : 0);
  constexpr size_t outputs = kBackward ? kGradients : kResults;
  // A call may come out of a file, or from anybody's hand.
  if (count < 1 || count > unrolled::kMaxLayers || attributes.size() != count * kAttributes ||
      args.size() != count * inputs || rets.size() != count * outputs || !are_buffers(args) ||
      !are_buffers(rets))
    return ffi::Error(ffi::ErrorCode::kInvalidArgument,
                      "a call must hold 1 or 2 layers, each with 4 numbers, " +
                          std::to_string(inputs) + " arguments and " + std::to_string(outputs) +
                          " results");
  const char* none;
  const unrolled::Kernels* table = unrolled::kernels(&none);
  if (!table) return ffi::Error(ffi::ErrorCode::kFailedPrecondition, none);
  Problem problems[unrolled::kMaxLayers] = {};
  for (size_t layer = 0; layer < count; ++layer) {
    auto a = some<In>(args, layer * inputs, std::make_index_sequence<inputs>());
    auto r = some<Out>(rets, layer * outputs, std::make_index_sequence<outputs>());
    Problem& p = problems[layer];
    std::string bad = start(p, attributes.begin() + layer * kAttributes, a.data());
    if (bad.empty()) {
      const auto residual = static_cast<int64_t>(unrolled::residual_size(p, table->width));
      bad = check(p, kBackward, residual, a.data() + kInputs, r.data());
    }
    if (!bad.empty()) return ffi::Error(ffi::ErrorCode::kInvalidArgument, bad);
    if (kBackward) finish_backward(p, a.data() + kInputs, r.data());
    else finish_forward(p, r.data());
  }
  const char* why = unrolled::execute(problems, static_cast<int>(count), kBackward,
                                      static_cast<int>(pool.num_threads()));
  return why ? ffi::Error(ffi::ErrorCode::kResourceExhausted, why) : ffi::Error::Success();
}

}  // namespace

#define UNROLLED_LAYERS                                                          \
  ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<ffi::Span<const int64_t>>("layers") \
      .RemainingArgs().RemainingRets()

// XLA's macro declares the handlers without asking for them to be visible.
#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(UnrolledForward, layers<false>, UNROLLED_LAYERS);
XLA_FFI_DEFINE_HANDLER_SYMBOL(UnrolledBackward, layers<true>, UNROLLED_LAYERS);
#pragma GCC visibility pop

// For native.py: the variant in use, "" if none; unrolled_problem() says why there is none,
// or which setting is wrong.
extern "C" __attribute__((visibility("default"))) const char* unrolled_variant() {
  const char* why;
  const unrolled::Kernels* table = unrolled::kernels(&why);
  return table ? table->name : "";
}
extern "C" __attribute__((visibility("default"))) const char* unrolled_problem() {
  const char* why;
  return unrolled::kernels(&why) ? unrolled::thread_problem() : why;
}
// All that this processor runs, the best last, with spaces between.
extern "C" __attribute__((visibility("default"))) const char* unrolled_supported() {
  static const std::string names = [] {
    std::string names;
    for (const unrolled::Kernels* each : unrolled::supported())
      names += (names.empty() ? "" : " ") + std::string(each->name);
    return names;
  }();
  return names.c_str();
}
extern "C" __attribute__((visibility("default"))) int unrolled_threads() {
  return unrolled::thread_limit(0);
}
// Floats of a layer's `saved`, for each row and step.
extern "C" __attribute__((visibility("default"))) int unrolled_saved(int kind, int U) {
  const char* why;
  const unrolled::Kernels* table = unrolled::kernels(&why);
  return table ? static_cast<int>(unrolled::kept_size(kind, U, table->width)) : 0;
}
extern "C" __attribute__((visibility("default"))) int unrolled_has_bf16() {
  const char* why;
  const unrolled::Kernels* table = unrolled::kernels(&why);
  return table && table->has_bf16();
}
// For the tests: bytes of working space of a masked layer, `sizes` its B, T, D and U, and
// bytes that wait for the next call.
extern "C" __attribute__((visibility("default"))) long unrolled_scratch(
    int kind, const long* sizes, int bf16, int backward, int threads) {
  float dx = 0;
  const uint8_t mask = 0;  // neither is read
  Problem p{};
  p.kind = kind, p.bf16 = bf16, p.dx = &dx, p.mask = &mask;
  p.B = sizes[0], p.T = sizes[1], p.D = sizes[2], p.U = sizes[3];
  const char* why;
  const unrolled::Kernels* table = unrolled::kernels(&why);
  return table ? static_cast<long>(table->scratch(p, backward, threads)) : 0;
}
extern "C" __attribute__((visibility("default"))) long unrolled_spare() {
  return static_cast<long>(unrolled::kept_memory());
}
// Runs a small layer on all threads, without XLA: 0 if it ends and gives numbers.
extern "C" __attribute__((visibility("default"))) int unrolled_self_test() {
  constexpr long B = 32, T = 16, D = 32, U = 64;
  static float x[B * T * D], kernel[D * 4 * U], recurrent[U * 4 * U];
  static float y[B * T * U], h[B * U], c[B * U];
  for (float& v : x) v = 0.5f;
  for (float& v : kernel) v = 0.01f;
  for (float& v : recurrent) v = 0.01f;
  Problem p{};
  p.B = B, p.T = T, p.D = D, p.U = U;
  p.kind = unrolled::kLstm, p.activation = unrolled::kTanh;
  p.recurrent_activation = unrolled::kSigmoid;
  p.x = x, p.kernel = kernel, p.recurrent = recurrent;
  p.y = y, p.h_last = h, p.c_last = c;
  if (unrolled::execute(&p, 1, false, 0)) return 1;
  for (float v : h)
    if (!(v > 0 && v < 1)) return 2;
  return 0;
}
