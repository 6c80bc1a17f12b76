"""What is seen: facts turned into words, a figure and a page; never sees Keras."""
