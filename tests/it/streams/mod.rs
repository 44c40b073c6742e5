//! Redis of every kind: the port, and what stands on it.

mod access;
mod cases;
mod cluster;
mod kinds;
mod table;
mod tls;
