"""Sparse autoencoders and transcoders: run, train, measure, read and write."""
