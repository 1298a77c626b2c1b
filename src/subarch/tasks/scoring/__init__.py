"""Predictions, and what they are worth: metrics, intervals, slices and comparisons."""
