"""Runs a method that nobody has read: it sees its inputs and nothing else. Linux, no container engine needed."""
