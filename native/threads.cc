#include "threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <new>
#include <thread>

namespace unrolled {

long now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

namespace {

// An idle helper that polls for longer than this slows whatever else runs; between the
// steps of a call the others are due at once, or have lost their processor.
constexpr long kIdleSpin = 100000, kCallSpin = 200000;  // nanoseconds

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Job {
  void (*call)(void*, Team&, int);
  void* context;
  Team* team;
};

// Asks for short turns: whoever has those gets a processor at once when woken, from those
// too that run there only now and then. Systems before Linux 6.12 take no notice.
void take_short_turns() {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t turn, deadline, period;  // nanoseconds
  } wish{};
  if (syscall(SYS_sched_getattr, 0, &wish, sizeof wish, 0)) return;
  wish.turn = 100000;
  syscall(SYS_sched_setattr, 0, &wish, 0);
}

struct Helper {
  Signal asked, done;
  Job job{};
  int index = 0;
  pthread_t handle{};
  cpu_set_t allowed{};  // where it may run, as last set

  void loop() {
    take_short_turns();
    for (uint32_t call = 1;; ++call) {
      asked.await(call, kIdleSpin);
      job.call(job.context, *job.team, index);
      done.raise();
    }
  }

  void ask(const Job& what) {
    job = what;
    asked.raise();
  }

  void wait() { done.await(asked.count, kCallSpin); }

  void keep_to(const cpu_set_t& set) {
    if (CPU_EQUAL(&set, &allowed)) return;
    if (!pthread_setaffinity_np(handle, sizeof set, &set)) allowed = set;
  }
};

struct Block { char* data; size_t size; };
constexpr int kSpareBlocks = 4;

// Never destroyed: helpers run until the process ends. A forked child has none of its
// parent's threads, and starts with a new one of these.
struct Process {
  std::atomic_flag busy = ATOMIC_FLAG_INIT;
  Helper* helper[kMaxThreads] = {};
  int helpers = 0;
  std::mutex memory;
  Block spare[kSpareBlocks + 1] = {};  // the last: on its way in
};

std::atomic<Process*> process{nullptr};

Process& here() {
  Process* p = process.load(std::memory_order_acquire);
  if (p) return *p;
  static const int hooked =
      pthread_atfork(nullptr, nullptr, [] { process.store(nullptr); });
  (void)hooked;
  Process* fresh = new Process;
  if (process.compare_exchange_strong(p, fresh)) return *fresh;
  delete fresh;
  return *p;
}

// The whole number from 1 on that a text is, with nothing behind it but what begins with
// `more`; 0 if it is none, or null.
int positive(const char* text, char more = 0) {
  if (!text) return 0;
  char* end;
  const long n = strtol(text, &end, 10);
  return end == text || (*end && *end != more) || n < 1 || n > INT_MAX ? 0 : static_cast<int>(n);
}

constexpr const char* kOwn = "UNROLLED_THREADS";

}  // namespace

void Signal::raise() {
  __atomic_store_n(&count, count + 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&sleepers, __ATOMIC_SEQ_CST))
    syscall(SYS_futex, &count, FUTEX_WAKE_PRIVATE, kMaxThreads, nullptr, nullptr, 0);
}

void Signal::await(uint32_t target, long spin_nanoseconds) {
  const auto reached = [&](uint32_t at) { return static_cast<int32_t>(at - target) >= 0; };
  for (int n = 0; n < 1000; ++n)
    if (reached(__atomic_load_n(&count, __ATOMIC_ACQUIRE))) return;
  for (const long deadline = now() + spin_nanoseconds; now() < deadline;)
    for (int n = 0; n < 64; ++n, pause())
      if (reached(__atomic_load_n(&count, __ATOMIC_ACQUIRE))) return;
  // Either raise() sees the sleeper, or the sleeper sees what raise() stored.
  __atomic_fetch_add(&sleepers, 1, __ATOMIC_SEQ_CST);
  for (uint32_t at; !reached(at = __atomic_load_n(&count, __ATOMIC_SEQ_CST));)
    syscall(SYS_futex, &count, FUTEX_WAIT_PRIVATE, at, nullptr, nullptr, 0);
  __atomic_fetch_sub(&sleepers, 1, __ATOMIC_SEQ_CST);
}

void barrier(Team& team, int thread) {
  if (team.size == 1) return;
  team.passed[thread].raise();
  const uint32_t here = team.passed[thread].count;
  for (int other = 0; other < team.size; ++other)
    if (other != thread) team.passed[other].await(here, kCallSpin);
}

Lease::Lease(int wanted) {
  if (wanted > kMaxThreads) wanted = kMaxThreads;
  if (wanted < 2) return;
  Process& p = here();
  if (p.busy.test_and_set(std::memory_order_acquire)) return;
  held_ = true;
  while (p.helpers < wanted - 1) {
    Helper* helper = new (std::nothrow) Helper;
    if (!helper) break;
    helper->index = p.helpers + 1;
    try {
      std::thread thread([helper] { helper->loop(); });
      helper->handle = thread.native_handle();
      thread.detach();
    } catch (...) {  // no more threads to be had: go on with those there are
      delete helper;
      break;
    }
    p.helper[p.helpers++] = helper;
  }
  team_.size = p.helpers + 1 < wanted ? p.helpers + 1 : wanted;
}

Lease::~Lease() {
  if (held_) here().busy.clear(std::memory_order_release);
}

void Lease::run(void (*job)(void*, Team&, int), void* context) {
  Process& p = here();
  const Job what{job, context, &team_};
  // Once others disturb it, the system puts a helper on the caller's processor, and leaves
  // the two there for many milliseconds while another one idles. So helpers keep off it.
  cpu_set_t elsewhere;
  const int own = sched_getcpu();
  if (team_.size > 1 && own >= 0 && !sched_getaffinity(0, sizeof elsewhere, &elsewhere)) {
    CPU_CLR(own, &elsewhere);
    for (int i = 1; i < team_.size && CPU_COUNT(&elsewhere); ++i)
      p.helper[i - 1]->keep_to(elsewhere);
  }
  for (int i = 1; i < team_.size; ++i) p.helper[i - 1]->ask(what);
  job(context, team_, 0);
  for (int i = 1; i < team_.size; ++i) p.helper[i - 1]->wait();
}

void expect_forks() { here(); }

const char* thread_problem() {
  static thread_local char why[160];
  const char* text = getenv(kOwn);
  if (!text || !*text || thread_limit(0)) return "";
  snprintf(why, sizeof why,
           "%s must be a whole number from 1 to %d. Got \"%.40s\": leave it unset to use all "
           "processors.", kOwn, kMaxThreads, text);
  return why;
}

int thread_limit(int limit) {
  if (const char* text = getenv(kOwn); text && *text) {
    const int own = positive(text);
    return own <= kMaxThreads ? own : 0;
  }
  int count = kMaxThreads;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < count)
    count = CPU_COUNT(&set);
  if (int omp = positive(getenv("OMP_NUM_THREADS"), ','); omp > 0 && omp < count) count = omp;
  if (limit > 0 && limit < count) count = limit;
  return count > 0 ? count : 1;
}

Scratch::Scratch(size_t bytes) {
  Process& p = here();
  {
    std::lock_guard<std::mutex> hold(p.memory);
    Block* best = nullptr;  // the smallest that fits
    for (Block& b : p.spare)
      if (b.data && b.size >= bytes && (!best || b.size < best->size)) best = &b;
    if (best) {
      data_ = best->data, size_ = best->size, *best = {};
      return;
    }
  }
  const size_t page = 4096;
  if (bytes > SIZE_MAX / 2) return;
  size_ = (bytes + page - 1) / page * page;
  data_ = static_cast<char*>(aligned_alloc(page, size_));
}

Scratch::~Scratch() {
  if (!data_) return;
  Process& p = here();
  std::lock_guard<std::mutex> hold(p.memory);
  p.spare[kSpareBlocks] = {data_, size_};
  // Large blocks serve small calls too.
  std::sort(std::begin(p.spare), std::end(p.spare),
            [](const Block& a, const Block& b) { return a.size > b.size; });
  size_t kept = 0;
  int blocks = 0;
  for (Block& b : p.spare)
    if (blocks < kSpareBlocks && kept + b.size <= kMostKept) kept += b.size, ++blocks;
    else free(b.data), b = {};
}

size_t kept_memory() {
  Process& p = here();
  std::lock_guard<std::mutex> hold(p.memory);
  size_t kept = 0;
  for (const Block& b : p.spare) kept += b.size;
  return kept;
}

}  // namespace unrolled
