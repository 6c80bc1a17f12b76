#include "stream.h"

#include <pthread.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "fused_step.h"
#include "problem.h"
#include "threads.h"

namespace unrolled {

struct Stream::Lock { std::mutex mutex; };

// All streams, so that a fork can wait for those that step: a child has no thread that
// would ever let go of their locks, and half a step is no state to go on from.
struct Stream::All {
  std::mutex mutex;
  Stream* first = nullptr;

  static All& here() {
    static All& all = *new All;  // outlives every stream
    static const int hooked = pthread_atfork([] { here().hold(); }, [] { here().let_go(); },
                                             [] { here().let_go(); });
    (void)hooked;
    return all;
  }
  void hold() {
    mutex.lock();
    for (Stream* s = first; s; s = s->next_) s->lock_->mutex.lock();
  }
  void let_go() {
    for (Stream* s = first; s; s = s->next_) s->lock_->mutex.unlock();
    mutex.unlock();
  }
  void add(Stream* s) {
    std::lock_guard<std::mutex> hold(mutex);
    s->next_ = first, s->link_ = &first;
    if (first) first->link_ = &s->next_;
    first = s;
  }
  void remove(Stream* s) {
    std::lock_guard<std::mutex> hold(mutex);
    *s->link_ = s->next_;
    if (s->next_) s->next_->link_ = s->link_;
  }
};

namespace {

// Weights one core streams in about the time that two need to meet and to share them.
constexpr double kBytesPerThread = 400e3;

double weights_of(const StepLayer& l) {
  const double gates = l.kind == kLstm ? 4 : l.kind == kGruAfter || l.kind == kGruBefore ? 3 : 1;
  return l.kind > kDense ? 0 : gates * l.U * (static_cast<double>(l.D) + (l.kind < kDense ? l.U : 0));
}

}  // namespace

Stream* Stream::make(const Kernels& kernels, const StepLayer* layers, int count, long B, long D,
                     int storage, std::string& why) {
  const Stepping* const stepping = kernels.stepping;
  why.clear();
  Stream* s = new (std::nothrow) Stream;
  if (!s) return nullptr;
  s->stepping_ = stepping;
  s->lock_ = new (std::nothrow) Lock;
  s->layers_ = new (std::nothrow) StepLayer[count];
  StepProgram& p = s->program_;
  p.rooms = new (std::nothrow) StepRoom[count]();
  if (!s->lock_ || !s->layers_ || !p.rooms) { delete s; return nullptr; }
  memcpy(s->layers_, layers, count * sizeof *layers);
  p.B = B, p.D = D, p.count = count, p.storage = storage, p.layers = s->layers_;
  double size = D;
  for (int i = 0; i < count; ++i) size += layers[i].U;
  if (B < 1 || B * size > 1e12) { delete s; return nullptr; }
  for (int i = 0; i < count; ++i) {
    if (layers[i].kind != kFused) continue;
    p.rooms[i].fused = FusedStep::make(*kernels.fusing, layers[i], B, why).release();
    if (!p.rooms[i].fused) { delete s; return nullptr; }
  }
  const size_t bytes = stepping->layout(p, nullptr);
  s->block_ = static_cast<char*>(aligned_alloc(64, bytes));
  if (!s->block_) { delete s; return nullptr; }
  memset(s->block_, 0, bytes);
  stepping->layout(p, s->block_);
  stepping->pack(p);
  const double each = storage == kFloat32 ? 4 : storage == kBfloat16 ? 2 : 1;
  double shared = 0;  // bytes of weights, read once for every few rows
  for (int i = 0; i < count; ++i) shared += weights_of(layers[i]) * each * ((B + 3) / 4);
  const int useful = static_cast<int>(shared / kBytesPerThread);
  const int limit = thread_limit(useful);
  s->threads_ = useful < 2 ? 1 : limit < kStepThreads ? limit : kStepThreads;
  expect_forks();
  All::here().add(s);
  return s;
}

Stream::~Stream() {
  if (link_) All::here().remove(this);
  free(block_);
  for (int i = 0; program_.rooms && i < program_.count; ++i) delete program_.rooms[i].fused;
  delete[] program_.rooms;
  delete[] layers_;
  delete lock_;
}

bool Stream::takes_ids() const { return layers_[0].kind == kEmbedding; }
long Stream::outputs() const { return layers_[program_.count - 1].U; }

double Stream::work() const {
  double sum = 0;
  for (int i = 0; i < program_.count; ++i) {
    const FusedStep* fused = program_.rooms[i].fused;
    sum += fused ? fused->work() : weights_of(layers_[i]) * program_.B;
  }
  return sum;
}

bool Stream::step(const float* x, const int64_t* ids, float* y) {
  StepProgram& p = program_;
  std::lock_guard<std::mutex> hold(lock_->mutex);
  if (takes_ids()) {
    for (long r = 0; r < p.B; ++r) {
      const int64_t id = ids[r];
      if (id < 0 || id >= p.D) return false;
      p.ids[r] = id;
    }
  } else {
    for (long r = 0; r < p.B; ++r) memcpy(p.input + r * step_row(p.D), x + r * p.D, p.D * 4);
  }
  const int threads = threads_ > 1 && pace_.together() ? threads_ : 1;
  const long started = threads_ > 1 ? now() : 0;
  Lease lease(threads);
  struct Work { const Stepping* stepping; const StepProgram* program; } work{stepping_, &p};
  lease.run([](void* context, Team& team, int thread) {
    const Work& w = *static_cast<Work*>(context);
    w.stepping->run(*w.program, team, thread);
  }, &work);
  if (threads_ > 1) pace_.took(threads > 1, now() - started);
  p.turn = !p.turn;
  const int last = p.count - 1;
  const long U = layers_[last].U;
  const float* out = layers_[last].kind < kDense ? p.rooms[last].h[p.turn] : p.rooms[last].out;
  for (long r = 0; r < p.B; ++r) memcpy(y + r * U, out + r * step_row(U), U * 4);
  return true;
}

// Calls each(row, its U numbers, those of a fresh sequence or null for zeros, U) for the rows
// of all states, in the order of read().
template <class Each>
void Stream::each_state(Each each) const {
  for (int i = 0; i < program_.count; ++i) {
    const StepLayer& l = layers_[i];
    const StepRoom& room = program_.rooms[i];
    const auto all = [&](float* rows, const float* fresh, long U, long stride) {
      for (long r = 0; r < program_.B; ++r) each(r, rows + r * stride, fresh ? fresh + r * U : nullptr, U);
    };
    if (l.kind < kDense) all(room.h[program_.turn], nullptr, l.U, step_row(l.U));
    if (l.kind == kLstm) all(room.c, nullptr, l.U, step_row(l.U));
    if (l.kind == kFused)
      for (const FusedStep::State& s : room.fused->states()) all(s.now, s.fresh, s.width, s.width);
  }
}

void Stream::reset(const uint8_t* rows) {
  std::lock_guard<std::mutex> hold(lock_->mutex);
  each_state([&](long r, float* own, const float* fresh, long U) {
    if (rows && !rows[r]) return;
    if (fresh) memcpy(own, fresh, U * 4);
    else memset(own, 0, U * 4);
  });
}

void Stream::read(float* to) {
  std::lock_guard<std::mutex> hold(lock_->mutex);
  each_state([&](long, const float* own, const float*, long U) { memcpy(to, own, U * 4), to += U; });
}

void Stream::write(const float* from) {
  std::lock_guard<std::mutex> hold(lock_->mutex);
  each_state([&](long, float* own, const float*, long U) { memcpy(own, from, U * 4), from += U; });
}

}  // namespace unrolled
