"""What a model is: its architecture as a value, its family's facts, its costs, how to read and build one."""
