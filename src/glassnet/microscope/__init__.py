"""What every channel of a layer has learned: with numbers, and with what the network loses without it."""
