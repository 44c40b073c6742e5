//! What a process was started to do, which decides what it cannot do without.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, with embedded parts for what is not given.
    Up,
    Serve,
    Work,
    Migrate,
    Doctor,
    Sandbox,
    /// `keys` and `accounts add|import`: they work on the stores and never on Redis.
    Stores,
}

impl Role {
    /// Whether Redis must be given, where it is enabled.
    pub(super) fn needs_redis(self) -> bool {
        matches!(self, Role::Serve | Role::Work)
    }

    /// Whether the encryption key must be given.
    pub(super) fn needs_key(self) -> bool {
        matches!(self, Role::Serve | Role::Work)
    }
}
