"""Voxtral Realtime in torch: weights, one explicit state, one batched step."""
