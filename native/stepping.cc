// One instruction-set variant of the stepper; see variant.cc.
#include <type_traits>

#include "stepper.h"

namespace unrolled {
namespace avx512 { extern const Stepping stepping; }
namespace UNROLLED_NS {
namespace {

// Gates of the first phase and of the second.
struct Phases { int first, second; };
Phases phases(const StepLayer& l) {
  switch (l.kind) {
    case kSimpleRnn: case kDense: return {1, 0};
    case kLstm: return {4, 0};
    case kGruAfter: return {3, 0};
    case kGruBefore: return {2, 1};
    default: return {0, 0};
  }
}

template <class S>
long panel_bytes(const StepLayer& l, int gates) {
  using T = Stepper<S>;
  switch (gates) {
    case 1: return T::template panel_bytes<1>(l);
    case 2: return T::template panel_bytes<2>(l);
    case 3: return T::template panel_bytes<3>(l);
    default: return T::template panel_bytes<4>(l);
  }
}

template <class S>
size_t layout(StepProgram& p, char* block) {
  size_t used = 0;
  const auto take = [&](size_t bytes) {
    char* piece = block ? block + used : nullptr;
    used += (bytes + 63) / 64 * 64;
    return piece;
  };
  const auto rows = [&](long n) { return reinterpret_cast<float*>(take(p.B * step_row(n) * 4)); };
  if (p.layers[0].kind == kEmbedding) p.ids = reinterpret_cast<int64_t*>(take(p.B * 8));
  else p.input = rows(p.D);
  long widest = 1;
  for (int i = 0; i < p.count; ++i) {
    const StepLayer& l = p.layers[i];
    StepRoom& room = p.rooms[i];
    if (l.kind < kDense) {
      for (float*& h : room.h) h = rows(l.U);
      if (l.kind == kLstm) room.c = rows(l.U);
      if (l.kind == kGruBefore) room.middle = rows(l.U), room.held = rows(l.U);
    } else {
      room.out = rows(l.U);
    }
    if (l.kind == kEmbedding) room.table = reinterpret_cast<float*>(take(l.D * l.U * 4));
    if (l.kind == kAffine || l.kind == kNormalize)
      room.table = reinterpret_cast<float*>(take(2 * step_row(l.U) * 4));
    const Phases gates = phases(l);
    for (int n = 0; n < 2; ++n)
      if (const int count = n ? gates.second : gates.first)
        room.panels[n] = take(up(l.U, W) * panel_bytes<S>(l, count));
    if (l.kind <= kDense) {
      if (l.D > widest) widest = l.D;
      if (l.U > widest) widest = l.U;
    }
  }
  for (char*& own : p.own) own = take(Stepper<S>::own_bytes(p.B, widest));
  return used;
}

template <class S>
void pack(const StepProgram& p) {
  using T = Stepper<S>;
  for (int i = 0; i < p.count; ++i) {
    const StepLayer& l = p.layers[i];
    const StepRoom& room = p.rooms[i];
    switch (l.kind) {
      case kSimpleRnn: case kDense: T::template pack<1>(l, 1, 0, room.panels[0]); break;
      case kLstm: T::template pack<4>(l, 4, 0, room.panels[0]); break;
      case kGruAfter: T::template pack<3>(l, 3, 0, room.panels[0]); break;
      case kGruBefore:
        T::template pack<2>(l, 3, 0, room.panels[0]);
        T::template pack<1>(l, 3, 2, room.panels[1]);
        break;
      case kEmbedding: memcpy(room.table, l.kernel, l.D * l.U * 4); break;
      case kAffine: case kNormalize:
        memcpy(room.table, l.kernel, l.U * 4);
        if (l.bias) memcpy(room.table + step_row(l.U), l.bias, l.U * 4);
        break;
      default: break;
    }
  }
}

#if defined(__AVX512VNNI__)
// Only products of 8-bit weights differ from the smaller variant's.
size_t any_layout(StepProgram& p, char* block) { return avx512::stepping.layout(p, block); }
void any_pack(const StepProgram& p) { avx512::stepping.pack(p); }
void any_run(const StepProgram& p, Team& team, int thread) {
  if (p.storage != kInt8) return avx512::stepping.run(p, team, thread);
  Stepper<StoredInt8>(p).run(team, thread);
}
#else
size_t any_layout(StepProgram& p, char* block) {
  switch (p.storage) {
    case kBfloat16: return layout<StoredBfloat16>(p, block);
    case kInt8: return layout<StoredInt8>(p, block);
    default: return layout<StoredFloat32>(p, block);
  }
}
void any_pack(const StepProgram& p) {
  switch (p.storage) {
    case kBfloat16: return pack<StoredBfloat16>(p);
    case kInt8: return pack<StoredInt8>(p);
    default: return pack<StoredFloat32>(p);
  }
}
void any_run(const StepProgram& p, Team& team, int thread) {
  switch (p.storage) {
    case kBfloat16: return Stepper<StoredBfloat16>(p).run(team, thread);
    case kInt8: return Stepper<StoredInt8>(p).run(team, thread);
    default: return Stepper<StoredFloat32>(p).run(team, thread);
  }
}
#endif

}  // namespace

extern const Stepping stepping;
const Stepping stepping = {any_layout, any_pack, any_run};

}}  // namespace unrolled::UNROLLED_NS
