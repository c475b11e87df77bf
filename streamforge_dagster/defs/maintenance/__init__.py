"""What keeps the rest going: symbols as configured, the whole store checked again."""
