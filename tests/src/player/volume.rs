//! The content of one volume: where it comes from, and how it gets to disk.
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use holdfast_runtime::api::Api;
use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath, Secret};

const LIMIT: Duration = Duration::from_secs(10);
const CURRENT: &str = "..data";

/// File names and what is in them.
pub(super) type Content = BTreeMap<String, Vec<u8>>;

/// The files of a Secret.
///
/// # Errors
/// It or one of the `items` is missing and not optional.
pub(super) async fn secret(
    api: &Api<Secret>,
    name: &str,
    items: Option<&[KeyToPath]>,
    may_lack: Option<bool>,
) -> Result<Content> {
    let found = optional(bounded(api.get(name)).await, may_lack).with_context(|| format!("the Secret {name}"))?;
    let data = found.and_then(|secret| secret.data).unwrap_or_default();
    let content = data.into_iter().map(|(key, value)| (key, value.0)).collect();
    choose(content, items, may_lack).with_context(|| format!("the Secret {name}"))
}

/// The files of a ConfigMap.
///
/// # Errors
/// As of [`secret`].
pub(super) async fn config_map(
    api: &Api<ConfigMap>,
    name: &str,
    items: Option<&[KeyToPath]>,
    may_lack: Option<bool>,
) -> Result<Content> {
    let found = optional(bounded(api.get(name)).await, may_lack).with_context(|| format!("the ConfigMap {name}"))?;
    let map = found.unwrap_or_default();
    let texts = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
    let binaries = map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
    choose(texts.chain(binaries).collect(), items, may_lack).with_context(|| format!("the ConfigMap {name}"))
}

fn choose(mut content: Content, items: Option<&[KeyToPath]>, may_lack: Option<bool>) -> Result<Content> {
    let Some(items) = items.filter(|items| !items.is_empty()) else { return Ok(content) };
    let mut chosen = Content::new();
    for item in items {
        match content.remove(&item.key) {
            Some(value) => _ = chosen.insert(item.path.clone(), value),
            None if may_lack == Some(true) => {}
            None => return Err(anyhow!("there is no key {}", item.key)),
        }
    }
    Ok(chosen)
}

/// An answer of the API server that is not what was asked for, in its own words (kube's go on for a paragraph).
#[derive(Debug)]
struct Refused {
    message: String,
    not_found: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

/// A call to the API server that ends within 10 s.
///
/// # Errors
/// Those of the call; or that it did not end.
pub(super) async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T> {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => {
            Err(Refused { not_found: status.is_not_found(), message: status.message }.into())
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(anyhow!("the API server did not answer within {} s", LIMIT.as_secs())),
    }
}

/// Turns "not found" into `None` where something may be missing.
pub(super) fn optional<T>(answer: Result<T>, may_lack: Option<bool>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if may_lack == Some(true) && error.downcast_ref::<Refused>().is_some_and(|it| it.not_found) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Puts `content` into `directory` as a kubelet does: all files change in one step, since the names are links through
/// `..data`, which is replaced atomically.
///
/// # Errors
/// The disk says no.
pub(super) fn write(directory: &Path, content: &Content, version: u64) -> Result<()> {
    let here = || format!("write the volume {}", directory.display());
    let generation = format!("..{version}");
    for (name, value) in content {
        let path = directory.join(&generation).join(name);
        fs::create_dir_all(path.parent().unwrap_or(directory)).with_context(here)?;
        fs::write(&path, value).with_context(here)?;
    }
    fs::create_dir_all(directory.join(&generation)).with_context(here)?;
    let previous = fs::read_link(directory.join(CURRENT)).ok();
    let next = directory.join("..data-next");
    let _ = fs::remove_file(&next);
    symlink(&generation, &next).with_context(here)?;
    fs::rename(&next, directory.join(CURRENT)).with_context(here)?;
    link_names(directory, content).with_context(here)?;
    if let Some(previous) = previous {
        fs::remove_dir_all(directory.join(previous)).with_context(here)?;
    }
    Ok(())
}

fn link_names(directory: &Path, content: &Content) -> Result<()> {
    let entries: Vec<&str> = content.keys().filter_map(|name| name.split('/').next()).collect();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if !text.starts_with("..") && !entries.contains(&text.as_ref()) {
            fs::remove_file(directory.join(&name))?;
        }
    }
    for name in entries {
        let link = directory.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new(CURRENT).join(name), link)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_volume_changes_as_a_whole_and_loses_what_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let content = |pairs: &[(&str, &str)]| -> Content {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
        };
        write(directory.path(), &content(&[("a", "1"), ("sub/b", "2")]), 1).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("sub/b")).unwrap(), "2");
        write(directory.path(), &content(&[("a", "3")]), 2).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("a")).unwrap(), "3");
        assert!(!directory.path().join("sub").exists());
        assert!(!directory.path().join("..1").exists());
    }
}
