"""TOML 1.0 without dates."""
