"""Sparse Bayesian regression and classification, and relevance vector machines."""
