//! Files that are made from code: `cargo xtask gen` writes them, `cargo xtask gen --check` and a test compare them.
use anyhow::{Context, Result, bail};
use holdfast_core::{api, protect::admission_policy};
use holdfast_e2e::{cache, rules};
use xtask::arguments::Generate;

/// The CustomResourceDefinition in the chart.
const CRD: &str = "charts/holdfast/templates/crd.yaml";
/// What the chart's admission policy knows of the tables of core.
const GUARD: &str = "charts/holdfast/files/guard.yaml";
/// The reference of all rules.
const RULES: &str = "docs/rules.md";

/// Writes or compares every generated file.
///
/// # Errors
/// A file cannot be written, or with `--check` is stale.
pub(crate) fn run(options: &Generate) -> Result<()> {
    for (file, content) in files()? {
        let path = cache::workspace().join(file);
        if std::fs::read_to_string(&path).unwrap_or_default() == content {
            println!("{file} is up to date");
            continue;
        }
        if options.check {
            bail!("{file} is stale; run: cargo xtask gen");
        }
        std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        println!("{file} is written");
    }
    Ok(())
}

/// Every generated file and what is to be in it.
fn files() -> Result<[(&'static str, String); 3]> {
    Ok([(CRD, crd()?), (GUARD, policy()), (RULES, rules::read()?.markdown())])
}

/// An expression for the chart's policy.
fn policy() -> String {
    let lines =
        admission_policy::is_content_unchanged().lines().fold(String::new(), |text, line| format!("{text}  {line}\n"));
    format!(
        "# Generated from shared/core/src/protect/admission_policy.rs by: cargo xtask gen\nisContentKept: |-\n{lines}"
    )
}

/// The CRD as a template: Helm never upgrades what lies in `crds/`, and uninstalling must not delete what users made.
fn crd() -> Result<String> {
    let mut crd = api::custom_resource_definition();
    crd["metadata"]["annotations"] = serde_json::json!({ "helm.sh/resource-policy": "keep" });
    let yaml = quoted(&serde_yaml::to_string(&crd).context("write the CRD as YAML")?);
    // Helm would take braces in a description for a template.
    let yaml = yaml.replace("{{", "{{ \"{{\" }}");
    Ok(format!(
        "{{{{- /* Generated from shared/core/src/api.rs by: cargo xtask gen */}}}}\n{{{{- if and .Values.crd.install (ne .Values.clusters.role \"Target\") }}}}\n{yaml}{{{{- end }}}}\n"
    ))
}

/// Quotes what the emitter leaves plain and Helm, which reads YAML 1.1, would take for a boolean: `- Off`.
fn quoted(yaml: &str) -> String {
    const BOOLEANS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];
    let is_word = |line: &str| {
        let item = line.trim_start().strip_prefix("- ");
        item.filter(|word| BOOLEANS.contains(&word.to_lowercase().as_str())).map(str::to_owned)
    };
    let lines = yaml.lines().map(|line| match is_word(line) {
        Some(word) => line.replace(&format!("- {word}"), &format!("- \"{word}\"")),
        None => line.to_owned(),
    });
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

#[cfg(test)]
mod tests {
    use holdfast_core::decode::{Limits, documents};

    use super::*;

    #[test]
    fn helm_reads_the_crd_as_it_is_meant() {
        let template = crd().unwrap();
        let lines: Vec<&str> = template.lines().filter(|line| !line.starts_with("{{")).collect();
        let yaml = lines.join("\n");
        let document = documents(yaml.as_bytes(), &Limits::default()).next().unwrap().unwrap();
        let mut meant = api::custom_resource_definition();
        meant["metadata"]["annotations"] = serde_json::json!({ "helm.sh/resource-policy": "keep" });
        assert_eq!(document.value, meant);
    }

    #[test]
    fn generated_files_are_up_to_date() {
        for (file, content) in files().unwrap() {
            let found = std::fs::read_to_string(cache::workspace().join(file)).unwrap_or_default();
            assert!(found == content, "{file} is stale; run: cargo xtask gen");
        }
    }
}
