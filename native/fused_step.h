// A cell's step that is data, as a layer of a stream: its weights packed and everything
// found once, its states its own.
#pragma once
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "fuse.h"
#include "program.h"

namespace unrolled {

class FusedStep {
 public:
  // Copies and packs all that it needs. Null, with the reason in `why`: what is wrong with
  // the recipe, or nothing where memory is short.
  static std::unique_ptr<FusedStep> make(const Fusing&, const StepLayer&, long B, std::string& why);

  // A step of all rows, (B, D) to (B, U), rows step_row apart.
  void run(const float* from, float* out);
  double work() const { return work_of(recipe_).all * B_; }  // multiply-adds

  // (B, width), dense, in the order of the carries.
  struct State {
    float* now;
    const float* fresh;
    long width;
  };
  const std::vector<State>& states() const { return states_; }

 private:
  FusedStep() = default;
  std::string problem(const StepRecipe&) const;
  size_t layout(const StepRecipe&, char* block);

  struct Free {
    void operator()(char* block) const { free(block); }
  };
  using Block = std::unique_ptr<char, Free>;

  Recipe recipe_;
  long B_ = 0, D_ = 0, U_ = 0;
  std::vector<float*> arrays_;  // of the recipe
  std::vector<State> states_;
  float *x_ = nullptr, *y_ = nullptr;  // (B, D), (B, U)
  Block held_, scratch_;               // arrays; working space
  std::unique_ptr<Fused> fused_;
};

}  // namespace unrolled
