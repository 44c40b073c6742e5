use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    // Two crates bring rustls along; with a provider named here neither has to guess. Only a second call can fail.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    subiteya::cli::main().await
}
