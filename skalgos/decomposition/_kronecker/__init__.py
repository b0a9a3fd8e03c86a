"""Sparse Bayesian codes over Kronecker products of dictionaries."""
