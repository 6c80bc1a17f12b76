// Elementwise instructions of a program on a block of rows: one dispatch for all of them.
#pragma once
#include "functions.h"
#include "recipe.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

constexpr int kMostReads = 3;

// Two axes of an instruction: n elements side by side, m times. Operand 0 is what it
// writes; the others are what it reads. Across: floats from one element to the next, of an
// input 1 or 0, of what is written 1.
struct Sheet {
  long m, n;
  long down[1 + kMostReads], across[1 + kMostReads];
};

// F takes kReads vectors and gives one; kUnroll of them side by side hide its latency.
template <class F>
void sheet(const Sheet& s, float* out, const float* const* in) {
  constexpr int kReads = F::kReads, kUnroll = F::kUnroll;
  const float* row[kReads];
  for (int k = 0; k < kReads; ++k) row[k] = in[k];
  const long n = s.n;
  for (long i = 0; i < s.m; ++i) {
    alignas(64) float one[kReads][W];  // an element that all others meet, in every lane
    const float* at[kReads];
    long across[kReads];
    for (int k = 0; k < kReads; ++k) {
      at[k] = row[k], across[k] = s.across[1 + k];
      if (!across[k]) store(one[k], all(*row[k])), at[k] = one[k];
      row[k] += s.down[1 + k];
    }
    long j = 0;
    for (; j + kUnroll * W <= n; j += kUnroll * W) {
      vf x[kUnroll][kReads];
#pragma GCC unroll 4
      for (int u = 0; u < kUnroll; ++u)
#pragma GCC unroll 3
        for (int k = 0; k < kReads; ++k) x[u][k] = load(at[k] + (j + u * W) * across[k]);
#pragma GCC unroll 4
      for (int u = 0; u < kUnroll; ++u) store(out + j + u * W, F::of(x[u]));
    }
    for (; j < n; j += W) {
      vf x[kReads];
#pragma GCC unroll 3
      for (int k = 0; k < kReads; ++k) x[k] = load_part(at[k] + j * across[k], across[k] ? n - j : W);
      store_part(out + j, F::of(x), n - j);
    }
    out += s.down[0];
  }
}

using SheetOf = void (*)(const Sheet&, float*, const float* const*);

UNROLLED_INLINE vf truth(vi mask) { return reinterpret_cast<vf>(mask & 0x3f800000); }
UNROLLED_INLINE vf chosen(vi mask, vf a, vf b) { return mask ? a : b; }

#define UNROLLED_ELEMENTWISE(name, reads, unroll, ...)                     \
  struct name {                                                            \
    static constexpr int kReads = reads, kUnroll = unroll;                 \
    static UNROLLED_INLINE vf of(const vf (&x)[reads]) { return __VA_ARGS__; } \
  };
UNROLLED_ELEMENTWISE(OpCopy, 1, 4, x[0])
UNROLLED_ELEMENTWISE(OpNeg, 1, 4, -x[0])
UNROLLED_ELEMENTWISE(OpNot, 1, 4, truth(x[0] == 0.0f))
UNROLLED_ELEMENTWISE(OpToBfloat16, 1, 4, rounded(x[0]))
UNROLLED_ELEMENTWISE(OpAbs, 1, 4, fn_abs(x[0]))
UNROLLED_ELEMENTWISE(OpSign, 1, 4, fn_sign(x[0]))
UNROLLED_ELEMENTWISE(OpIsFinite, 1, 4, fn_is_finite(x[0]))
UNROLLED_ELEMENTWISE(OpReciprocal, 1, 4, fn_reciprocal(x[0]))
UNROLLED_ELEMENTWISE(OpSqrt, 1, 4, fn_sqrt(x[0]))
UNROLLED_ELEMENTWISE(OpRsqrt, 1, 4, fn_rsqrt(x[0]))
UNROLLED_ELEMENTWISE(OpExp, 1, 2, fn_exp(x[0]))
UNROLLED_ELEMENTWISE(OpExp2, 1, 2, fn_exp2(x[0]))
UNROLLED_ELEMENTWISE(OpTanh, 1, 2, fn_tanh(x[0]))
UNROLLED_ELEMENTWISE(OpLogistic, 1, 2, fn_logistic(x[0]))
UNROLLED_ELEMENTWISE(OpExpm1, 1, 1, fn_expm1(x[0]))
UNROLLED_ELEMENTWISE(OpLog, 1, 1, fn_log(x[0]))
UNROLLED_ELEMENTWISE(OpLog1p, 1, 1, fn_log1p(x[0]))
UNROLLED_ELEMENTWISE(OpCbrt, 1, 1, fn_cbrt(x[0]))
UNROLLED_ELEMENTWISE(OpErf, 1, 1, fn_erf(x[0]))
UNROLLED_ELEMENTWISE(OpErfc, 1, 1, fn_erfc(x[0]))
UNROLLED_ELEMENTWISE(OpErfInv, 1, 1, fn_erf_inv(x[0]))
UNROLLED_ELEMENTWISE(OpSin, 1, 1, fn_sin(x[0]))
UNROLLED_ELEMENTWISE(OpCos, 1, 1, fn_cos(x[0]))
UNROLLED_ELEMENTWISE(OpTan, 1, 1, fn_tan(x[0]))
UNROLLED_ELEMENTWISE(OpAsin, 1, 1, fn_asin(x[0]))
UNROLLED_ELEMENTWISE(OpAcos, 1, 1, fn_acos(x[0]))
UNROLLED_ELEMENTWISE(OpAtan, 1, 1, fn_atan(x[0]))
UNROLLED_ELEMENTWISE(OpSinh, 1, 1, fn_sinh(x[0]))
UNROLLED_ELEMENTWISE(OpCosh, 1, 1, fn_cosh(x[0]))
UNROLLED_ELEMENTWISE(OpAsinh, 1, 1, fn_asinh(x[0]))
UNROLLED_ELEMENTWISE(OpAcosh, 1, 1, fn_acosh(x[0]))
UNROLLED_ELEMENTWISE(OpAtanh, 1, 1, fn_atanh(x[0]))
UNROLLED_ELEMENTWISE(OpFloor, 1, 1, fn_floor(x[0]))
UNROLLED_ELEMENTWISE(OpCeil, 1, 1, fn_ceil(x[0]))
UNROLLED_ELEMENTWISE(OpRoundHalfEven, 1, 1, fn_round_half_even(x[0]))
UNROLLED_ELEMENTWISE(OpRoundHalfAway, 1, 1, fn_round_half_away(x[0]))
UNROLLED_ELEMENTWISE(OpTrunc, 1, 1, fn_trunc(x[0]))
UNROLLED_ELEMENTWISE(OpLgamma, 1, 1, fn_lgamma(x[0]))
UNROLLED_ELEMENTWISE(OpDigamma, 1, 1, fn_digamma(x[0]))
UNROLLED_ELEMENTWISE(OpAdd, 2, 4, x[0] + x[1])
UNROLLED_ELEMENTWISE(OpSub, 2, 4, x[0] - x[1])
UNROLLED_ELEMENTWISE(OpMul, 2, 4, x[0] * x[1])
UNROLLED_ELEMENTWISE(OpDiv, 2, 4, x[0] / x[1])
UNROLLED_ELEMENTWISE(OpMax, 2, 4, fn_max(x[0], x[1]))
UNROLLED_ELEMENTWISE(OpMin, 2, 4, fn_min(x[0], x[1]))
UNROLLED_ELEMENTWISE(OpPow, 2, 1, fn_pow(x[0], x[1]))
UNROLLED_ELEMENTWISE(OpRem, 2, 1, fn_rem(x[0], x[1]))
UNROLLED_ELEMENTWISE(OpAtan2, 2, 1, fn_atan2(x[0], x[1]))
UNROLLED_ELEMENTWISE(OpEq, 2, 4, truth(x[0] == x[1]))
UNROLLED_ELEMENTWISE(OpNe, 2, 4, truth(x[0] != x[1]))
UNROLLED_ELEMENTWISE(OpLt, 2, 4, truth(x[0] < x[1]))
UNROLLED_ELEMENTWISE(OpLe, 2, 4, truth(x[0] <= x[1]))
UNROLLED_ELEMENTWISE(OpGt, 2, 4, truth(x[0] > x[1]))
UNROLLED_ELEMENTWISE(OpGe, 2, 4, truth(x[0] >= x[1]))
UNROLLED_ELEMENTWISE(OpAnd, 2, 4, truth((x[0] != 0.0f) & (x[1] != 0.0f)))
UNROLLED_ELEMENTWISE(OpOr, 2, 4, truth((x[0] != 0.0f) | (x[1] != 0.0f)))
UNROLLED_ELEMENTWISE(OpXor, 2, 4, truth((x[0] != 0.0f) ^ (x[1] != 0.0f)))
UNROLLED_ELEMENTWISE(OpSelect, 3, 4, chosen(x[0] != 0.0f, x[1], x[2]))
UNROLLED_ELEMENTWISE(OpClamp, 3, 4, fn_min(fn_max(x[1], x[0]), x[2]))
UNROLLED_ELEMENTWISE(OpMulAdd, 3, 4, multiply_add(x[0], x[1], x[2]))
#undef UNROLLED_ELEMENTWISE

inline SheetOf sheet_of(int code) {
  switch (code) {
#define UNROLLED_CASE(name) case code::k##name: return sheet<Op##name>;
    UNROLLED_CASE(Copy) UNROLLED_CASE(Neg) UNROLLED_CASE(Abs) UNROLLED_CASE(Sign) UNROLLED_CASE(Exp)
    UNROLLED_CASE(Exp2) UNROLLED_CASE(Expm1) UNROLLED_CASE(Log) UNROLLED_CASE(Log1p) UNROLLED_CASE(Tanh)
    UNROLLED_CASE(Logistic) UNROLLED_CASE(Sqrt) UNROLLED_CASE(Rsqrt) UNROLLED_CASE(Cbrt)
    UNROLLED_CASE(Erf) UNROLLED_CASE(Erfc) UNROLLED_CASE(ErfInv) UNROLLED_CASE(Sin)
    UNROLLED_CASE(Cos) UNROLLED_CASE(Tan) UNROLLED_CASE(Asin) UNROLLED_CASE(Acos)
    UNROLLED_CASE(Atan) UNROLLED_CASE(Sinh) UNROLLED_CASE(Cosh) UNROLLED_CASE(Asinh)
    UNROLLED_CASE(Acosh) UNROLLED_CASE(Atanh) UNROLLED_CASE(Floor) UNROLLED_CASE(Ceil)
    UNROLLED_CASE(RoundHalfEven) UNROLLED_CASE(RoundHalfAway) UNROLLED_CASE(IsFinite)
    UNROLLED_CASE(Not) UNROLLED_CASE(ToBfloat16) UNROLLED_CASE(Trunc) UNROLLED_CASE(Reciprocal)
    UNROLLED_CASE(Lgamma) UNROLLED_CASE(Digamma) UNROLLED_CASE(Add) UNROLLED_CASE(Sub)
    UNROLLED_CASE(Mul) UNROLLED_CASE(Div) UNROLLED_CASE(Max) UNROLLED_CASE(Min)
    UNROLLED_CASE(Pow) UNROLLED_CASE(Rem) UNROLLED_CASE(Atan2) UNROLLED_CASE(Eq)
    UNROLLED_CASE(Ne) UNROLLED_CASE(Lt) UNROLLED_CASE(Le) UNROLLED_CASE(Gt) UNROLLED_CASE(Ge)
    UNROLLED_CASE(And) UNROLLED_CASE(Or) UNROLLED_CASE(Xor) UNROLLED_CASE(Select)
    UNROLLED_CASE(Clamp) UNROLLED_CASE(MulAdd)
#undef UNROLLED_CASE
    default: return nullptr;
  }
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
