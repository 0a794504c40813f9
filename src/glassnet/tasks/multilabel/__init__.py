"""Multi-label classification: any number of labels an image."""
