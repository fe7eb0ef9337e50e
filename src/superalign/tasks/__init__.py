"""Items with a sealed key: loaders of files and hub data sets, and built-in worlds whose truth is known."""
