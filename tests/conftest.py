"""Settings for the whole suite."""

import os

# Before scipy is imported: else scikit-learn's array API check skips itself.
os.environ["SCIPY_ARRAY_API"] = "1"
