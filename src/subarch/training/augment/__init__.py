"""New texts from old ones: the transformations τ of Agora, and what of their results is kept."""
