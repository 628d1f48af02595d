"""A run's folder and its stages, each from files to files."""
