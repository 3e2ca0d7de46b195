//! A section `{bindAddress, port}` of the configuration file as one address.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

/// The keys that make the address.
pub(super) const KEYS: [&str; 2] = ["bindAddress", "port"];

/// The address; or the key that is wrong, and why.
pub(super) fn text(section: &Value, default_port: u16) -> Result<String, (&'static str, String)> {
    let [host_key, port_key] = KEYS;
    let given = |key: &str| section.get(key).filter(|value| !value.is_null());
    let host = match given(host_key).map(|value| (value, value.as_str())) {
        // The one of the flag --bind-ip.
        None | Some((_, Some(""))) => None,
        Some((value, text)) => {
            let ip = text.and_then(|text| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok());
            Some(ip.ok_or_else(|| (host_key, format!("must be an IP address, not {value}")))?)
        }
    };
    let port = match given(port_key) {
        None => default_port,
        Some(value) => value
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| (port_key, format!("must be a port from 0 to 65535, not {value}")))?,
    };
    Ok(host.map_or_else(|| format!(":{port}"), |host| SocketAddr::from((host, port)).to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn host_and_port_are_joined() {
        for (section, expected) in [
            (json!({}), Ok(":8081")),
            (json!({"bindAddress": "", "port": 9000}), Ok(":9000")),
            (json!({"bindAddress": "127.0.0.1"}), Ok("127.0.0.1:8081")),
            (json!({"bindAddress": "::", "port": 0}), Ok("[::]:0")),
            (json!({"bindAddress": "[::1]"}), Ok("[::1]:8081")),
            (json!({"bindAddress": "localhost"}), Err(("bindAddress", "must be an IP address, not \"localhost\""))),
            (json!({"port": "8081"}), Err(("port", "must be a port from 0 to 65535, not \"8081\""))),
        ] {
            let expected = expected.map(str::to_owned).map_err(|(key, reason)| (key, reason.to_owned()));
            assert_eq!(text(&section, 8081), expected, "{section}");
        }
    }
}
