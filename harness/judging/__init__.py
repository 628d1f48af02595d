"""From texts to Verdicts, and from Verdicts to Metrics; on all cores, in constant memory."""
