"""How to choose: algorithms on plain values; no models, no files."""
