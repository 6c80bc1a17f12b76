"""A step's arithmetic as a program that the native core runs: `native/recipe.h` reads it.

`flat` traces, `gradient` differentiates, `lower` (with `views`, `products`) turns
equations into instructions, `parts` orders them, `call` hands them to the core.
"""
