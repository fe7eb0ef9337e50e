"""Scores of an explanation: one file per score, behind the interface `Scorer` of `interp.units`."""
