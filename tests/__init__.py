"""The test suite of unrolled."""
