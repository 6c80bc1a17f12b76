"""One file per peer: `versions()`, `build(case)`, and, where it can, `build_fit(case)`.

`build` returns a function that runs the case once and waits for the result, and a
function that turns such a result into named arrays, for the agreement check.
"""
