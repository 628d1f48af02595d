"""YAML: the subset that every parser reads alike."""
