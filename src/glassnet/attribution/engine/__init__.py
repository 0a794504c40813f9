"""What the methods run on: passes through the model, batches, memory, targets, and the results put together."""
