"""The work: plans, events, records, training. Knows neither notebooks nor pictures."""
