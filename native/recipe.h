// A recurrent loop as data: what Python makes of a cell's step, decoded and checked.
//
// It is for one row of a batch and holds no B and no T. Operands are numbered through:
// inputs, results, slots (the core's own working memory). A program may come out of a file
// or from anybody's hand: after `decode` every place that an instruction reads or writes
// lies within its operand, and is written before it is read.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace unrolled {

namespace operand {
enum Kind {
  kVector = 0,    // an input without rows
  kRow = 1,       // (B, width)
  kSequence = 2,  // (B, T, width)
  kKept = 3,      // (T, B, width)
  kSum = 4,       // a result without rows: sums over all rows and steps
  kBlock = 5,     // slots, by how long they live: a block of rows within a group,
  kStep = 6,      // a step of a loop part,
  kChunk = 7,     // a chunk of steps,
  kCarry = 8,     // and, before and after each step, the whole loop
  kStates = 9,    // (T+1, B, width) a carry before each step and after the last
};
}
enum PartKind { kChunkPart = 0, kLoopPart = 1 };
enum GroupKind { kPointwiseGroup = 0, kProductGroup = 1, kSumGroup = 2 };

namespace code {
enum Code {
  kCopy = 0, kNeg, kAbs, kSign, kExp, kExp2, kExpm1, kLog, kLog1p, kTanh, kLogistic, kSqrt,
  kRsqrt, kCbrt, kErf, kErfc, kErfInv, kSin, kCos, kTan, kAsin, kAcos, kAtan, kSinh, kCosh,
  kAsinh, kAcosh, kAtanh, kFloor, kCeil, kRoundHalfEven, kRoundHalfAway, kIsFinite, kNot,
  kToBfloat16, kTrunc, kReciprocal, kLgamma, kDigamma, kLastUnary = kDigamma,
  kAdd = 48, kSub, kMul, kDiv, kMax, kMin, kPow, kRem, kAtan2, kEq, kNe, kLt, kLe, kGt, kGe,
  kAnd, kOr, kXor, kLastBinary = kXor,
  kSelect = 72, kClamp, kMulAdd, kLastTernary = kMulAdd,
  kReduceSum = 80, kReduceMax, kReduceMin, kContract,
  kProduct = 96, kSumProduct, kSumRows,
};
}

struct Operand {
  int kind;
  long width;      // floats a row and step
  bool backwards;  // step s lies at T-1-s
};

// Where the elements of an operand lie: (i0, .., i3) at offset + sum of i*stride.
struct View {
  int ref = -1;  // -1: absent
  long offset = 0, stride[4] = {};
  bool after = false;  // of a carry: its value after the step
};

struct Instruction {
  int code;
  long dim[4];
  View out, in[3];
};

struct Span { int first, count; };  // of what one level lower lies next to each other
struct Part { int kind; Span groups; };
struct Group { int kind; Span instructions; };  // of several products, none is in another's way
struct CarryRecord { int slot, start, last, states; };  // the last two: -1 if nobody asks

struct Recipe {
  int inputs = 0, results = 0;
  std::vector<Operand> operands;  // inputs, results, slots
  std::vector<CarryRecord> carries;
  std::vector<Part> parts;
  std::vector<Group> groups;
  std::vector<Instruction> instructions;

  int arrays() const { return inputs + results; }
};

// What is wrong with a program, "" if nothing.
std::string decode(const int64_t* data, size_t size, Recipe& recipe);

// How many operands an instruction reads at least, and at most; 0, 0: no such code.
struct Arity { int least, most; };
Arity arity(long code);

}  // namespace unrolled
