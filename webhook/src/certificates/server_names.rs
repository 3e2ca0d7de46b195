//! The names under which API servers call us.

use anyhow::{Context as _, bail};

/// The names under which the API server calls a Service.
pub fn service_names(service: &str, namespace: &str) -> Vec<String> {
    ["svc", "svc.cluster.local"]
        .into_iter()
        .map(|suffix| format!("{service}.{namespace}.{suffix}"))
        .chain([format!("{service}.{namespace}")])
        .collect()
}

/// The names of the certificate: of our Service, and the host of the advertised URL.
///
/// # Errors
/// The URL has another scheme than `https`, no host, or a path or query.
pub fn names(service: &str, namespace: &str, url: Option<&str>) -> anyhow::Result<Vec<String>> {
    let mut names = service_names(service, namespace);
    if let Some(url) = url {
        let host = host(url).with_context(|| format!("--advertise-url {url:?}"))?;
        names.retain(|name| *name != host);
        names.push(host);
    }
    Ok(names)
}

/// The names that API servers really use. A certificate from another program needs no others.
pub fn required(names: Vec<String>) -> Vec<String> {
    let is_spare = |name: &str| name.ends_with(".svc.cluster.local") || name.split('.').count() == 2;
    let service = names.first().cloned().unwrap_or_default();
    let spare = service.trim_end_matches(".svc").to_owned();
    names.into_iter().filter(|name| !(name.starts_with(&spare) && is_spare(name))).collect()
}

fn host(url: &str) -> anyhow::Result<String> {
    let uri: http::Uri = url.parse().context("is no URL")?;
    if uri.scheme_str() != Some("https") {
        bail!("the API server calls https only");
    }
    if !uri.path().trim_matches('/').is_empty() || uri.query().is_some() {
        bail!("must end after host and port; the API server adds the path");
    }
    // A URL has brackets around an IPv6 address, a certificate has none.
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        bail!("has no host");
    }
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_url_is_a_name() {
        let service = ["w.n.svc", "w.n.svc.cluster.local", "w.n"];
        let all = |url| names("w", "n", url).map_err(|error| format!("{error:#}"));
        assert_eq!(all(None).unwrap(), service);
        for (url, host) in [
            ("https://webhook.example.com", "webhook.example.com"),
            ("https://127.0.0.1:9443", "127.0.0.1"),
            ("https://[::1]:9443/", "::1"),
        ] {
            let names = all(Some(url)).unwrap();
            assert_eq!(names.last().map(String::as_str), Some(host), "{url}");
            assert_eq!(required(names), ["w.n.svc", host], "{url}");
        }
        for (url, why) in [
            ("http://x", "https only"),
            ("https://x/path", "must end after"),
            ("x y", "is no URL"),
            ("x", "https only"),
        ] {
            assert!(all(Some(url)).unwrap_err().contains(why), "{url}");
        }
    }
}
