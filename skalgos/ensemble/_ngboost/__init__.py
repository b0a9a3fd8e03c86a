"""Natural gradient boosting."""
