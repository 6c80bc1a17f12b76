// What the parts of the fuzzer share.
#pragma once
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "dispatch.h"

namespace unrolled {

using Floats = std::vector<float>;

// The numbers of another build, for another processor: one run writes them, a run of the
// same cases reads them. Without a file, neither.
class Record {
 public:
  Record(bool reads, const char* path) : reads_(reads), file_(path ? fopen(path, reads ? "rb" : "wb") : nullptr) {}
  ~Record() { if (file_) fclose(file_); }
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  bool open() const { return file_; }
  // Keeps the numbers, or puts the other build's in their place; false if it has no such.
  bool pass(Floats& numbers) {
    if (!file_) return true;
    return numbers.size() == (reads_ ? fread(numbers.data(), sizeof(float), numbers.size(), file_)
                                     : fwrite(numbers.data(), sizeof(float), numbers.size(), file_));
  }

 private:
  bool reads_;
  FILE* file_;
};

// Arrays that a call fills, by name.
struct Results {
  std::vector<std::pair<std::string, Floats>> all;
  float* room(const char* name, size_t n) {
    all.emplace_back(name, Floats(n, 0.0f));
    return all.back().second.data();
  }
};

inline std::string names(const std::vector<const Kernels*>& tables) {
  std::string all;
  for (const Kernels* each : tables) all += (all.empty() ? "" : ", ") + std::string(each->name);
  return all;
}

// Steps random programs; 0 if all variants agree.
int fuzz_streams(int cases, std::mt19937& random, Record& record);

// Products and sums of matrix.h with random sizes and strides, on every variant, against sums
// in float64; 0 if they agree.
int fuzz_matrices(int cases, std::mt19937& random);

// Random programs, and spoilt ones; 0 if all variants agree and what is run stays within its
// arrays.
int fuzz_programs(int cases, std::mt19937& random);

// Random programs as layers of streams, and spoilt ones; 0 if they give what they give over
// all steps at once.
int fuzz_steps(int cases, std::mt19937& random);

// Calls from several threads at once; 0 if each gets what a lone caller gets.
int fuzz_callers(int rounds, std::mt19937& random);

}  // namespace unrolled
