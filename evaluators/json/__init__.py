"""JSON and what is made of it: formats, the strict judge, evaluators that cross formats."""
