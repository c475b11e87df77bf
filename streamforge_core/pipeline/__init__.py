"""Pure stages, the same for every venue: order and gaps, aggregation, transformation."""
