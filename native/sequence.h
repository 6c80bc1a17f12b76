// Cells x directions x types: picks the instance for a problem.
#pragma once
#include "backward.h"
#include "forward.h"

namespace unrolled { namespace UNROLLED_NS { namespace {

struct Call {
  char* scratch;  // null: only count
  int threads;
  Team* team;
  int thread;
};

template <class Loop>
size_t go(const Problem& p, const Call& call) {
  Loop loop;
  const size_t size = loop.layout(p, call.threads, call.scratch);
  if (call.scratch) loop.run(*call.team, call.thread);
  return size;
}

template <class Op, template <class> class C, class Act>
size_t pick(const Problem& p, bool backward, const Call& call) {
  if (backward) return go<Backward<Op, C<Act>>>(p, call);
  if (p.residual) return go<Forward<Op, C<Act>, true>>(p, call);
  return go<Forward<Op, C<Act>, false>>(p, call);
}

template <class Op, template <class> class C>
size_t pick(const Problem& p, bool backward, const Call& call) {
  const bool gated = p.kind != kSimpleRnn;
  if (p.activation == kTanh && (!gated || p.recurrent_activation == kSigmoid))
    return pick<Op, C, Usual>(p, backward, call);
  return pick<Op, C, Chosen>(p, backward, call);
}

template <class Op>
size_t pick(const Problem& p, bool backward, const Call& call) {
  switch (p.kind) {
    case kSimpleRnn: return pick<Op, SimpleRnn>(p, backward, call);
    case kLstm: return pick<Op, Lstm>(p, backward, call);
    case kGruAfter: return pick<Op, GruAfter>(p, backward, call);
    default: return pick<Op, GruBefore>(p, backward, call);
  }
}

}}}  // namespace unrolled::UNROLLED_NS::<anonymous>
