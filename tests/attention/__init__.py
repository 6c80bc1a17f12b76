"""Attention: mechanisms, and the cell that looks into a memory."""
