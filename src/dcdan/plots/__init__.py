"""Pictures of results as PNG bytes: confusion, curves, reliability, embeddings, contact sheets."""
