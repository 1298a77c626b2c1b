"""How a model is handed over: one file a format, each with all that the stages have to know of it."""
