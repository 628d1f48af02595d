"""One optimizer step: adapter, passes, loss, update."""
