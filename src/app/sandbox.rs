//! `sandbox`: the TikTok sandbox on its own.

use super::signals::Signals;
use super::{Exit, Failure, SandboxArgs};
use crate::config::Config;
use crate::sandbox::{Fault, Options, Sandbox};

/// The key and secret of its app, unless TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET say others.
const APP: (&str, &str) = ("sandbox", "sandbox-secret");

pub(super) async fn run(config: &Config, args: SandboxArgs) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let (listen, faults) = (args.listen.as_str(), faults(&args)?);
    let address = listen.parse().map_err(|_| {
        Failure::new(
            Exit::Usage,
            format!("--listen: expected an address and a port such as 127.0.0.1:4000, got {listen}"),
        )
    })?;
    let app = config.tiktok.as_ref().and_then(|tiktok| tiktok.app.clone());
    let (key, secret) = app.map_or((APP.0.to_owned(), APP.1.into()), |app| (app.client_key, app.client_secret));
    let mut options = Options::new(config.data.join("sandbox"), key.clone(), "");
    options.client_secret = secret;
    options.listen = address;
    options.audited = args.audited;
    options.faults = faults;
    let sandbox = Sandbox::start(options).await.map_err(|error| Failure::failed(error.to_string()))?;
    println!("{}", sandbox.base_url());
    eprintln!(
        "the sandbox listens; its app's key is {key}. Set TIKTOK_API_URL and TIKTOK_AUTH_URL to the address above"
    );
    signals.next().await;
    sandbox.shutdown().await;
    Ok(())
}

/// Those of the flags, then those of the file.
fn faults(args: &SandboxArgs) -> Result<Vec<Fault>, Failure> {
    let mut faults = args.fault.clone();
    if let Some(file) = &args.faults {
        let wrong = |why: String| Failure::new(Exit::Usage, format!("--faults {}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        faults.extend(Fault::read_all(&text).map_err(|error| wrong(error.to_string()))?);
    }
    Ok(faults)
}
