"""Sparse Bayesian recovery: the core under linear_model and decomposition."""
