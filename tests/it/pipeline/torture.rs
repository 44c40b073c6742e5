//! Random deaths under load, for as long as one likes.
