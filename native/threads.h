// Helper threads of our own: XLA's pool wakes in some 60 us and promises no concurrency,
// while a time loop needs its threads at once, together, with a barrier per step.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace unrolled {

constexpr int kMaxThreads = 64;

long now();  // nanoseconds, of a clock that only goes forward

// A count that one thread raises and others wait for: they spin briefly, then sleep, so
// that whoever is late gets their processor. Wraps around.
struct alignas(128) Signal {  // processors fetch lines by twos
  uint32_t count = 0;
  uint32_t sleepers = 0;
  void raise();
  void await(uint32_t target, long spin_nanoseconds);
};

// Threads of one call, and where each has got to.
struct Team {
  int size = 1;
  Signal passed[kMaxThreads];
};
void barrier(Team& team, int thread);

// Holds the helpers from construction to destruction. While somebody else holds them
// (another Python thread, a nested call) the lease has one thread: the caller.
class Lease {
 public:
  explicit Lease(int wanted);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  int threads() const { return team_.size; }
  // Runs job(context, team, 0..threads()-1), index 0 on the calling thread.
  void run(void (*job)(void*, Team&, int), void* context);

 private:
  Team team_;
  bool held_ = false;
};

// Jobs that do not wait for each other: at once, each on a team of its own, where there are
// as many threads, otherwise one after another on all of them.
class Teams {
 public:
  Teams(int threads, int jobs)
      : threads_(threads), jobs_(jobs), team_(threads < jobs ? 1 : jobs) {
    for (int t = 0; t < count(); ++t) team_[t].size = first(t + 1) - first(t);
  }
  int size(int job) const { return team_[job % count()].size; }
  // A thread's part: job(number, team, thread of the team) of each that is its own.
  template <class F>
  void run(int thread, const F& job) {
    int own = 0;
    while (thread >= first(own + 1)) ++own;
    for (int i = own; i < jobs_; i += count()) job(i, team_[own], thread - first(own));
  }

 private:
  int count() const { return static_cast<int>(team_.size()); }
  int first(int team) const { return team * threads_ / count(); }

  int threads_, jobs_;
  std::vector<Team> team_;
};

// Threads a call may use: UNROLLED_THREADS if set, otherwise the smallest of the
// processors this process may run on, OMP_NUM_THREADS and `limit` (0: no limit). 0 if
// UNROLLED_THREADS is no such number.
int thread_limit(int limit);
// What is wrong with UNROLLED_THREADS, "" if nothing; good until the thread asks again.
const char* thread_problem();

// Has a forked child start helpers of its own. Before anything that a fork waits for.
void expect_forks();

// A block of memory, kept from call to call up to a limit; null when memory is short.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* data() const { return data_; }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
};
// Of what calls have given back, so many bytes at most wait for the next ones: twice what
// training a layer of 1,024 units takes. Fresh memory costs a fault a page, which takes as
// long as a short call does.
constexpr size_t kMostKept = size_t{256} << 20;
size_t kept_memory();  // how many do

}  // namespace unrolled
