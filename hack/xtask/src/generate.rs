//! Files that are made from code: `cargo xtask gen` writes them, `cargo xtask gen --check` and a test compare them.
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use holdfast_core::api;
use holdfast_e2e::cache;

/// The CustomResourceDefinition in the chart.
const CRD: &str = "charts/holdfast/templates/crd.yaml";

/// Options of `cargo xtask gen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// Write nothing; fail if a file is not what would be written
    #[arg(long)]
    check: bool,
}

impl Generate {
    /// Writes or compares every generated file.
    ///
    /// # Errors
    /// A file cannot be written, or with `--check` is stale.
    pub(crate) fn run(&self) -> Result<()> {
        let (path, wanted) = (path(), crd()?);
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        if found == wanted {
            println!("{CRD} is up to date");
            return Ok(());
        }
        if self.check {
            bail!("{CRD} is stale; run: cargo xtask gen");
        }
        std::fs::write(&path, wanted).with_context(|| format!("write {}", path.display()))?;
        println!("{CRD} is written");
        Ok(())
    }
}

fn path() -> PathBuf {
    cache::workspace().join(CRD)
}

/// The CRD as a template: Helm never upgrades what lies in `crds/`, and uninstalling must not delete what users made.
fn crd() -> Result<String> {
    let mut crd = api::custom_resource_definition();
    crd["metadata"]["annotations"] = serde_json::json!({ "helm.sh/resource-policy": "keep" });
    let yaml = serde_yaml::to_string(&crd).context("write the CRD as YAML")?;
    // Helm would take braces in a description for a template.
    let yaml = yaml.replace("{{", "{{ \"{{\" }}");
    Ok(format!(
        "{{{{- /* Generated from shared/core/src/api.rs by: cargo xtask gen */}}}}\n{{{{- if .Values.crd.install }}}}\n{yaml}{{{{- end }}}}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_up_to_date() {
        let found = std::fs::read_to_string(path()).unwrap_or_default();
        assert!(found == crd().unwrap(), "{CRD} is stale; run: cargo xtask gen");
    }
}
