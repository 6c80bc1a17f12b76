"""Scripts that run other libraries and record what they give.

Each runs in an environment of its own (`make recordings`); its small arrays are test
data. They import nothing of ours.
"""
