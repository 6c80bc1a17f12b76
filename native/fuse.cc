#include "fuse.h"

#include <algorithm>

#include "dispatch.h"
#include "execute.h"
#include "threads.h"

namespace unrolled {

namespace {

double elements(const Instruction& i) {
  return static_cast<double>(i.dim[0]) * i.dim[1] * i.dim[2] * i.dim[3];
}

// Threads worth waking, by the same measure as for one layer (execute.cc).
int useful_threads(const FusedLoop& f, int limit) {
  const Work work = work_of(*f.recipe);
  const double step = work.recurrent * f.B, total = work.all * f.B * f.T;
  double n = limit;
  if (f.B < 4 * limit) n = std::min(n, step < 24e3 ? 1 : std::max(2.0, step / 32e3));
  n = std::min(n, total / 250e3);
  return n < 1 ? 1 : static_cast<int>(n);
}

void hint_results(const FusedLoop& f) {
  const Recipe& recipe = *f.recipe;
  for (int i = recipe.inputs; i < recipe.arrays(); ++i) {
    const Operand& o = recipe.operands[i];
    const double rows = o.kind == operand::kSum ? 1 : o.kind == operand::kRow ? f.B : static_cast<double>(f.B) * f.T;
    hint_large(f.arrays[i], rows * static_cast<double>(o.width));
  }
}

}  // namespace

// A number that is not multiplied by a weight costs what some twenty multiply-adds do.
Work work_of(const Recipe& recipe) {
  Work work{0, 0};
  for (const Part& part : recipe.parts)
    for (int g = part.groups.first; g < part.groups.first + part.groups.count; ++g) {
      const Group& group = recipe.groups[g];
      for (int i = group.instructions.first; i < group.instructions.first + group.instructions.count; ++i) {
        const double n = elements(recipe.instructions[i]);
        work.all += group.kind == kPointwiseGroup ? 20 * n : n;
        if (group.kind == kProductGroup && part.kind == kLoopPart) work.recurrent += n;
      }
    }
  return work;
}

const char* fuse(const std::vector<FusedLoop>& loops, const Fusing& fusing, int threads) {
  struct Shared {
    Teams teams;
    std::vector<std::unique_ptr<Fused>> fused;
  };
  const int count = static_cast<int>(loops.size());
  Lease lease(threads);
  Shared work{Teams(lease.threads(), count), {}};
  std::vector<size_t> from;  // where each one's scratch begins
  size_t bytes = 0;
  for (int i = 0; i < count; ++i) {
    work.fused.push_back(fusing.make(loops[i], work.teams.size(i)));
    from.push_back(bytes);
    bytes += (work.fused[i]->layout(nullptr) + 63) / 64 * 64;
  }
  const Scratch scratch(bytes);
  if (!scratch.data()) return "not enough memory for the working space of a recurrent layer";
  for (int i = 0; i < count; ++i) work.fused[i]->layout(scratch.data() + from[i]);
  const auto part = [](void* context, Team&, int thread) {
    Shared& work = *static_cast<Shared*>(context);
    work.teams.run(thread, [&](int i, Team& team, int own) { work.fused[i]->run(team, own); });
  };
  lease.run(part, &work);
  return nullptr;
}

const char* fuse(const std::vector<FusedLoop>& loops, int limit) {
  const char* why;
  const Kernels* table = kernels(&why);
  if (!table) return why;
  limit = thread_limit(limit);
  if (!limit) return thread_problem();
  int wanted = 0;
  for (const FusedLoop& f : loops) {
    hint_results(f);
    wanted += useful_threads(f, limit);
  }
  return fuse(loops, *table->fusing, std::min(wanted, limit));
}

}  // namespace unrolled
