"""A step's arithmetic as a program for the native core, which `native/recipe.h` reads.

`flat` traces, `gradient` differentiates, `lower` (with `views`, `products`) turns
equations into instructions, `parts` orders them, `call` hands them to the core.
"""
