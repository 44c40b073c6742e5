//! Redis of every kind: the port, and what stands on it.

mod access;
mod cases;
mod cluster;
mod consumers;
mod delivery;
mod kinds;
mod pitfalls;
mod tls;
mod trimming;

/// Starts a worker with these variables: its exit code, and what it says.
fn command(env: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_subiteya"))
        .args(["work", "edit"])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef")
        .env("RUST_LOG", "error")
        .envs(env.iter().copied())
        .output()
        .expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
