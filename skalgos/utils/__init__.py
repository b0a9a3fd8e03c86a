"""Utilities: discovery of estimators, checks of their contract, versions."""
