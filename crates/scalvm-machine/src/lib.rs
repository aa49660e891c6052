//! Placeholder head, written by its author.
