"""The published benchmarks: GLUE, SuperGLUE, RACE and SQuAD, their files, castings, averages and submissions."""
