"""A step's arithmetic as a program for the native core, which `native/recipe.h` reads.

`trace` and `flat` trace, `gradient` differentiates (`keeping`: what is kept for it),
`lower` turns equations into instructions by the rules of `pointwise`, `layout`,
`products` and `sums`, `peephole` and `moves` improve them, `parts` orders them,
`program` writes them down, `call` hands them to the core; `run` does it for loops.
"""
