//! Logs: one line an event, to standard error, as JSON or as text.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Libraries that are quiet unless the filter names them.
///
/// What kube's watcher warns about is reported by [`crate::watch`] in our own words, once instead of with every try.
const QUIET: &str = "h2=warn,hyper=warn,hyper_util=warn,rustls=warn,tower=warn,kube_runtime::watcher=error";

/// Never logged whatever the filter says, unless a module below is named: kube prints whole response bodies there when
/// they do not decode, and a body may be a Secret.
const SILENT: &str = "kube_client::client=off";

/// What is logged after SIGUSR1.
const DETAILED: &str = "debug";

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Flags about logs.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// Format of log lines.
    #[arg(long, env = "HOLDFAST_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// What to log: error, warn, info, debug, trace, or a list such as info,holdfast_webhook=debug.
    #[arg(long, env = "HOLDFAST_LOG_LEVEL", default_value = "info", value_name = "FILTER")]
    pub log_level: String,
}

/// Starts logging; also makes a panic one log line. To be called once, first thing in `main`, on the runtime.
///
/// SIGUSR1 switches to [`DETAILED`] and, sent again, back.
///
/// # Errors
/// The filter cannot be read, or logging was started before.
pub fn init(args: &LogArgs) -> anyhow::Result<()> {
    let filter = filter(&args.log_level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(args.log_format == LogFormat::Text && std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let level = args.log_level.clone();
    match args.log_format {
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map(|()| switch(level, move |filter| handle.reload(filter)))
        }
        LogFormat::Json => {
            let builder = builder
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map(|()| switch(level, move |filter| handle.reload(filter)))
        }
    }
    .map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))??;
    log_panics();
    Ok(())
}

/// Switches between two levels with each SIGUSR1.
fn switch(
    level: String,
    reload: impl Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + 'static,
) -> std::io::Result<()> {
    let mut signals = signal(SignalKind::user_defined1())?;
    tokio::spawn(async move {
        let mut is_detailed = false;
        while signals.recv().await.is_some() {
            is_detailed = !is_detailed;
            let level = if is_detailed { DETAILED } else { &level };
            // Both were or could be read at the start.
            if filter(level).is_ok_and(|filter| reload(filter).is_ok()) {
                tracing::info!(level, "SIGUSR1: changed the log level");
            }
        }
    });
    Ok(())
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    // Parsed alone first, so that the message shows what the user wrote and not what we add.
    EnvFilter::builder().parse(level).with_context(|| format!("cannot read the log level {level:?}"))?;
    Ok(EnvFilter::builder().parse(format!("{QUIET},{level},{SILENT}"))?)
}

/// The payload of a panic is left out: it may quote the data that it was about.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        tracing::error!(location, thread = thread.name().unwrap_or("unnamed"), "panic");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked_and_completed() {
        for good in ["info", "debug,holdfast_webhook=trace", "warn,kube_client=debug", ""] {
            assert!(filter(good).is_ok(), "{good:?}");
        }
        let error = filter("info,holdfast=loud").unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot read the log level \"info,holdfast=loud\""), "{error:#}");
        assert!(filter(DETAILED).is_ok());
        assert!(filter("trace").unwrap().to_string().contains("kube_client::client=off"));
    }
}
