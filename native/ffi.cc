// XLA's foreign-function interface: buffers in, a Problem out. Nothing is computed here.
// An empty array (no elements) stands for an optional one that is absent.
#include <string>

#include "dispatch.h"
#include "threads.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using unrolled::Problem;
using In = ffi::AnyBuffer;
using Out = ffi::Result<ffi::AnyBuffer>;

namespace {

// Flags of the "flags" attribute, as _native.py sets them.
enum { kReverse = 1, kFlip = 2, kZeroMasked = 4, kBf16 = 8, kSequenceIsY = 16 };

template <class T = float>
const T* in(const In& b) {
  return b.element_count() ? static_cast<const T*>(b.untyped_data()) : nullptr;
}
float* out(Out& b) {
  return b->element_count() ? static_cast<float*>(b->untyped_data()) : nullptr;
}

std::string start(Problem& p, int64_t kind, int64_t activation, int64_t recurrent_activation,
                  int64_t flags, const In& x, const In& kernel, const In& recurrent,
                  const In& bias, const In& h0, const In& c0, const In& mask, const In& resets,
                  const In& input_mask, const In& recurrent_mask) {
  if (x.dimensions().size() != 3 || recurrent.dimensions().size() != 2)
    return "x must be (B, T, D) and recurrent_kernel (U, G*U)";
  const auto d = x.dimensions();
  p.B = d[0], p.T = d[1], p.D = d[2], p.U = recurrent.dimensions()[0];
  p.kind = static_cast<int>(kind), p.activation = static_cast<int>(activation);
  p.recurrent_activation = static_cast<int>(recurrent_activation);
  p.reverse = flags & kReverse, p.flip = flags & kFlip;
  p.zero_masked = flags & kZeroMasked, p.bf16 = flags & kBf16;
  p.h_seq_is_y = flags & kSequenceIsY;
  p.x = in(x), p.kernel = in(kernel), p.recurrent = in(recurrent), p.bias = in(bias);
  p.h0 = in(h0), p.c0 = in(c0), p.mask = in<uint8_t>(mask), p.resets = in<uint8_t>(resets);
  p.input_mask = in(input_mask), p.recurrent_mask = in(recurrent_mask);
  const int64_t gates = kind == unrolled::kLstm ? 4 : kind == unrolled::kSimpleRnn ? 1 : 3;
  const int64_t width = gates * p.U;
  const auto wrong = [](const In& b, int64_t size, bool optional) {
    const auto n = static_cast<int64_t>(b.element_count());
    return n != size && !(optional && n == 0);
  };
  if (p.B < 1 || p.T < 1 || p.D < 1 || p.U < 1) return "B, T, D and U must be at least 1";
  if (wrong(kernel, p.D * width, false)) return "kernel must be (D, G*U)";
  if (wrong(recurrent, p.U * width, false)) return "recurrent_kernel must be (U, G*U)";
  if (wrong(bias, kind == unrolled::kGruAfter ? 2 * width : width, true)) return "bias has a wrong size";
  if (wrong(h0, p.B * p.U, true) || wrong(c0, p.B * p.U, true)) return "initial states must be (B, U)";
  if (wrong(mask, p.B * p.T, true) || wrong(resets, p.B * p.T, true)) return "mask and resets must be (B, T)";
  if (wrong(input_mask, p.B * p.D, true)) return "input_mask must be (B, D)";
  if (wrong(recurrent_mask, p.B * p.U, true)) return "recurrent_mask must be (B, U)";
  return "";
}

ffi::Error finish(const Problem& p, bool backward, const ffi::ThreadPool& pool) {
  const char* why = unrolled::execute(p, backward, static_cast<int>(pool.num_threads()));
  return why ? ffi::Error(ffi::ErrorCode::kResourceExhausted, why) : ffi::Error::Success();
}

ffi::Error forward(ffi::ThreadPool pool, int64_t kind, int64_t activation,
                   int64_t recurrent_activation, int64_t flags, In x, In kernel, In recurrent,
                   In bias, In h0, In c0, In mask, In resets, In input_mask, In recurrent_mask,
                   Out y, Out y_last, Out hs, Out cs, Out h_last, Out c_last, Out residual) {
  Problem p{};
  const std::string bad = start(p, kind, activation, recurrent_activation, flags, x, kernel,
                                recurrent, bias, h0, c0, mask, resets, input_mask, recurrent_mask);
  if (!bad.empty()) return ffi::Error(ffi::ErrorCode::kInvalidArgument, bad);
  p.y = out(y), p.y_last = out(y_last), p.hs = out(hs), p.cs = out(cs);
  p.h_last = out(h_last), p.c_last = out(c_last), p.residual = out(residual);
  return finish(p, false, pool);
}

ffi::Error backward(ffi::ThreadPool pool, int64_t kind, int64_t activation,
                    int64_t recurrent_activation, int64_t flags, In x, In kernel, In recurrent,
                    In bias, In h0, In c0, In mask, In resets, In input_mask, In recurrent_mask,
                    In h_seq, In saved, In dy, In dy_last, In dhs, In dcs, In dh_last, In dc_last,
                    Out dx, Out dkernel, Out drecurrent, Out dbias, Out dh0, Out dc0) {
  Problem p{};
  const std::string bad = start(p, kind, activation, recurrent_activation, flags, x, kernel,
                                recurrent, bias, h0, c0, mask, resets, input_mask, recurrent_mask);
  if (!bad.empty()) return ffi::Error(ffi::ErrorCode::kInvalidArgument, bad);
  p.h_seq = in(h_seq), p.saved = in(saved), p.dy = in(dy), p.dy_last = in(dy_last);
  p.dhs = in(dhs), p.dcs = in(dcs), p.dh_last = in(dh_last), p.dc_last = in(dc_last);
  p.dx = out(dx), p.dkernel = out(dkernel), p.drecurrent = out(drecurrent);
  p.dbias = out(dbias), p.dh0 = out(dh0), p.dc0 = out(dc0);
  return finish(p, true, pool);
}

}  // namespace

#define UNROLLED_LAYER                                                              \
  ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<int64_t>("kind").Attr<int64_t>("activation") \
      .Attr<int64_t>("recurrent_activation").Attr<int64_t>("flags")                 \
      .Arg<In>().Arg<In>().Arg<In>().Arg<In>().Arg<In>().Arg<In>().Arg<In>()        \
      .Arg<In>().Arg<In>().Arg<In>()

// XLA's macro declares the handlers without asking for them to be visible.
#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(UnrolledForward, forward,
                              UNROLLED_LAYER.Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(UnrolledBackward, backward,
                              UNROLLED_LAYER.Arg<In>().Arg<In>().Arg<In>().Arg<In>().Arg<In>()
                                  .Arg<In>().Arg<In>().Arg<In>().Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());
#pragma GCC visibility pop

// For _native.py: the variant in use ("" if none, the reason then in unrolled_problem()).
extern "C" __attribute__((visibility("default"))) const char* unrolled_variant() {
  const char* why;
  const unrolled::Kernels* table = unrolled::kernels(&why);
  return table ? table->name : "";
}
extern "C" __attribute__((visibility("default"))) const char* unrolled_problem() {
  const char* why;
  unrolled::kernels(&why);
  return why;
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
extern "C" __attribute__((visibility("default"))) int unrolled_width() {
  const char* why;
  const unrolled::Kernels* table = unrolled::kernels(&why);
  return table ? table->width : 0;
}
extern "C" __attribute__((visibility("default"))) int unrolled_has_bf16() {
  const char* why;
  const unrolled::Kernels* table = unrolled::kernels(&why);
  return table && table->has_bf16;
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
  if (unrolled::execute(p, false, 0)) return 1;
  for (float v : h)
    if (!(v > 0 && v < 1)) return 2;
  return 0;
}
