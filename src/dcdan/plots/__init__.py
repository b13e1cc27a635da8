"""Pictures of results as PNG bytes: accuracy, class counts, confusion, curves, embeddings, reliability, faces."""
