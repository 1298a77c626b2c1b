"""How a model ships: ONNX files, the runtimes that answer with them, and how long an answer takes."""
