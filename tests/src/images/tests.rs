//! What is written, read back.
use std::io::Read;
use std::path::PathBuf;

use oci_spec::image::ImageIndex;
use serde_json::{Value, json};

use super::*;

/// The header of a program that needs nothing, and has nothing: of this length are all ELF headers of 64 bits.
fn program(machine: u8) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    // An executable; its CPU; the version; the sizes of this header and of those that it has none of.
    for (offset, value) in [(16, 2), (18, machine), (20, 1), (52, 64), (54, 56), (58, 64)] {
        bytes[offset] = value;
    }
    bytes
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn with_program(bytes: &[u8]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("program"), bytes).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, path: &str) -> Result<(Digest, Vec<u8>)> {
        let labels =
            ["org.opencontainers.image.title", "b", "c", "d", "e"].map(|key| (key.to_owned(), "of it".to_owned()));
        let program = self.path("program");
        let image = Image { name: Name::parse(name)?, program: &program, path, user: USER, labels: labels.into() };
        let digest = image.write(&self.path("image.tar"))?;
        Ok((digest, fs::read(self.path("image.tar")).unwrap()))
    }
}

/// The files of a tar; each has to be without time and owner.
fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let facts = [header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()];
        assert_eq!(facts, [0; 3], "time, user and group of {:?}", entry.path());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    });
    entries.collect()
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn both_indices_lead_to_the_program() {
    let folder = Folder::with_program(&program(62));
    let (digest, tar) = folder.write("nginx:1.7.9", "/bin/program").unwrap();
    let files = files(&tar);
    let blob = |digest: &Digest| {
        let bytes = &files[&format!("blobs/sha256/{}", digest.digest())];
        assert_eq!(&super::digest(bytes).unwrap(), digest);
        bytes
    };
    assert_eq!(json_of(&files["oci-layout"]), json!({ "imageLayoutVersion": "1.0.0" }));

    let index = ImageIndex::from_reader(&*files["index.json"]).unwrap();
    let [entry] = &index.manifests()[..] else { panic!("{index:?}") };
    assert_eq!(entry.digest(), &digest);
    let names = entry.annotations().as_ref().unwrap();
    assert_eq!(names["io.containerd.image.name"], "docker.io/library/nginx:1.7.9");
    assert_eq!(names["org.opencontainers.image.ref.name"], "1.7.9");
    assert_eq!(entry.platform().as_ref().unwrap().architecture(), &Arch::Amd64);

    let manifest = ImageManifest::from_reader(&**blob(&digest)).unwrap();
    let [layer] = &manifest.layers()[..] else { panic!("{manifest:?}") };
    let config = json_of(blob(manifest.config().digest()));
    assert_eq!(config["config"]["Entrypoint"], json!(["/bin/program"]));
    assert_eq!(config["config"]["Env"], json!(["PATH=/bin"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.title"], "of it");
    assert_eq!(config.get("created"), None);
    assert_eq!(manifest.annotations().as_ref().unwrap()["org.opencontainers.image.title"], "of it");

    let docker = json_of(&files["manifest.json"]);
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.digest());
    let meant = json!([{ "Config": path(manifest.config().digest()), "Layers": [path(layer.digest())], "RepoTags": ["nginx:1.7.9"] }]);
    assert_eq!(docker, meant);

    let mut root = Vec::new();
    flate2::read::GzDecoder::new(&**blob(layer.digest())).read_to_end(&mut root).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!([super::digest(&root).unwrap().to_string()]));
    let root = self::files(&root);
    assert_eq!(root.keys().collect::<Vec<_>>(), ["bin/", "bin/program"]);
    assert_eq!(root["bin/program"], program(62));
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let first = Folder::with_program(&program(183)).write("holdfast-webhook:1", "/holdfast-webhook").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = Folder::with_program(&program(183)).write("holdfast-webhook:1", "/holdfast-webhook").unwrap();
    assert!(first == second);
    let other = Folder::with_program(&program(62)).write("holdfast-webhook:1", "/holdfast-webhook").unwrap();
    assert!(first.0 != other.0);
}

#[test]
fn a_program_that_needs_anything_is_refused() {
    let dynamic = fs::read(std::env::current_exe().unwrap()).unwrap();
    for (bytes, reason) in [
        (dynamic, "it is linked dynamically"),
        (b"#!/bin/sh\n".to_vec(), "it is no program for 64-bit Linux"),
        (program(243), "it is for a CPU that is not known here (ELF machine 243)"),
    ] {
        let folder = Folder::with_program(&bytes);
        let error = format!("{:#}", folder.write("a:1", "/a").map(|(digest, _)| digest).unwrap_err());
        assert!(error.contains(reason), "{error}");
        assert!(!folder.path("image.tar").exists());
    }
}

#[test]
fn a_path_in_the_image_is_absolute() {
    let error = Folder::with_program(&program(62)).write("a:1", "bin/a").map(|(digest, _)| digest).unwrap_err();
    assert_eq!(error.to_string(), "the path bin/a in the image is not absolute");
}

#[test]
fn names_have_a_short_and_a_whole_form() {
    for (text, whole, short) in [
        ("nginx:1.7.9", "docker.io/library/nginx:1.7.9", "nginx:1.7.9"),
        ("docker.io/library/nginx:1.7.9", "docker.io/library/nginx:1.7.9", "nginx:1.7.9"),
        ("team/a", "docker.io/team/a:latest", "team/a:latest"),
        ("registry.example.com:5000/a/b:1", "registry.example.com:5000/a/b:1", "registry.example.com:5000/a/b:1"),
        ("localhost/a:1", "localhost/a:1", "localhost/a:1"),
    ] {
        let name = Name::parse(text).unwrap();
        assert_eq!((name.whole().as_str(), name.to_string().as_str()), (whole, short));
    }
    for text in ["", "A:1", "a:", &format!("a@sha256:{}", "0".repeat(64))] {
        assert!(Name::parse(text).is_err(), "{text}");
    }
}
