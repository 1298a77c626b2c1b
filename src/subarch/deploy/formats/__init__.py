"""How a model ships: one file for each format, with everything that the stages must know about it."""
