"""How a layer is run: the time loop, the native core, and what is around them."""
