"""Where it runs: executors, the wall-clock budget, interrupts, and what machine this is."""
