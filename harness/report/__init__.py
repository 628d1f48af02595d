"""Tables, comparisons, diagnoses and plots for people."""
