// A program with its memory: made once, stepped from one thread at a time.
#pragma once
#include <string>

#include "program.h"

namespace unrolled {

// Whether to call a helper thread for the next step. One that keeps losing its processor
// to another program makes steps slower than they are alone: then some steps go alone,
// ever more of them while that lasts. A single late step says nothing: a helper that has
// slept has to be woken.
class Pace {
 public:
  bool together() const { return known_ >= 2 && rest_ == 0; }
  void took(bool together, long nanoseconds) {
    if (!together) {
      if (nanoseconds < alone_) alone_ = nanoseconds;
      if (known_ < 2) ++known_;
      if (rest_ > 0) --rest_;
    } else if (nanoseconds < alone_) {
      late_ = 0;
      if (pause_ > 8) pause_ /= 2;
    } else if (++late_ == 4) {
      late_ = 0, rest_ = pause_;
      if (pause_ < 4096) pause_ *= 2;
    }
  }

 private:
  long alone_ = 1L << 62;  // the fastest step alone
  int known_ = 0, late_ = 0, rest_ = 0, pause_ = 8;
};

class Stream {
 public:
  // Copies and packs everything it needs. `D`: features of a row of x; ids known, where
  // the first layer is kEmbedding. Null if it cannot be made, with the reason in `why`: what
  // is wrong with a recipe, or nothing where memory is short.
  static Stream* make(const Kernels&, const StepLayer* layers, int count, long B, long D,
                      int storage, std::string& why);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool takes_ids() const;
  long rows() const { return program_.B; }
  long features() const { return program_.D; }
  long outputs() const;      // width of a row of y
  double work() const;       // multiply-adds of one step
  // y (B, outputs()) from x (B, D) float32, or from ids (B). False, and nothing is done,
  // if an id is not in [0, D). Callers on other threads wait their turn.
  bool step(const float* x, const int64_t* ids, float* y);
  // States of fresh sequences for the rows marked, or for all with null: zeros, or a cell's own.
  void reset(const uint8_t* rows);
  // All states, (B, U) each, out of the stream or into it, between two steps: of each
  // recurrent layer h, then c where there is one; of a recipe what its carries are, in order.
  void read(float* to);
  void write(const float* from);

 private:
  Stream() = default;
  template <class Each> void each_state(Each each) const;

  struct Lock;
  struct All;
  const Stepping* stepping_ = nullptr;
  StepProgram program_{};
  StepLayer* layers_ = nullptr;
  char* block_ = nullptr;
  int threads_ = 1;
  Pace pace_;
  Lock* lock_ = nullptr;
  Stream *next_ = nullptr, **link_ = nullptr;  // among all streams; what leads here
};

}  // namespace unrolled
