__version__ = "0.1.0"
DOC_URL = "https://skalgos.github.io/skalgos"
