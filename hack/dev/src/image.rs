//! `cargo xtask image`: one archive for each program, and its bill of materials beside it.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use holdfast_build::cargo;
use holdfast_e2e::images::{self, Digest, Image, Name};
use holdfast_e2e::{binaries, cache};
use serde_json::Value;
use xtask::arguments::Images;

mod check;
mod crates;
mod reproduce;
mod sbom;

/// An image that has been written.
#[derive(Debug)]
struct Written {
    program: PathBuf,
    name: Name,
    labels: BTreeMap<String, String>,
    archive: PathBuf,
    digest: Digest,
}

/// Builds the programs, and writes archives and bills of materials.
///
/// # Errors
/// Something does not build, a file cannot be written, or a check fails.
pub(crate) fn run(options: &Images) -> Result<()> {
    let packages = cargo::packages()?;
    let home = binaries::home();
    // Once: while a second build takes its minutes, somebody may commit.
    let revision = revision();
    let out = options.out.clone().unwrap_or_else(|| binaries::target_directory().join("images"));
    let written = write(
        options,
        &packages,
        revision.as_deref(),
        &binaries::ensure()?,
        &crates::linked(&cache::workspace(), home.as_deref())?,
        &out,
    )?;
    for image in &written {
        let size = std::fs::metadata(&image.archive).context("look at an archive")?.len();
        println!("{}\n  {}  {size} bytes  {}", image.name, image.archive.display(), image.digest);
        println!("  {}", bill(&image.archive).display());
    }
    if options.check {
        check::run(&written)?;
    }
    if options.reproduce {
        let second = reproduce::Second::build(home.as_deref())?;
        let again = write(
            options,
            &packages,
            revision.as_deref(),
            &second.programs,
            &crates::linked(&second.sources, Some(&second.home))?,
            &second.out,
        )?;
        second.compare(&written, &again)?;
    }
    Ok(())
}

fn write(
    options: &Images,
    packages: &[Value],
    revision: Option<&str>,
    programs: &BTreeMap<String, PathBuf>,
    crates: &crates::Crates,
    out: &Path,
) -> Result<Vec<Written>> {
    let mut written = Vec::new();
    for (name, program) in programs {
        let package = packages.iter().find(|package| package["name"] == **name);
        let package = package.with_context(|| format!("find the package {name}"))?;
        let labels = labels(options, package, revision);
        let image = Image {
            name: image_name(options, name, package)?,
            program,
            path: &format!("/{name}"),
            user: images::USER,
            labels: labels.clone(),
        };
        let archive = out.join(format!("{name}.tar"));
        let digest = image.write(&archive)?;
        sbom::write(name, program, crates, &bill(&archive))?;
        written.push(Written { program: program.clone(), name: image.name, labels, archive, digest });
    }
    Ok(written)
}

/// What the chart asks for, with the same values.
fn image_name(options: &Images, name: &str, package: &Value) -> Result<Name> {
    let tag = options.tag.as_deref().or(package["version"].as_str()).context("find the version")?;
    match &options.registry {
        Some(registry) => Name::parse(&format!("{registry}/{name}:{tag}")),
        None => Name::parse(&format!("{name}:{tag}")),
    }
}

fn labels(options: &Images, package: &Value, revision: Option<&str>) -> BTreeMap<String, String> {
    let of_package = |key: &str| package[key].as_str().map(str::to_owned);
    let labels = [
        ("title", of_package("name")),
        ("version", of_package("version")),
        ("licenses", of_package("license")),
        ("source", options.source.clone().or_else(|| of_package("repository"))),
        ("revision", revision.map(str::to_owned)),
    ];
    let labels =
        labels.into_iter().filter_map(|(key, value)| Some((format!("org.opencontainers.image.{key}"), value?)));
    labels.collect()
}

/// Where the bill of materials of an archive is.
fn bill(archive: &Path) -> PathBuf {
    archive.with_extension("cdx.json")
}

/// The commit that the workspace is at, marked if files differ from it; none without Git.
fn revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(cache::workspace()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_and_containerfile_have_the_version_of_the_programs() {
        let read = |file: &str| std::fs::read_to_string(cache::workspace().join(file)).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let chart: Value = serde_yaml::from_str(&read("charts/holdfast/Chart.yaml")).unwrap();
        // The chart itself has a version of its own: it changes also where programs do not.
        assert_eq!(chart["appVersion"].as_str(), Some(version));
        assert!(read("Containerfile").contains(&format!("\nARG VERSION={version}\n")));
    }

    #[test]
    fn images_are_called_what_the_chart_asks_for() {
        let options = |registry: Option<&str>, tag: Option<&str>| Images {
            tag: tag.map(str::to_owned),
            registry: registry.map(str::to_owned),
            ..Images::default()
        };
        let package = serde_json::json!({ "name": "holdfast-webhook", "version": "0.1.0", "license": "Apache-2.0", "repository": null });
        for (registry, tag, name, whole) in [
            (None, None, "holdfast-webhook:0.1.0", "docker.io/library/holdfast-webhook:0.1.0"),
            (
                Some("registry.example.com/team"),
                Some("next"),
                "registry.example.com/team/holdfast-webhook:next",
                "registry.example.com/team/holdfast-webhook:next",
            ),
        ] {
            let found = image_name(&options(registry, tag), "holdfast-webhook", &package).unwrap();
            assert_eq!((found.to_string().as_str(), found.whole().as_str()), (name, whole));
        }
        let labels = super::labels(&options(None, None), &package, None);
        assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
        assert!(!labels.contains_key("org.opencontainers.image.source"));
    }
}
