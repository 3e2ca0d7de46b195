//! `env`: the lines that make a shell use the control plane.
use std::path::Path;

use anyhow::{Result, bail};

use super::state::{Place, State};

pub(super) fn run() -> Result<()> {
    let Some(state) = Place::find()?.read()? else {
        bail!("no control plane is up: start one with `cargo xtask control-plane up`");
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
