"""Features: the one implementation that training and serving share. Pure functions over arrays."""
