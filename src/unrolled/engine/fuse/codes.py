"""What the core can do with numbers, and what JAX calls it."""

COPY, NEG, ABS = 0, 1, 2
NOT, TO_BF16, RECIPROCAL = 33, 34, 36
ADD, SUB, MUL, DIV, MAX, MIN = 48, 49, 50, 51, 52, 53
NE, AND, OR = 58, 63, 64
SELECT, CLAMP, MULADD = 72, 73, 74
REDUCE_SUM, REDUCE_MAX, REDUCE_MIN, CONTRACT = 80, 81, 82, 83
PRODUCT, SUM_PRODUCT, SUM_ROWS = 96, 97, 98

UNARY = {
    "neg": NEG,
    "abs": ABS,
    "sign": 3,
    "exp": 4,
    "exp2": 5,
    "expm1": 6,
    "log": 7,
    "log1p": 8,
    "tanh": 9,
    "logistic": 10,
    "sqrt": 11,
    "rsqrt": 12,
    "cbrt": 13,
    "erf": 14,
    "erfc": 15,
    "erf_inv": 16,
    "sin": 17,
    "cos": 18,
    "tan": 19,
    "asin": 20,
    "acos": 21,
    "atan": 22,
    "sinh": 23,
    "cosh": 24,
    "asinh": 25,
    "acosh": 26,
    "atanh": 27,
    "floor": 28,
    "ceil": 29,
    "is_finite": 32,
    "not": NOT,
    "lgamma": 37,
    "digamma": 38,
}
ROUND = {0: 31, 1: 30}  # away from zero, to even

BINARY = {
    "add": ADD,
    "add_any": ADD,
    "sub": SUB,
    "mul": MUL,
    "div": DIV,
    "max": MAX,
    "min": MIN,
    "pow": 54,
    "rem": 55,
    "atan2": 56,
    "eq": 57,
    "ne": NE,
    "lt": 59,
    "le": 60,
    "gt": 61,
    "ge": 62,
    "and": AND,
    "or": OR,
    "xor": 65,
}

# Of truth values the least is "all", the greatest "any".
REDUCE = {
    "reduce_sum": REDUCE_SUM,
    "reduce_max": REDUCE_MAX,
    "reduce_min": REDUCE_MIN,
    "reduce_and": REDUCE_MIN,
    "reduce_or": REDUCE_MAX,
}

# About how many cycles a number costs, of what has its own step; others, a sheet of
# simple arithmetic; what only moves numbers about, nothing.
SIMPLE = 1 / 8
COST = {
    **dict.fromkeys(["exp", "exp2", "tanh", "logistic", "div", "sqrt", "rsqrt"], 0.75),
    **dict.fromkeys(
        ["expm1", "log", "log1p", "cbrt", "erf", "erfc", "sin", "cos"], 1.5
    ),
    **dict.fromkeys(["erf_inv", "tan", "asin", "acos", "atan", "sinh", "cosh"], 2.0),
    **dict.fromkeys(["asinh", "acosh", "atanh", "rem", "atan2", "integer_pow"], 2.0),
    **dict.fromkeys(["pow", "lgamma", "digamma"], 4.0),
    **dict.fromkeys(REDUCE, 0.25),
}
# To write a number in one loop, and to read it in another.
KEEPING = 2.0

# And this is never made again.
NEVER_AGAIN = frozenset(["dot_general"])
