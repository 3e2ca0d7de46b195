//! `env`: the lines that make a shell use the cluster.
use std::path::Path;

use anyhow::{Result, bail};

use super::place::{Place, State};

pub(crate) fn run(place: &Place) -> Result<()> {
    let Some(state) = place.read()? else {
        let kind = place.kind();
        bail!("no {} is up: start one with `cargo xtask {} up`", kind.noun(), kind.command());
    };
    print(&state);
    Ok(())
}

/// Prints the lines on stdout.
pub(crate) fn print(state: &State) {
    println!("export KUBECONFIG={}", quoted(&state.kubeconfig));
    println!("export PATH={}:\"$PATH\"", quoted(&state.bin));
}

/// As a shell reads it as one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_quotes_gets_them() {
        for (path, expected) in [("/home/a/.cache", "/home/a/.cache"), ("/a b", "'/a b'"), ("/it's", r"'/it'\''s'")] {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }
}
