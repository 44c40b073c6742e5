//! Whom Redis lets in: what a user of our own needs, and what is said to others.
