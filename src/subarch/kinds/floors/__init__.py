"""The honest floor of each kind: what a task gives to no model at all, and to a simple method."""
