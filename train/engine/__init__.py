"""The training engine: recipes, loop, state, optimizer, distribution."""
