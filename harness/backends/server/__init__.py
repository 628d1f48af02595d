"""The parts of backend `openai`: requests, replies, retries, the cache, and the event loop."""
