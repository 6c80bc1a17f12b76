// Runs layers on threads.
#pragma once
#include "problem.h"
#include "threads.h"

namespace unrolled {

constexpr int kMaxLayers = 2;  // in one call

// Layers that do not wait for each other: at once, each on threads of its own, where there
// are as many, otherwise one after another. Holds the helper threads while it lives.
class Execution {
 public:
  // `count` problems, at most kMaxLayers, which outlive this; on up to `threads` threads.
  Execution(const Kernels&, const Problem*, int count, bool backward, int threads);
  size_t scratch() const { return bytes_; }  // bytes of working space
  void run(char* scratch);                   // 64-byte aligned, contents undefined

 private:
  const Kernels& kernels_;
  const Problem* problem_;
  int count_;
  bool backward_;
  Lease lease_;
  Teams teams_;
  size_t from_[kMaxLayers] = {}, bytes_ = 0;  // where a layer's scratch begins; of all
  char* scratch_ = nullptr;
};

// Large results come as fresh pages, one fault per 4 KiB; asks for 2 MiB pages instead. A
// hint: where the system does not follow it, nothing changes.
void hint_large(const float* p, double floats);

// On the variant of dispatch.h, with as many threads as help. Null, or what went wrong.
// `thread_limit`: the caller's own bound on threads, 0: none.
const char* execute(const Problem*, int count, bool backward, int thread_limit);

}  // namespace unrolled
