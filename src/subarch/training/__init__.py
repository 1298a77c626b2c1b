"""How a model learns: the one loop, its losses, and what a student inherits from its teacher."""
