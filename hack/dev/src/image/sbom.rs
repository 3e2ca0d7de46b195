//! What a program is made of, as a bill of materials in CycloneDX.
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use cyclonedx_bom::external_models::spdx::SpdxExpression;
use cyclonedx_bom::models::bom::SpecVersion;
use cyclonedx_bom::models::component::{Classification, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::prelude::{Bom, Component, Metadata, Purl, Validate};
use holdfast_e2e::images;

use super::crates::{Crates, closure};

const VERSION: SpecVersion = SpecVersion::V1_5;

/// Writes the bill of materials of the program of a package: all crates that are linked in, Rust's own libraries and the C
/// library. There is neither a time nor a serial number in it, so that it is the same each time.
///
/// # Errors
/// A licence is none, a compiler does not say its version, or the file cannot be written.
pub(super) fn write(package: &str, program: &Path, crates: &Crates, out: &Path) -> Result<()> {
    let bytes = std::fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let bom = of(package, images::digest(&bytes)?.digest(), crates, [rust()?, c_library()?])?;
    let validation = bom.validate_version(VERSION);
    if !validation.passed() {
        bail!("the bill of materials of {package} is not valid: {validation:?}");
    }
    let mut json = Vec::new();
    bom.output_as_json_v1_5(&mut json).with_context(|| format!("write the bill of materials of {package}"))?;
    std::fs::write(out, json).with_context(|| format!("write {}", out.display()))
}

fn of(package: &str, digest: &str, crates: &Crates, libraries: [Component; 2]) -> Result<Bom> {
    let (root, _) =
        crates.iter().find(|(_, each)| each.name == package).context("find the package among its crates")?;
    let ids = closure(crates, root);
    let mut components: Vec<Component> = libraries.into();
    let mut dependencies = Vec::new();
    let mut program = None;
    for id in ids {
        let each = &crates[id];
        let checksum = if id == root { Some(digest) } else { each.checksum.as_deref() };
        let mut component = component("cargo", &each.name, &each.version, &each.licence, checksum)?;
        let mut needs: Vec<String> =
            each.needs.iter().map(|id| reference(&crates[id].name, &crates[id].version)).collect();
        if id == root {
            component.component_type = Classification::Application;
            needs.extend(components[..2].iter().filter_map(|library| library.bom_ref.clone()));
            program = Some(component);
        } else {
            components.push(component);
        }
        dependencies.push(Dependency { dependency_ref: reference(&each.name, &each.version), dependencies: needs });
    }
    Ok(Bom {
        serial_number: None,
        metadata: Some(Metadata { component: program, ..Metadata::default() }),
        components: Some(Components(components)),
        dependencies: Some(Dependencies(dependencies)),
        spec_version: VERSION,
        ..Bom::default()
    })
}

fn component(kind: &str, name: &str, version: &str, licence: &str, checksum: Option<&str>) -> Result<Component> {
    let mut component = Component::new(Classification::Library, name, version, Some(reference(name, version)));
    component.purl = Some(Purl::new(kind, name, version).with_context(|| format!("write the package URL of {name}"))?);
    // Older crates write a slash for OR.
    let licence = SpdxExpression::parse_lax(licence.to_owned());
    let licence = licence.with_context(|| format!("read the licence of {name} {version}"))?;
    component.licenses = Some(Licenses(vec![LicenseChoice::Expression(licence)]));
    component.hashes = checksum
        .map(|checksum| Hashes(vec![Hash { alg: HashAlgorithm::SHA_256, content: HashValue(checksum.to_owned()) }]));
    Ok(component)
}

/// Within the bill.
fn reference(name: &str, version: &str) -> String {
    format!("{name}@{version}")
}

fn rust() -> Result<Component> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = answer(Command::new(compiler).args(["--version", "--verbose"]), "release:")?;
    component("generic", "rust-std", &version, "MIT OR Apache-2.0", None)
}

fn c_library() -> Result<Component> {
    let version = answer(Command::new("getconf").arg("GNU_LIBC_VERSION"), "glibc")?;
    component("generic", "glibc", &version, "LGPL-2.1-or-later", None)
}

/// What a command says behind `label`, at the beginning of a line.
fn answer(command: &mut Command, label: &str) -> Result<String> {
    let output = command.output().with_context(|| format!("run {}", command.get_program().display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = text.lines().find_map(|line| line.strip_prefix(label)).map(|value| value.trim().to_owned());
    value.with_context(|| format!("{} says nothing of {label}", command.get_program().display()))
}

#[cfg(test)]
mod tests {
    use super::super::crates::Crate;
    use super::*;

    fn crates() -> Crates {
        let each = |name: &str, licence: &str, checksum: Option<&str>, needs: &[&str]| Crate {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.to_owned(),
            checksum: checksum.map(str::to_owned),
            needs: needs.iter().map(|need| format!("{need} 1.0.0")).collect(),
        };
        let crates = [
            each("program", "Apache-2.0", None, &["b", "a"]),
            each("a", "MIT/Apache-2.0", Some("ab"), &[]),
            each("b", "MIT", Some("cd"), &["a"]),
            each("other", "MIT", Some("ef"), &["a"]),
        ];
        crates.map(|each| (format!("{} 1.0.0", each.name), each)).into()
    }

    fn json(crates: &Crates) -> serde_json::Value {
        let library = |name| component("generic", name, "1", "LGPL-2.1-or-later", None).unwrap();
        let bom = of("program", "00", crates, [library("rust-std"), library("glibc")]).unwrap();
        let mut json = Vec::new();
        bom.output_as_json_v1_5(&mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn a_bill_has_what_the_program_needs_and_nothing_of_the_day() {
        let bill = json(&crates());
        let names: Vec<_> =
            bill["components"].as_array().unwrap().iter().map(|each| each["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["rust-std", "glibc", "a", "b"]);
        let a = &bill["components"][2];
        assert_eq!(a["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(a["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(a["hashes"][0]["content"], "ab");
        let program =
            bill["dependencies"].as_array().unwrap().iter().find(|each| each["ref"] == "program@1.0.0").unwrap();
        assert_eq!(program["dependsOn"], serde_json::json!(["a@1.0.0", "b@1.0.0", "rust-std@1", "glibc@1"]));
        assert!(bill.get("serialNumber").is_none() && bill["metadata"].get("timestamp").is_none());
        assert_eq!(bill, json(&crates()));
    }

    #[test]
    fn a_licence_that_is_none_is_an_error() {
        let mut crates = crates();
        crates.get_mut("a 1.0.0").unwrap().licence = "as you like".to_owned();
        let library = |name| component("generic", name, "1", "MIT", None).unwrap();
        let error = of("program", "00", &crates, [library("rust-std"), library("glibc")]).unwrap_err();
        assert_eq!(error.to_string(), "read the licence of a 1.0.0");
    }
}
