"""What an answer is: one file for each kind of task, with everything that the stages must know about it."""
