//! The names by which API servers call us.

use anyhow::{Context as _, bail};

use super::service_names;

/// Names that the certificate is for: of our Service, and the host of the URL that is advertised.
///
/// # Errors
/// The URL is none with scheme `https`, a host, perhaps a port, and nothing else.
pub fn names(service: &str, namespace: &str, url: Option<&str>) -> anyhow::Result<Vec<String>> {
    let mut names = service_names(service, namespace);
    if let Some(url) = url {
        let host = host(url).with_context(|| format!("--advertise-url {url:?}"))?;
        names.retain(|name| *name != host);
        names.push(host);
    }
    Ok(names)
}

/// Those of them that API servers really use; others need not be in a certificate that somebody else makes.
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
    // An IPv6 address is in brackets there and not in a certificate.
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
