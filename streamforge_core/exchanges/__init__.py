"""One folder per venue, all pure and stateless: text in, candles out."""
