//! What tools that others wrote say of the images, and whether the Containerfile gives the same ones.
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use holdfast_e2e::{binaries, cache, images, leash};
use serde_json::{Value, json};

use super::Written;
use holdfast_build::ci;

const TOOLS: [&str; 3] = ["skopeo", "umoci", "buildah"];
/// What an archive may take.
const LARGEST_BYTES: u64 = 16 * 1024 * 1024;
/// The name in the layouts made here.
const TAG: &str = "check";

/// Checks each image with the tools that are installed.
///
/// # Errors
/// An image is not as meant, a tool fails, or one is missing in CI.
pub(super) fn run(written: &[Written]) -> Result<()> {
    let (found, missing): (Vec<&str>, Vec<&str>) = TOOLS.into_iter().partition(|tool| ask(tool, ["--version"]).is_ok());
    if !missing.is_empty() {
        let line = format!("{} not installed (Debian: hack/debian-packages.sh)", missing.join(", "));
        ensure!(!ci::is_here(), "the images cannot be checked: {line}");
        println!("not everything is checked: {line}");
    }
    for image in written {
        check(image, &found).with_context(|| format!("check {}", image.name))?;
    }
    Ok(())
}

fn check(image: &Written, tools: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let size = fs::metadata(&image.archive).context("look at the archive")?.len();
    ensure!(size <= LARGEST_BYTES, "{} has {size} bytes, more than {LARGEST_BYTES}", image.archive.display());
    if tools.contains(&"skopeo") {
        inspect(image)?;
        println!("{}: as meant, says skopeo of both forms", image.name);
    }
    if tools.contains(&"umoci") {
        let layout = folder.path().join("layout");
        let mut archive = tar::Archive::new(fs::File::open(&image.archive).context("open the archive")?);
        archive.unpack(&layout).context("unpack the archive")?;
        let root = unpack(&layout, image.name.tag(), &folder.path().join("bundle"))?;
        alone(image, &root)?;
        println!("{}: holds the program and nothing else, says umoci; {}", image.name, started(image, &root)?);
    }
    if tools == TOOLS {
        from_containerfile(image, folder.path()).context("build the last stage of the Containerfile")?;
        println!("{}: buildah makes the same of the Containerfile", image.name);
    }
    Ok(())
}

fn inspect(image: &Written) -> Result<()> {
    let archive = image.archive.display();
    let seen = json_of("skopeo", ["inspect".to_owned(), format!("oci-archive:{archive}")])?;
    ensure!(seen["Digest"] == image.digest.as_ref(), "skopeo sees the digest {}, not {}", seen["Digest"], image.digest);
    for form in ["oci-archive", "docker-archive"] {
        as_meant(image, &format!("{form}:{archive}"))?;
    }
    Ok(())
}

/// Compares the configuration of an image, wherever skopeo can read it, with what is meant.
fn as_meant(image: &Written, place: &str) -> Result<()> {
    let mut seen = json_of("skopeo", ["inspect", "--config", place])?;
    if let Some(labels) = seen["config"]["Labels"].as_object_mut() {
        // What buildah adds, and what a Containerfile cannot leave out.
        labels.retain(|key, value| !key.starts_with("io.buildah.") && value != "");
    }
    let architecture = if binaries::TARGET.starts_with("aarch64") { "arm64" } else { "amd64" };
    let meant = json!({
        "Entrypoint": [path(image)?], "Env": ["PATH=/"], "User": images::USER, "WorkingDir": "/", "Labels": image.labels,
    });
    ensure!(seen["config"] == meant, "{place} has the configuration {}, not {meant}", seen["config"]);
    let platform = [&seen["os"], &seen["architecture"]];
    ensure!(platform == ["linux", architecture], "{place} is for {platform:?}, not linux and {architecture}");
    Ok(())
}

/// Unpacks an image of a layout with umoci, and returns where its root is.
fn unpack(layout: &Path, tag: &str, bundle: &Path) -> Result<PathBuf> {
    let reference = format!("{}:{tag}", layout.display());
    ask(
        "umoci",
        [OsStr::new("unpack"), "--rootless".as_ref(), "--image".as_ref(), reference.as_ref(), bundle.as_ref()],
    )?;
    Ok(bundle.join("rootfs"))
}

/// Looks for the program, the very same, and for nothing else.
fn alone(image: &Written, root: &Path) -> Result<()> {
    let names: Vec<OsString> = fs::read_dir(root)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect())
        .with_context(|| format!("list {}", root.display()))?;
    let name = image.program.file_name().context("a program without a name")?;
    ensure!(names == [name], "the image holds {names:?}, not {} alone", name.display());
    let same = fs::read(root.join(name)).context("read the program")? == fs::read(&image.program)?;
    ensure!(same, "the program in the image is not {}", image.program.display());
    Ok(())
}

/// Runs the program with nothing around it, as the user that the image names, and returns what to say of it.
fn started(image: &Written, root: &Path) -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        return Ok("not started, which needs root".to_owned());
    }
    let user = format!("--userspec={}", images::USER);
    let output = ask("chroot", [user.as_ref(), root.as_os_str(), path(image)?.as_ref(), "--version".as_ref()])?;
    Ok(format!("started in it, it says {}", String::from_utf8_lossy(&output).trim()))
}

/// Builds the last stage, with the programs in place of the stage that compiles them.
fn from_containerfile(image: &Written, folder: &Path) -> Result<()> {
    let [storage, run, layout, empty] = ["storage", "run", "buildah", "empty"].map(|name| folder.join(name));
    fs::create_dir_all(&empty).context("make a folder")?;
    let buildah = |arguments: &[&str]| {
        let [storage, run] = [&storage, &run].map(|path| path.as_os_str());
        let global =
            [OsStr::new("--root"), storage, "--runroot".as_ref(), run, "--storage-driver".as_ref(), "vfs".as_ref()];
        ask("buildah", global.into_iter().chain(arguments.iter().map(OsStr::new)))
    };
    let path = path(image)?;
    let target = path.strip_prefix("/holdfast-").context("a program of another name")?;
    let label = |name: &str| image.labels.get(&format!("org.opencontainers.image.{name}")).map_or("", String::as_str);
    let values = [("VERSION", "version"), ("REVISION", "revision"), ("SOURCE", "source")];
    let values = values.map(|(argument, name)| format!("--build-arg={argument}={}", label(name)));
    let programs = image.program.parent().context("a program without a directory")?;
    let programs = format!("--build-context=programs={}", programs.display());
    let file = format!("--file={}", cache::workspace().join("Containerfile").display());
    let mut arguments = vec!["build", "--isolation=chroot", &file, "--target", target, &programs, "--tag", TAG];
    arguments.extend(values.iter().map(String::as_str));
    let empty = empty.display().to_string();
    arguments.push(&empty);
    buildah(&arguments)?;
    let place = format!("oci:{}:{TAG}", layout.display());
    buildah(&["push", TAG, &place])?;
    as_meant(image, &place)?;
    alone(image, &unpack(&layout, TAG, &folder.join("built"))?)
}

/// Where the program is in the image.
fn path(image: &Written) -> Result<String> {
    let name = image.program.file_name().and_then(OsStr::to_str).context("a program without a name")?;
    Ok(format!("/{name}"))
}

fn json_of(tool: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Value> {
    serde_json::from_slice(&ask(tool, arguments)?).with_context(|| format!("read what {tool} says"))
}

/// Runs a tool, and returns what it prints.
fn ask(tool: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Vec<u8>> {
    let mut command: Command = leash::command(tool)?;
    let output = command.args(arguments).output().with_context(|| format!("run {tool}"))?;
    if !output.status.success() {
        bail!("{tool} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}
