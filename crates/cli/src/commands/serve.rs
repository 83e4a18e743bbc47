//! `impasto serve`: the engine, the interfaces around it, one line when they are ready, and an orderly end.

use crate::failure::{failure, usage};
use crate::output;
use crate::resolve::Settings;
use crate::setup;
use impasto_server::{App, ServerError};
use impasto_settings::OptionsFile;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut signal = runtime.block_on(async { setup::StopSignal::new() })?;
    make_data_root(settings);
    let engine = setup::engine(settings)?;
    let file = settings.data_dir().join("config.json");
    let (options, ignored) = OptionsFile::open(&file, settings.options.clone())?;
    for problem in ignored {
        tracing::warn!(file = %file.display(), %problem, "an option cannot be used; its default is");
    }
    if engine.models().is_empty() {
        tracing::warn!(folder = %settings.models_dir().display(), "there is no model: put a checkpoint there");
    }
    let backend = engine.describe().to_owned();
    let app = App::new(engine, settings.serve.clone(), options).map_err(advise)?;
    tracing::info!(backend, data_dir = %settings.data_dir().display(), "starting");

    runtime.block_on(async {
        let stop = async move {
            signal.next().await;
            // Whoever asks twice does not want to wait for running jobs.
            tokio::spawn(async move {
                signal.next().await;
                std::process::exit(1);
            });
        };
        impasto_server::serve(app, stop, |address| announce(settings, address)).await.map_err(advise)
    })
}

/// Makes the folder that models are put into, so that its place can be seen. Serving works without it too.
fn make_data_root(settings: &Settings) {
    let folder = settings.models_dir();
    if let Err(error) = std::fs::create_dir_all(&folder) {
        tracing::warn!(folder = %folder.display(), %error, "cannot make the folder of models");
    }
}

/// The one line on stdout.
fn announce(settings: &Settings, address: SocketAddr) {
    // A closed stdout is no reason to serve less.
    let _ = output::print(&format!("Impasto is at {}", url(settings, address)));
}

fn url(settings: &Settings, mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let scheme = if settings.serve.tls_certfile.is_some() { "https" } else { "http" };
    let subpath = settings.serve.subpath.as_deref().unwrap_or_default().trim_matches('/');
    let end = if subpath.is_empty() { "" } else { "/" };
    format!("{scheme}://{address}/{subpath}{end}")
}

/// What to do about a server that does not start.
fn advise(error: ServerError) -> anyhow::Error {
    match error {
        ServerError::OpenToAll => usage(
            "--listen without a password would let everybody in the network use this machine",
            "set one: --api-auth NAME:PASSWORD",
        ),
        ServerError::BadCredentials(_) | ServerError::BadOrigin(_) | ServerError::HalfTls { .. } => {
            usage(error.to_string(), "docs/settings.md lists all settings")
        }
        ServerError::Bind { address, source } => failure(
            format!("cannot listen at {address}: {source}"),
            "--port takes another number; `impasto doctor` tells more",
        ),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impasto_settings::{Options, ServeSettings};

    #[test]
    fn the_url_can_be_opened() {
        let mut settings = Settings { serve: ServeSettings::default(), options: Options::default() };
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7860));
        assert_eq!(url(&settings, everywhere), "http://127.0.0.1:7860/");
        settings.serve.subpath = Some("/studio/".to_owned());
        settings.serve.tls_certfile = Some("c.pem".into());
        assert_eq!(url(&settings, everywhere), "https://127.0.0.1:7860/studio/");
    }
}
