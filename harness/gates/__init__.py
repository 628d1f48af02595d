"""Gates: formats as tests of pytest."""
