"""Surrogates: what the trials so far say about a configuration that was not tried."""
