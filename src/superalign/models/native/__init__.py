"""A small transformer of our own, for worlds: GPT-2's architecture, fast at tiny sizes, saved in its layout."""
