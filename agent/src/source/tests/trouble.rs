//! Stores that misbehave, one by one.
