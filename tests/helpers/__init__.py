"""What several tests share: records, made-up trainers and sweeps, stand-ins for W&B."""
