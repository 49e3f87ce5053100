"""What is said to a user of noise, of the best, and of a policy, by one definition each."""
